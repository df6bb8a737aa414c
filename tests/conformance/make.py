"""Makes the conformance set, vaecodec/conformance_data/. Run by hand only, in a commit that says why:

    python tests/conformance/make.py

Files that are there stay as they are; what is missing is added.

The model of the set (model.safetensors there) is that of tests/golden/ at format version 1; it is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import struct
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

import vaecodec  # noqa: E402
from vaecodec import container  # noqa: E402
from vaecodec.codec import Codec  # noqa: E402
from vaecodec.conformance import FOLDER, MANIFEST, MODEL, Expected, digest, errors_of, expectations  # noqa: E402
from vaecodec.container import Header, PostFilter, Tag  # noqa: E402
from vaecodec.container.alpha import Filter, _apply  # noqa: E402
from vaecodec.container.postfilter import WEIGHTS  # noqa: E402
from vaecodec.entropy.coding import R_LIMIT, Latents, encode_latents  # noqa: E402
from vaecodec.entropy.model import EntropyModel, from_tensors  # noqa: E402
from vaecodec.errors import FormatError  # noqa: E402
from vaecodec.image import Picture, to_picture  # noqa: E402
from vaecodec.intnet.layers import scale_index  # noqa: E402
from vaecodec.weights.store import read_model  # noqa: E402

PEAK, RMS = 1, 0.25
"""Allowed in float32. Rounding turns a difference of 1e-6 into one level at few pixels: 0.25 is one in 16 of them."""
FILTERED_PEAK = 2
"""With a post filter, which may make one level more of one."""
HALF_ROOM, HALF_PEAK = 2.0, 4
"""Half-precision limits: what this machine finds, times this, the peak at least 4 levels."""


@dataclass(frozen=True)
class Made:
    """A file of the set before it is described. compare: whether its pixels count; peak: how far they may be off."""

    name: str
    covers: str
    data: bytes
    compare: bool = True
    peak: int = PEAK


class Maker:
    """Codec, integers and photographs of the set."""

    def __init__(self) -> None:
        self.codec = Codec(MODEL, device="cpu", dtype="float32")
        self.half = Codec(MODEL, device="cpu", dtype="bfloat16")
        stored = read_model(MODEL)
        self.entropy: EntropyModel = from_tensors(stored.tensors)
        self.model_id, self.model_hash = int(stored.card["model_id"]), stored.wire_hash

    def photo(self, width: int, height: int, sample: str = "osprey.jpg", mode: str = "RGB") -> Image.Image:
        with Image.open(ROOT / "samples" / sample) as opened:
            whole = opened.convert("RGB").crop((440, 140, 760, 460))
        return whole.resize((width, height), Image.Resampling.LANCZOS).convert(mode)

    def header(self, width: int, height: int, level: int) -> Header:
        return Header(self.model_id, self.model_hash, level, container.Mode.RGB, width, height)

    def synthetic(
        self, width: int, height: int, level: int, *, z_top: int, r_top: int, seed: int, lanes: int | None = None
    ) -> bytes:
        """A file of random integers: z_hat in -z_top-1..z_top, r in -r_top..r_top."""
        rng = np.random.default_rng(seed)
        rows, columns = -(-height // 64), -(-width // 64)
        z_hat = rng.integers(-z_top - 1, z_top + 1, (self.entropy.N, rows, columns)).astype(np.int8)
        z_hat.flat[:2] = (-z_top - 1, z_top)
        index = scale_index(z_hat, level, self.entropy.layers)
        r = rng.integers(-r_top, r_top + 1, index.shape).astype(np.int32) * (index > 0)
        return self.pack(self.header(width, height, level), Latents(level, z_hat, r), index, lanes)

    def pack(
        self, header: Header, latents: Latents, index: NDArray[np.uint8], lanes: int | None, **more: bytes
    ) -> bytes:
        coded = encode_latents(self.entropy, latents, index, lanes=lanes)
        sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers)]
        sections += [(Tag[name], content) for name, content in more.items()]
        return container.pack(header, [(tag, content) for tag, content in sections if content])

    def with_lanes(self, picture: object, level: int, lanes: int) -> bytes:
        encoded = self.codec.encode_with_latents(picture, level=level)
        index = scale_index(encoded.latents.z_hat, level, self.entropy.layers)
        return self.pack(container.parse(encoded.data).header, encoded.latents, index, lanes)

    def with_outliers(self, picture: object, level: int, values: Sequence[int]) -> bytes:
        """`values` at the first coded places of r, and the last of all."""
        encoded = self.codec.encode_with_latents(picture, level=level)
        index = scale_index(encoded.latents.z_hat, level, self.entropy.layers)
        r = encoded.latents.r.copy()
        at = np.flatnonzero(index)[[*range(len(values) - 1), -1]]
        r.flat[at] = values
        latents = Latents(level, encoded.latents.z_hat, r)
        return self.pack(container.parse(encoded.data).header, latents, index, None)


def with_section(data: bytes, tag: int, content: bytes) -> bytes:
    """The file with one section set."""
    file = container.parse(data)
    contents: dict[int, bytes] = dict(container.read_all(data, file))
    return container.pack(file.header, list((contents | {tag: content}).items()))


def see_through(maker: Maker, mode: str, kind: Filter, size: tuple[int, int]) -> bytes:
    """A picture whose alpha is coded with one of the filters."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width]
    alpha = np.clip(2 * (height / 2 - np.hypot(rows - height / 2, columns - width / 2)) + 128, 0, 255).astype(np.uint8)
    base = to_picture(maker.photo(width, height, mode="RGB" if mode == "RGBA" else "L"))
    picture = Picture(base.rgb, alpha, "RGBA" if mode == "RGBA" else "LA", None, None, None)
    content = bytes([kind]) + zlib.compress(_apply(kind, alpha.tobytes(), width), 9)
    return with_section(maker.codec.encode(picture, level=30, mode="neural"), Tag.ALPHA, content)


