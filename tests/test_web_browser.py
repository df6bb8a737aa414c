"""The browser decoder in headless Chromium, under a strict policy; and the viewer page, as a user has it."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

import vaecodec
from bench.chromium import CHROMIUM, DRIVER, MISSING, STRICT_POLICY, Site, call
from bench.chromium import wait_for as chromium_wait_for
from tests.browser import PATIENCE, page_files
from vaecodec import conformance, container
from vaecodec.conformance import Expected, errors_of, expectations
from vaecodec.container import Header, Mode, Tag
from vaecodec.container.alpha import unpack_alpha
from vaecodec.errors import FormatError
from vaecodec.web import browser_weights, site_files, viewer_page
from vaecodec.weights.manifest import ManifestEntry, entry_by_name
from vaecodec.weights.store import read_model

pytest.importorskip("selenium", reason="the page's tests drive a browser with selenium (pip install selenium)")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)

ROOT = Path(__file__).parents[1]
TINY = ROOT / "tests" / "golden" / "tiny-v1.safetensors"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    files = site_files([entry_by_name("base"), entry_by_name("fast-perceptual")], with_scripts=False)
    for path in (conformance.MODEL, TINY):  # weights that aren't shipped
        stored = read_model(path)
        weights = browser_weights(ManifestEntry(stored.card["model_id"], path.stem, str(path), stored.sha256))
        files[f"weights/{weights.name}.safetensors"] = weights.data
    files |= page_files()
    files |= {f"{expected.name}.vaec": expected.data for expected in expectations()}
    served = Site(files)
    yield served
    served.close()


@pytest.fixture(scope="module")
def page(chromium: Any, site: Site) -> Any:
    """The test page; tests leave it open for the next one."""
    chromium.get(f"{site.url}/page.html")
    WebDriverWait(chromium, PATIENCE).until(lambda driver: driver.execute_script("return Boolean(window.shown)"))
    return chromium


def wait_for(driver: Any, script: str) -> Any:
    """Until a script gives what is true."""
    return chromium_wait_for(driver, script, PATIENCE)


def pixels_of(answer: dict[str, Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    """RGBA [H, W, 4] of {rgba}; size: width, height."""
    assert "rgba" in answer, answer
    return np.frombuffer(base64.b64decode(answer["rgba"]), np.uint8).reshape(size[1], size[0], 4)


def rgba_of(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGBA"))


def smooth(width: int, height: int) -> Image.Image:
    """An image that any model codes well."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 200 / height + 20, columns * 180 / width + 40, 230 - rows * 90 / height - columns * 90 / width]
    return Image.fromarray(np.stack(channels, 2).astype(np.uint8))


# The conformance set


@pytest.mark.parametrize("expected", [e for e in expectations() if e.latents], ids=lambda expected: expected.name)
def test_integers(page: Any, expected: Expected) -> None:
    latents = call(page, "integers(arguments[0])", f"{expected.name}.vaec")
    shapes = [f"({', '.join(map(str, latents[key]))})" for key in ("zShape", "rShape")]
    sha = hashlib.sha256(f"level {latents['level']} z_hat {shapes[0]} r {shapes[1]}\n".encode())
    sha.update(base64.b64decode(latents["z"]))
    sha.update(base64.b64decode(latents["r"]))
    assert sha.hexdigest() == expected.latents


@pytest.mark.parametrize("expected", [e for e in expectations() if e.peak is not None], ids=lambda e: e.name)
def test_pixels(page: Any, expected: Expected) -> None:
    """Within a level of 8 bits, in float32 from weights of float16, as everywhere; lossless ones and alpha exactly."""
    picture = rgba_of(Image.fromarray(expected.pixels))
    pixels = pixels_of(
        call(page, "decoded(arguments[0])", f"{expected.name}.vaec"), (picture.shape[1], picture.shape[0])
    )
    assert np.array_equal(pixels[..., 3], picture[..., 3])
    peak, rms = errors_of(pixels[..., :3], picture[..., :3])
    assert peak <= (expected.peak or 0)
    assert rms <= (expected.rms or 0)


