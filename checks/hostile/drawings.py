"""Plots, diagrams, line art, pixel art and codes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from checks.hostile.canvas import (
    PACKAGES,
    Image,
    MissingError,
    Random,
    as_array,
    colour,
    cut,
    run,
    size,
    two_colours,
    words,
)
from checks.hostile.text import encoded

TILES = Path("/usr/share/crawl/dat/tiles")
TILE_SHEETS = ("main.png", "player.png", "feat.png", "gui.png", "wall.png", "floor.png")
SUPERSAMPLED = 3
BAR_CODES = {  # zint's number -> what it can hold
    8: "CODE 39",
    13: "5901234123457",
    20: "Code 128",
    29: "8101234567890",
    55: "PDF417",
    71: "Data Matrix",
    92: "Aztec",
}  # fmt: skip
DIGITS_ONLY = (13, 29)


def plots(rng: Random) -> list[Image]:
    """One chart by gnuplot: curves, points, bars, a surface or a heat map."""
    x, mark = "abs(x)" if rng.random() < 0.3 else "x", rng.integers(1, 14)
    kind = (
        f"plot [-9:9] sin({x})/{rng.uniform(0.2, 3):.2f} lw {rng.integers(1, 5)}, cos(x*{rng.uniform(0.2, 9):.2f}),"
        f"exp(-x*x) with filledcurves, besj0(x) with linespoints pt {mark}",
        f"set samples 40; plot [0:20] rand(0)*x with points pt {mark}, rand(0)*20 with impulses, x with steps",
        "set samples 25; set style fill pattern; plot [0:1] rand(0) with boxes, rand(0) with boxes",
        f"set isosamples 25; set hidden3d; splot [-4:4][-4:4] sin(x*{rng.uniform(0.5, 2):.2f})*cos(y) with lines",
        f"set pm3d map; set palette rgb {rng.integers(3, 37)},{rng.integers(3, 37)},{rng.integers(3, 37)}; "
        "set isosamples 30; splot [-4:4][-4:4] sin(x)*cos(y*y)",
        "set polar; set grid polar; plot [0:50] t*sin(t), t with lines",
    )[rng.integers(0, 6)]
    paper = "" if rng.random() < 0.5 else f"background '#{_hex(colour(rng))}'"
    lines = [
        f"set terminal pngcairo size 900,700 font 'TeX Gyre Heros,{rng.integers(7, 16)}' {paper}",
        f"set title '{' '.join(word for word in words(rng, 6) if word.isalpha())}'",
        "set grid" if rng.random() < 0.5 else "unset key",
        f"x = rand({rng.integers(1, 1000)})",  # sets the seed
        kind,
    ]
    return [encoded(run(["gnuplot", "-"], "\n".join(lines) + "\n"))]


def _hex(rgb: tuple[int, int, int]) -> str:
    return "".join(f"{value:02x}" for value in rgb)


def diagrams(rng: Random) -> list[Image]:
    """One graph by graphviz: boxes with words, arrows, clusters."""
    count, engine = int(rng.integers(8, 30)), str(rng.choice(["dot", "neato", "circo", "fdp"]))
    shapes = ("box", "ellipse", "diamond", "record", "note", "cylinder", "hexagon", "plaintext")
    family = rng.choice(["TeX Gyre Termes", "URW Gothic", "Nimbus Mono PS", "Andika"])
    lines = [
        f'digraph {{ graph [dpi={rng.choice([48, 72, 96])}, overlap=false, size="12,12"]; node [fontname="{family}"];'
    ]
    for number in range(count):
        label = " ".join(word for word in words(rng, 3) if word.isalnum())
        style = (
            f'style=filled, fillcolor="#{_hex(colour(rng))}"'
            if rng.random() < 0.5
            else f"penwidth={rng.integers(1, 5)}"
        )
        lines.append(f'n{number} [label="{label}", shape={shapes[rng.integers(0, len(shapes))]}, {style}];')
    for _ in range(count + int(rng.integers(0, 12))):
        style = ("solid", "dashed", "dotted", "bold")[rng.integers(0, 4)]
        lines.append(
            f'n{rng.integers(0, count)} -> n{rng.integers(0, count)} [style={style}, color="#{_hex(colour(rng))}"];'
        )
    return [encoded(run(["dot", f"-K{engine}", "-Tpng"], "\n".join([*lines, "}"])))]


# Line art


def line_art(rng: Random) -> Image:
    """Thin lines on paper: rosettes, branches, hatching, contour lines, a maze; smooth or bilevel."""
    height, width = size(rng)
    factor = SUPERSAMPLED if rng.random() < 0.6 else 1
    ink, paper = two_colours(rng)
    image = PillowImage.new("RGB", (factor * width, factor * height), paper)
    draw, thickness = ImageDraw.Draw(image), factor * int(rng.integers(1, 4))
    kinds: tuple[Callable[[Random, int, int], list[np.ndarray]], ...] = (
        _rosette,
        _branches,
        _hatching,
        _contours,
        _maze,
    )
    for line in kinds[rng.integers(0, len(kinds))](rng, factor * height, factor * width):
        draw.line([tuple(point) for point in line.tolist()], fill=ink, width=thickness)
    return as_array(image.resize((width, height), PillowImage.Resampling.BOX))


def _rosette(rng: Random, height: int, width: int) -> list[np.ndarray]:
    turn = np.linspace(0, 2 * np.pi * rng.integers(3, 40), 3000)
    inner, outer = rng.uniform(0.1, 0.9), rng.uniform(1, 12)
    x, y = (f(turn) + inner * f(turn * outer) for f in (np.cos, np.sin))
    return [np.stack([width / 2 * (1 + x / 1.9), height / 2 * (1 + y / 1.9)], 1)]


def _branches(rng: Random, height: int, width: int) -> list[np.ndarray]:
    """A tree, from its stem up."""
    lines, tips = [], [(width / 2, float(height), -np.pi / 2, height / 4)]
    for _ in range(7):
        grown = []
        for x, y, angle, length in tips:
            end = (x + length * np.cos(angle), y + length * np.sin(angle))
            lines.append(np.array([(x, y), end]))
            grown += [(*end, angle + rng.normal(side, 0.3), length * rng.uniform(0.6, 0.9)) for side in (-0.5, 0.5)]
        tips = grown
    return lines


def _hatching(rng: Random, height: int, width: int) -> list[np.ndarray]:
    lines, reach = [], float(height + width)
    for _ in range(rng.integers(1, 4)):
        angle, step = rng.uniform(0, np.pi), rng.uniform(3, 25)
        across, along = np.array([-np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)])
        for offset in np.arange(-reach, reach, step):
            middle = np.array([width, height]) / 2 + across * offset
            lines.append(np.stack([middle - along * reach, middle + along * reach]))
    return lines


def _contours(rng: Random, height: int, width: int) -> list[np.ndarray]:
    """Rings that a sum of waves bends."""
    turn, lines = np.linspace(0, 2 * np.pi, 300), []
    bends = rng.normal(0, 0.1, (2, 6))
    bend = sum(a * np.sin(n * turn) + b * np.cos(n * turn) for n, (a, b) in enumerate(bends.T, 1))
    for radius in np.linspace(0.05, 1.2, rng.integers(5, 40)):
        x, y = radius * (1 + bend) * np.cos(turn), radius * (1 + bend) * np.sin(turn)
        lines.append(np.stack([width / 2 * (1 + x), height / 2 * (1 + y)], 1))
    return lines


def _maze(rng: Random, height: int, width: int) -> list[np.ndarray]:
    step, lines = int(rng.integers(6, 30)), []
    for y in range(0, height, step):
        for x in range(0, width, step):
            ends = ((x, y), (x + step, y + step)) if rng.random() < 0.5 else ((x + step, y), (x, y + step))
            lines.append(np.array(ends, np.float64))
    return lines


# Pixel art


@functools.lru_cache(maxsize=len(TILE_SHEETS))
def _tiles(name: str) -> PillowImage.Image:
    path = TILES / name
    if not path.is_file():
        message = f"{path} is missing; install {PACKAGES}"
        raise MissingError(message)
    with PillowImage.open(path) as image:
        return image.convert("RGBA")


def pixel_art(rng: Random) -> Image:
    """Tiles of a game on one colour, or a sprite of random pixels, each pixel as a square."""
    (height, width), factor = size(rng), int(rng.integers(1, 9))
    small = (-(-width // factor), -(-height // factor))
    image = PillowImage.new("RGB", small, colour(rng))
    if rng.random() < 0.7:
        sheet = _tiles(TILE_SHEETS[rng.integers(0, len(TILE_SHEETS))])
        left, top = (int(rng.integers(0, max(1, most - side))) for side, most in zip(small, sheet.size, strict=True))
        part = sheet.crop((left, top, left + small[0], top + small[1]))
        image.paste(part, (0, 0), part)
    else:
        _sprite(rng, image)
    return as_array(
        image.resize((factor * small[0], factor * small[1]), PillowImage.Resampling.NEAREST).crop((0, 0, width, height))
    )


def _sprite(rng: Random, image: PillowImage.Image) -> None:
    """Symmetric figures of a few colours, side by side."""
    side, palette = int(rng.integers(5, 17)), [colour(rng) for _ in range(rng.integers(2, 6))]
    for top in range(0, image.height, side + 1):
        for left in range(0, image.width, side + 1):
            half = rng.integers(-1, len(palette), (side, (side + 1) // 2))
            for (row, column), number in np.ndenumerate(np.concatenate([half, half[:, ::-1]], 1)[:, :side]):
                if number >= 0 and left + column < image.width and top + row < image.height:
                    image.putpixel((left + column, top + row), palette[number])


# Codes


def qr_code(rng: Random) -> Image:
    """A QR code by qrencode, of modules of 1 to 9 pixels, in part or whole."""
    ink, paper = two_colours(rng)
    options = ["-s", str(rng.integers(1, 10)), "-l", str(rng.choice(list("LMQH"))), "-m", str(rng.integers(0, 5))]
    content = " ".join(words(rng, int(rng.integers(1, 60))))[:900]
    code = run(["qrencode", *options, f"--foreground={_hex(ink)}", f"--background={_hex(paper)}", "-o", "-", content])
    return cut(rng, encoded(code))


def bar_code(rng: Random) -> Image:
    """One of zint's, of any width."""
    number = int(rng.choice(list(BAR_CODES)))
    content = BAR_CODES[number] if number in DIGITS_ONLY else f"{BAR_CODES[number]} {rng.integers(0, 10**9)}"
    options = ["--direct", "--filetype=PNG", f"--scale={rng.integers(1, 8) / 2}", "-b", str(number), "-d", content]
    ink, paper = two_colours(rng)
    return cut(rng, encoded(run(["zint", *options, f"--fg={_hex(ink)}", f"--bg={_hex(paper)}"])))