def pictures(maker: Maker) -> list[Made]:
    """Sizes, levels, modes."""
    encode, photo = partial(maker.codec.encode, mode="neural"), maker.photo
    sizes = ((1, 1), (1, 70), (70, 1), (63, 65), (64, 64), (65, 63), (130, 61), (2, 257))
    files = [Made(f"size-{w}x{h}", f"{w} x {h} pixels", encode(photo(w, h), level=35)) for w, h in sizes]
    files += [
        Made(f"level-{level:02}", f"quality level {level}", encode(photo(72, 48), level=level))
        for level in (0, 1, 31, 62, 63)
    ]
    files.append(Made("mode-l", "mode L", encode(photo(50, 40, mode="L"), level=45)))
    for mode, kind, size in (
        ("RGBA", Filter.NONE, (40, 30)),
        ("RGBA", Filter.SUB, (41, 64)),
        ("RGBA", Filter.UP, (65, 31)),
        ("LA", Filter.SUB, (33, 20)),
        ("LA", Filter.UP, (1, 1)),
    ):
        name = f"mode-{mode}-{kind.name}-{size[0]}x{size[1]}".lower()
        files.append(Made(name, f"mode {mode}, alpha filter {kind.name}", see_through(maker, mode, kind, size)))
    flat = Image.new("RGB", (192, 128), (128, 128, 128))
    files.append(Made("flat", "nearly nothing is coded: most scale indices are 0", encode(flat, level=5)))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    files.append(Made("noise", "noise at the best level", encode(noise, level=63)))
    return files


def extras(maker: Maker) -> list[Made]:
    """Metadata and sections of the future."""
    photo = maker.photo(48, 32)
    plain = maker.codec.encode(photo, level=20, mode="neural")
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: pixels stay as they are
    tags = {Tag.ICC: b"conformance profile", Tag.EXIF: exif.tobytes().removeprefix(b"Exif\0\0"), Tag.XMP: b"<x/>"}
    files = [
        Made(f"section-{tag.name.lower()}", f"section {tag.name}", with_section(plain, tag, content))
        for tag, content in tags.items()
    ]
    everything = see_through(maker, "RGBA", Filter.UP, (48, 32))
    for tag, content in (*tags.items(), (0x80, b"from the future"), (0xFF, bytes(300))):
        everything = with_section(everything, tag, content)
    files.append(Made("section-all", "every section, two unknown optional ones", everything))
    return files