@pytest.mark.parametrize("expected", [e for e in expectations() if e.error], ids=lambda expected: expected.name)
def test_refusals(page: Any, expected: Expected) -> None:
    assert call(page, "decoded(arguments[0])", f"{expected.name}.vaec").get("error") == expected.error


def test_files_that_once_broke_something_end_in_errors(page: Any, site: Site) -> None:
    corpus = sorted((ROOT / "tests" / "corpus").rglob("*.vaec"))
    assert len(corpus) > 10
    for number, path in enumerate(corpus):
        site.files[f"corpus-{number}.vaec"] = path.read_bytes()
        answer = call(page, "decoded(arguments[0])", f"corpus-{number}.vaec")
        harmless = path.parent.name == "pillow" and "nonsense" in path.name  # odd metadata, whole pixels
        assert (answer.get("error") is None) == harmless, (path, answer.get("message"))
        assert answer.get("error") not in ("BackendError", "VaecodecError"), (path, answer["message"])


def test_damaged_alpha_is_refused_as_python_refuses_it(page: Any, site: Site) -> None:
    data = next(expected.data for expected in expectations() if expected.name == "mode-rgba-sub-41x64")
    file = container.parse(data)
    contents = container.read_all(data, file)
    alpha = contents[Tag.ALPHA]
    damaged = [alpha[:size] for size in (1, len(alpha) - 1, len(alpha) - 4)] + [alpha + b"\0"]
    damaged += [alpha[:at] + bytes([alpha[at] ^ 255]) + alpha[at + 1 :] for at in (1, 2, len(alpha) - 1)]
    for section in damaged:
        with pytest.raises(FormatError) as refused:
            unpack_alpha(section, file.header.width, file.header.height)
        site.files["alpha.vaec"] = container.pack(file.header, list((contents | {Tag.ALPHA: section}).items()))
        answer = call(page, "decoded(arguments[0])", "alpha.vaec")
        assert answer.get("error") == type(refused.value).__name__, (section, answer)


def test_a_foreign_model_is_named(page: Any, site: Site) -> None:
    header = Header(7, b"\1\2\3\4", 30, Mode.RGB, 64, 64)
    site.files["foreign.vaec"] = container.pack(header, [(Tag.LATENTS, b"\0" * 100)])
    answer = call(page, "decoded(arguments[0])", "foreign.vaec")
    assert answer["error"] == "UnknownModel"
    assert "7-01020304" in answer["message"]


# Shipped models


@pytest.mark.parametrize("model", ["base", "fast-perceptual"])
def test_a_photograph_of_a_shipped_model(page: Any, site: Site, model: str) -> None:
    photo = Image.open(ROOT / "samples" / "osprey.jpg").convert("RGB").resize((640, 420))
    site.files["photo.vaec"] = vaecodec.encode(photo, model=model, device="cpu", mode="neural")
    codec = vaecodec.Codec(model, device="cpu", dtype="float32")
    decoded = call(page, "decoded(arguments[0])", "photo.vaec")
    pixels = pixels_of(decoded, photo.size)
    assert errors_of(pixels[..., :3], codec.decode(site.files["photo.vaec"], as_array=True))[0] <= 1
    assert decoded["preview"] == [80, 53]
    assert f"weights/{browser_weights(entry_by_name(model)).name}.safetensors" in site.asked


def test_weights_are_fetched_once(page: Any, site: Site) -> None:
    site.files["photo.vaec"] = vaecodec.encode(smooth(70, 60), model="fast-perceptual", device="cpu", mode="neural")
    name = f"weights/{browser_weights(entry_by_name('fast-perceptual')).name}.safetensors"
    assert "rgba" in call(page, "decoded(arguments[0])", "photo.vaec")
    before = site.asked.count(name)
    page.refresh()  # another worker, another heap: what is left is the browser's cache
    wait_for(page, "Boolean(window.shown)")
    assert "rgba" in call(page, "decoded(arguments[0])", "photo.vaec")
    assert site.asked.count(name) == before


# The element


