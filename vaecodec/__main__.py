"""``python -m vaecodec``: the same program as the ``vaecodec`` command."""

from vaecodec.cli import main

if __name__ == "__main__":
    main()
