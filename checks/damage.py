"""`python -m checks damage`: thousands of damaged files, each of which must end in an image or in a FormatError.

The cases run in a process of their own, whose address space may grow by no more than the limit; what kills or stops
that process is found by running its cases one by one. Everything is reproducible: `--case N --save FILE` writes the
file of case N.
"""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as PoolTimeout
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from PIL import Image as PillowImage
from rich.progress import Progress

import vaecodec
from bench.records import RESULTS, ROOT, Record, header, save
from checks.mutations import KINDS, SEED, SEEN_BY_CHECKSUMS, Case, make_case, model_is_edited
from checks.roundtrip import stored_model
from vaecodec import container
from vaecodec.codec import Codec
from vaecodec.container import Tag
from vaecodec.entropy.coding import encode_latents
from vaecodec.errors import FormatError, WeightsError
from vaecodec.image import Picture, to_picture
from vaecodec.inspection import inspect
from vaecodec.intnet.layers import scale_index

COUNT = 20_000
CHUNK = 500
MORE_SECONDS = 2.0
MORE_BYTES = 512 << 20
STUCK_SECONDS = 60.0
"""A process that is still busy with one case after this time is stopped."""
OUTLIERS = ((5, 3, 2, 5000), (40, 1, 1, -300_000), (100, 2, 3, 700))


@dataclass(frozen=True)
class Outcome:
    """What became of one case. seconds and bytes: above what the process had; fault: the broken promise, or empty."""

    number: int
    kind: str
    result: str
    seconds: float
    memory: int
    fault: str = ""


@dataclass(frozen=True)
class Target:
    """A codec, good files, and what decoding each of them takes: seconds and bytes."""

    codec: Codec
    files: tuple[bytes, ...]
    seconds: tuple[float, ...]
    memory: tuple[int, ...]


# Good files


def good_files(codec: Codec, model: str) -> list[bytes]:
    """Every mode, low and high levels, one and several lane groups, outliers, metadata; small, to decode quickly."""
    with PillowImage.open(ROOT / "samples" / "osprey.jpg") as opened:
        photo = opened.convert("RGB").crop((440, 140, 760, 460))
    files = [codec.encode(photo.resize((96, 64)), level=level, mode="neural") for level in (0, 30, 63)]
    files += [codec.encode(photo.resize(size).convert("L"), level=20, mode="neural") for size in ((1, 1), (70, 33))]
    files += [
        codec.encode(_tagged(photo.resize((90, 61))), level=40, mode="neural"),
        codec.encode(_tagged(photo.resize((64, 128))), 10, mode="neural"),
    ]
    gray = _tagged(photo.resize((40, 50)).convert("L"))
    files += [codec.encode(replace(gray, mode="LA", icc=None, xmp=None), level=10, mode="neural")]
    files += [unusual(codec, model, photo.resize((130, 67)), outliers=OUTLIERS)]
    files += [unusual(codec, model, photo.resize((192, 160)), lanes=lanes) for lanes in (32, 64, 512)]
    files += [vaecodec.encode(_tagged(photo.resize((60, 41))), lossless=True)]
    files += [vaecodec.encode(photo.resize((33, 50)).convert("L"), lossless=True)]
    return files


def _tagged(photo: PillowImage.Image) -> Picture:
    alpha = np.arange(photo.width * photo.height).reshape(photo.height, photo.width) // 7 % 256
    xmp = b"<x:xmpmeta/>" * 9
    return replace(
        to_picture(photo), mode="RGBA", alpha=alpha.astype(np.uint8), icc=b"profile" * 30, exif=b"II*\0\0", xmp=xmp
    )


def unusual(
    codec: Codec,
    model: str,
    photo: PillowImage.Image,
    *,
    lanes: int | None = None,
    outliers: Sequence[tuple[int, int, int, int]] = (),
) -> bytes:
    """A legal file that an encoder does not make of so small a picture.

    outliers: (channel, row, column, value) of r.
    """
    encoded, entropy = codec.encode_with_latents(photo, level=50), stored_model(model).entropy
    index = scale_index(encoded.latents.z_hat, 50, entropy.layers)
    r = encoded.latents.r.copy()
    for channel, row, column, value in outliers:
        at = (channel % len(r), row, column)
        r[at] = value if index[at] else 0
    coded = encode_latents(entropy, replace(encoded.latents, r=r), index, lanes=lanes)
    sections = [(Tag.LATENTS, coded.payload), (Tag.OUTLIERS, coded.outliers)]
    return container.pack(container.parse(encoded.data).header, [(tag, bytes_) for tag, bytes_ in sections if bytes_])


