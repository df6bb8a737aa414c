"""The ``vaecodec`` command: thin. It parses, plans, calls the codec and maps errors to lines and exit codes.

One file a command (``compress.py``, ``search.py``, ...); ``program.py`` joins them. Below them, each importing only
those after it: ``cluster.py`` (files made by Ray), ``run.py`` (the loop over files), ``report.py`` (what a person
reads), ``progress.py`` (its bar),
``startup.py`` (PyTorch late, or not at all), ``options.py``, ``image_files.py``, ``comparison.py``, ``indexing.py``,
``hits.py``, ``results.py``, ``target.py``, ``paths.py`` (what goes where), ``sizes.py`` and ``exits.py``.
"""

from vaecodec.cli.program import main

__all__ = ["main"]
