"""Encoding in headless Chromium, under a strict policy: the files of Python, and the viewer page that makes them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

import vaecodec
from bench.chromium import CHROMIUM, DRIVER, MISSING, Site, call, wait_for
from tests.browser import PAGE, PATIENCE, page_files
from vaecodec import container
from vaecodec.container import Tag
from vaecodec.entropy.coding import decode_latents, encode_latents
from vaecodec.entropy.model import from_tensors
from vaecodec.intnet.layers import scale_index
from vaecodec.levels import quality_to_level
from vaecodec.metrics import psnr_of, squared_error
from vaecodec.picture_file import read_latents
from vaecodec.web import encoder_weights, site_files, viewer_page
from vaecodec.weights.manifest import entry_by_name
from vaecodec.weights.store import read_model

pytest.importorskip("selenium", reason="the page's tests drive a browser with selenium (pip install selenium)")

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)

ROOT = Path(__file__).parents[1]
FAST = "fast-perceptual"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    files = site_files([entry_by_name("base-perceptual"), entry_by_name(FAST)], with_scripts=False)
    files |= page_files()
    served = Site(files)
    yield served
    served.close()


@pytest.fixture
def page(chromium: Any, site: Site) -> Any:
    """The test page; tests leave it open for the next one."""
    if chromium.current_url != f"{site.url}/page.html":
        chromium.get(f"{site.url}/page.html")
        wait_for(chromium, "Boolean(window.encoded)", PATIENCE)
    return chromium


def encoded(page: Any, site: Site, image: Image.Image, **options: object) -> dict[str, Any]:
    """What the page says of an image that it is asked to encode."""
    site.files["image.rgba"] = image.convert("RGBA").tobytes()
    size = {"width": image.width, "height": image.height}
    answer: dict[str, Any] = call(page, "encoded('image.rgba', arguments[0])", size | {"model": FAST} | options)
    return answer


def file_of(answer: dict[str, Any]) -> bytes:
    assert "file" in answer, answer
    return base64.b64decode(answer["file"])


def photo(width: int) -> Image.Image:
    with Image.open(ROOT / "samples" / "osprey.jpg") as image:
        return image.convert("RGB").resize((width, round(image.height * width / image.width)))


def smooth(width: int, height: int) -> Image.Image:
    """An image that any model codes well."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [rows * 200 / height + 20, columns * 180 / width + 40, 230 - rows * 90 / height - columns * 90 / width]
    return Image.fromarray(np.stack(channels, 2).astype(np.uint8))


