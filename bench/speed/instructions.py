"""`python -m bench instructions`: encode and decode with the instructions of older processors.

numba's own switches keep its code to them, so the table says what such a processor would run, on this one's clock and
caches. One thread; processor seconds a megapixel, medians; the settings take turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import click

from bench import records
from bench.records import Record
from bench.speed.practical_page import table

OUT = records.RESULTS / "instructions.json"
AVX2 = "+sse4.2,+popcnt,+avx,+avx2,+fma,+f16c,+bmi,+bmi2"
SETTINGS: dict[str, dict[str, str]] = {
    "this processor": {},
    "AVX-512": {
        "NUMBA_CPU_NAME": "skylake-avx512",
        "NUMBA_CPU_FEATURES": f"{AVX2},+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl",
    },
    "AVX2": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": AVX2},
    "SSE4.2": {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": "+sse4.2,+popcnt"},
}
"""What numba is told of the processor; the second has no products of bfloat16."""
WORK = """
import json, sys, time
from vaecodec.codec import Codec
from vaecodec.native import processor
from vaecodec.rans.choice import AUTO
from bench.speed.scale import picture_of
AUTO.use_compiled()
codec, image = Codec(sys.argv[1], device="cpu"), picture_of(float(sys.argv[2]))
data = codec.encode(image, 60, mode="neural")
codec.decode(data, as_array=True)
def seconds(work):
    start = time.process_time()
    work()
    return time.process_time() - start
encode = [seconds(lambda: codec.encode(image, 60, mode="neural")) for _ in range(3)]
decode = [seconds(lambda: codec.decode(data, as_array=True)) for _ in range(3)]
print(json.dumps([codec.plan.dtype, processor.vectors(), min(encode), min(decode)]))
"""


def once(setting: str, model: str, megapixels: float) -> tuple[str, str, float, float]:
    """Type, vectors, and processor seconds of encoding and decoding, the least of three."""
    environment = {**os.environ, "PYTHONPATH": str(records.ROOT), "OMP_NUM_THREADS": "1", **SETTINGS[setting]}
    line = [sys.executable, "-c", WORK, model, str(megapixels)]
    done = subprocess.run(line, cwd=records.ROOT, env=environment, check=True, capture_output=True, text=True)
    dtype, vectors, encode, decode = json.loads(done.stdout)
    return dtype, vectors, encode, decode


def measure(model: str, megapixels: float, rounds: int) -> list[Record]:
    """A row for each setting."""
    runs: dict[str, list[tuple[str, str, float, float]]] = {setting: [] for setting in SETTINGS}
    for _ in range(rounds):
        for setting in SETTINGS:
            runs[setting].append(once(setting, model, megapixels))
    return [
        {
            "setting": setting,
            "dtype": each[0][0],
            "vectors": each[0][1],
            "encode_s_per_mp": round(median(run[2] for run in each) / megapixels, 4),
            "decode_s_per_mp": round(median(run[3] for run in each) / megapixels, 4),
        }
        for setting, each in runs.items()
    ]


def page(record: Record) -> str:
    """The table as Markdown."""
    rows = [
        (row["setting"], row["vectors"], row["dtype"], f"{row['encode_s_per_mp']:.3f}", f"{row['decode_s_per_mp']:.3f}")
        for row in record["rows"]
    ]
    return table(["instructions of", "vectors", "type", "encode, s/MP", "decode, s/MP"], rows)


@click.command("instructions")
@click.option("--model", default="base", show_default=True)
@click.option("--megapixels", default=1.0, show_default=True)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--out", type=click.Path(path_type=Path), default=OUT, show_default=True)
def main(model: str, megapixels: float, rounds: int, out: Path) -> None:
    """Encode and decode with and without AVX-512."""
    rows = measure(model, megapixels, rounds)
    record: Record = {"model": model, "megapixels": megapixels, "rounds": rounds, "rows": rows}
    click.echo(page(record))
    records.save(out, records.header() | record)
