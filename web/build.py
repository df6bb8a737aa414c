"""Builds what the browser runs from web/: the kernel (needs clang with wasm32) and the assets of vaecodec.web (needs
nothing).

    python web/build.py            the assets again, from the sources and the kernels as they are
    python web/build.py --kernel   the kernels, too (Debian: apt-get install clang-19 lld-19)

The results are in the repository, so that neither users nor tests need a compiler or Node; tests/test_web.py
holds them to their sources.
"""

from __future__ import annotations

import base64
import re
import subprocess
import sys
import zlib
from pathlib import Path

WEB = Path(__file__).parent
ASSETS = WEB.parent / "vaecodec" / "web" / "assets"
KERNEL = WEB / "kernel" / "kernel.c"
FLAGS = (
    *("--target=wasm32", "-O3", "-ffreestanding", "-nostdlib", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"),
    *("-msimd128", "-mbulk-memory"),
    "-Wl,--no-entry,--strip-all,--export=__heap_base,-z,stack-size=16384",
)
VARIANTS = {"kernel.wasm": (), "kernel-fma.wasm": ("-mrelaxed-simd", "-DRELAXED")}

# In the order in which they stand in a built module: each imports only those before it.
LIBRARY = (
    *(
        "errors",
        "base64",
        "container",
        "alpha",
        "weights",
        "kernel",
        "entropy",
        "layers",
        "rows",
        "networks",
        "lossless",
        "postfilter",
    ),
    *("decoder", "pack", "analysis", "entropy_encoder", "encoder"),
    *("exif", "png", "client", "worker", "canvas", "element", "main"),
)
VIEWER = ("source", "encoding_panel", "viewer", "viewer_main")
HEADER = "// The browser codec of vaecodec, Apache-2.0. Built by web/build.py from web/src; edit that."
MODULE_MARK = "// As a module:"
"""What follows isn't legal in a script inside a page; `vaecodec.web.pages` leaves it out."""
KERNELS = {"KERNEL": "kernel.wasm", "KERNEL_FUSED": "kernel-fma.wasm"}
EXPORTS = ("Client", "VaecImage", "Weights", "define", "encodePng", "parseHeader")

_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./(\w+)\.js\";\n", re.MULTILINE)
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*\*(?:[^*]|\*(?!/))*\*/[ \t]*)\n", re.MULTILINE)
"""Comments that have lines of their own: a tenth of the code, which nobody reads there."""
_INDENT = re.compile(r"^[ \t]+|^\n", re.MULTILINE)
"""And empty lines. The only string of several lines is a style sheet, which does not care."""
_EXPORT = re.compile(r"^export (?=async function|function|class|const)", re.MULTILINE)


def compile_kernel(clang: str, out: Path) -> None:
    """Both variants into the folder `out`."""
    for name, flags in VARIANTS.items():
        subprocess.run([clang, *FLAGS, *flags, "-o", out / name, KERNEL], check=True)  # noqa: S603
        (out / name).chmod(0o644)  # wasm-ld makes programs of them


def library() -> str:
    """Decoder and encoder as one ES module."""
    kernels = [f"const {name} = {_literal(file)};\n" for name, file in KERNELS.items()]
    tail = f"{MODULE_MARK}\nstart(import.meta.url);\nexport {{ {', '.join(EXPORTS)} }};\n"
    return "\n".join([HEADER, *kernels, joined(LIBRARY, {"kernel_bytes"}), tail])


def joined(names: tuple[str, ...], known: set[str]) -> str:
    """These modules one after the other, behind those in `known`. Names at their top level must differ."""
    parts = []
    for name in names:
        source = (WEB / "src" / f"{name}.js").read_text(encoding="utf-8")
        missing = set(_IMPORT.findall(source)) - known
        if missing:
            message = f"{name}.js imports {', '.join(sorted(missing))}, which must stand before it"
            raise ValueError(message)
        known = known | {name}
        code = _INDENT.sub("", _COMMENT.sub("", _EXPORT.sub("", _IMPORT.sub("", source))))
        parts.append(f"// {name}.js\n{code.strip()}\n")
    return "\n".join(parts)


def _literal(file: str) -> str:
    """The file in a zlib stream, a third of its size, as a string."""
    return '"' + base64.b64encode(zlib.compress((WEB / "kernel" / file).read_bytes(), 9)).decode() + '"'


def assets() -> dict[str, str]:
    """The files of vaecodec/web/assets by name."""
    page = (WEB / "viewer.html").read_text(encoding="utf-8")
    style = (WEB / "viewer.css").read_text(encoding="utf-8")
    return {
        "vaecodec.js": library(),
        "viewer.html": page.replace("@@STYLE@@", style),
        "viewer.js": joined(VIEWER, set(LIBRARY)),  # goes behind vaecodec.js, in one script
    }


def main() -> None:
    if "--kernel" in sys.argv[1:]:
        compile_kernel("clang-19", WEB / "kernel")
    ASSETS.mkdir(parents=True, exist_ok=True)
    for name, text in assets().items():
        (ASSETS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
