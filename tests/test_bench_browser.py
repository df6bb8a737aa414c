"""The comparison page in a real browser: headless Chromium, driven as a reader would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from bench.chromium import CHROMIUM, DRIVER, MISSING, wait_for
from vaecodec.compare import photos as photos_module
from vaecodec.compare.photos import compare_photos

pytest.importorskip("selenium", reason="the page's tests drive a browser with selenium (pip install selenium)")

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

if TYPE_CHECKING:
    from selenium.webdriver.remote.webelement import WebElement

pytestmark = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason=MISSING)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two small photographs."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[0:192, 0:256]
    smooth = np.stack([rows, columns * 0.8, 255 - rows * 0.5 - columns * 0.3], axis=2)
    smooth[60:120, 80:200] *= 0.4
    photos = [np.clip(smooth + rng.normal(0, deviation, smooth.shape), 0, 255) for deviation in (3, 12)]
    pixels: list[NDArray[np.uint8]] = [photo.astype(np.uint8) for photo in photos]
    codec = vaecodec.Codec("base", device="cpu")
    path = tmp_path_factory.mktemp("page") / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photos_module, "CURVE_SETTINGS", (0.3, 0.6, 0.9))  # fewer points than a reader gets
        page = compare_photos([("smooth", pixels[0]), ("grainy", pixels[1])], codec, 50)
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def browser(chromium: Any, page: Path) -> Iterator[Any]:
    """The page, freshly opened in a desktop window; at the end the console must be empty."""
    chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    chromium.get(page.as_uri())
    yield chromium
    assert chromium.get_log("browser") == []


def find(browser: Any, css: str) -> WebElement:
    element: WebElement = browser.find_element(By.CSS_SELECTOR, css)
    return element


def split(browser: Any) -> int:
    return int(find(browser, "#handle").get_attribute("aria-valuenow") or -1)


def press(browser: Any, *keys: str) -> None:
    ActionChains(browser).send_keys(*keys).perform()


def chip(browser: Any, side: str) -> str:
    return find(browser, f"#chip-{side} b").text


def world(browser: Any, side: str) -> str:
    transform: str = browser.execute_script(f"return document.querySelector('#pane-{side} .world').style.transform")
    return transform


def test_pictures_are_shown(browser: Any, page: Path) -> None:
    sizes = browser.execute_async_script(
        "const done = arguments[0]; const images = [...document.querySelectorAll('.pane img')];"
        "Promise.all(images.map(i => i.decode())).then(() => done(images.map(i => [i.naturalWidth, i.naturalHeight])))"
    )
    assert sizes == [[256, 192], [256, 192]]
    assert (chip(browser, "left"), chip(browser, "right")) == ("JPEG", "vaecodec base")
    shot = page.with_suffix(".png")
    assert browser.save_screenshot(str(shot))
    with Image.open(shot) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 500  # a photograph, not an empty page


def test_the_slider_moves(browser: Any) -> None:
    assert split(browser) == 50
    before = find(browser, "#pane-right").value_of_css_property("clip-path")
    handle = find(browser, "#handle")
    ActionChains(browser).drag_and_drop_by_offset(handle, -150, 0).perform()
    assert 20 < split(browser) < 45
    assert find(browser, "#pane-right").value_of_css_property("clip-path") != before
    at = split(browser)
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert split(browser) == at + 6
    press(browser, Keys.HOME)
    assert split(browser) == 0
    press(browser, Keys.END)
    assert split(browser) == 100


def test_codecs_switch(browser: Any) -> None:
    press(browser, "1")
    assert chip(browser, "right") == "Original"
    press(browser, "x")
    assert (chip(browser, "left"), chip(browser, "right")) == ("Original", "JPEG")
    find(browser, "#right option[value='1']").click()
    assert chip(browser, "right") == "vaecodec base"
    find(browser, "#table tbody tr:nth-child(3) th button").click()
    assert chip(browser, "right") == "WebP"
    source = browser.execute_script("return document.querySelector('#pane-right img').src.slice(0, 15)")
    assert source == "data:image/webp"
    assert "chosen" in (find(browser, "#table tbody tr:nth-child(3)").get_attribute("class") or "")


def test_maps_have_a_legend_and_switch_off(browser: Any) -> None:
    assert not find(browser, "#legend").is_displayed()
    press(browser, "e")
    assert "gray levels" in find(browser, "#legend").text
    assert find(browser, "#pane-left canvas").is_displayed()
    press(browser, "b")
    assert "Bits per pixel" in find(browser, "#legend").text
    assert not find(browser, "#pane-left canvas").is_displayed()  # JPEG cannot tell
    assert find(browser, "#pane-right canvas").is_displayed()
    press(browser, "p")
    assert not find(browser, "#pane-right canvas").is_displayed()


def test_zoom_and_panning_are_the_same_on_both_sides(browser: Any) -> None:
    find(browser, "[data-layout=both]").click()
    fit = world(browser, "left")
    for _ in range(5):
        find(browser, "#in").click()
    assert world(browser, "left") == world(browser, "right") != fit
    zoomed = world(browser, "left")
    ActionChains(browser).drag_and_drop_by_offset(find(browser, "#pane-left"), 40, -30).perform()
    assert world(browser, "left") == world(browser, "right") != zoomed
    press(browser, "0")
    assert world(browser, "left") == fit
    assert find(browser, "#zoom").text == "fit"


def test_another_photo_keeps_the_codecs(browser: Any) -> None:
    press(browser, "3")
    picked = chip(browser, "right")
    press(browser, "n")
    assert find(browser, "#scenes button[aria-pressed=true]").text == "grainy"
    assert chip(browser, "right") == picked


def test_the_table_has_every_codec_at_equal_bytes(browser: Any) -> None:
    rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "#table tbody tr")]
    assert rows[0].startswith("vaecodec base")
    assert len(rows) >= 2
    apart = browser.execute_script("return scene().versions.map(v => v.deviation || 0)")
    marked = browser.find_elements(By.CSS_SELECTOR, "#table .off")
    assert len(marked) == sum(abs(deviation) > 0.02 for deviation in apart)


def test_the_chart_answers_to_pointer_and_keys(browser: Any) -> None:
    chart = find(browser, "#chart")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", chart)
    spot = find(browser, "#chart circle[data-name='jpeg']")
    ActionChains(browser).move_to_element(spot).perform()
    assert "bpp" in find(browser, "#tip").text
    browser.execute_script("arguments[0].focus()", chart)
    press(browser, Keys.ARROW_RIGHT)
    first = find(browser, "#tip").text
    press(browser, Keys.ARROW_DOWN)
    assert find(browser, "#tip").text.splitlines()[0] != first.splitlines()[0]
    find(browser, "#metrics button:nth-child(2)").click()
    assert "MS-SSIM, dB" in chart.text
    curves = len(browser.find_elements(By.CSS_SELECTOR, "#chart path"))
    find(browser, "#series button").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, "#chart path")) == curves - 1


def test_the_whole_page_by_keyboard(browser: Any) -> None:
    reached = set()
    for _ in range(60):
        press(browser, Keys.TAB)
        reached.add(browser.execute_script("return document.activeElement.id || document.activeElement.tagName"))
    assert {"theme", "left", "swap", "right", "out", "fit", "in", "stage", "handle", "chart", "BUTTON"} <= reached


@pytest.mark.parametrize("width", [360, 390, 768])
def test_a_phone_has_no_sideways_scrolling(browser: Any, width: int) -> None:
    phone = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.refresh()
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert find(browser, "#stage").size["width"] > 0.85 * width


CUT = """
const cut = (element) => element.scrollWidth > element.clientWidth + 1;
const outside = (element) => { const r = element.getBoundingClientRect(); return r.left < 0 || r.right > innerWidth; };
const cells = [...document.querySelectorAll("#table tbody th, #table tbody td")];
const chips = [...document.querySelectorAll(".chip")].map((chip) => chip.getBoundingClientRect());
return {
  cells: cells.filter(outside).map((cell) => cell.textContent),
  scrolls: cut(document.querySelector(".scroll")),
  labels: cells.slice(0, 9).map((cell) => getComputedStyle(cell, "::before").content),
  chips: chips[0].right > chips[1].left || chips.some((r) => r.left < 0 || r.right > innerWidth || r.height > 44),
};
"""
"""What of the page is out of reach, or over something else."""


@pytest.mark.parametrize("width", [360, 390])
def test_on_a_phone_every_figure_is_within_reach_and_no_name_is_cut(browser: Any, width: int) -> None:
    phone = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.refresh()
    browser.find_element(By.CSS_SELECTOR, '#table tbody tr[data-version="2"]').click()
    cut = browser.execute_script(CUT)
    assert (cut["cells"], cut["scrolls"], cut["chips"]) == ([], False, False)
    assert '"PSNR, dB"' in cut["labels"]
    # The longest name there is fits the boxes in which a codec is chosen.
    longest = browser.execute_script(
        "const box = document.querySelector('#left'), style = getComputedStyle(box);"
        "const pen = document.createElement('canvas').getContext('2d'); pen.font = style.font;"
        "return [pen.measureText('vaecodec base-perceptual').width + 40, box.clientWidth]"
    )
    assert longest[0] <= longest[1]


def test_no_name_is_cut_in_a_window(browser: Any) -> None:
    fits = """const box = document.querySelector('#left');
      box.append(new Option('vaecodec base-perceptual, lossless'));
      const wide = box.cloneNode(true);
      wide.style.cssText = 'position: absolute; max-width: none; font-weight: 600';
      document.body.append(wide);
      return [wide.offsetWidth, box.offsetWidth, document.documentElement.scrollWidth, innerWidth]"""
    longest, box, page_width, window = browser.execute_script(fits)
    assert longest <= box
    assert page_width <= window


def test_a_turned_phone_has_the_stage_of_a_fresh_page(browser: Any) -> None:
    height = "return document.getElementById('stage').clientHeight"
    sizes = {"landscape": (844, 390), "portrait": (390, 844)}

    def turn(name: str) -> None:
        size = {"width": sizes[name][0], "height": sizes[name][1], "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    fresh = {}
    for name in sizes:
        turn(name)
        browser.refresh()
        fresh[name] = browser.execute_script(height)
    for name in ("landscape", "portrait"):
        turn(name)
        wait_for(browser, f"document.getElementById('stage').clientHeight === {fresh[name]}", 20)


def test_light_and_dark(browser: Any) -> None:
    def background() -> str:
        colour: str = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        return colour

    colours = {}
    for scheme in ("light", "dark"):
        emulation = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", emulation)
        colours[scheme] = background()
    assert colours["light"] != colours["dark"]
    find(browser, "#theme").click()
    assert background() == colours["light"]  # chosen by hand, whatever the system has
    find(browser, "#theme").click()
    assert background() == colours["dark"]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
