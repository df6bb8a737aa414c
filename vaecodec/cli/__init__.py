"""The ``vaecodec`` command: thin. It parses, plans, calls the codec and maps errors to lines and exit codes.

``program.py`` holds the commands (those that code pictures are in ``coding.py``), ``options.py`` what they share,
``paths.py`` what goes where, ``run.py`` the loop over files, ``progress.py`` its bar, ``photos.py`` image files in and
out, ``report.py`` what a person reads, ``compare.py`` the comparison with JPEG, ``exits.py`` the codes.
"""

from vaecodec.cli.program import main

__all__ = ["main"]
