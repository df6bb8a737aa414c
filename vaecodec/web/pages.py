"""The viewer page, as one file that needs no server, and the files of a site that shows .vaec images."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files

from vaecodec import container
from vaecodec.web.weights import BrowserWeights, browser_weights, encoder_weights
from vaecodec.weights.manifest import ManifestEntry, entry_by_wire

MODULE_MARK = "// As a module:"
"""What follows in vaecodec.js isn't legal in a script inside a page."""
_STYLE = re.compile("<style>(.*?)</style>", re.DOTALL)


def viewer_page(named: Sequence[tuple[str, bytes]] = (), models: Sequence[ManifestEntry] = ()) -> str:
    """One HTML page with .vaec files, (name, bytes), and all that it takes to decode them inside.

    models: whose weights are inside beside those that the files need. The page says what is wrong with a damaged file,
    but a header must be whole. Raises FormatError for one that isn't, WeightsError for a model that isn't shipped.
    """
    needed = [entry for _, data in named if (entry := shipped_model(data)) is not None]
    entries = {entry.name: entry for entry in (*models, *needed)}
    return _page(embedded(named, list(entries.values())))


def embedded(named: Sequence[tuple[str, bytes]], models: Sequence[ManifestEntry]) -> str:
    """Elements that hold files and weights, for the scripts of the page."""
    content = [_weights_element(browser_weights(entry)) for entry in models]
    return "\n".join([*content, *(_file_element(name, data) for name, data in named)])


def site_files(
    models: Sequence[ManifestEntry], *, with_scripts: bool = True, with_encoders: bool = True
) -> dict[str, bytes]:
    """A folder to be served, or to be opened from a disk: viewer.html, vaecodec.js, and weights/ of these models.

    with_scripts: weights as scripts, too, a third larger: a page from a disk can't read them otherwise. with_encoders:
    what encoding takes beside, in files of their own, which are fetched when an image is encoded; the page offers it.
    """
    encoders = list(models) if with_encoders else []
    files = {"viewer.html": _page(_encoders_element(encoders)).encode(), "vaecodec.js": _asset("vaecodec.js").encode()}
    for weights in (*map(browser_weights, models), *map(encoder_weights, encoders)):
        files[f"weights/{weights.name}.safetensors"] = weights.data
        if with_scripts:
            script = f'vaecodecWeights("{weights.name}.js", "{_base64(weights.data)}");\n'
            files[f"weights/{weights.name}.js"] = script.encode()
    return files


def shipped_model(data: bytes) -> ManifestEntry | None:
    """The model that a file needs, None for a lossless file. Raises FormatError and WeightsError."""
    header = container.parse_header(data).header
    return None if header.is_lossless else entry_by_wire(header.model_id, header.model_hash)


def _page(content: str) -> str:
    return assemble(_asset("viewer.html"), content, _asset("viewer.js"))


def assemble(template: str, content: str, script: str) -> str:
    """A page with the decoder inside. template: HTML with one <style> and the places @@POLICY@@, @@CONTENT@@, @@CODE@@.

    script: what runs after the decoder; it must call `start` (web/src/main.js).
    """
    # What stands between the tags must be, byte for byte, what the policy names.
    code = "\n" + _asset("vaecodec.js").partition(MODULE_MARK)[0] + script
    style = _STYLE.search(template)
    policy = _policy(code, style[1] if style else "")
    parts = {"POLICY": policy, "CONTENT": content, "CODE": code}
    return re.sub("@@(POLICY|CONTENT|CODE)@@", lambda place: parts[place[1]], template)


def _policy(code: str, style: str) -> str:
    """Nothing but this script and this style; WebAssembly, but no eval; weights from beside the page."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(code)} 'wasm-unsafe-eval' 'self'",
            f"style-src {_hash(style)}",
            "worker-src blob:",
            "connect-src 'self'",
            "img-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _encoders_element(models: Sequence[ManifestEntry]) -> str:
    """The names of the models whose encoders are in weights/, for the viewer."""
    names = json.dumps([entry.name for entry in models])
    return f'<script type="application/json" id="encoders">{names}</script>' if models else ""


def _weights_element(weights: BrowserWeights) -> str:
    return f'<script type="text/plain" data-vaec-weights="{weights.name}">{_base64(weights.data)}</script>'


def _file_element(name: str, data: bytes) -> str:
    return f'<script type="text/plain" data-vaec-file="{html.escape(name, quote=True)}">{_base64(data)}</script>'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _asset(name: str) -> str:
    return (files("vaecodec.web") / "assets" / name).read_text(encoding="utf-8")
