"""Makes the training images that are no plain photographs: text, pages, screens, plots, drawings, codes, patterns, and
photographs that somebody has sharpened, dithered or inverted.

    python tools/make_graphics.py PHOTOS OUT --count 1200 --seed 1

PHOTOS: a folder of photographs, from which the edited ones are made. What else it draws with are packages of Debian and
PyPI, listed with their licences in graphics_packages.tsv beside this file; a kind whose package is absent ends the run
with an error. Images are 512 x 512, 8 bits; seed and count decide everything but the renderings of the browser.
"""

from __future__ import annotations

import argparse
import io
import random
import string
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

SIDE = 512
FONT_FOLDER = Path("/usr/share/fonts/truetype")
FONT_PACKAGES = (
    "dejavu", "liberation", "lato", "roboto", "firacode", "inconsolata", "open-sans", "crosextra", "comfortaa", "hack",
    "freefont", "noto", "wqy", "vollkorn",
)  # fmt: skip
KERNELS = (ImageFilter.FIND_EDGES, ImageFilter.CONTOUR, ImageFilter.EMBOSS, ImageFilter.EDGE_ENHANCE_MORE)
FAMILIES = ("DejaVu Sans", "Liberation Sans", "Lato", "Roboto", "Open Sans", "Fira Code", "Noto Serif")
CLIP_ART = Path("/usr/share/openclipart/png")
ICONS = Path("/usr/share/icons")
CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-sync", "--disable-component-update", "--disable-quic", "--hide-scrollbars", "--window-size=1024,1024",
)  # fmt: skip
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "for",
    "was",
    "on",
    "are",
    "with",
    "as",
    "his",
    "they",
    "be",
    "at",
    "one",
    "have",
    "this",
    "from",
    "or",
    "had",
    "by",
    "hot",
    "but",
    "some",
    "what",
    "invoice",
    "total",
    "date",
    "number",
    "page",
    "table",
    "figure",
    "results",
    "method",
    "section",
    "network",
    "image",
    "quality",
    "size",
    "value",
    "error",
    "server",
    "report",
    "market",
    "energy",
    "water",
    "people",
    "years",
    "between",
    "Straße",
    "naïve",
    "façade",
    "Übung",
    "año",
    "größer",
    "12.50",
    "100",
    "%",
    "2026",
    "©",
    "€",
    "£",
    "#",
    "&",
    "@",
]


def _sharp_colour(rng: random.Random) -> tuple[int, int, int]:
    """A colour of the sRGB cube, often black, white or a corner of it."""
    if rng.random() < 0.4:
        return rng.choice([(0, 0, 0), (255, 255, 255)])
    if rng.random() < 0.3:
        return (rng.choice([0, 255]), rng.choice([0, 255]), rng.choice([0, 255]))
    return (rng.randrange(256), rng.randrange(256), rng.randrange(256))


