"""What a person reads: sizes, savings and the facts about a file."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from vaecodec.cli.exits import Fatal
from vaecodec.cli.results import Record, Results
from vaecodec.cli.sizes import format_change, format_size
from vaecodec.files import write_atomic

if TYPE_CHECKING:
    from vaecodec import Info


def compress_lines(records: Sequence[Record]) -> list[str]:
    """A line for each file, and the sum where there are several."""
    pairs = [(cast(int, r["source_bytes"]), cast(int, r["bytes"])) for r in records]
    lines = [f"{r['source']} -> {r['output']}: {_shrinking(*pair)}" for r, pair in zip(records, pairs, strict=True)]
    if len(pairs) > 1:
        before, after = (sum(column) for column in zip(*pairs, strict=True))
        saved = f" ({format_size(before - after)} saved)" if after < before else ""
        lines.append(f"{len(pairs)} files: {_shrinking(before, after)}{saved}")
    return lines


def _shrinking(before: int, after: int) -> str:
    return f"{format_size(before)} -> {format_size(after)}, {format_change(before, after)}"


def skipped_lines(records: Sequence[Record]) -> list[str]:
    return [f"{len(records)} {'file' if len(records) == 1 else 'files'} skipped: made before"] if records else []


_COLUMNS = (
    "source", "output", "status", "source_bytes", "bytes", "width", "height", "bpp", "quality", "seconds", "error",
)  # fmt: skip


def csv_table(results: Results) -> bytes:
    """What became of every file, as CSV (RFC 4180, UTF-8): a header line, then a line for each file."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, _COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    table.writeheader()
    for outcome in results.ordered:
        row: dict[str, object] = {"source": outcome.job.name, "output": outcome.job.output, **(outcome.record or {})}
        row["status"] = "skipped" if outcome.skipped else "made" if outcome.failure is None else "failed"
        row["error"] = "" if outcome.failure is None else outcome.failure[1]
        table.writerow(row)
    return text.getvalue().encode()


@contextlib.contextmanager
def csv_report(path: str | None, results: Results) -> Iterator[None]:
    """Write the table when the run ends, however it ends."""
    try:
        yield
    finally:
        if path is not None:
            try:
                write_atomic(path, csv_table(results), overwrite=True)
            except OSError as error:
                raise Fatal(error) from error


def decompress_lines(records: Sequence[Record]) -> list[str]:
    return [f"{r['source']} -> {r['output']}: {r['width']} x {r['height']}, {r['mode']}" for r in records]


def info_lines(name: str, info: Info) -> list[str]:
    """The header of one file as a small table."""
    sections = ", ".join(f"{section} {format_size(length)}" for section, length in info.sections.items())
    return [
        name,
        f"  size            {info.width} x {info.height}, {info.mode}",
        f"  file            {format_size(info.file_size)}, {info.bpp:.3f} bits per pixel",
        *_coding_lines(info),
        f"  format version  {info.version}",
        f"  sections        {sections}",
    ]


def _coding_lines(info: Info) -> list[str]:
    if info.lossless:
        return ["  coding          lossless (WebP), needs no model"]
    return [
        f"  coding          neural, quality {info.quality} (level {info.level})",
        f"  model           {info.model} (id {info.model_id}, hash {info.model_hash})",
    ]


def page_lines(record: Record | None) -> list[str]:
    return [] if record is None else [f"page: {record['output']} ({format_size(cast(int, record['bytes']))})"]


def compare_lines(records: Sequence[Record]) -> list[str]:
    """The table of `vaecodec compare`: each photo, then the sum over those that JPEG could match."""
    width = max([len(str(r["source"])) for r in records], default=0)
    lines = (
        [f"{'photo':{width}}  {'vaecodec':>9}  {'PSNR':>8}  {'JPEG of that PSNR':>20}  difference"] if records else []
    )
    for r in records:
        after = cast(int, r["bytes"])
        psnr = "lossless" if r["psnr"] is None else f"{r['psnr']:.2f} dB"
        start = f"{r['source']:{width}}  {format_size(after):>9}  {psnr:>8}"
        if r["jpeg_bytes"] is None:
            lines.append(f"{start}  {'out of reach':>20}")
            continue
        before = cast(int, r["jpeg_bytes"])
        jpeg = f"{format_size(before)} (quality {r['jpeg_quality']})"
        lines.append(f"{start}  {jpeg:>20}  {format_change(before, after)}")
    matched = [(cast(int, r["jpeg_bytes"]), cast(int, r["bytes"])) for r in records if r["jpeg_bytes"] is not None]
    if len(matched) > 1:
        before, after = (sum(column) for column in zip(*matched, strict=True))
        lines.append(
            f"together: {format_size(after)} against {format_size(before)} of JPEG, {format_change(before, after)}"
        )
    return lines
