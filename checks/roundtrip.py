"""`python -m checks roundtrip`: what was encoded is what is decoded, and it costs what the tables say.

For every picture and quality: the size of the decoded picture; its latents, integer by integer; its PSNR against what
the encoder expected; the rANS bytes against the ideal content of the symbols; and what the container adds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import track

from bench.codecs import Image
from bench.measure import load_image
from bench.rd.runs import dataset_of
from bench.records import RESULTS, Record, header, save
from vaecodec import container
from vaecodec.codec import Codec, Encoded
from vaecodec.container import Tag
from vaecodec.levels import MAX_LEVEL
from vaecodec.metrics import psnr
from vaecodec.runtime.devices import native_dtype
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.runtime.pipeline import to_pixels
from vaecodec.runtime.torch_engine import set_block_type
from vaecodec.weights.manifest import entry_by_name
from vaecodec.weights.store import read_model

QUALITIES = (1.0, 20.0, 40.0, 60.0, 80.0, 100.0)
LARGEST_PSNR_DIFFERENCE = 0.02
LARGEST_EXCESS = 0.005
LARGEST_OVERHEAD = 32
LANE_BYTE = 1  # log2(lanes), the first byte of the section LATENTS


@dataclass(frozen=True)
class Row:
    """One picture at one quality. Sizes in bytes; `excess`: rANS bytes over the ideal content, minus 1.

    overhead: everything but rANS bytes and outliers; an outlier list counts with its row of the section table.
    """

    image: str
    quality: float
    size: int
    bpp: float
    rans: int
    outliers: int
    overhead: int
    information: float
    excess: float
    psnr: float
    psnr_expected: float
    size_right: bool
    latents_equal: bool

    def faults(self) -> list[str]:
        """The promises that this row breaks."""
        checks = {
            "decoded size is wrong": self.size_right,
            "latents differ": self.latents_equal,
            f"PSNR {self.psnr:.3f} dB, expected {self.psnr_expected:.3f}": (
                abs(self.psnr - self.psnr_expected) <= LARGEST_PSNR_DIFFERENCE
            ),
            f"payload {self.excess:+.2%} over the ideal": self.excess <= LARGEST_EXCESS,
            f"overhead {self.overhead} bytes": self.overhead <= LARGEST_OVERHEAD,
        }
        return [fault for fault, kept in checks.items() if not kept]


def stored_model(model: str) -> TorchModel:
    """A shipped name or the path of a weights file -> its networks, for what the encoder expects."""
    loaded = load_model(read_model(Path(model) if model.endswith(".safetensors") else entry_by_name(model).path))
    set_block_type(loaded.network, getattr(torch, native_dtype("cpu")))
    return loaded


@torch.inference_mode()
def expected_pixels(model: TorchModel, encoded: Encoded, shape: Sequence[int]) -> Image:
    """What the encoder's own y_hat looks like, by the network as it was trained, in one piece: uint8 [H, W, 3]."""
    t = torch.tensor([encoded.latents.level / MAX_LEVEL])
    pixels: Image = to_pixels(model.network.synthesize(torch.as_tensor(encoded.y_hat).cpu(), t))[
        0, : shape[0], : shape[1]
    ]
    return pixels


def measure(codec: Codec, model: TorchModel, name: str, img: Image, quality: float) -> Row:
    """Encode `img` uint8 [H, W, 3], decode it, compare."""
    encoded = codec.encode_with_latents(img, quality)
    file = container.parse(encoded.data)
    latents, decoded = codec.decode_latents(encoded.data), codec.decode(encoded.data, as_array=True)
    rans = file.sections[Tag.LATENTS].length - LANE_BYTE
    outliers = outlier_bytes(file)
    equal = np.array_equal(latents.z_hat, encoded.latents.z_hat) and np.array_equal(latents.r, encoded.latents.r)
    return Row(
        image=name,
        quality=quality,
        size=len(encoded.data),
        bpp=8 * len(encoded.data) / (img.shape[0] * img.shape[1]),
        rans=rans,
        outliers=outliers,
        overhead=len(encoded.data) - rans - outliers,
        information=encoded.coded.information,
        excess=8 * rans / encoded.coded.information - 1,
        psnr=psnr(img, decoded),
        psnr_expected=psnr(img, expected_pixels(model, encoded, img.shape)),
        size_right=decoded.shape == img.shape,
        latents_equal=equal,
    )


