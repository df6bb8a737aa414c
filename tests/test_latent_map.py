"""The map of images: features, places, and the page."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import Command
from vaecodec.codec import Codec
from vaecodec.latents import mapping, pages
from vaecodec.latents.mapping import Place, features_of, layout, neighbours, sprites, standardized

chromium = pytest.importorskip("bench.chromium", reason="the browser is started by bench")
COLOURS = ("red", "green", "blue")


def picture(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG")
    return buffer.getvalue()


def clusters(count: int) -> NDArray[np.float32]:
    """Features of three kinds of images, one after the other."""
    rng = np.random.default_rng(0)
    return (10 * np.eye(3)[np.arange(count) % 3] @ rng.normal(size=(3, 40)) + rng.normal(size=(count, 40))).astype(
        np.float32
    )


def places(count: int) -> list[Place]:
    return [
        Place(f"/photos/<b>{number}.jpg", 600, 400, picture(COLOURS[number % 3]), features)
        for number, features in enumerate(clusters(count))
    ]


def test_features_say_what_is_on_an_image_wherever(codec: Codec, photo: NDArray[np.uint8]) -> None:
    whole = np.tile(photo[:48, :64], (2, 2, 1))
    features = features_of(codec.latents(whole))
    assert features.shape == (2 * codec.loaded_model().config.M,)
    moved = features_of(codec.latents(np.roll(whole, (48, 64), (0, 1))))
    assert np.linalg.norm(features - moved) < 0.1 * np.linalg.norm(features)


def test_alike_images_are_neighbours() -> None:
    near = neighbours(standardized(clusters(30)), 5)
    assert near.shape == (30, 5)
    assert (near % 3 == np.arange(30)[:, None] % 3).all()
    assert (near != np.arange(30)[:, None]).all()


def test_alike_images_are_close_together_on_the_map() -> None:
    pytest.importorskip("sklearn", reason="t-SNE is of scikit-learn (extra latents)")
    at = layout(standardized(clusters(45)))
    assert at.min() == 0
    assert at.max() == 1
    distances = np.linalg.norm(at[:, None] - at, axis=2)
    same = np.arange(45) % 3 == (np.arange(45) % 3)[:, None]
    assert distances[same].mean() < 0.5 * distances[~same].mean()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_few_images_have_places_too(count: int) -> None:
    components = standardized(clusters(count))
    assert layout(components).shape == (count, 2)
    assert np.isfinite(layout(components)).all()
    assert neighbours(components).shape == (count, count - 1)


def test_images_of_equal_features_have_places(tmp_path: Path) -> None:
    assert np.isfinite(layout(standardized(np.ones((3, 40), np.float32)))).all()


def test_a_sheet_holds_every_picture_in_its_tile() -> None:
    data, columns, sizes = sprites([picture(COLOURS[number % 3]) for number in range(7)], 30)
    with Image.open(io.BytesIO(data)) as sheet:
        assert (columns, sheet.size) == (3, (90, 90))
        for number, (width, height) in enumerate(sizes):
            assert (width, height) == (30, 20)
            colour = sheet.getpixel((number % 3 * 30 + 15, number // 3 * 30 + 10))
            assert int(np.argmax(colour)) == number % 3


def test_names_cannot_end_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    page = pages.map_page("Map", "a note", places(4))
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    assert data
    content = json.loads(data[1])
    assert content["images"][2][4] == "/photos/<b>2.jpg"
    assert "<b>" not in data[1]


def test_map_writes_a_page_and_names_what_it_cannot_read(
    command: Command, tmp_path: Path, tiny_model: Path, codec: Codec, photo: NDArray[np.uint8]
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photo).save(folder / "a.png")
    (folder / "b.vaec").write_bytes(codec.encode(photo, mode="neural"))
    (folder / "c.vaec").write_bytes(codec.encode(photo, lossless=True))
    (folder / "broken.vaec").write_bytes(b"\x8fVAC")
    done = command("map", "photos", "-o", "map.html", "--model", str(tiny_model))
    assert done.code == 3
    assert "broken.vaec" in done.err
    assert "3 images" in (tmp_path / "map.html").read_text(encoding="utf-8")
    assert command("map", "photos", "-o", "map.html", "--model", str(tiny_model)).code == 6


# In a browser


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium."""
    if chromium.CHROMIUM is None or chromium.DRIVER is None:
        pytest.skip(chromium.MISSING)
    pytest.importorskip("selenium", reason="needs Selenium (extra browser)")
    started = chromium.start_chromium(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page of a map of 5,000 images, laid out at random: t-SNE would take a minute."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr(pages, "layout", lambda components: rng.uniform(size=(len(components), 2)))
    path = tmp_path / "map.html"
    path.write_text(pages.map_page("Map", "a note", places(5000)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_map_of_5000_images_is_fluent_and_shows_neighbours(driver: Any, large: Path) -> None:
    driver.get(large.as_uri())
    draw = """
        for (let step = 0; step < arguments[0]; step++) {
          zoom = 1 + step / 10;
          draw();
          context.getImageData(0, 0, 1, 1);  // waits for what was drawn
        }
        """
    driver.execute_async_script("const done = arguments[0]; sheet.decode().then(() => setTimeout(done));")
    driver.execute_script(draw, 3)
    before, frames = chromium.usage(driver)[0], 20
    driver.execute_script(draw, frames)
    assert (chromium.usage(driver)[0] - before) / frames < 0.1, "processor seconds a frame, without a graphics card"
    driver.execute_script("choose(17)")
    shown = driver.execute_script(
        "return [details.querySelector('a').textContent, details.querySelectorAll('button').length]"
    )
    assert shown == ["/photos/<b>17.jpg", mapping.NEIGHBOURS]
    driver.execute_script("details.querySelector('button').click()")
    assert driver.execute_script("return chosen % 3") == 17 % 3
    assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


@pytest.fixture
def small(driver: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A map of six images in two rows, open."""
    monkeypatch.setattr(pages, "layout", lambda _: np.array([(x, y) for y in (0, 1) for x in (0, 0.5, 1)]))
    path = tmp_path / "map.html"
    path.write_text(pages.map_page("Map", "a note", places(6)), encoding="utf-8")
    driver.get(path.as_uri())
    driver.execute_async_script("const done = arguments[0]; sheet.decode().then(() => setTimeout(done));")
    return driver


def test_a_map_can_be_used_from_the_keyboard(small: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    find, canvas = small.find_element("id", "find"), small.find_element("id", "map")
    chosen = []
    for keys in (".jpg", Keys.ENTER, Keys.ENTER, "nothing", Keys.ENTER):
        find.send_keys(keys)
        chosen.append(small.execute_script("return chosen"))
    assert chosen == [-1, 0, 1, 1, 1]
    for keys, expected in ((Keys.ESCAPE, -1), (Keys.ENTER, 1), ("+" * 12, 1), (Keys.ARROW_DOWN * 9, 1), (" ", 4)):
        canvas.send_keys(keys)
        assert small.execute_script("return chosen") == expected, repr(keys)
    pictures = "return [...details.querySelectorAll('canvas')].map((own) => [own.role, own.ariaLabel])"
    seen = small.execute_script(pictures)
    assert seen[0] == ["img", "/photos/<b>4.jpg"]
    assert all(role == "img" and label for role, label in seen)
    find.clear()
    find.send_keys("0.jpg", Keys.ENTER)  # far outside of what is seen
    x, y, width, height = small.execute_script("return [...place(images[0]), canvas.clientWidth, canvas.clientHeight]")
    assert 0 < x < width
    assert 0 < y < height
    assert small.execute_script("return chosen") == 0


@pytest.mark.parametrize("width", [360, 1200])
def test_a_whole_map_cuts_no_picture(small: Any, width: int) -> None:
    small.set_window_size(width, 900)
    outside = """return images.flatMap((image) => {
        const [x, y] = place(image), half = size() / 2;
        return [x - half, y - half, canvas.clientWidth - x - half, canvas.clientHeight - y - half];
    }).filter((rest) => rest < 0)"""
    assert small.execute_script(outside) == []
    assert small.execute_script("return span()[0]") > 100
