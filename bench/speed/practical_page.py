"""The tables of `python -m bench practical`, for people."""

from __future__ import annotations

from collections.abc import Sequence

from bench.records import Record
from bench.speed.processes import FULL, LIGHT


def page(record: Record) -> str:
    """Markdown of all parts that there are, under a heading."""
    return f"# In practice\n\n{sections(record)}\n"


def sections(record: Record) -> str:
    """Markdown of all parts that there are."""
    writers = {
        "start": _start,
        "targets": _targets,
        "batch": _batch,
        "regions": _regions,
        "bands": _bands,
        "threads": _threads,
    }
    parts = ["Made by `python -m bench practical`. Seconds are those of the processor, all threads."]
    for name, write in writers.items():
        if name in record:
            part = record[name]
            machine, commit = part["made"]["machine"]["cpu"], part["made"]["commit"][:10]
            parts += [
                *write(part["found"]),
                f"Model {part['model']}, {part['threads']} thread(s), {machine}, {commit}.",
            ]
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _start(part: Record) -> list[str]:
    processes = [(f"`{name}`", f"{seconds:.2f}") for name, seconds in part["processes"].items()]
    coders = [(size, f"{row['plain']:.2f}", f"{row['numba']:.2f}") for size, row in part["coders"].items()]
    decoders = [(size, f"{row[LIGHT]:.2f}", f"{row[FULL]:.2f}") for size, row in part["decoders"].items()]
    return [
        "## Starting",
        f"Whole processes, a picture of 0.08 megapixels ({part['picture_bytes']} bytes):",
        table(["command", "s"], processes),
        "A process that decodes all symbols of one file, in plain Python or compiled by numba:",
        table(["megapixels", "plain, s", "numba, s"], coders),
        f"`vaecodec decompress` of one file, its networks in {LIGHT} or in {FULL}:",
        table(["megapixels", f"{LIGHT}, s", f"{FULL}, s"], decoders),
    ]


def _targets(part: Record) -> list[str]:
    rows = []
    for name, row in part.items():
        if name == "target_psnr":
            reached = f"{row['least_over_db']:+.3f} to {row['most_over_db']:+.3f} dB"
        else:
            reached = f"{100 * row['least_used']:.1f} to {100 * row['most_used']:.1f} % used"
        rows.append(
            (f"`{name}`", row["pictures"], reached, f"{row['times_plain_mean']:.1f} (at most {row['most']:.1f})")
        )
    return ["## Targets", table(["target", "pictures", "reached", "time, in plain encodes"], rows)]


def _batch(part: Sequence[Record]) -> list[str]:
    names = ("encode", "encode_batch", "decode", "decode_batch")
    rows = [
        (f"{row['pictures']} of {row['width']} x {row['height']}", *(f"{row[name + '_ms']:.1f}" for name in names))
        for row in part
    ]
    return ["## Batches", "Milliseconds a picture.", table(["pictures", *names], rows)]


def _regions(part: Record) -> list[str]:
    full = part["full_s"]
    crops = [(f"{side} x {side}", f"{s:.3f}", f"{100 * s / full:.1f} %") for side, s in part["crops_s"].items()]
    previews = [(f"reduction={k}", f"{s:.3f}", f"{100 * s / full:.1f} %") for k, s in part["previews_s"].items()]
    integers = ("its integers alone", f"{part['latents_s']:.3f}", f"{100 * part['latents_s'] / full:.1f} %")
    return [
        "## Crops and previews",
        f"Of a picture of {part['megapixels']:.1f} megapixels.",
        table(["what", "s", "of the whole"], [("the whole", f"{full:.3f}", ""), integers, *crops, *previews]),
    ]


def _bands(part: Record) -> list[str]:
    return [
        "## Bands",
        f"Coded in the narrowest bands, {part['symbols_differ']} of {part['symbols']} symbols differ, and pixels by "
        f"{part['pixels_differ_by']} at most.",
    ]


def _threads(part: Record) -> list[str]:
    counts = f"{part['threads']} threads sharing a codec, {part['tasks']} encodes and decodes"
    return ["## Threads", f"{counts}: {part['equal']} as serial."]
