"""Times of whole processes: what someone at a shell waits for."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.codecs import make
from bench.measure import load_image
from bench.records import Record

LIGHT, FULL = "NumPy", "PyTorch"


def process_times(photo: Path, rounds: int, threads: int) -> Record:
    """Seconds of `import vaecodec` and of a whole `vaecodec decompress`; empty where vaecodec is not available."""
    codec = make("vaecodec:base", threads)
    if not codec.available():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        stream, picture = Path(folder) / "photo.vaec", Path(folder) / "photo.png"
        stream.write_bytes(codec.encode(load_image(photo), 50))
        decompress = ["-m", "vaecodec", "decompress", str(stream), "-o", str(picture), "--overwrite"]
        commands = {
            "python -c pass": ["-c", "pass"],
            "python -c 'import vaecodec'": ["-c", "import vaecodec"],
            "vaecodec decompress": decompress,
        }
        return {name: seconds(arguments, rounds, threads) for name, arguments in commands.items()}


def seconds(arguments: list[str], rounds: int, threads: int) -> Record:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return {"median": round(median(times), 3), "min": round(min(times), 3), "max": round(max(times), 3)}


def start_seconds(data: bytes, rounds: int) -> Record:
    """Processor seconds (least) of whole commands on a small .vaec file."""
    with tempfile.TemporaryDirectory() as folder:
        stream, picture = str(Path(folder) / "photo.vaec"), str(Path(folder) / "photo.png")
        Path(stream).write_bytes(data)
        commands = {
            "python -c pass": ["-c", "pass"],
            "python -c 'import torch'": ["-c", "import torch"],
            "vaecodec info": ["-m", "vaecodec", "info", stream],
            "vaecodec verify": ["-m", "vaecodec", "verify", stream],
            "vaecodec decompress": ["-m", "vaecodec", "decompress", stream, "-o", picture, "--overwrite"],
            "vaecodec compress": ["-m", "vaecodec", "compress", picture, "-o", stream, "--overwrite"],
        }
        return {name: processor_seconds(arguments, rounds) for name, arguments in commands.items()}


INTEGERS = """
import sys
from pathlib import Path
from vaecodec.inspection import decode_integers
decode_integers(Path(sys.argv[1]).read_bytes(), loops=sys.argv[2])
"""


def coder_seconds(data: bytes, rounds: int) -> Record:
    """Processor seconds (least) of a process that decodes all symbols of one file: by plain Python, and by numba."""
    with tempfile.TemporaryDirectory() as folder:
        stream = Path(folder) / "photo.vaec"
        stream.write_bytes(data)
        return {loops: processor_seconds(["-c", INTEGERS, str(stream), loops], rounds) for loops in ("plain", "numba")}


DECODE = {
    LIGHT: """
import sys
from pathlib import Path
from vaecodec.numpy_codec import decode
decode(Path(sys.argv[1]).read_bytes()).save(sys.argv[2])
""",
    FULL: """
import sys
from pathlib import Path
from vaecodec import decode
decode(Path(sys.argv[1]).read_bytes()).save(sys.argv[2])
""",
}


def decompress_seconds(data: bytes, rounds: int) -> Record:
    """Processor seconds (least) of a process that decodes one file to a PNG: by NumPy, and by PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        stream, image = Path(folder) / "photo.vaec", Path(folder) / "photo.png"
        stream.write_bytes(data)
        return {
            name: processor_seconds(["-c", program, str(stream), str(image)], rounds)
            for name, program in DECODE.items()
        }


def processor_seconds(arguments: list[str], rounds: int) -> float:
    """The least of the rounds, of a process and what it starts; one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    times = []
    for _ in range(rounds):
        before = os.times()
        subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
        after = os.times()
        times.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return round(min(times), 3)
