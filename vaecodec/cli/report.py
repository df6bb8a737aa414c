"""What a person reads: sizes, savings and the facts about a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from vaecodec.cli.jobs import Job
from vaecodec.cli.results import Record, Results
from vaecodec.cli.sizes import format_change, format_size
from vaecodec.levels import QUALITY_MAX, QUALITY_MIN, quality_to_level


def compress_lines(record: Record) -> list[str]:
    """What became of one photo."""
    before, after = cast(int, record["source_bytes"]), cast(int, record["bytes"])
    kept = record.get("kept")
    if kept is not None:
        copied = f", copied to {record['output']}" if kept == "copied" else ""
        return [f"{record['source']}: kept as it is, {format_size(before)}; as .vaec {format_size(after)}{copied}"]
    deleted = "; photo deleted" if record.get("deleted") else ""
    return [f"{record['source']} -> {record['output']}: {_shrinking(before, after)}{deleted}"]


def compress_summary(results: Results) -> list[str]:
    """The sum over several photos, and what was skipped."""
    smaller = [r for r in results.records if "kept" not in r]
    lines = []
    if len(smaller) > 1:
        before, after = (sum(cast(int, r[key]) for r in smaller) for key in ("source_bytes", "bytes"))
        saved = f" ({format_size(before - after)} saved)" if after < before else ""
        lines.append(f"{len(smaller)} files: {_shrinking(before, after)}{saved}")
    kept = len(results.records) - len(smaller)
    if kept > 1:
        lines.append(f"{kept} files kept as they are: .vaec files of them would be larger")
    return lines + skipped_summary(results)


def _shrinking(before: int, after: int) -> str:
    return f"{format_size(before)} -> {format_size(after)}, {format_change(before, after)}"


def skipped_summary(results: Results) -> list[str]:
    """How many files had their output before."""
    count = len(results.skipped)
    return [f"{count} {'file' if count == 1 else 'files'} skipped: made before"] if count else []


def decompress_lines(record: Record) -> list[str]:
    """What became of one .vaec file."""
    return [f"{record['source']} -> {record['output']}: {record['width']} x {record['height']}, {record['mode']}"]


def plan_lines(record: Record) -> list[str]:
    """What --dry-run says of one file."""
    return [f"{record['source']} -> {record['output']}: {record['planned']}"]


def info_lines(record: Record) -> list[str]:
    """The header of one file as a small table."""
    sections = cast(dict[str, int], record["sections"])
    named = ", ".join(f"{section} {format_size(length)}" for section, length in sections.items())
    return [
        str(record["source"]),
        f"  size            {record['width']} x {record['height']}, {record['mode']}",
        f"  file            {format_size(cast(int, record['file_size']))}, {record['bpp']:.3f} bits per pixel",
        *_coding_lines(record),
        f"  format version  {record['version']}",
        f"  sections        {named}",
    ]


def _coding_lines(record: Record) -> list[str]:
    if record["lossless"]:
        return ["  coding          lossless (WebP), needs no model"]
    level = cast(int, record["level"])
    return [
        f"  coding          neural, quality {_qualities(level)} (level {level})",
        f"  model           {record['model']} (id {record['model_id']}, hash {record['model_hash']})",
    ]


def _qualities(level: int) -> str:
    """The whole qualities that give a level, one or two."""
    qualities = [q for q in range(QUALITY_MIN, QUALITY_MAX + 1) if quality_to_level(q) == level]
    return " or ".join(map(str, qualities))


def page_lines(record: Record | None) -> list[str]:
    """Where the page of `vaecodec compare` is."""
    return [] if record is None else [f"page: {record['output']} ({format_size(cast(int, record['bytes']))})"]


def compare_lines(jobs: Sequence[Job]) -> Callable[[Record], list[str]]:
    """A function that makes the row of one photo in the table of `vaecodec compare`; the first comes with the head."""
    width = max(len(job.name) for job in jobs)
    head = [f"{'photo':{width}}  {'vaecodec':>9}  {'PSNR':>8}  {'JPEG of that PSNR':>20}  difference"]

    def lines(record: Record) -> list[str]:
        rows = [*head, _compare_row(record, width)]
        head.clear()
        return rows

    return lines


def _compare_row(record: Record, width: int) -> str:
    after = cast(int, record["bytes"])
    psnr = "lossless" if record["psnr"] is None else f"{record['psnr']:.2f} dB"
    start = f"{record['source']:{width}}  {format_size(after):>9}  {psnr:>8}"
    if record["jpeg_bytes"] is None:
        return f"{start}  {'out of reach':>20}"
    before = cast(int, record["jpeg_bytes"])
    jpeg = f"{format_size(before)} (quality {record['jpeg_quality']})"
    return f"{start}  {jpeg:>20}  {format_change(before, after)}"


def compare_summary(results: Results) -> list[str]:
    """The sum over those photos that JPEG could match, where there are several."""
    pairs = [
        (cast(int, r["jpeg_bytes"]), cast(int, r["bytes"])) for r in results.records if r["jpeg_bytes"] is not None
    ]
    if len(pairs) < 2:
        return []
    before, after = (sum(column) for column in zip(*pairs, strict=True))
    return [f"together: {format_size(after)} against {format_size(before)} of JPEG, {format_change(before, after)}"]