def test_events_come_in_order_and_the_size_first(page: Any, site: Site) -> None:
    site.files["big.vaec"] = vaecodec.encode(smooth(700, 500), model="fast-perceptual", device="cpu", mode="neural")
    events = call(page, "shown({ src: 'big.vaec', alt: 'a gradient' })")
    assert [event["type"] for event in events] == ["header", "preview", "load"]
    assert all(event["size"] == [700, 500] for event in events)
    assert page.execute_script("return element.complete")
    label = page.execute_script("return element.shadowRoot.querySelector('canvas').getAttribute('aria-label')")
    assert label == "a gradient"


def test_the_canvas_has_the_pixels(page: Any, site: Site) -> None:
    image = smooth(120, 90)
    site.files["small.vaec"] = vaecodec.encode(image, model="fast-perceptual", device="cpu", mode="neural")
    call(page, "shown({ src: 'small.vaec' })")
    canvas = page.execute_script("return onCanvas()")
    expected = vaecodec.Codec("fast-perceptual", device="cpu", dtype="float32").decode(
        site.files["small.vaec"], as_array=True
    )
    assert errors_of(pixels_of(canvas, image.size)[..., :3], expected)[0] <= 1


def test_errors_are_events(page: Any, site: Site) -> None:
    site.files["text.vaec"] = b"<!doctype html>"
    for source, error in (("refuse-cut.vaec", "Truncated"), ("text.vaec", "BadMagic"), ("none.vaec", "VaecodecError")):
        events = call(page, "shown({ src: arguments[0] })", source)
        assert (events[-1]["type"], events[-1]["error"]) == ("error", error)
        assert not page.execute_script("return element.complete")
    assert any("404" in entry["message"] for entry in page.get_log("browser"))  # the browser's own line
    events = call(page, "shown({ src: 'size-130x61.vaec', 'max-pixels': '7929' })")
    assert events[-1]["error"] == "LimitExceeded"


def test_the_text_is_shown_where_there_is_no_picture(page: Any) -> None:
    """After an error, too: the old picture must not stay under a new name. As <img> does."""
    state = """(() => { const [canvas, instead] = element.shadowRoot.children;
      const { role, ariaLabel, width: size } = canvas;
      return { role, ariaLabel, size, text: instead.checkVisibility() ? instead.textContent : null }; })()"""
    call(page, "shown({ src: 'level-31.vaec', alt: 'a lake' })")
    before = page.execute_script(f"return {state}")
    assert (before["role"], before["ariaLabel"], before["text"]) == ("img", "a lake", None)
    assert before["size"] > 0
    page.execute_script("element.alt = ''")
    assert page.execute_script(f"return {state}")["role"] == "presentation"
    script = "new Promise((resolve) => { element.addEventListener('error', resolve); element.src = 'refuse-cut.vaec' })"
    call(page, f"{script}.then(() => (element.alt = 'a mill'))")
    assert page.execute_script(f"return {state}") == {"role": "img", "ariaLabel": "a mill", "text": "a mill", "size": 0}
    call(page, "new Promise((resolve) => { element.addEventListener('load', resolve); element.src = 'level-31.vaec' })")
    assert page.execute_script(f"return {state}") == before | {"ariaLabel": "a mill"}
    page.execute_script("element.removeAttribute('src')")
    assert page.execute_script(f"return {state}")["size"] == 0


def test_an_image_larger_than_the_limit_never_has_its_size(page: Any) -> None:
    events = call(page, "shown({ src: 'size-130x61.vaec', 'max-pixels': '7929' })")
    assert [(event["type"], event["error"]) for event in events] == [("error", "LimitExceeded")]
    assert events[0]["size"] == [0, 0]
    for limit in ("1,000", "", "-1", "0"):  # no number of pixels: the usual limit
        events = call(page, "shown({ src: 'size-130x61.vaec', 'max-pixels': arguments[0] })", limit)
        assert events[-1]["type"] == "load"
        assert page.execute_script("return element.maxPixels") == 2**26