def outlier_bytes(file: container.File) -> int:
    """The outlier list with its row of the section table: tag, length (varint), CRC."""
    if Tag.OUTLIERS not in file.sections:
        return 0
    length = file.sections[Tag.OUTLIERS].length
    return length + 1 + len(container.pack_varint(length)) + 4


def table(rows: Sequence[Row]) -> list[str]:
    """One line for each quality: the means, and the worst of what is promised."""
    lines = [
        "| quality | bpp | PSNR | worst PSNR difference | excess (worst) | overhead | outliers | latents |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for quality in sorted({row.quality for row in rows}):
        of = [row for row in rows if row.quality == quality]
        difference = max(abs(row.psnr - row.psnr_expected) for row in of)
        excess = sum(row.rans for row in of) * 8 / sum(row.information for row in of) - 1
        lines.append(
            f"| {quality:g} | {np.mean([row.bpp for row in of]):.4f} | {np.mean([row.psnr for row in of]):.2f} dB "
            f"| {difference:.5f} dB | {excess:.3%} ({max(row.excess for row in of):.3%}) "
            f"| {max(row.overhead for row in of)} bytes | {np.mean([row.outliers for row in of]):.1f} bytes "
            f"| {sum(row.latents_equal for row in of)} of {len(of)} equal |"
        )
    return lines


def as_record(rows: Sequence[Row], model: str, dataset: str) -> Record:
    """Columns of all rows, the faults, and what was measured on what."""
    plain = [asdict(row) for row in rows]
    columns = {key: [round(r[key], 6) if isinstance(r[key], float) else r[key] for r in plain] for key in plain[0]}
    faults = {f"{row.image} at {row.quality:g}": row.faults() for row in rows if row.faults()}
    return {
        "model": model,
        "dataset": dataset,
        **header(),
        "passed": not faults,
        "faults": faults,
        "limits": {"psnr": LARGEST_PSNR_DIFFERENCE, "excess": LARGEST_EXCESS, "overhead": LARGEST_OVERHEAD},
        "rows": columns,
    }


@click.command("roundtrip")
@click.argument("where", default="kodak", metavar="[DIR|kodak]")
@click.option("--model", default="base", show_default=True, help="A shipped name, or the path of a weights file.")
@click.option("--quality", "qualities", multiple=True, type=float, default=QUALITIES, show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only this many pictures.")
@click.option("--out", default=str(RESULTS), show_default="bench/results", type=click.Path(file_okay=False))
def main(where: str, model: str, qualities: tuple[float, ...], limit: int | None, out: str) -> None:
    """Check that pictures come back as the encoder saw them, at the cost that the tables promise.

    Exit code 1 if any picture breaks a promise: size, latents bit for bit, PSNR within 0.02 dB of the encoder's own,
    payload at most 0.5 % above the ideal, container at most 32 bytes.
    """
    dataset = dataset_of(where)
    codec, stored = Codec(model, device="cpu"), stored_model(model)
    rows = []
    for path in track(dataset.paths[:limit], "roundtrip", disable=not sys.stderr.isatty()):
        img = load_image(path)
        rows += [measure(codec, stored, path.name, img, quality) for quality in qualities]
    record = as_record(rows, model, dataset.name)
    save(Path(out) / dataset.name / f"roundtrip-{Path(model).stem}.json", record)
    click.echo("\n".join(table(rows)))
    for place, faults in record["faults"].items():
        click.echo(f"{place}: {'; '.join(faults)}")
    click.echo(f"{len(rows)} round trips, {len(record['faults'])} with faults")
    sys.exit(0 if record["passed"] else 1)


if __name__ == "__main__":
    main(prog_name="python -m checks.roundtrip")
