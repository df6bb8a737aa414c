"""Makes the golden files. Run by hand only, in a commit that says why: python tests/golden/make.py
(with --keep-model only the files are made anew, with --add those that are missing, with --lossless only those of format
version 2).

tiny-v1.safetensors is a very small model, trained for a moment on samples/; the .vaec files are coded with it, so they
decode whatever weights the package ships. golden.json holds the SHA-256 of the integers of every file, and the PNGs
what they decoded to when they were made.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels")]

import vaecodec  # noqa: E402
from vaecodec import container  # noqa: E402
from vaecodec.codec import Codec  # noqa: E402
from vaecodec.container import Header, Mode, PostFilter, Tag  # noqa: E402
from vaecodec.container.postfilter import WEIGHTS  # noqa: E402
from vaecodec.entropy.coding import Latents, encode_latents  # noqa: E402
from vaecodec.image import Picture, to_picture  # noqa: E402
from vaecodec.intnet.layers import scale_index  # noqa: E402
from vaecodec.runtime.loading import TorchModel, load_model  # noqa: E402
from vaecodec.training.data import load_corpus  # noqa: E402
from vaecodec.training.export_run import export_run  # noqa: E402
from vaecodec.training.loop import Trainer  # noqa: E402
from vaecodec.training.settings import Settings  # noqa: E402
from vaecodec.weights.store import read_model  # noqa: E402

MODEL = HERE / "tiny-v1.safetensors"
SETTINGS = Settings(config="tiny", steps=1500, batch=8, crop=128, warmup=20, ema=0.99, bf16=False)


@dataclass(frozen=True)
class Golden:
    """One golden file. outliers: (channel, row, column) of r -> the value put there, beyond every table."""

    name: str
    picture: Picture
    level: int
    lanes: int | None = None
    outliers: tuple[tuple[int, int, int, int], ...] = ()
    optional: bytes | None = None
    postfilter: PostFilter | None = None


def make_model() -> None:
    """Train and export the tiny model."""
    corpus = load_corpus(ROOT / "samples", 256)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(SETTINGS, corpus, Path(folder))
        for _ in range(SETTINGS.steps):
            entry = trainer.step()
        trainer.save()
        click.echo(f"trained: {entry['bpp']:.3f} bpp, {entry['psnr']:.2f} dB")
        export_run(Path(folder), corpus, MODEL, crops=64)


def crop(name: str, left: int, top: int, width: int, height: int) -> Image.Image:
    with Image.open(ROOT / "samples" / name) as photo:
        return photo.convert("RGB").crop((left, top, left + width, top + height))


def goldens() -> list[Golden]:
    """Odd sizes; every mode; one and several lane groups; outliers; metadata; optional sections."""
    lake = to_picture(crop("mountain-lake.jpg", 400, 300, 133, 97))
    bird = to_picture(crop("osprey.jpg", 480, 180, 150, 130))
    rows, columns = np.mgrid[0:130, 0:150]
    soft = np.clip(2 * (70 - np.hypot(rows - 65, columns - 75)) + 128, 0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation
    exif[0x013B] = "vaecodec"
    tagged = replace(
        bird, alpha=soft, mode="RGBA", icc=b"golden icc profile", exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    )  # fmt: skip
    gray = to_picture(crop("handwriting.jpg", 500, 400, 65, 70).convert("L"))
    sharp = PostFilter(7, tuple(37 * place % 19 - 9 if place % 4 == 0 else 0 for place in range(WEIGHTS)))
    dot = to_picture(Image.new("LA", (1, 1), (200, 77)))
    return [
        Golden("rgb", lake, level=40),
        Golden("rgba", tagged, level=52, lanes=64),
        Golden("gray", gray, level=63, outliers=((3, 1, 2, 900), (9, 5, 0, -700)), optional=b"from the future"),
        Golden("dot", dot, level=0),
        Golden("filtered", lake, level=40, postfilter=sharp),
    ]


def make_file(golden: Golden, codec: Codec, model: TorchModel) -> bytes:
    """Code the picture, then put in what an encoder would not choose by itself."""
    encoded = codec.encode_with_latents(golden.picture, level=golden.level)
    file = container.parse(encoded.data)
    r = encoded.latents.r.copy()
    index = scale_index(encoded.latents.z_hat, golden.level, model.entropy.layers)
    for channel, row, column, value in golden.outliers:
        if not index[channel, row, column]:
            message = f"{golden.name}: nothing is coded at {channel, row, column}"
            raise SystemExit(message)
        r[channel, row, column] = value
    latents = Latents(golden.level, encoded.latents.z_hat, r)
    coded = encode_latents(model.entropy, latents, index, lanes=golden.lanes)
    contents: dict[int, bytes] = dict(container.read_all(encoded.data, file))
    contents[Tag.LATENTS] = coded.payload
    if coded.outliers:
        contents[Tag.OUTLIERS] = coded.outliers
    if golden.optional is not None:
        contents[0x80] = golden.optional
    if golden.postfilter is not None:
        contents[Tag.POSTFILTER] = container.pack_postfilter(golden.postfilter)
    header: Header = file.header
    return container.pack(header, list(contents.items()))


def digest(array: np.ndarray) -> str:
    """SHA-256 of the little-endian bytes."""
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def describe(golden: Golden, data: bytes, codec: Codec) -> dict[str, object]:
    """What a decoder must find in the file."""
    latents = codec.decode_latents(data)
    picture = golden.picture
    metadata = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp}
    return {
        "level": golden.level,
        "mode": Mode[picture.mode].name,
        "size": [picture.width, picture.height],
        "lanes": 1 << container.read_section(data, container.parse(data), Tag.LATENTS)[0],
        "z_hat": {"shape": latents.z_hat.shape, "sha256": digest(latents.z_hat)},
        "r": {"shape": latents.r.shape, "sha256": digest(latents.r)},
        "metadata": {key: value.hex() for key, value in metadata.items() if value is not None},
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def make_lossless() -> None:
    """A file of version 2 for each mode, its pixels as PNG; golden-lossless.json has the digests."""
    bird = crop("osprey.jpg", 480, 180, 70, 50)
    soft = Image.fromarray((np.add.outer(np.arange(50), np.arange(70)) * 2 % 256).astype(np.uint8))
    files = {}
    for mode in ("L", "RGB", "LA", "RGBA"):
        picture = bird.convert(mode)
        if mode in ("LA", "RGBA"):
            picture.putalpha(soft)
        picture.info["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
        name = f"lossless-{mode.lower()}"
        data = vaecodec.encode(picture, lossless=True)
        (HERE / f"{name}-v2.vaec").write_bytes(data)
        Image.fromarray(vaecodec.decode(data, as_array=True)).save(HERE / f"{name}-v2.png", optimize=True)
        files[name] = {"mode": mode, "sha256": hashlib.sha256(data).hexdigest(), "pixels": digest(np.asarray(picture))}
    text = json.dumps({"version": 2, "files": files}, indent=1)
    (HERE / "golden-lossless.json").write_text(text + "\n", encoding="utf-8")


def main() -> None:
    if "--lossless" in sys.argv[1:]:
        make_lossless()
        return
    is_adding = "--add" in sys.argv[1:]
    if not is_adding and "--keep-model" not in sys.argv[1:]:
        make_model()
    codec, model = Codec(MODEL, device="cpu", dtype="float32"), load_model(read_model(MODEL))
    files: dict[str, object] = json.loads((HERE / "golden.json").read_text("utf-8"))["files"] if is_adding else {}
    for golden in goldens():
        if golden.name in files:
            continue
        data = make_file(golden, codec, model)
        (HERE / f"{golden.name}-v1.vaec").write_bytes(data)
        pixels = Image.fromarray(codec.decode(data, as_array=True))
        pixels.save(HERE / f"{golden.name}-v1.png", optimize=True)
        files[golden.name] = describe(golden, data, codec)
        click.echo(f"{golden.name}: {len(data)} bytes")
    (HERE / "golden.json").write_text(json.dumps({"version": 1, "files": files}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