def test_a_network_that_fails_is_an_error_that_names_the_file(page: Any) -> None:
    call(page, "shown({ src: 'http://127.0.0.1:1/far.vaec' })")
    message = call(page, "element.decode().catch((error) => `${error.name}: ${error.message}`)")
    assert message.startswith("VaecodecError: http://127.0.0.1:1/far.vaec: ")
    page.get_log("browser")  # the browser's own lines


def test_an_image_outside_of_the_document_loads_when_it_is_asked(page: Any) -> None:
    make = "const made = document.createElement('vaec-image'); made.src = 'size-130x61.vaec';"
    size = "[made.naturalWidth, made.naturalHeight, made.complete]"
    assert call(page, f"(() => {{ {make} return made.decode().then(() => {size}) }})()") == [130, 61, True]
    far = "const far = document.createElement('div'); far.style.height = '9000px'; document.body.append(far);"
    lazy = "made.setAttribute('loading', 'lazy'); document.body.append(made);"
    blob = "made.toBlob().then(createImageBitmap).then(({ width }) => width).finally(() => far.remove())"
    assert call(page, f"(() => {{ {far} {make} {lazy} return {blob} }})()") == 130


def test_a_src_that_changes_outside_of_the_document_is_the_one(page: Any) -> None:
    call(page, "shown({ src: 'level-31.vaec' })")
    script = """new Promise((resolve) => {
      element.remove();
      element.src = 'size-130x61.vaec';
      element.addEventListener('load', () => resolve([element.naturalWidth, element.naturalHeight]));
      document.body.append(element);
    })"""
    assert call(page, script) == [130, 61]


def test_a_png_is_of_the_file_that_was_shown_when_it_was_asked_for(page: Any) -> None:
    script = """shown({ src: 'size-130x61.vaec' }).then(async () => {
      const png = element.toBlob();
      element.src = 'level-31.vaec';
      const { width, height } = await createImageBitmap(await png);
      return [width, height];
    })"""
    assert call(page, script) == [130, 61]


@pytest.mark.parametrize(
    ("css", "size"),
    [
        ("max-height: 30px", (130 * 30 / 61, 30)),
        ("height: 122px", (260, 122)),
        ("width: 65px", (65, 30.5)),
        ("max-width: 65px; max-height: 20px", (130 * 20 / 61, 20)),
        ("width: 100px; max-height: 20px", (100, 20)),
    ],
)
def test_css_sizes_it_as_it_sizes_other_images(page: Any, css: str, size: tuple[float, float]) -> None:
    call(page, "shown({ src: 'size-130x61.vaec' }).then(() => (element.style.cssText = arguments[0]))", css)
    for part in ("element", "element.shadowRoot.querySelector('canvas')"):
        box = page.execute_script(f"return {part}.getBoundingClientRect()")
        assert (box["width"], box["height"]) == pytest.approx(size, abs=0.1), part
    page.execute_script("element.remove()")


def test_another_src_takes_over(page: Any) -> None:
    script = """shown({ src: 'level-31.vaec' }).then(() => new Promise((resolve) => {
      element.addEventListener('load', () => resolve([element.naturalWidth, element.naturalHeight]));
      element.src = 'big.vaec';
      element.src = 'size-130x61.vaec';
    }))"""
    assert call(page, script) == [130, 61]


def test_what_was_left_behind_is_not_painted(page: Any, site: Site) -> None:
    """Bitmaps of the old image come when the new one is there; its events must not be taken for those of the new."""
    image = smooth(90, 60)
    image.info["icc_profile"] = wide_profile()
    site.files["old.vaec"] = vaecodec.encode(image, lossless=True)
    site.files["new.vaec"] = vaecodec.encode(Image.new("RGB", (90, 60), (9, 8, 7)), lossless=True)
    script = """(async () => {
      const make = window.createImageBitmap, sleep = () => new Promise((resolve) => setTimeout(resolve, 300));
      let release;
      const held = new Promise((resolve) => (release = resolve));
      window.createImageBitmap = (...all) => held.then(() => make(...all));
      shown({ src: 'old.vaec' });
      await new Promise((resolve) => element.addEventListener('progress', ({ detail }) => detail === 1 && resolve()));
      await sleep(); // the worker is done, the canvas is not
      const loads = [];
      element.addEventListener('load', () => loads.push(element.complete));
      element.src = 'new.vaec';
      await element.decode();
      release();
      await sleep();
      window.createImageBitmap = make;
      return loads;
    })()"""
    assert call(page, script) == [True]
    assert (pixels_of(page.execute_script("return onCanvas()"), image.size)[..., :3] == (9, 8, 7)).all()