def psnr(decoded: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    return psnr_of(squared_error(decoded, expected), expected.size)


# Files


@pytest.mark.parametrize(
    ("model", "options"),
    [(FAST, {"level": 31}), (FAST, {"quality": 97}), ("base-perceptual", {}), (FAST, {"level": 3})],
)
def test_a_photograph_is_coded_as_python_codes_it(page: Any, site: Site, model: str, options: dict[str, int]) -> None:
    """Float sums differ, so bits may: within 0.05 dB and 0.5 %, for the decoder of Python and for that of the page."""
    image = photo(600)
    answer = encoded(page, site, image, model=model, **options)
    ours = file_of(answer)
    codec = vaecodec.Codec(model, device="cpu", dtype="float32")
    theirs = codec.encode(image, mode="neural", **options)  # type: ignore[arg-type]
    assert len(ours) == pytest.approx(len(theirs), rel=0.005)
    original = np.asarray(image)
    expected = psnr(codec.decode(theirs, as_array=True), original)
    assert psnr(codec.decode(ours, as_array=True), original) == pytest.approx(expected, abs=0.05)
    site.files["ours.vaec"] = ours
    seen = np.frombuffer(base64.b64decode(call(page, "decoded('ours.vaec')")["rgba"]), np.uint8).reshape(-1, 600, 4)
    assert psnr(seen[..., :3], original) == pytest.approx(expected, abs=0.05)
    assert answer["progress"] == sorted(answer["progress"])
    assert answer["progress"][-1] == pytest.approx(1)


def test_the_payload_is_the_one_that_python_makes_of_these_latents(page: Any, site: Site) -> None:
    """Lanes are chosen alike, too: this image has many."""
    data = file_of(encoded(page, site, photo(900), level=55))
    file = container.parse(data)
    contents = container.read_all(data, file)
    model = from_tensors(read_model(entry_by_name(FAST).path).tensors)
    latents = decode_latents(model, read_latents(file.header, contents))
    coded = encode_latents(model, latents, scale_index(latents.z_hat, latents.level, model.layers))
    assert contents[Tag.LATENTS] == coded.payload
    assert contents.get(Tag.OUTLIERS, b"") == coded.outliers
    assert coded.payload[0] >= 3


@pytest.mark.parametrize("size", [(1, 1), (65, 63), (1, 130), (257, 2), (64, 64), (300, 200)])
def test_every_size_is_padded_as_python_pads_it(page: Any, site: Site, size: tuple[int, int]) -> None:
    image = smooth(*size)
    data = file_of(encoded(page, site, image, level=40))
    codec = vaecodec.Codec(FAST, device="cpu", dtype="float32")
    theirs = codec.encode(image, level=40, mode="neural", effort=3)  # a browser has no feedback
    assert len(data) == pytest.approx(len(theirs), rel=0.005, abs=2)
    both = [codec.decode(each, as_array=True).astype(int) for each in (data, theirs)]
    assert np.abs(both[0] - both[1]).max() <= 3


@pytest.mark.parametrize(
    ("mode", "shape"), [("RGB", ""), ("L", ""), ("RGBA", "slope"), ("RGBA", "steps"), ("LA", "noise")]
)
def test_gray_and_alpha_are_seen_and_alpha_is_exact(page: Any, site: Site, mode: str, shape: str) -> None:
    image = smooth(97, 55).convert("L" if mode.startswith("L") else "RGB")
    rows, columns = np.mgrid[0:55, 0:97]
    noise = np.random.default_rng(1).integers(0, 256, (55, 97))
    shapes = {"slope": rows + columns, "steps": 255 * (columns // 20 % 2), "noise": noise}
    if shape:
        image.putalpha(Image.fromarray(shapes[shape].astype(np.uint8)))
    decoded = vaecodec.decode(file_of(encoded(page, site, image, level=30)))
    assert decoded.mode == mode
    if shape:
        assert np.array_equal(np.asarray(decoded.getchannel("A")), shapes[shape].astype(np.uint8))


def test_what_cannot_be_coded_is_an_error(page: Any, site: Site) -> None:
    image = smooth(20, 10)
    for options, field in (
        ({"width": 21}, "rgba"),
        ({"width": 0}, "width"),
        ({"height": 70000}, "height"),
        ({"height": 2.5}, "height"),
        ({"level": 64}, "level"),
        ({"level": 1.5}, "level"),
        ({"quality": 0}, "quality"),
        ({"quality": "60"}, "quality"),
        ({"quality": 60, "level": 30}, "quality and level"),
        ({"model": "../secret"}, "model"),
        ({"maxPixels": 199}, "the limit is 199"),
    ):
        answer = encoded(page, site, image, **options)
        assert answer.get("error") == "InputError", (options, answer)
        assert field in answer["message"]
    assert encoded(page, site, image, model="nobody")["error"] == "UnknownModel"
    assert any("404" in entry["message"] for entry in page.get_log("browser"))  # the browser's own line


def test_damaged_weights_of_an_encoder_are_an_error(page: Any, site: Site) -> None:
    good = encoder_weights(entry_by_name(FAST)).data
    for name, data in (("cut", good[:-1]), ("other", good), ("text", b"<!doctype html>"), ("decoder", None)):
        key = next(file for file in site.files if file.startswith("weights/5-"))
        site.files[f"weights/{name}.encoder.safetensors"] = site.files[key] if data is None else data
        answer = encoded(page, site, smooth(20, 10), model=name)
        assert answer.get("error") in ("WeightsError", "HashMismatch"), answer


def test_whoever_only_looks_does_not_fetch_the_encoder(chromium: Any, site: Site) -> None:
    site.files["small.vaec"] = vaecodec.encode(smooth(70, 60), model=FAST, device="cpu", mode="neural")
    chromium.get(f"{site.url}/page.html")
    wait_for(chromium, "Boolean(window.encoded)", PATIENCE)
    site.asked.clear()
    assert "rgba" in call(chromium, "decoded('small.vaec')")
    name = f"weights/{encoder_weights(entry_by_name(FAST)).name}.safetensors"
    assert name not in site.asked
    file_of(encoded(chromium, site, smooth(70, 60)))
    file_of(encoded(chromium, site, smooth(70, 60)))
    assert site.asked.count(name) == 1


def test_the_script_of_the_manual_works(chromium: Any, site: Site) -> None:
    manual = (ROOT / "docs" / "browser.md").read_text(encoding="utf-8")
    [script] = [block.partition("```")[0] for block in manual.split("```js\n")[1:]]
    image = "const imageData = new ImageData(new Uint8ClampedArray(4 * 20 * 10).fill(99), 20, 10);"
    site.files["manual.js"] = f"{image}\n{script}\nwindow.size = file.length;\nwindow.first = file[0];".encode()
    site.files["manual.html"] = PAGE.replace("page.js", "manual.js").encode()
    chromium.get(f"{site.url}/manual.html")
    assert wait_for(chromium, "window.size", PATIENCE) < 500
    assert chromium.execute_script("return window.first") == container.MAGIC[0]


def test_encoding_can_be_stopped(page: Any, site: Site) -> None:
    site.files["image.rgba"] = photo(600).convert("RGBA").tobytes()
    script = """bytesOf('image.rgba').then((rgba) => {
      const stop = new AbortController();
      const on = { progress: () => stop.abort(new Error('enough')) };
      const image = { width: 600, height: rgba.length / 2400, rgba };
      const options = { model: 'fast-perceptual', on, signal: stop.signal };
      return client.encode(image, options).then(() => 'encoded', (error) => error.message);
    })"""
    assert call(page, script) == "enough"
    file_of(encoded(page, site, smooth(40, 30)))  # by another worker


def test_the_policy_was_never_hurt(page: Any) -> None:
    messages = [entry["message"] for entry in page.get_log("browser")]
    assert not [line for line in messages if "Content Security Policy" in line]


# The viewer page


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of viewer.html as `vaecodec web` writes it: on the disk, and on a server."""
    path = tmp_path_factory.mktemp("site")
    files = site_files([entry_by_name("base-perceptual"), entry_by_name(FAST)])
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_bytes(content)
    served = Site(files, policy=None)
    yield {"disk": (path / "viewer.html").as_uri(), "server": f"{served.url}/viewer.html"}
    served.close()


@pytest.fixture
def viewer(request: pytest.FixtureRequest, chromium: Any, places: dict[str, str]) -> Iterator[Any]:
    """The page, on the disk unless said otherwise; the console must stay empty."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get_log("browser")
    chromium.get(places[getattr(request, "param", "disk")])
    choose(chromium, FAST)
    yield chromium
    assert chromium.get_log("browser") == []


def choose(viewer: Any, model: str) -> None:
    script = "const model = document.getElementById('model'); model.value = arguments[0]; return model.value"
    assert viewer.execute_script(script, model) == model


def open_file(viewer: Any, path: Path | str) -> None:
    viewer.find_element(By.ID, "files").send_keys(str(path))


def wait_until_encoded(viewer: Any) -> None:
    wait_for(viewer, "!document.getElementById('save-vaec').disabled", PATIENCE)
    wait_for(viewer, "document.querySelector('vaec-image:not([hidden])')?.complete", PATIENCE)


def set_quality(viewer: Any, quality: int) -> None:
    viewer.execute_script(
        "const slider = document.getElementById('quality'); slider.value = arguments[0];"
        "slider.dispatchEvent(new Event('input')); slider.dispatchEvent(new Event('change'))",
        quality,
    )


def saved(viewer: Any, downloads: Path, name: str) -> bytes:
    (downloads / name).unlink(missing_ok=True)
    viewer.find_element(By.ID, "save-vaec").click()
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(viewer, PATIENCE).until(lambda _: (downloads / name).exists())
    return (downloads / name).read_bytes()


def shown(viewer: Any, name: str) -> str:
    text: str = viewer.find_element(By.ID, name).text
    return text


@pytest.mark.parametrize("viewer", ["disk", "server"], indirect=True)
def test_the_viewer_makes_a_file_of_a_photograph(viewer: Any, downloads: Path, tmp_path: Path) -> None:
    image = photo(400)
    image.save(tmp_path / "bird.png")
    open_file(viewer, tmp_path / "bird.png")
    wait_until_encoded(viewer)
    data = saved(viewer, downloads, "bird.vaec")
    codec = vaecodec.Codec(FAST, device="cpu", dtype="float32")
    assert len(data) == pytest.approx(len(codec.encode(image, mode="neural")), rel=0.005)
    assert psnr(codec.decode(data, as_array=True), np.asarray(image)) > 30
    before, after = shown(viewer, "before"), shown(viewer, "after")
    assert before == f"{(tmp_path / 'bird.png').stat().st_size / 1000:.0f} kB"
    assert after == f"{len(data) / 1000:.1f} kB"
    assert shown(viewer, "change") == f"−{100 - round(100 * len(data) / (tmp_path / 'bird.png').stat().st_size)} %"
    assert f"{len(data):,} bytes" in shown(viewer, "facts")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
def test_the_viewer_opens_every_kind_of_image(viewer: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"image.{suffix}"
    smooth(90, 60).save(path)
    open_file(viewer, path)
    wait_until_encoded(viewer)
    assert "90 × 60" in shown(viewer, "facts")


def test_the_viewer_encodes_anew_at_another_quality(viewer: Any, downloads: Path, tmp_path: Path) -> None:
    photo(300).save(tmp_path / "bird.png")
    open_file(viewer, tmp_path / "bird.png")
    wait_until_encoded(viewer)
    sizes = []
    for quality in (90, 10):
        set_quality(viewer, quality)
        assert shown(viewer, "quality-now") == str(quality)
        wait_until_encoded(viewer)
        data = saved(viewer, downloads, "bird.vaec")
        assert container.parse(data).header.level == quality_to_level(quality)
        sizes.append(len(data))
    assert sizes[0] > 3 * sizes[1]


def test_the_viewer_takes_the_last_of_many_qualities(viewer: Any, downloads: Path, tmp_path: Path) -> None:
    photo(500).save(tmp_path / "bird.png")
    open_file(viewer, tmp_path / "bird.png")
    for quality in (80, 30, 20):
        set_quality(viewer, quality)
    wait_until_encoded(viewer)
    level = container.parse(saved(viewer, downloads, "bird.vaec")).header.level
    assert level == quality_to_level(20)


def test_the_viewer_shows_the_original_in_its_place(viewer: Any, tmp_path: Path) -> None:
    photo(300).save(tmp_path / "bird.png")
    open_file(viewer, tmp_path / "bird.png")
    wait_until_encoded(viewer)
    places = []
    for pressed in ("true", "false"):
        viewer.find_element(By.ID, "original").click()
        assert viewer.find_element(By.ID, "original").get_attribute("aria-pressed") == pressed
        seen = [e for e in viewer.find_elements(By.CSS_SELECTOR, "vaec-image, .original") if e.is_displayed()]
        assert [e.tag_name for e in seen] == ["canvas" if pressed == "true" else "vaec-image"]
        places.append(seen[0].rect)
    assert places[0] == places[1]


def test_of_two_images_only_the_chosen_one_is_seen(viewer: Any, tmp_path: Path) -> None:
    for name, size in (("a", (90, 60)), ("b", (60, 90))):
        smooth(*size).save(tmp_path / f"{name}.png")
    open_file(viewer, f"{tmp_path / 'a.png'}\n{tmp_path / 'b.png'}")
    wait_until_encoded(viewer)
    tabs = viewer.find_elements(By.CSS_SELECTOR, "#tabs button")
    for tab, width in ((tabs[0], 90), (tabs[1], 60)):
        tab.click()
        wait_until_encoded(viewer)
        seen = [e for e in viewer.find_elements(By.CSS_SELECTOR, "vaec-image, .original") if e.is_displayed()]
        assert [round(element.rect["width"]) for element in seen] == [width]


def test_slider_and_list_keep_their_keys(viewer: Any, tmp_path: Path) -> None:
    smooth(90, 60).save(tmp_path / "image.png")
    open_file(viewer, tmp_path / "image.png")
    wait_until_encoded(viewer)
    place = "return document.querySelector('vaec-image').style.transform"
    before = viewer.execute_script(place)
    viewer.find_element(By.ID, "quality").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert viewer.find_element(By.ID, "quality").get_attribute("value") == "62"
    wait_until_encoded(viewer)
    viewer.find_element(By.ID, "model").send_keys(Keys.ARROW_UP)
    assert viewer.find_element(By.ID, "model").get_attribute("value") != FAST
    assert viewer.execute_script(place) == before
    wait_until_encoded(viewer)


def test_what_is_said_is_said_once(viewer: Any, tmp_path: Path) -> None:
    """Elements that screen readers watch change with what they say, not with every progress."""
    photo(300).save(tmp_path / "bird.png")
    open_file(viewer, tmp_path / "bird.png")
    wait_until_encoded(viewer)
    viewer.execute_script(
        "window.changes = []; for (const id of ['facts', 'after', 'before']) {"
        "  const element = document.getElementById(id);"
        "  const note = () => changes.push(`${id} ${element.textContent}`);"
        "  new MutationObserver(note).observe(element, { childList: true, characterData: true, subtree: true }) }"
    )
    set_quality(viewer, 20)
    wait_for(viewer, "changes.some((line) => line.startsWith('after') && !line.endsWith('…'))", PATIENCE)
    wait_until_encoded(viewer)
    changes = viewer.execute_script("return changes")
    assert len(set(changes)) == len(changes), changes


def test_the_error_of_one_file_stays_beside_the_others(viewer: Any, tmp_path: Path) -> None:
    smooth(90, 60).save(tmp_path / "image.png")
    for name in ("notes", "more"):
        (tmp_path / f"{name}.txt").write_text("words")
    (tmp_path / "BAD.SAFETENSORS").write_bytes(b"words")  # weights, whatever the case
    names = ("notes.txt", "image.png", "more.txt", "BAD.SAFETENSORS")
    open_file(viewer, "\n".join(str(tmp_path / name) for name in names))
    wait_until_encoded(viewer)
    lines = shown(viewer, "error").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["notes.txt", "more.txt", "BAD.SAFETENSORS"]
    assert "safetensors file" in lines[2]
    viewer.find_element(By.CSS_SELECTOR, "#tabs button").click()
    assert not viewer.find_element(By.ID, "error").is_displayed()


def test_a_png_that_cannot_be_made_is_said_and_can_be_tried_again(viewer: Any, tmp_path: Path) -> None:
    smooth(90, 60).save(tmp_path / "image.png")
    open_file(viewer, tmp_path / "image.png")
    wait_until_encoded(viewer)
    viewer.execute_script("document.querySelector('vaec-image').toBlob = () => Promise.reject(new Error('no room'))")
    viewer.find_element(By.ID, "save").click()
    wait_for(viewer, "!document.getElementById('error').hidden", PATIENCE)
    assert shown(viewer, "error") == "image.png cannot be saved: no room"
    assert viewer.find_element(By.ID, "save").is_enabled()


def test_photographs_are_turned_and_their_profile_obeyed(viewer: Any, downloads: Path, tmp_path: Path) -> None:
    """The file holds them upright, in sRGB."""
    image = smooth(96, 64)
    exif = Image.Exif()
    exif[0x0112] = 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    swapped = swapped_profile(srgb.tobytes())
    source = ImageCms.ImageCmsProfile(io.BytesIO(swapped))
    expected = ImageCms.profileToProfile(image, source, srgb, renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC)
    assert expected is not None
    image.save(tmp_path / "turned.png", exif=exif, icc_profile=swapped)
    open_file(viewer, tmp_path / "turned.png")
    set_quality(viewer, 100)
    wait_until_encoded(viewer)
    decoded = vaecodec.decode(saved(viewer, downloads, "turned.vaec"))
    assert decoded.size == (64, 96)
    upright = np.asarray(expected.transpose(Image.Transpose.ROTATE_270))
    assert psnr(np.asarray(decoded), upright) > 38
    assert psnr(np.asarray(decoded), np.asarray(image.transpose(Image.Transpose.ROTATE_270))) < 25


def swapped_profile(data: bytes) -> bytes:
    """sRGB with red and blue in each other's place."""
    profile = bytearray(data)
    count = int.from_bytes(profile[128:132], "big")
    places = {bytes(profile[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, blue = (slice(places[name] + 4, places[name] + 12) for name in (b"rXYZ", b"bXYZ"))
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


def test_what_is_no_image_is_named(viewer: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words")
    open_file(viewer, tmp_path / "notes.txt")
    wait_for(viewer, "!document.getElementById('error').hidden", PATIENCE)
    assert shown(viewer, "error").startswith("notes.txt: this browser cannot open it")


def test_a_page_without_an_encoder_says_so(chromium: Any, tmp_path: Path) -> None:
    (tmp_path / "view.html").write_text(viewer_page([], [entry_by_name(FAST)]), encoding="utf-8")
    smooth(20, 10).save(tmp_path / "image.png")
    chromium.get((tmp_path / "view.html").as_uri())
    assert "JPEG" not in shown(chromium, "empty")
    open_file(chromium, tmp_path / "image.png")
    wait_for(chromium, "!document.getElementById('error').hidden", PATIENCE)
    assert "no encoder" in shown(chromium, "error")


@pytest.mark.parametrize("width", [360, 768])
def test_the_controls_fit_a_phone(viewer: Any, tmp_path: Path, width: int) -> None:
    phone = {"width": width, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    viewer.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    smooth(300, 200).save(tmp_path / "image.png")
    open_file(viewer, tmp_path / "image.png")
    wait_until_encoded(viewer)
    page = "return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert viewer.execute_script(page) == [width, 740]
    assert viewer.find_element(By.ID, "stage").rect["height"] > 300
    for name in ("quality", "model", "original", "save-vaec"):
        rect = viewer.find_element(By.ID, name).rect
        assert rect["x"] >= 0
        assert math.ceil(rect["x"] + rect["width"]) <= width