def _pair(rng: random.Random) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Ink and paper; black on white in a third of all cases."""
    if rng.random() < 0.35:
        return (0, 0, 0), (255, 255, 255)
    ink, paper = _sharp_colour(rng), _sharp_colour(rng)
    return (ink, paper) if ink != paper else ((20, 20, 20), (250, 250, 245))


class Graphics:
    """Draws images of each kind from one random stream."""

    def __init__(self, photographs: list[Path], rng: random.Random) -> None:
        self.rng, self.photographs = rng, photographs
        self.fonts = sorted(
            path for path in FONT_FOLDER.rglob("*.ttf") if any(name in str(path) for name in FONT_PACKAGES)
        )
        self.clip_art = sorted(CLIP_ART.rglob("*.png"))
        self.icons = sorted(path for path in ICONS.rglob("*.png") if path.is_file() and not path.is_symlink())
        for name, files in (("fonts", self.fonts), ("clip art", self.clip_art), ("icons", self.icons)):
            if not files:
                message = f"no {name}: install the packages of graphics_packages.tsv"
                raise SystemExit(message)

    # Text

    def _font(self, smallest: int = 8, largest: int = 40) -> ImageFont.FreeTypeFont:
        size = round(2 ** self.rng.uniform(np.log2(smallest), np.log2(largest)))
        while True:
            font = ImageFont.truetype(self.rng.choice(self.fonts), size)
            if bytes(font.getmask("a")) != bytes(font.getmask("\uffff")):
                return font  # those of other scripts draw boxes for letters

    def _line(self) -> str:
        if self.rng.random() < 0.1:
            return "".join(self.rng.choices(string.printable[:94], k=60))
        return " ".join(self.rng.choices(WORDS, k=20))

    def text(self) -> Image.Image:
        """Lines of text in one or several fonts, smooth or bilevel."""
        ink, paper = _pair(self.rng)
        image = Image.new("RGB", (SIDE, SIDE), paper)
        draw = ImageDraw.Draw(image)
        draw.fontmode = "1" if self.rng.random() < 0.2 else "L"
        y, font = self.rng.randrange(-10, 20), self._font()
        while y < SIDE:
            if self.rng.random() < 0.1:
                font = self._font()
            if self.rng.random() < 0.1:
                ink = _sharp_colour(self.rng)
            draw.text((self.rng.randrange(-20, 30), y), self._line(), font=font, fill=ink)
            y += int(font.size * self.rng.uniform(1.05, 1.8))
        return image

    def document(self) -> Image.Image:
        """A page with headings, paragraphs, tables and a picture, often as a scan of it."""
        image = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
        draw = ImageDraw.Draw(image)
        body, head = self._font(8, 15), self._font(16, 34)
        y = self.rng.randrange(5, 40)
        while y < SIDE:
            kind = self.rng.random()
            if kind < 0.15:
                draw.text((30, y), self._line(), font=head, fill=(0, 0, 0))
                y += int(head.size * 1.6)
            elif kind < 0.3:
                y = self._table(draw, y, body)
            elif kind < 0.4:
                image.paste(self._photograph().resize((180, 120)), (self.rng.randrange(10, 300), y))
                y += 130
            else:
                for _ in range(self.rng.randrange(2, 9)):
                    draw.text((30, y), self._line(), font=body, fill=(0, 0, 0))
                    y += int(body.size * 1.3)
                y += 10
        return self._scan(image) if self.rng.random() < 0.4 else image

    def _table(self, draw: ImageDraw.ImageDraw, top: int, font: ImageFont.FreeTypeFont) -> int:
        rows, columns, height = self.rng.randrange(2, 8), self.rng.randrange(2, 6), int(font.size * 1.7)
        width = 450 // columns
        for row in range(rows):
            for column in range(columns):
                x, y = 30 + column * width, top + row * height
                draw.rectangle(
                    (x, y, x + width, y + height), outline=(0, 0, 0), fill=(230, 230, 240) if row == 0 else None
                )
                draw.text((x + 3, y + 2), f"{self.rng.uniform(0, 9999):.2f}", font=font, fill=(0, 0, 0))
        return top + rows * height + 12

    def _scan(self, image: Image.Image) -> Image.Image:
        """The page turned a little, blurred, noisy, with bilevel as one of the ends."""
        turned = image.rotate(self.rng.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=(250, 250, 248))
        blurred = turned.filter(ImageFilter.GaussianBlur(self.rng.uniform(0, 0.8)))
        noisy = _with_noise(blurred, self.rng.uniform(0, 8), self.rng)
        return noisy.convert("1", dither=Image.Dither.NONE).convert("RGB") if self.rng.random() < 0.4 else noisy

    # Screens

    def html(self) -> str:
        """A page of a made-up application, light or dark."""
        rng = self.rng
        back, fore, accent = rng.choice([("#1e1e1e", "#ddd", "#4fc1ff"), ("#fff", "#222", "#1a0dab")])
        blocks = [self._html_block(fore, accent) for _ in range(rng.randrange(6, 14))]
        style = (
            f"body{{background:{back};color:{fore};font:{rng.randrange(11, 18)}px '{rng.choice(FAMILIES)}';margin:8px;"
            f"columns:{rng.randrange(1, 4)}}}a{{color:{accent}}}td{{border:1px solid #888;padding:2px 6px}}"
            "pre{background:#8882;padding:6px}"
        )
        return f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(blocks)}"

    def _html_block(self, fore: str, accent: str) -> str:
        rng = self.rng
        words = " ".join(rng.choices(WORDS, k=rng.randrange(10, 60)))
        colour = "#{:02x}{:02x}{:02x}".format(*_sharp_colour(rng))
        kind = rng.randrange(6)
        if kind == 0:
            return f"<h2>{words[:40]}</h2><p>{words} <a href='#'>{words[:18]}</a> {words}</p>"
        if kind == 1:
            row = "<tr>" + "".join(f"<td>{rng.randrange(10**6)}</td>" for _ in range(6)) + "</tr>"
            return f"<table>{row * 6}</table>"
        if kind == 2:
            number = rng.random()
            return f"<pre>def f(x):\n    return x * {number:.3f}  # {words[:30]}\n\nprint(f(9))</pre>"
        if kind == 3:
            buttons = "".join(f"<button>{word}</button>" for word in rng.choices(WORDS, k=8))
            return buttons + "<input value='text'><select><option>one</select><progress value=0.4></progress>"
        if kind == 4:
            return f"<div style='background:{colour};color:{fore};padding:12px;border-radius:8px'>{words}</div>"
        bars = "".join(
            f"<rect x='{24 * i}' y='{100 - h}' width='18' height='{h}' fill='{accent}'/>"
            for i, h in enumerate(rng.choices(range(10, 100), k=16))
        )
        line = f"<path d='M0 80 L100 20 L200 60 L380 5' stroke='{colour}' fill='none'/>"
        return f"<svg width='400' height='110'>{bars}{line}</svg>"

    def screens(self, count: int) -> list[Image.Image]:
        """Screenshots of such pages by headless Chromium, each cut into squares."""
        tiles: list[Image.Image] = []
        with tempfile.TemporaryDirectory() as folder:
            page, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
            while len(tiles) < count:
                page.write_text(self.html(), encoding="utf-8")
                scale = self.rng.choice([1, 1, 1.5, 2])
                command = ["chromium", *CHROMIUM, f"--user-data-dir={folder}/profile", f"--screenshot={shot}"]
                command += [f"--force-device-scale-factor={scale}", page.as_uri()]
                subprocess.run(command, check=True, capture_output=True, timeout=120)
                with Image.open(shot) as whole:
                    image = whole.convert("RGB")
                tops, lefts = (range(0, side - SIDE + 1, SIDE) for side in (image.height, image.width))
                corners = [(left, top) for top in tops for left in lefts]
                for left, top in self.rng.sample(corners, min(4, len(corners))):
                    tiles.append(image.crop((left, top, left + SIDE, top + SIDE)))
        return tiles[:count]

    # Drawings

    def plot(self) -> Image.Image:
        """A chart by matplotlib."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        with plt.style.context(self.rng.choice(["default", "dark_background", "ggplot", "bmh", "grayscale"])):
            figure, axes = plt.subplots(figsize=(5.12, 5.12), dpi=100)
            data = np.random.default_rng(self.rng.randrange(2**31))
            kind = self.rng.randrange(5)
            if kind == 0:
                for _ in range(self.rng.randrange(1, 6)):
                    axes.plot(data.standard_normal(80).cumsum(), label=self.rng.choice(WORDS))
                axes.legend()
            elif kind == 1:
                axes.bar(range(12), data.random(12))
            elif kind == 2:
                axes.scatter(data.random(300), data.random(300), c=data.random(300), s=12)
            elif kind == 3:
                colours = self.rng.choice(["viridis", "gray", "jet", "coolwarm"])
                axes.imshow(data.random((12, 12)), cmap=colours, interpolation="nearest")
            else:
                axes.hist(data.standard_normal(2000), bins=50)
            axes.set_title(self._line()[:40].replace("$", ""))
            axes.grid(self.rng.random() < 0.5)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png")
            plt.close(figure)
        return Image.open(buffer).convert("RGB").resize((SIDE, SIDE))

    def diagram(self) -> Image.Image:
        """Shapes and lines of any width, smooth or not."""
        factor = self.rng.choice([1, 1, 2])
        _, paper = _pair(self.rng)
        image = Image.new("RGB", (SIDE * factor, SIDE * factor), paper)
        draw, rng = ImageDraw.Draw(image), self.rng
        for _ in range(rng.randrange(5, 120)):
            x0, x1 = sorted(rng.randrange(SIDE * factor) for _ in range(2))
            y0, y1 = sorted(rng.randrange(SIDE * factor) for _ in range(2))
            colour, width = _sharp_colour(rng), rng.choice([1, 1, 2, 3, 8]) * factor
            shape = rng.randrange(5)
            if shape == 0:
                draw.rectangle((x0, y0, x1, y1), outline=colour, width=width)
            elif shape == 1:
                draw.ellipse((x0, y0, x1, y1), outline=colour, width=width)
            elif shape == 2 and rng.random() < 0.4:
                draw.rectangle((x0, y0, x0 + (x1 - x0) // 3, y0 + (y1 - y0) // 3), fill=colour)
            elif shape == 3:
                draw.polygon([(x0, y0), (x1, y1), (rng.randrange(SIDE), rng.randrange(SIDE))], outline=colour)
            else:
                draw.line((x0, y0 if rng.random() < 0.5 else y1, x1, y1), fill=colour, width=width)
        return image.resize((SIDE, SIDE), Image.Resampling.BOX)

    def drawing(self) -> Image.Image:
        """Clip art, or a sheet of icons."""
        _, paper = _pair(self.rng)
        image = Image.new("RGB", (SIDE, SIDE), paper)
        if self.rng.random() < 0.5:
            self._place(image, self.rng.choice(self.clip_art), SIDE, (0, 0))
            return image
        step = self.rng.choice([64, 128])
        for y in range(0, SIDE, step):
            for x in range(0, SIDE, step):
                self._place(image, self.rng.choice(self.icons), step, (x, y))
        return image

    def _place(self, image: Image.Image, path: Path, most: int, at: tuple[int, int]) -> None:
        with Image.open(path) as icon:
            art = icon.convert("RGBA")
        if self.rng.random() < 0.3 and max(art.size) <= 64:
            art = art.resize((art.width * 2, art.height * 2), Image.Resampling.NEAREST)
        art.thumbnail((most, most))
        image.paste(art, at, art)

    def pixel_art(self) -> Image.Image:
        """Few colours in large pixels."""
        side = self.rng.choice([32, 64, 128, 256])
        with Image.open(self.rng.choice(self.icons)) as icon:
            small = icon.convert("RGB").resize((side, side)).quantize(self.rng.choice([4, 8, 16])).convert("RGB")
        return small.resize((SIDE, SIDE), Image.Resampling.NEAREST)

    def code(self) -> Image.Image:
        """QR and bar codes in modules of any size."""
        import barcode
        import qrcode
        from barcode.writer import ImageWriter

        image = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
        for corner in ((0, 0), (256, 0), (0, 256), (256, 256)):
            content = "".join(self.rng.choices(string.ascii_letters, k=self.rng.randrange(5, 120)))
            if self.rng.random() < 0.6:
                qr = qrcode.QRCode(box_size=self.rng.randrange(1, 9), border=1)
                qr.add_data(content)
                qr.make(fit=True)
                tile = qr.make_image().convert("RGB")
            else:
                bars = barcode.get("code128", content[:12], writer=ImageWriter())
                tile = bars.render({"module_width": self.rng.uniform(0.1, 0.4)})
            image.paste(tile.convert("RGB"), corner)
        return image

    # Patterns

    def pattern(self) -> Image.Image:
        """Stripes, checkerboards, gradients, flat colours, noise, and arrays of 0 and 255."""
        rng, data = self.rng, np.random.default_rng(self.rng.randrange(2**31))
        first, second = (np.array(colour, np.float64) for colour in _pair(rng))
        rows, columns = np.mgrid[:SIDE, :SIDE]
        kind = rng.randrange(8)
        if kind == 0:
            angle, period = rng.uniform(0, np.pi), 2 ** rng.uniform(1, 7)
            share = ((rows * np.sin(angle) + columns * np.cos(angle)) % period < period / 2).astype(np.float64)
        elif kind == 1:
            period = rng.choice([1, 2, 3, 4, 5, 8, 13, 16, 32])
            share = ((rows // period + columns // period) % 2).astype(np.float64)
        elif kind == 2:
            angle = rng.uniform(0, np.pi)
            share = rows * np.sin(angle) + columns * abs(np.cos(angle))
            share = share / share.max()
        elif kind == 3:
            share = np.hypot(rows - rng.randrange(SIDE), columns - rng.randrange(SIDE)) / SIDE % 1
        elif kind == 4:
            share = np.full((SIDE, SIDE), rng.random())
        elif kind == 5:
            return Image.fromarray(data.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
        elif kind == 6:
            block = rng.choice([1, 1, 2, 4, 8])
            cells = data.integers(0, 2, (SIDE // block, SIDE // block, rng.choice([1, 3]))) * 255
            array = np.broadcast_to(cells.repeat(block, 0).repeat(block, 1), (SIDE, SIDE, 3))
            return Image.fromarray(array.astype(np.uint8))
        else:
            share = (data.random((SIDE, SIDE)) < rng.uniform(0.005, 0.5)).astype(np.float64)
        array = first + (second - first) * share[:, :, None]
        return Image.fromarray(array.round().astype(np.uint8))

    # Photographs that somebody has worked on

    def _photograph(self) -> Image.Image:
        with Image.open(self.rng.choice(self.photographs)) as image:
            whole = image.convert("RGB")
        if self.rng.random() < 0.5:
            whole.thumbnail((700, 700), Image.Resampling.LANCZOS)
        left = self.rng.randrange(max(1, whole.width - SIDE + 1))
        top = self.rng.randrange(max(1, whole.height - SIDE + 1))
        right, bottom = min(whole.width, left + SIDE), min(whole.height, top + SIDE)
        return ImageOps.fit(whole.crop((left, top, right, bottom)), (SIDE, SIDE))

    def edited(self) -> Image.Image:
        """A photograph through one of the filters that diverge least obviously, and most."""
        image, rng = self._photograph(), self.rng
        edits: list[Callable[[], Image.Image]] = [
            lambda: image.filter(ImageFilter.SHARPEN),
            lambda: image.filter(ImageFilter.UnsharpMask(rng.uniform(1, 3), rng.randrange(100, 600), rng.randrange(4))),
            lambda: ImageEnhance.Sharpness(image).enhance(rng.uniform(2, 20)),
            lambda: ImageEnhance.Contrast(image).enhance(rng.uniform(1.5, 6)),
            lambda: ImageEnhance.Color(image).enhance(rng.uniform(2, 8)),
            lambda: ImageOps.autocontrast(image, cutoff=rng.uniform(1, 30)),
            lambda: ImageOps.equalize(image),
            lambda: ImageOps.invert(image),
            lambda: ImageOps.posterize(image, rng.randrange(1, 4)),
            lambda: ImageOps.solarize(image, rng.randrange(60, 200)),
            lambda: image.convert("1").convert("RGB"),
            lambda: image.convert("1", dither=Image.Dither.NONE).convert("RGB"),
            lambda: image.quantize(rng.choice([2, 4, 8, 16, 64]), dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"),
            lambda: image.filter(rng.choice(KERNELS)),
            lambda: _with_noise(image, 2 ** rng.uniform(2, 7), rng),
            lambda: _with_salt(image, rng.uniform(0.005, 0.2), rng),
            lambda: image.resize((SIDE // rng.choice([2, 4, 8]),) * 2).resize(image.size, Image.Resampling.NEAREST),
            lambda: _as_jpeg(image, rng.randrange(3, 40)),
            lambda: ImageOps.grayscale(image).convert("RGB"),
        ]
        return rng.choice(edits)()


def _with_noise(image: Image.Image, sigma: float, rng: random.Random) -> Image.Image:
    data = np.random.default_rng(rng.randrange(2**31))
    noisy = np.asarray(image, np.float64) + data.normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8))


def _with_salt(image: Image.Image, share: float, rng: random.Random) -> Image.Image:
    """Salt and pepper."""
    data = np.random.default_rng(rng.randrange(2**31))
    array = np.array(image)
    array[data.random(array.shape[:2]) < share / 2] = 255
    array[data.random(array.shape[:2]) < share / 2] = 0
    return Image.fromarray(array)


def _as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


SHARES = {
    "text": 18, "document": 10, "plot": 5, "diagram": 8, "drawing": 8, "pixel_art": 5, "code": 5, "pattern": 12,
    "edited": 22,
}  # fmt: skip
SCREENS = 7
"""Of the same hundred."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    photographs = sorted(path for path in options.photographs.rglob("*") if path.suffix in {".avif", ".png", ".jpg"})
    graphics = Graphics(photographs, random.Random(options.seed))
    options.out.mkdir(parents=True)
    for kind, share in SHARES.items():
        for number in range(round(options.count * share / 100)):
            getattr(graphics, kind)().convert("RGB").save(options.out / f"{kind}-{number:04}.png", compress_level=1)
    for number, image in enumerate(graphics.screens(round(options.count * SCREENS / 100))):
        image.save(options.out / f"screen-{number:04}.png", compress_level=1)


if __name__ == "__main__":
    main()