def test_rows_that_cannot_be_painted_are_an_error_of_ours(page: Any, site: Site) -> None:
    image = smooth(90, 60)
    image.info["icc_profile"] = wide_profile()
    site.files["old.vaec"] = vaecodec.encode(image, lossless=True)
    script = """(async () => {
      const make = window.createImageBitmap;
      window.createImageBitmap = async () => { throw new DOMException('no room') };
      const events = await shown({ src: 'old.vaec' });
      window.createImageBitmap = make;
      return events.at(-1).error;
    })()"""
    assert call(page, script) == "BackendError"


def test_lazy_images_wait_until_they_are_near(page: Any, site: Site) -> None:
    site.files["lazy.vaec"] = site.files["level-31.vaec"]
    page.execute_script(
        "window.space = document.createElement('div'); space.style.height = '6000px'; document.body.append(space);"
        "window.loaded = shown({ src: 'lazy.vaec', loading: 'lazy' })"
    )
    page.execute_async_script("requestAnimationFrame(() => setTimeout(arguments[0], 300))")
    assert "lazy.vaec" not in site.asked
    page.execute_script("element.scrollIntoView()")
    assert call(page, "loaded")[-1]["type"] == "load"
    page.execute_script("space.remove(); window.scrollTo(0, 0)")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_image(page: Any, site: Site, orientation: int) -> None:
    from PIL import ImageOps

    image = smooth(96, 64)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    site.files["turned.vaec"] = vaecodec.encode(image, lossless=True)
    upright = rgba_of(ImageOps.exif_transpose(vaecodec.decode(site.files["turned.vaec"])))
    call(page, "shown({ src: 'turned.vaec' })")
    canvas = page.execute_script("return onCanvas()")
    assert canvas["size"] == [upright.shape[1], upright.shape[0]]
    assert np.array_equal(pixels_of(canvas, (upright.shape[1], upright.shape[0])), upright)


def _profile(name: str) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name))


