"""The Python side of the browser codec: pages, sites, weights, and that what is built is what its sources say."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.numpy import load

from vaecodec import conformance, levels
from vaecodec.cli.program import cli
from vaecodec.errors import BadMagic, UnknownModel
from vaecodec.networks import config
from vaecodec.rans import lanes, tables
from vaecodec.web import browser_weights, encoder_weights, site_files, viewer_page
from vaecodec.weights.manifest import DEFAULT_MODEL, entry_by_name, manifest

ROOT = Path(__file__).parents[1]
WEB = ROOT / "web"
LOSSLESS = (conformance.FOLDER / "lossless-rgb.vaec").read_bytes()
CLANG = shutil.which("clang-19")


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """web/build.py."""
    spec = importlib.util.spec_from_file_location("web_build", WEB / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def base_file() -> bytes:
    """The start of a file of the model base: its header is whole."""
    return (ROOT / "tests" / "golden" / "rgb-v1.vaec").read_bytes()


class Scripts(HTMLParser):
    """The script elements of a page, as (attributes, content), and the policy."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[dict[str, str | None], str]] = []
        self.policy = ""
        self._open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self._open = tag == "script"
        if self._open:
            self.elements.append((attributes, ""))
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(attributes["content"])

    def handle_endtag(self, _: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            attributes, content = self.elements[-1]
            self.elements[-1] = attributes, content + data


def test_the_assets_are_built_from_the_sources(build: ModuleType) -> None:
    assets = build.assets()
    assert {path.name for path in build.ASSETS.iterdir()} == set(assets)
    for name, content in assets.items():
        assert (build.ASSETS / name).read_text(encoding="utf-8") == content, f"{name}: run python web/build.py"


def _declared(script: Path) -> list[str]:
    """The names at the top of a script."""
    pattern = r"^(?:export )?(?:(?:async )?function|class|const|let) (\w+|\[[^\]]+\]|\{[^}]+\})"
    declared = re.findall(pattern, script.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for each in declared for name in re.findall(r"\w+", each)]


def test_no_name_is_declared_twice(build: ModuleType) -> None:
    """The modules become one script, with the viewer's behind them: a second declaration is an error of the whole."""
    names = [name for part in (*build.LIBRARY, *build.VIEWER) for name in _declared(WEB / "src" / f"{part}.js")]
    assert {name for name in names if names.count(name) > 1} == set()


def test_the_assets_are_small(build: ModuleType) -> None:
    """They are in every wheel."""
    assert sum(path.stat().st_size for path in build.ASSETS.iterdir()) < 150_000


@pytest.mark.skipif(CLANG is None, reason="needs clang with wasm32 (Debian: apt-get install clang-19 lld-19)")
def test_the_kernels_are_built_from_their_source(build: ModuleType, tmp_path: Path) -> None:
    build.compile_kernel(CLANG, tmp_path)
    for name in build.VARIANTS:
        assert (tmp_path / name).read_bytes() == (WEB / "kernel" / name).read_bytes(), name


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node 20 or newer")
def test_the_tests_of_node_pass() -> None:
    script = json.loads((WEB / "package.json").read_text(encoding="utf-8"))["scripts"]["test"]
    done = subprocess.run(script, shell=True, cwd=WEB, capture_output=True, text=True, timeout=300)  # noqa: S602
    assert done.returncode == 0, done.stdout[-3000:]


def test_nothing_is_installed_for_the_tests_of_node() -> None:
    package, lock = (
        json.loads((WEB / name).read_text(encoding="utf-8")) for name in ("package.json", "package-lock.json")
    )
    assert not [key for key in package if "ependencies" in key]
    assert list(lock["packages"]) == [""]
    assert "resolved" not in json.dumps(lock)


def constant(module: str, pattern: str) -> str:
    """The group of a pattern in a source."""
    match = re.search(pattern, (WEB / "src" / f"{module}.js").read_text(encoding="utf-8"))
    assert match is not None, pattern
    return match[1]


def test_the_encoder_has_the_constants_of_python() -> None:
    assert constant("encoder", r'DEFAULT_MODEL = "([\w-]+)"') == DEFAULT_MODEL
    qualities = constant("encoder", r"\[LOWEST_QUALITY, HIGHEST_QUALITY\] = (\[.*?\])")
    assert json.loads(qualities) == [levels.QUALITY_MIN, levels.QUALITY_MAX]
    assert int(constant("encoder", r"DEFAULT_QUALITY = (\d+)")) == levels.DEFAULT_QUALITY
    assert int(constant("entropy_encoder", r"BITS_PER_LANE = ([\d_]+)n")) == lanes.BITS_PER_LANE
    assert int(constant("entropy_encoder", r"BITS_FOR_ENDS = ([\d_]+)n")) == lanes.BITS_FOR_ENDS
    assert int(constant("entropy_encoder", r"MAX_LANES = (\d+)")) == lanes.MAX_LANES
    assert int(constant("entropy_encoder", r"COST_BITS = (\d+)n")) == tables.COST_BITS
    page = (WEB / "viewer.html").read_text(encoding="utf-8")
    assert f'min="{levels.QUALITY_MIN}" max="{levels.QUALITY_MAX}" value="{levels.DEFAULT_QUALITY}"' in page


def test_the_bounds_are_those_of_the_networks() -> None:
    source = "\n".join((WEB / "src" / name).read_text(encoding="utf-8") for name in ("layers.js", "networks.js"))
    bounds = config.STREAM_MAX, config.PRODUCT_MAX, config.LATENT_MAX, config.PRIOR_MAX
    stated = re.search(r"BOUNDS = \{ stream: (\d+), product: (\d+), latent: (\d+), prior: (\d+) \}", source)
    assert stated is not None
    assert tuple(map(float, stated.groups())) == bounds
    assert f"const SHIFT_UNIT = {config.SHIFT_UNIT:g};" in source
    positions = re.search(r"POSITIONS = (\[\[.*?\]\]);", source)
    assert positions is not None
    assert tuple(map(tuple, json.loads(positions[1]))) == config.POSITIONS


def test_no_script_evaluates_text_or_reaches_out() -> None:
    for path in (WEB / "src").glob("*.js"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(r"\beval\b|new Function|innerHTML|document\.write|https?:", source), path.name


@pytest.mark.parametrize("name", [entry.name for entry in manifest()])
def test_weights_are_those_of_a_decoder(name: str) -> None:
    entry = entry_by_name(name)
    weights = browser_weights(entry)
    assert weights.name == f"{entry.model_id}-{entry.sha256[:8]}"
    whole, part = load(entry.path.read_bytes()), load(weights.data)
    assert all((part[key] == whole[key]).all() for key in part)
    left_out = {key.split(".")[1] for key in set(whole) - set(part)}
    shifts = {"shift_enc"} if "net.shift_enc.anchors" in whole else set()
    assert left_out == {"g_a", "h_a", "log_q_enc"} | shifts
    assert len(weights.data) < 0.75 * entry.path.stat().st_size


@pytest.mark.parametrize("name", [entry.name for entry in manifest()])
def test_decoder_and_encoder_together_are_a_model(name: str) -> None:
    entry = entry_by_name(name)
    encoder = encoder_weights(entry)
    assert encoder.name == f"{name}.encoder"
    parts = [load(part.data) for part in (browser_weights(entry), encoder)]
    whole = load(entry.path.read_bytes())
    assert set(parts[0]) | set(parts[1]) == set(whole)
    assert not set(parts[0]) & set(parts[1])
    assert all((parts[1][key] == whole[key]).all() for key in parts[1])
    size = int.from_bytes(encoder.data[:8], "little")
    card = json.loads(json.loads(encoder.data[8 : 8 + size])["__metadata__"]["vaecodec"])
    assert card == {"model_id": entry.model_id, "wire_hash": entry.sha256[:8], "name": name, "part": "encoder"}


def test_a_page_allows_its_own_script_and_style_and_nothing_else() -> None:
    page = viewer_page([("a.vaec", LOSSLESS)])
    scripts = Scripts(page)
    [code] = [content for attributes, content in scripts.elements if attributes.get("id") == "vaecodec-code"]
    style = page.partition("<style>")[2].partition("</style>")[0]
    for text in (code, style):
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in scripts.policy
    assert "default-src 'none'" in scripts.policy
    assert "unsafe-inline" not in scripts.policy
    assert "'unsafe-eval'" not in scripts.policy
    assert "@@" not in page


def test_a_page_holds_its_files_under_any_name() -> None:
    name = '"><script>alert(1)</script>&.vaec'
    scripts = Scripts(viewer_page([(name, LOSSLESS)]))
    files = {a["data-vaec-file"]: content for a, content in scripts.elements if "data-vaec-file" in a}
    assert {key: base64.b64decode(content) for key, content in files.items()} == {name: LOSSLESS}
    assert len(scripts.elements) == 2


def test_a_page_holds_the_weights_that_its_files_need(tmp_path: Path, base_file: bytes) -> None:
    scripts = Scripts(viewer_page([("a.vaec", LOSSLESS)], [entry_by_name("fast-perceptual")]))
    [weights] = [content for attributes, content in scripts.elements if "data-vaec-weights" in attributes]
    assert base64.b64decode(weights) == browser_weights(entry_by_name("fast-perceptual")).data
    with pytest.raises(UnknownModel):
        viewer_page([("golden.vaec", base_file)])
    with pytest.raises(BadMagic):
        viewer_page([("no.vaec", b"no")])


def test_a_site_has_viewer_module_and_weights() -> None:
    entry = entry_by_name("fast-perceptual")
    name = browser_weights(entry).name
    encoder = "fast-perceptual.encoder"
    files = site_files([entry])
    decoding = {"viewer.html", "vaecodec.js", f"weights/{name}.safetensors", f"weights/{name}.js"}
    assert set(files) == decoding | {f"weights/{encoder}.safetensors", f"weights/{encoder}.js"}
    assert set(site_files([entry], with_scripts=False)) == {
        file for file in files if file == "vaecodec.js" or ".js" not in file
    }
    assert set(site_files([entry], with_encoders=False)) == decoding
    assert b"import.meta" not in files["viewer.html"]
    assert b"import.meta" in files["vaecodec.js"]
    element = '<script type="application/json" id="encoders">["fast-perceptual"]</script>'
    assert element in files["viewer.html"].decode()
    assert element not in site_files([entry], with_encoders=False)["viewer.html"].decode()


# The commands


def _run(*arguments: object) -> Any:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What would have been opened in a browser."""
    uris: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda uri: uris.append(uri) or True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return uris


def test_view_opens_a_page(tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "a.vaec").write_bytes(LOSSLESS)
    done = _run("view", tmp_path / "a.vaec")
    assert done.exit_code == 0, done.output
    [page] = tmp_path.glob("vaecodec-*/view.html")
    assert opened == [page.as_uri()]
    assert "a.vaec" in page.read_text(encoding="utf-8")


def test_view_writes_a_page_and_opens_nothing(tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "a.vaec").write_bytes(LOSSLESS)
    page = tmp_path / "page.html"
    assert _run("view", tmp_path / "a.vaec", "-o", page).exit_code == 0
    assert page.exists()
    assert _run("view", tmp_path / "a.vaec", "-o", page).exit_code == 6
    assert opened == []


def test_view_says_where_the_page_is_when_there_is_no_browser(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webbrowser.open", lambda _: False)
    (tmp_path / "a.vaec").write_bytes(LOSSLESS)
    done = _run("view", tmp_path / "a.vaec")
    assert done.exit_code == 0
    assert "view.html" in done.output
    assert "no browser can be started here" in done.output


def test_view_names_bad_files_and_shows_the_others(tmp_path: Path, opened: list[str], base_file: bytes) -> None:
    for name, data in (("good", LOSSLESS), ("cut", LOSSLESS[:-1]), ("foreign", base_file)):
        (tmp_path / f"{name}.vaec").write_bytes(data)
    done = _run("view", *sorted(tmp_path.glob("*.vaec")))
    assert done.exit_code == 1
    assert "cut.vaec" in done.output
    assert "model id" in done.output
    assert len(opened) == 1
    assert _run("view", tmp_path / "cut.vaec").exit_code == 3
    assert len(opened) == 1


def test_web_writes_a_site(tmp_path: Path) -> None:
    done = _run("web", "-o", tmp_path / "site", "--model", "fast-perceptual")
    assert done.exit_code == 0, done.output
    written = {p.relative_to(tmp_path / "site").as_posix(): p.read_bytes() for p in (tmp_path / "site").rglob("*.*")}
    assert written == site_files([entry_by_name("fast-perceptual")])
    assert _run("web", "-o", tmp_path / "site", "--model", "fast-perceptual").exit_code == 6
    assert _run("web", "-o", tmp_path / "site", "--model", "fast-perceptual", "--overwrite").exit_code == 0
    assert _run("web", "-o", tmp_path / "site", "--model", "nonsense").exit_code == 2
    assert _run("web", "-o", tmp_path / "plain", "--model", "fast-perceptual", "--no-encoder").exit_code == 0
    assert not list((tmp_path / "plain").rglob("*.encoder.*"))
    assert list((tmp_path / "plain").rglob("*.safetensors"))


def test_the_example_page_has_shipped_weights() -> None:
    """With others its files would say that they are of no model that there is."""
    [name] = re.findall(r'data-vaec-weights="([^"]*)"', (ROOT / "docs" / "example.html").read_text(encoding="utf-8"))
    assert name in {f"{entry.model_id}-{entry.sha256[:8]}" for entry in manifest()}
