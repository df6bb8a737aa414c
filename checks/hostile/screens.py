"""Screenshots by headless Chromium: pages, and windows of programs drawn as pages."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image as PillowImage

from checks.hostile.canvas import Image, Random, as_array, colour, run, words

WIDTH, HEIGHT = 1000, 800
FAMILIES = (
    "TeX Gyre Heros",
    "TeX Gyre Pagella",
    "URW Bookman",
    "Andika",
    "Gentium Plus",
    "CMU Sans Serif",
    "JetBrains Mono",
)
MONOSPACE = ("JetBrains Mono", "Nimbus Mono PS", "TeX Gyre Cursor", "Courier Prime", "Terminus")


def pages(rng: Random) -> list[Image]:
    """An article, cards, a form or a spreadsheet."""
    return [_shot(rng, (_article, _cards, _form, _spreadsheet)[rng.integers(0, 4)](rng), rng.random() < 0.3)]


def programs(rng: Random) -> list[Image]:
    """An editor, a terminal, a chat or a map."""
    return [_shot(rng, (_editor, _terminal, _chat, _map)[rng.integers(0, 4)](rng), rng.random() < 0.6)]


def _shot(rng: Random, body: str, dark: bool) -> Image:
    """The picture of a whole window; dark: light letters on a dark page."""
    paper, ink = ("#16181d", "#d7dae0") if dark else ("#fdfdfd", "#1b1b1b")
    style = (
        f"body{{margin:0;background:{paper};color:{ink};font:{rng.integers(11, 20)}px '{rng.choice(FAMILIES)}';"
        f"color-scheme:{'dark' if dark else 'light'}}} a{{color:#{_hex(rng)}}}"
        f"pre,code{{font-family:'{rng.choice(MONOSPACE)}'}}"
        "article{margin:0 40px;column-gap:24px} td,th{border:1px solid #9996;padding:1px 7px;text-align:right}"
        "table{border-collapse:collapse;font-size:12px}"
    )
    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        page.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}", encoding="utf-8")
        run([
            "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--no-first-run", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
            f"--force-device-scale-factor={rng.choice([1, 1, 1.25, 2])}",
            f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}", page.as_uri(),
        ])  # fmt: skip
        with PillowImage.open(shot) as image:
            return as_array(image)


def _hex(rng: Random) -> str:
    return "".join(f"{value:02x}" for value in colour(rng))


def _say(rng: Random, most: int = 60) -> str:
    return html.escape(" ".join(words(rng, int(rng.integers(1, most)))))


def _repeat(rng: Random, fewest: int, most: int, part: Callable[[int], str]) -> str:
    return "".join(part(number) for number in range(rng.integers(fewest, most)))


def _article(rng: Random) -> str:
    def part(number: int) -> str:
        first = f"<h{1 + number % 3}>{_say(rng, 7)}</h{1 + number % 3}>" if number % 2 == 0 else ""
        spans = f"<a href=x>{_say(rng, 5)}</a> <b>{_say(rng, 6)}</b> <i>{_say(rng, 9)}</i>"
        return f"{first}<p>{_say(rng)} {spans} {_say(rng)}</p>"

    return f"<article style='columns:{rng.integers(1, 5)};text-align:justify'>{_repeat(rng, 8, 20, part)}</article>"


def _cards(rng: Random) -> str:
    def card(_: int) -> str:
        back = f"linear-gradient({rng.integers(0, 360)}deg,#{_hex(rng)},#{_hex(rng)})"
        shadow = f"{rng.integers(0, 9)}px {rng.integers(1, 9)}px {rng.integers(2, 24)}px #0007"
        return (
            f"<div style='width:{rng.integers(120, 300)}px;padding:14px;margin:9px;"
            f"border-radius:{rng.integers(0, 30)}px;background:{back};box-shadow:{shadow}'>"
            f"<h3>{_say(rng, 4)}</h3>{_say(rng, 25)}</div>"
        )

    return f"<div style='display:flex;flex-wrap:wrap'>{_repeat(rng, 12, 25, card)}</div>"


def _form(rng: Random) -> str:
    def row(_: int) -> str:
        kind = rng.choice(
            ["text", "date", "range", "checkbox", "radio", "color", "number", "password", "file", "button"]
        )
        value = f"value='{_say(rng, 3)}'" if kind in ("text", "password", "button") else "checked"
        gauge = f"<meter value={rng.random():.2f}></meter><progress value={rng.random():.2f}></progress>"
        choice = (
            f"<select><option>{_say(rng, 3)}</select><textarea>{_say(rng, 9)}</textarea>" if rng.random() < 0.4 else ""
        )
        return f"<p><label>{_say(rng, 5)} <input type={kind} {value}></label> {gauge} {choice}</p>"

    return f"<fieldset><legend>{_say(rng, 4)}</legend>{_repeat(rng, 12, 24, row)}</fieldset>"


def _spreadsheet(rng: Random) -> str:
    def row(number: int) -> str:
        cells = "".join(f"<td>{rng.normal(0, 10 ** rng.integers(1, 6)):,.2f}</td>" for _ in range(11))
        return f"<tr style='background:{'#8881' if number % 2 else 'none'}'><th>{number + 1}</th>{cells}</tr>"

    heads = "".join(f"<th>{letter}</th>" for letter in " ABCDEFGHIJK")
    return f"<table><tr>{heads}</tr>{_repeat(rng, 40, 60, row)}</table>"


def _editor(rng: Random) -> str:
    colours = [_hex(rng) for _ in range(5)]

    def line(number: int) -> str:
        parts = "".join(
            f"<span style='color:#{colours[rng.integers(0, 5)]}'>{_say(rng, 3)}</span> "
            for _ in range(rng.integers(0, 6))
        )
        return f"<span style='opacity:.4'>{number + 1:4} </span>{'    ' * rng.integers(0, 5)}{parts}\n"

    names = _repeat(rng, 10, 30, lambda _: f"{_say(rng, 3)}<br>")
    side = f"<div style='float:left;width:170px;height:{HEIGHT}px;background:#8882;padding:6px'>{names}</div>"
    return f"{side}<pre style='margin:4px'>{_repeat(rng, 50, 70, line)}</pre>"


def _terminal(rng: Random) -> str:
    def line(_: int) -> str:
        kind = rng.integers(0, 3)
        if kind == 0:
            return f"<span style='color:#3c3'>user@host</span>:<span style='color:#68f'>~</span>$ {_say(rng, 6)}\n"
        if kind == 1:
            return "".join(f"{number:02x} " for number in rng.integers(0, 256, 24)) + "\n"
        return f"<span style='background:#{_hex(rng)};color:#{_hex(rng)}'>{_say(rng, 9)}</span>\n"

    style = f"background:#000;color:#ccc;margin:0;font-size:{rng.integers(10, 17)}px"
    return f"<pre style='{style}'>{_repeat(rng, 70, 80, line)}</pre>"


def _chat(rng: Random) -> str:
    def bubble(_: int) -> str:
        side = rng.choice(["left", "right"])
        return (
            f"<div style='float:{side};clear:both;max-width:55%;margin:5px;padding:8px 12px;border-radius:16px;"
            f"background:#{_hex(rng)};color:#{_hex(rng)}'>{_say(rng, 30)}</div>"
        )

    return _repeat(rng, 20, 40, bubble)


def _map(rng: Random) -> str:
    def shape(number: int) -> str:
        path = " ".join(f"{x:.0f},{y:.0f}" for x, y in rng.uniform((0, 0), (WIDTH, HEIGHT), (rng.integers(3, 9), 2)))
        kind = "polygon" if number % 3 == 0 else "polyline"
        fill = f"#{_hex(rng)}8" if kind == "polygon" and rng.random() < 0.5 else "none"
        dash = f"stroke-dasharray='{rng.integers(2, 12)}'" if rng.random() < 0.3 else ""
        place = f"x='{rng.integers(0, WIDTH)}' y='{rng.integers(0, HEIGHT)}' fill='#{_hex(rng)}'"
        label = f"<text {place} transform='rotate({rng.integers(-20, 20)})'>{_say(rng, 3)}</text>"
        stroke = f"stroke='#{_hex(rng)}' stroke-width='{rng.integers(1, 9)}' {dash}"
        return f"<{kind} points='{path}' fill='{fill}' {stroke}/>{label}"

    return f"<svg width={WIDTH} height={HEIGHT}>{_repeat(rng, 15, 50, shape)}</svg>"