def test_a_profile_is_obeyed(page: Any, site: Site) -> None:
    """Colours of another space are shown as Pillow's own colour management makes them sRGB."""
    image = smooth(96, 64)
    icc = wide_profile()
    image.info["icc_profile"] = icc
    site.files["wide.vaec"] = vaecodec.encode(image, lossless=True)
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    expected = ImageCms.profileToProfile(
        image, source, _profile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    assert expected is not None
    call(page, "shown({ src: 'wide.vaec' })")
    pixels = pixels_of(page.execute_script("return onCanvas()"), image.size)
    assert errors_of(pixels[..., :3], np.asarray(expected))[0] <= 3
    assert errors_of(np.asarray(image), np.asarray(expected))[0] > 20  # it does matter


@cache
def wide_profile() -> bytes:
    """A matrix profile with swapped primaries of sRGB: red and blue change places. It states when it was made."""
    data = bytearray(_profile("sRGB").tobytes())
    count = int.from_bytes(data[128:132], "big")
    places = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    data[red + 4 : red + 12], data[blue + 4 : blue + 12] = data[blue + 4 : blue + 12], data[red + 4 : red + 12]
    return bytes(data)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_png_has_the_exact_pixels(page: Any, site: Site, lossless: bool) -> None:
    """What is nearly transparent too, which a canvas would change; and profile and EXIF."""
    image = smooth(90, 70)
    image.putalpha(Image.fromarray((np.mgrid[0:70, 0:90].sum(0) * 3 % 256).astype(np.uint8)))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.info |= {"icc_profile": wide_profile(), "exif": exif.tobytes()}
    data = (
        vaecodec.encode(image, lossless=True)
        if lossless
        else vaecodec.encode(image, model="fast-perceptual", device="cpu", mode="neural")
    )
    site.files["soft.vaec"] = data
    with Image.open(io.BytesIO(base64.b64decode(call(page, "png('soft.vaec')")))) as png:
        assert png.mode == "RGBA"
        assert png.info["icc_profile"] == wide_profile()
        assert png.getexif()[0x0112] == 6
        pixels = np.asarray(png)
    expected = (
        np.asarray(image)
        if lossless
        else vaecodec.Codec("fast-perceptual", device="cpu", dtype="float32").decode(data, as_array=True)
    )
    assert np.array_equal(pixels[..., 3], expected[..., 3])
    assert errors_of(pixels, expected)[0] <= (0 if lossless else 1)


def test_other_types_come_from_the_canvas(page: Any) -> None:
    script = (
        "shown({ src: 'level-31.vaec' }).then(() => element.toBlob('image/jpeg', 0.9)).then((b) => [b.type, b.size])"
    )
    kind, size = call(page, script)
    assert kind == "image/jpeg"
    assert size > 500


def test_decoding_can_be_stopped(page: Any) -> None:
    script = """bytesOf('big.vaec').then((bytes) => {
      const stop = new AbortController();
      const on = { start: () => stop.abort(new Error('enough')) };
      return client.decode(bytes, { on, signal: stop.signal }).then(() => 'decoded', (error) => error.message);
    })"""
    assert call(page, script) == "enough"
    assert "rgba" in call(page, "decoded('level-31.vaec')")  # with another worker


def test_the_policy_is_the_one_of_the_manual() -> None:
    assert f"\n{STRICT_POLICY}\n" in (ROOT / "docs" / "browser.md").read_text(encoding="utf-8")


def test_the_policy_was_never_hurt(page: Any) -> None:
    messages = [entry["message"] for entry in page.get_log("browser")]
    assert not [line for line in messages if "Content Security Policy" in line]


# The viewer page


@pytest.fixture
def viewer(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """The page of `vaecodec view`, from the disk: two images and one that is cut; the console must stay empty."""
    photo = vaecodec.encode(smooth(700, 500), model="fast-perceptual", device="cpu", mode="neural")
    drawing = vaecodec.encode(smooth(90, 120), lossless=True)
    path = tmp_path / "view.html"
    path.write_text(
        viewer_page([("photo.vaec", photo), ("drawing.vaec", drawing), ("cut.vaec", photo[:-1])]), encoding="utf-8"
    )
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get_log("browser")
    chromium.get(path.as_uri())
    wait_for(chromium, "document.querySelector('vaec-image')?.complete")
    yield chromium
    assert chromium.get_log("browser") == []


def tabs(viewer: Any) -> list[Any]:
    buttons: list[Any] = viewer.find_elements(By.CSS_SELECTOR, "#tabs button")
    return buttons


def text(viewer: Any, name: str) -> str:
    content: str = viewer.find_element(By.ID, name).text
    return content


def transform(viewer: Any) -> str:
    script = "return document.querySelector('vaec-image:not([hidden])').style.transform"
    style: str = viewer.execute_script(script)
    return style


def test_the_viewer_shows_what_is_embedded(viewer: Any, tmp_path: Path) -> None:
    assert [tab.text for tab in tabs(viewer)] == ["photo.vaec", "drawing.vaec", "cut.vaec"]
    assert "700 × 500" in text(viewer, "facts")
    assert viewer.save_screenshot(str(tmp_path / "shot.png"))
    with Image.open(tmp_path / "shot.png") as shot:
        assert len(shot.convert("RGB").getcolors(1 << 24) or []) > 500
    tabs(viewer)[1].click()
    wait_for(viewer, "document.querySelectorAll('vaec-image')[1].complete")
    assert "lossless" in text(viewer, "facts")
    tabs(viewer)[2].click()
    wait_for(viewer, "!document.getElementById('error').hidden")
    assert text(viewer, "error").startswith("Truncated: ")
    assert not viewer.find_element(By.ID, "save").is_enabled()


def test_the_viewer_zooms_and_moves(viewer: Any) -> None:
    fitted = transform(viewer)
    viewer.find_element(By.ID, "in").click()
    assert transform(viewer) != fitted
    viewer.find_element(By.ID, "fit").click()
    assert transform(viewer) == fitted
    viewer.find_element(By.ID, "fit").click()
    assert text(viewer, "fit") == "100 %"
    before = transform(viewer)
    ActionChains(viewer).drag_and_drop_by_offset(viewer.find_element(By.ID, "stage"), 40, -30).perform()
    assert transform(viewer) != before
    ActionChains(viewer).send_keys("0").perform()
    assert transform(viewer) == fitted


def test_the_viewer_saves_a_png(viewer: Any, downloads: Path) -> None:
    tabs(viewer)[1].click()
    wait_for(viewer, "!document.getElementById('save').disabled")
    viewer.find_element(By.ID, "save").click()
    saved = downloads / "drawing.png"
    WebDriverWait(viewer, PATIENCE).until(lambda _: saved.exists())
    with Image.open(saved) as image:
        assert np.array_equal(np.asarray(image), np.asarray(smooth(90, 120)))


def test_files_can_be_opened_and_dropped(viewer: Any, tmp_path: Path) -> None:
    path = tmp_path / "more.vaec"
    path.write_bytes(vaecodec.encode(smooth(80, 40), lossless=True))
    viewer.find_element(By.ID, "files").send_keys(str(path))
    wait_for(viewer, "document.getElementById('facts').textContent.includes('80 × 40')")
    script = """const transfer = new DataTransfer();
      transfer.items.add(new File([Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0))], 'dropped.vaec'));
      const drop = new DragEvent('drop', { dataTransfer: transfer, bubbles: true });
      document.getElementById('stage').dispatchEvent(drop)"""
    viewer.execute_script(script, base64.b64encode(vaecodec.encode(smooth(33, 44), lossless=True)).decode())
    wait_for(viewer, "document.getElementById('facts').textContent.includes('33 × 44')")


@pytest.mark.parametrize("width", [360, 768])
def test_the_viewer_fits_a_phone(viewer: Any, width: int) -> None:
    phone = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    viewer.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    viewer.refresh()
    wait_for(viewer, "document.querySelector('vaec-image')?.complete")
    assert viewer.execute_script(
        "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    ) == [width, 740]
    script = "return document.querySelector(arguments[0]).getBoundingClientRect()"
    stage, image = (viewer.execute_script(script, css) for css in ("#stage", "vaec-image"))
    assert stage["height"] > 400
    # The whole image, as large as the width allows, in the middle.
    assert image["width"] == pytest.approx(min(width, 700), abs=1)
    assert image["width"] / image["height"] == pytest.approx(700 / 500, rel=0.01)
    assert image["x"] == pytest.approx((width - image["width"]) / 2, abs=1)


def test_light_and_dark(viewer: Any) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        emulation = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", emulation)
        colours.add(viewer.execute_script("return getComputedStyle(document.body).backgroundColor"))
    viewer.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(colours) == 2


def test_a_site_works_from_the_disk(chromium: Any, tmp_path: Path) -> None:
    """Pages from a disk may not fetch: the weights come as a script."""
    for name, content in site_files([entry_by_name("fast-perceptual")]).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "photo.vaec").write_bytes(
        vaecodec.encode(smooth(70, 60), model="fast-perceptual", device="cpu", mode="neural")
    )
    chromium.get_log("browser")
    chromium.get((tmp_path / "viewer.html").as_uri())
    assert "Drop .vaec files here" in text(chromium, "empty")
    chromium.find_element(By.ID, "files").send_keys(str(tmp_path / "photo.vaec"))
    wait_for(chromium, "document.querySelector('vaec-image')?.complete")
    assert chromium.get_log("browser") == []


@pytest.mark.parametrize(
    "script", ["", "vaecodecWeights('?'", "vaecodecWeights('NAME', '*')", "vaecodecWeights('NAME')"]
)
def test_damaged_weights_on_a_disk_are_an_error_and_block_nothing(chromium: Any, tmp_path: Path, script: str) -> None:
    for name, content in site_files([entry_by_name("fast-perceptual")], with_encoders=False).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(
            script.replace("NAME", Path(name).name).encode() if "weights/" in name else content
        )
    photo = vaecodec.encode(smooth(70, 60), model="fast-perceptual", device="cpu", mode="neural")
    (tmp_path / "photo.vaec").write_bytes(photo)
    (tmp_path / "drawing.vaec").write_bytes(vaecodec.encode(smooth(20, 30), lossless=True))
    chromium.get((tmp_path / "viewer.html").as_uri())
    chromium.find_element(By.ID, "files").send_keys(f"{tmp_path / 'photo.vaec'}\n{tmp_path / 'drawing.vaec'}")
    wait_for(chromium, "!document.getElementById('error').hidden")
    assert text(chromium, "error").startswith("WeightsError: ")
    wait_for(chromium, "document.querySelectorAll('vaec-image')[1].complete")
    assert chromium.execute_script("return document.querySelectorAll('script[src]').length") == 0
    chromium.get_log("browser")  # the browser's own line on a script that is none


def test_weights_that_are_missing_can_be_opened_too(chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "viewer.html").write_bytes(site_files([])["viewer.html"])
    photo = vaecodec.encode(smooth(70, 60), model="fast-perceptual", device="cpu", mode="neural")
    (tmp_path / "photo.vaec").write_bytes(photo)
    weights = browser_weights(entry_by_name("fast-perceptual"))
    (tmp_path / "fast.safetensors").write_bytes(weights.data)
    chromium.get((tmp_path / "viewer.html").as_uri())
    chromium.find_element(By.ID, "files").send_keys(str(tmp_path / "photo.vaec"))
    wait_for(chromium, "!document.getElementById('error').hidden")
    assert text(chromium, "error").startswith("UnknownModel: ")
    assert weights.name in text(chromium, "error")
    chromium.find_element(By.ID, "files").send_keys(str(tmp_path / "fast.safetensors"))
    wait_for(chromium, "document.querySelector('vaec-image')?.complete")
    assert not chromium.find_element(By.ID, "error").is_displayed()


def test_script_and_weights_may_come_from_another_host(chromium: Any) -> None:
    """Under the policy of the manual, with what it says of other hosts."""
    host = Site(site_files([entry_by_name("fast-perceptual")], with_scripts=False), policy=None, shared=True)
    policy = STRICT_POLICY.replace("worker-src 'self'", "worker-src blob:")
    for directive in ("script-src", "connect-src", "worker-src"):
        policy = policy.replace(directive, f"{directive} {host.url}")
    photo = vaecodec.encode(smooth(70, 60), model="fast-perceptual", device="cpu", mode="neural")
    element = '<vaec-image src="photo.vaec" alt="a gradient"></vaec-image>'
    html = f'<!doctype html><script type="module" src="{host.url}/vaecodec.js"></script>{element}'
    own = Site({"page.html": html.encode(), "photo.vaec": photo}, policy=policy)
    chromium.get_log("browser")
    chromium.get(f"{own.url}/page.html")
    wait_for(chromium, "document.querySelector('vaec-image').complete")
    assert not [entry for entry in chromium.get_log("browser") if "favicon" not in entry["message"]]
    for server in (own, host):
        server.close()


def test_the_example_page_decodes_its_images(chromium: Any, tmp_path: Path) -> None:
    page = tmp_path / "example.html"
    command = (sys.executable, ROOT / "tools" / "make_example_page.py", page, "--model", "fast-perceptual")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "kernels")))}
    subprocess.run(command, env=environment, check=True, timeout=300)
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get_log("browser")
    chromium.get(page.as_uri())
    wait_for(chromium, "[...document.querySelectorAll('vaec-image')].every((image) => image.complete)")
    widths = "return [...document.querySelectorAll('figure > *:first-child')].map((image) => image.naturalWidth)"
    assert chromium.execute_script(widths) == [900] * 6
    assert chromium.get_log("browser") == []