# One process


@functools.lru_cache(maxsize=1)
def target(model: str) -> Target:
    """The codec under attack, warmed up and measured on its good files."""
    codec = Codec(model, device="cpu")
    files = tuple(good_files(codec, model))
    for data in files:
        codec.decode(data)
    taken = [attack(codec, data) for data in files]
    return Target(codec, files, tuple(t[1] for t in taken), tuple(t[2] for t in taken))


def start_process(model: str) -> None:
    """Load everything, then let the address space grow by no more than the good files and the limit together."""
    import resource

    from vaecodec.runtime.cpu.threads import set_thread_count

    set_thread_count(1)
    ready = target(model)
    ceiling = _memory()["VmSize"] + max(ready.memory) + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, resource.getrlimit(resource.RLIMIT_AS)[1]))


def attack(codec: Codec, data: bytes) -> tuple[str, float, int]:
    """Decode; returns "image" or the name of the error, the seconds, and how far memory rose above its start."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    before, start = _memory()["VmRSS"], time.perf_counter()
    result = "image"
    try:
        codec.decode(data)
    except (FormatError, WeightsError) as error:
        result = type(error).__name__
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the finding)
        result = f"{type(error).__name__}: {error}"
    return result, time.perf_counter() - start, _memory()["VmHWM"] - before


def _memory() -> dict[str, int]:
    """VmRSS, VmHWM, VmSize, ... of this process in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.startswith("Vm")}


def run_case(ready: Target, case: Case) -> Outcome:
    """Attack, judge."""
    result, seconds, memory = attack(ready.codec, case.data)
    if result == "image":
        inspect(case.data)  # raises, and ends everything, if the header's reader disagrees with the decoder
    if seconds > MORE_SECONDS:  # once more: another program may have had the processor
        result, seconds, memory = attack(ready.codec, case.data)
    good_seconds, good_memory = ready.seconds[case.base], ready.memory[case.base]
    return Outcome(
        case.number,
        case.kind,
        result,
        seconds,
        memory,
        _fault(ready, case, result, seconds - good_seconds, memory - good_memory),
    )


def _fault(ready: Target, case: Case, result: str, more_seconds: float, more_memory: int) -> str:
    if result in _WEIGHTS_ERRORS and not model_is_edited(case.data, ready.files[case.base]):
        return f"{result} though the file names a model that is there"
    if result == "image" and case.kind in SEEN_BY_CHECKSUMS and case.data not in ready.files:
        return "the damage went unnoticed"
    if result != "image" and result not in _FORMAT_ERRORS | _WEIGHTS_ERRORS:
        return result
    if more_seconds > MORE_SECONDS:
        return f"{more_seconds:.1f} s more than the good file"
    if more_memory > MORE_BYTES:
        return f"{more_memory >> 20} MiB more than the good file"
    return ""


def _names(kind: type[Exception]) -> frozenset[str]:
    return frozenset({kind.__name__, *(name for sub in kind.__subclasses__() for name in _names(sub))})


_FORMAT_ERRORS, _WEIGHTS_ERRORS = _names(FormatError), _names(WeightsError)


def run_chunk(model: str, numbers: Sequence[int], seed: int) -> list[Outcome]:
    """Cases one after the other, in a process that `start_process` has made ready."""
    ready = target(model)
    return [run_case(ready, make_case(number, ready.files, seed)) for number in numbers]


# All processes


def run_all(model: str, count: int, seed: int) -> Iterator[Outcome]:
    """All cases; a chunk whose process dies or hangs is run again case by case."""
    for first in range(0, count, CHUNK * 20):
        numbers = range(first, min(first + CHUNK * 20, count))
        chunks = [numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)]
        # A new process now and then: memory that leaks in small portions must not hide in a long run's average.
        done = 0
        executor = _pool(model)
        try:
            for chunk, future in [(c, executor.submit(run_chunk, model, c, seed)) for c in chunks]:
                yield from future.result(timeout=STUCK_SECONDS + MORE_SECONDS * len(chunk))
                done += 1
            executor.shutdown()
        except (BrokenProcessPool, PoolTimeout):
            _kill(executor)  # one that is stuck would be waited for
            yield from _run_alone(model, [number for chunk in chunks[done:] for number in chunk], seed)


