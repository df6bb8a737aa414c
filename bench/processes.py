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


def process_times(photo: Path, rounds: int, threads: int) -> Record:
    """Seconds of `import vaecodec` and of a whole `vaecodec decompress`; empty where vaecodec is not available."""
    codec = make("vaecodec:fast", threads)
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
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
        found.append(time.perf_counter() - start)
    return {"median": round(median(found), 3), "min": round(min(found), 3), "max": round(max(found), 3)}
