"""The ``vaecodec`` command: thin. It parses, plans, calls the codec and maps errors to lines and exit codes.

``program.py`` holds the commands, ``paths.py`` what goes where, ``run.py`` the loop over files, ``photos.py`` image
files in and out, ``report.py`` what a person reads, ``compare.py`` the comparison with JPEG, ``exits.py`` the codes.
"""

from vaecodec.cli.program import main

__all__ = ["main"]