def postfilters(maker: Maker) -> list[Made]:
    """Post filters, and what a reader skips or refuses in their place."""
    draw = np.random.default_rng(5).integers
    photo = maker.photo
    plain = maker.codec.encode(photo(70, 45), level=45, mode="neural")
    gray = maker.codec.encode(photo(33, 66, mode="L"), level=45, mode="neural")
    small = maker.codec.encode(photo(1, 2), level=45, mode="neural")

    def weights(most: int) -> PostFilter:
        return PostFilter(8, tuple(int(weight) for weight in draw(-most, most + 1, WEIGHTS)))

    content = container.pack_postfilter(weights(12))
    extreme = container.pack_postfilter(PostFilter(9, (511, -511) * (WEIGHTS // 2)))
    sound_files = {
        "postfilter": ("a post filter", plain, content),
        "postfilter-l": ("a post filter in mode L", gray, content),
        "postfilter-1x2": ("a post filter of 1 x 2 pixels", small, content),
    }
    files = [
        Made(name, covers, with_section(data, Tag.POSTFILTER, section), peak=FILTERED_PEAK)
        for name, (covers, data, section) in sound_files.items()
    ]
    skipped = with_section(plain, Tag.POSTFILTER, b"\x02from the future")
    files.append(Made("postfilter-kind", "a post filter of another kind, which is skipped", skipped))
    largest = with_section(plain, Tag.POSTFILTER, extreme)
    files.append(Made("postfilter-extreme", "the largest weights of a post filter", largest, compare=False))
    bad = {
        "shift": (bytes([1, 10]) + content[2:], "a post filter of shift 10"),
        "cut": (content[:-1], "a post filter cut off"),
        "more": (content + b"\0", "a byte behind a post filter"),
        "weight": (
            content[:2] + bytes([0, 0b00100000]) + bytes(8) + content[2:],
            "a weight of a post filter beyond 511",
        ),
    }
    files += [
        Made(f"refuse-postfilter-{name}", covers, with_section(plain, Tag.POSTFILTER, section))
        for name, (section, covers) in bad.items()
    ]
    sound = encode_lossless(photo(20, 16))
    file = container.parse(sound)
    pixels = container.read_section(sound, file, Tag.LOSSLESS)
    odd = with_table(file.header, [(Tag.LOSSLESS, pixels), (Tag.POSTFILTER, content)])
    return [*files, Made("refuse-postfilter-lossless", "a post filter in version 2", odd)]


def with_table(header: Header, sections: list[tuple[Tag, bytes]]) -> bytes:
    """A file of sections that `container.pack` would refuse."""
    legal = container.pack(header, sections[:1])
    start = len(legal) - len(sections[0][1]) - 4
    size = len(container.pack_varint(len(sections[0][1]))) + 6
    rows = (bytes([tag]) + container.pack_varint(len(c)) + struct.pack("<I", zlib.crc32(c)) for tag, c in sections)
    head = legal[: start - size] + bytes([len(sections)]) + b"".join(rows)
    return head + struct.pack("<I", zlib.crc32(head)) + b"".join(content for _, content in sections)


def streams(maker: Maker) -> list[Made]:
    """Lanes, outliers, extreme integers."""
    photo = maker.photo(80, 72)
    files = [
        Made(f"lanes-{lanes:04}", f"{lanes} lanes", maker.with_lanes(photo, 40, lanes), compare=lanes == 64)
        for lanes in (1, 2, 16, 32, 64, 256, 1024)
    ]
    files += [
        Made("lanes-8192", "8192 lanes, most of them idle", maker.with_lanes(maker.photo(9, 9), 3, 8192)),
        Made("outliers", "outliers of r", maker.with_outliers(photo, 30, (200, -150, 90, -60))),
        Made(
            "outliers-limit",
            "the largest magnitudes of r",
            maker.with_outliers(photo, 20, (R_LIMIT - 1, 1 - R_LIMIT)),
            compare=False,
        ),
        Made(
            "random-z", "z_hat from -128 to 127 with outliers", maker.synthetic(130, 70, 9, z_top=127, r_top=1, seed=2),
            compare=False,
        ),
        Made(
            "random-all", "random integers, several groups",
            maker.synthetic(200, 130, 63, z_top=127, r_top=700, seed=3, lanes=128), compare=False,
        ),
        Made(
            "random-low", "small random integers at the lowest level",
            maker.synthetic(64, 192, 0, z_top=3, r_top=2, seed=4, lanes=4), compare=False,
        ),
    ]  # fmt: skip
    return files


def lossless(maker: Maker) -> list[Made]:
    """Lossless files: modes, tiles, metadata."""
    photo = maker.photo
    files = [
        Made(f"lossless-{mode.lower()}", f"lossless, mode {mode}", encode_lossless(image))
        for mode, image in (
            ("L", photo(33, 20, mode="L")),
            ("RGB", photo(41, 30)),
            ("LA", with_soft_alpha(photo(30, 25, mode="L"))),
            ("RGBA", with_soft_alpha(photo(28, 31))),
        )
    ]
    files.append(Made("lossless-1x1", "lossless, 1 x 1 pixel", encode_lossless(photo(1, 1))))
    opaque = photo(20, 10).convert("RGBA")
    files.append(Made("lossless-opaque", "lossless, mode RGBA, no alpha in the WebP file", encode_lossless(opaque)))
    tall = Image.fromarray(np.arange(16_384, dtype=np.uint16).astype(np.uint8)[:, None])
    files.append(Made("lossless-tall", "lossless, a side beyond that of a WebP file: two tiles", encode_lossless(tall)))
    steps = Image.fromarray((np.add.outer(np.arange(300) // 9, np.arange(520) // 7) % 5 * 60).astype(np.uint8))
    tiles = container.Header.of_lossless(container.Mode.L, 520, 300)
    places = [
        webp_of(steps.crop((left, top, left + width, top + height)))
        for left, top, width, height in container.tile_places(520, 300, 256, 257)
    ]
    content = container.pack_tiles(256, 257, places)
    files.append(Made("lossless-tiles", "lossless, 3 x 2 tiles", container.pack(tiles, [(Tag.LOSSLESS, content)])))
    everything = encode_lossless(photo(24, 16))
    for tag, content in ((Tag.ICC, b"profile"), (Tag.EXIF, b"II*\0"), (Tag.XMP, b"<x/>"), (0x80, b"future")):
        everything = with_section(everything, tag, content)
    files.append(Made("lossless-all", "lossless, every section, an unknown optional one", everything))
    return files


def encode_lossless(image: Image.Image) -> bytes:
    return vaecodec.encode(image, lossless=True)


def webp_of(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "WEBP", **({"lossless": True, "exact": True} | options))
    return out.getvalue()


def with_soft_alpha(image: Image.Image) -> Image.Image:
    rows, columns = np.mgrid[0 : image.height, 0 : image.width]
    image.putalpha(Image.fromarray((rows * columns % 256).astype(np.uint8)))
    return image


def refused_lossless(maker: Maker) -> list[Made]:
    """Lossless files that every reader must refuse."""
    photo = maker.photo(20, 16)
    good = encode_lossless(photo)
    webp, head = webp_of(photo), bytes([1, 20, 16])
    animated = webp_of(photo, save_all=True, append_images=[maker.photo(20, 16, "mountain-lake.jpg")])
    contents = {
        "codec": (b"\2" + head[1:] + counted(webp), "another codec than WebP"),
        "tile": (bytes([1, 21, 16]) + counted(webp), "a tile wider than the picture"),
        "size": (head + counted(webp_of(maker.photo(16, 20))), "a WebP file of another size"),
        "lossy": (head + counted(webp_of(photo, lossless=False)), "a lossy WebP file"),
        "animated": (head + counted(animated), "an animated WebP file"),
        "alpha": (head + counted(webp_of(with_soft_alpha(maker.photo(20, 16)))), "alpha in mode RGB"),
        "cut": (head + counted(webp)[:-1], "a tile cut off"),
        "more": (head + counted(webp) + b"\0", "a byte behind the last tile"),
        "pixels": (head + counted(webp[:25] + bytes(len(webp) - 25)), "no pixels in the WebP file"),
    }
    file = container.parse(good)
    files = [
        Made(f"refuse-lossless-{name}", f"lossless: {covers}", container.pack(file.header, [(Tag.LOSSLESS, content)]))
        for name, (content, covers) in contents.items()
    ]
    cases = {
        "model": (resealed(good, 6, 1), "a model in version 2"),
        "level": (resealed(good, 11, 62), "level 62 in version 2"),
        "latents": (resealed(good, 16, 1), "LATENTS in version 2"),
        "version-1": (resealed(maker.codec.encode(photo, level=10, mode="neural"), 17, 4), "LOSSLESS in version 1"),
        "version-255": (good[:4] + b"\xff" + good[5:], "version 255"),
    }
    return files + [Made(f"refuse-lossless-{name}", covers, data) for name, (data, covers) in cases.items()]


def counted(webp: bytes) -> bytes:
    return container.pack_varint(len(webp)) + webp


def resealed(data: bytes, at: int, byte: int) -> bytes:
    """One byte of the header changed, its CRC right again."""
    end = container.parse(data).size - sum(s.length for s in container.parse(data).sections.values()) - 4
    head = bytearray(data[:end])
    head[at] = byte
    return bytes(head) + struct.pack("<I", zlib.crc32(head)) + data[end + 4 :]


def refused(maker: Maker) -> list[Made]:
    """What every reader must refuse."""
    good = maker.codec.encode(maker.photo(20, 20), level=10, mode="neural")
    payload = container.read_section(good, container.parse(good), Tag.LATENTS)
    flipped = bytearray(good)
    flipped[-1] ^= 1
    cases = {
        "magic": (b"\x8fVAE" + good[4:], "another magic"),
        "version": (good[:4] + b"\2" + good[5:], "version 2 under the checksum of version 1"),
        "flags": (resealed(good, 5, 1), "a reserved flag"),
        "level": (resealed(good, 12, 64), "level 64"),
        "mode": (resealed(good, 13, 5), "mode 5"),
        "width": (resealed(good, 14, 0), "width 0"),
        "tag": (resealed(good, 17, 4), "LOSSLESS in version 1"),
        "header-crc": (good[:12] + b"\1" + good[13:], "a damaged header"),
        "cut": (good[:-1], "a byte is missing"),
        "more": (good + b"\0", "a byte too many"),
        "content-crc": (bytes(flipped), "a damaged section"),
        "lanes": (with_section(good, Tag.LATENTS, b"\x0e" + payload[1:]), "2^14 lanes"),
        "words": (with_section(good, Tag.LATENTS, payload + b"\0\0"), "words left over"),
        "state": (with_section(good, Tag.LATENTS, payload[:1] + b"\0\0\0\0" + payload[5:]), "a state below 2^16"),
        "outlier": (with_section(good, Tag.OUTLIERS, b"\xff\xff\xff\x7f\0"), "an outlier beyond the symbols"),
    }
    return [Made(f"refuse-{name}", covers, data) for name, (data, covers) in cases.items()]


def describe(file: Made, maker: Maker) -> Expected:
    """Decode in float32 and bfloat16; write the file and its picture."""
    (FOLDER / f"{file.name}.vaec").write_bytes(file.data)
    try:
        is_lossless = container.parse(file.data).header.is_lossless
        latents = None if is_lossless else digest(maker.codec.decode_latents(file.data))
        pixels = maker.codec.decode(file.data, as_array=True)
    except FormatError as error:
        return Expected(file.name, file.covers, error=type(error).__name__)
    if is_lossless:
        Image.fromarray(pixels).save(FOLDER / f"{file.name}.png", optimize=True)
        return Expected(file.name, file.covers, None, 0, 0.0, 0, 0.0)
    if not file.compare:
        return Expected(file.name, file.covers, latents)
    Image.fromarray(pixels).save(FOLDER / f"{file.name}.png", optimize=True)
    peak, rms = errors_of(maker.half.decode(file.data, as_array=True), pixels)
    room = round(HALF_ROOM * rms + RMS, 2)
    return Expected(file.name, file.covers, latents, file.peak, RMS, max(HALF_PEAK, round(HALF_ROOM * peak)), room)


def main() -> None:
    maker = Maker()
    known = {expected.name: expected for expected in expectations()}
    entries = []
    parts = (pictures, extras, streams, lossless, postfilters, refused, refused_lossless)
    for file in (file for part in parts for file in part(maker)):
        expected = known.get(file.name) or describe(file, maker)
        if file.name.startswith("refuse-") != (expected.error is not None):
            message = f"{file.name}: {expected.error}"
            raise SystemExit(message)
        entries.append({key: value for key, value in dataclasses.asdict(expected).items() if value is not None})
        click.echo(f"{file.name}: {'kept' if file.name in known else f'{len(file.data)} bytes'} {expected.error or ''}")
    model = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
    MANIFEST.write_text(f'{{\n "version": 1,\n "model": "{model}",\n "files": [\n{lines}\n ]\n}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