def _pool(model: str) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=start_process, initargs=(model,))


def _run_alone(model: str, numbers: Sequence[int], seed: int) -> Iterator[Outcome]:
    """One case at a time; what kills or stops the process is an outcome, too."""
    executor = _pool(model)
    for number in numbers:
        try:
            yield executor.submit(run_chunk, model, [number], seed).result(timeout=STUCK_SECONDS)[0]
        except (BrokenProcessPool, PoolTimeout) as error:
            fault = "stuck" if isinstance(error, PoolTimeout) else "the process died"
            yield Outcome(number, "?", fault, STUCK_SECONDS, 0, fault)
            _kill(executor)
            executor = _pool(model)
    executor.shutdown()


def _kill(executor: ProcessPoolExecutor) -> None:
    for process in list((executor._processes or {}).values()):
        process.kill()
    executor.shutdown(wait=True, cancel_futures=True)


# Report


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Results by kind of damage."""
    results = [name for name, _ in Counter(o.result for o in outcomes).most_common()]
    lines = ["| damage | files | " + " | ".join(results) + " |", "|---" * (len(results) + 2) + "|"]
    for kind in (*KINDS, "?"):
        counts = Counter(o.result for o in outcomes if o.kind == kind)
        if counts:
            cells = " | ".join(str(counts[result]) for result in results)
            lines.append(f"| {kind} | {counts.total()} | {cells} |")
    return lines


def as_record(outcomes: Sequence[Outcome], model: str, seed: int) -> Record:
    """Counts, the slowest and largest cases, the faults."""
    slowest = sorted(outcomes, key=lambda o: -o.seconds)[:5]
    largest = sorted(outcomes, key=lambda o: -o.memory)[:5]
    kinds = sorted({o.kind for o in outcomes})
    return {
        **header(f"python -m checks damage --count {len(outcomes)} --seed {seed} --model {model}"),
        "model": model,
        "seed": seed,
        "count": len(outcomes),
        "limits": {"seconds": MORE_SECONDS, "bytes": MORE_BYTES},
        "passed": not any(o.fault for o in outcomes),
        "results": {kind: dict(Counter(o.result for o in outcomes if o.kind == kind)) for kind in kinds},
        "slowest": [asdict(o) for o in slowest],
        "largest": [asdict(o) for o in largest],
        "faults": [asdict(o) for o in outcomes if o.fault],
    }


@click.command("damage")
@click.option("--count", default=COUNT, show_default=True, type=click.IntRange(1), help="Damaged files.")
@click.option("--seed", default=SEED, show_default=True, type=click.IntRange(0))
@click.option("--model", default="base", show_default=True, help="A shipped name, or the path of a weights file.")
@click.option("--out", default=str(RESULTS), show_default="bench/results", type=click.Path(file_okay=False))
@click.option("--case", "number", type=click.IntRange(0), help="Run this case only.")
@click.option("--save", "save_to", type=click.Path(dir_okay=False), help="With --case: write its file here.")
def main(count: int, seed: int, model: str, out: str, number: int | None, save_to: str | None) -> None:
    """Attack the decoder with damaged files. Linux only: memory is measured and limited through /proc.

    Exit code 1 unless each ends in an image or a FormatError (or, where the header names other weights, a
    WeightsError), within 2 s and 512 MiB of the good file.
    """
    if number is not None:
        ready = target(model)
        case = make_case(number, ready.files, seed)
        if save_to:
            Path(save_to).write_bytes(case.data)
        click.echo(run_case(ready, case))
        return
    outcomes = []
    with Progress(disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("damage", total=count)
        for outcome in run_all(model, count, seed):
            outcomes.append(outcome)
            progress.advance(bar)
    record = as_record(outcomes, model, seed)
    save(Path(out) / f"damage-{Path(model).stem}.json", record)
    click.echo("\n".join(table(outcomes)))
    click.echo(
        f"slowest {record['slowest'][0]['seconds']:.3f} s, most memory {record['largest'][0]['memory'] >> 20} MiB"
    )
    for outcome in outcomes:
        if outcome.fault:
            click.echo(f"case {outcome.number} ({outcome.kind}): {outcome.fault}")
    sys.exit(0 if record["passed"] else 1)


if __name__ == "__main__":
    main(prog_name="python -m checks.damage")
