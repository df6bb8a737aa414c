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


def _start(found: Record) -> list[str]:
    processes = [(f"`{name}`", f"{seconds:.2f}") for name, seconds in found["processes"].items()]
    coders = [(size, f"{row['plain']:.2f}", f"{row['numba']:.2f}") for size, row in found["coders"].items()]
    decoders = [(size, f"{row[LIGHT]:.2f}", f"{row[FULL]:.2f}") for size, row in found["decoders"].items()]
    return [
        "## Starting",
        f"Whole processes, a picture of 0.08 megapixels ({found['picture_bytes']} bytes):",
        table(["command", "s"], processes),
        "A process that decodes all symbols of one file, in plain Python or compiled by numba:",
        table(["megapixels", "plain, s", "numba, s"], coders),
        f"`vaecodec decompress` of one file, its networks in {LIGHT} or in {FULL}:",
        table(["megapixels", f"{LIGHT}, s", f"{FULL}, s"], decoders),
    ]


def _targets(found: Record) -> list[str]:
    rows = []
    for name, told in found.items():
        if name == "target_psnr":
            reached = f"{told['least_over_db']:+.3f} to {told['most_over_db']:+.3f} dB"
        else:
            reached = f"{100 * told['least_used']:.1f} to {100 * told['most_used']:.1f} % used"
        rows.append(
            (f"`{name}`", told["pictures"], reached, f"{told['times_plain_mean']:.1f} (at most {told['most']:.1f})")
        )
    return ["## Targets", table(["target", "pictures", "reached", "time, in plain encodes"], rows)]


def _batch(found: Sequence[Record]) -> list[str]:
    names = ("encode", "encode_batch", "decode", "decode_batch")
    rows = [
        (f"{row['pictures']} of {row['width']} x {row['height']}", *(f"{row[name + '_ms']:.1f}" for name in names))
        for row in found
    ]
    return ["## Batches", "Milliseconds a picture.", table(["pictures", *names], rows)]


def _regions(found: Record) -> list[str]:
    full = found["full_s"]
    crops = [(f"{side} x {side}", f"{s:.3f}", f"{100 * s / full:.1f} %") for side, s in found["crops_s"].items()]
    previews = [(f"reduction={k}", f"{s:.3f}", f"{100 * s / full:.1f} %") for k, s in found["previews_s"].items()]
    integers = ("its integers alone", f"{found['latents_s']:.3f}", f"{100 * found['latents_s'] / full:.1f} %")
    return [
        "## Crops and previews",
        f"Of a picture of {found['megapixels']:.1f} megapixels.",
        table(["what", "s", "of the whole"], [("the whole", f"{full:.3f}", ""), integers, *crops, *previews]),
    ]


def _bands(found: Record) -> list[str]:
    return [
        "## Bands",
        f"Coded in the narrowest bands, {found['symbols_differ']} of {found['symbols']} symbols differ, and pixels by "
        f"{found['pixels_differ_by']} at most.",
    ]


def _threads(found: Record) -> list[str]:
    told = (
        f"{found['threads']} threads sharing a codec, {found['tasks']} encodes and decodes: {found['equal']} as serial."
    )
    return ["## Threads", told]
