"""CompressAI as a process: runs inside its own environment, imports nothing of this project.

Requests are JSON lines on standard input, answers JSON lines on standard output; pictures and streams are
files (`.npy` with uint8 [H, W, 3], and the stream in the layout below), so that both sides pay for bytes alike.

    {"do": "encode", "model": "mbt2018-mean", "quality": 3, "weights": "", "picture": "in.npy", "stream": "out.bin"}
    {"do": "decode", "model": "mbt2018-mean", "quality": 3, "weights": "", "stream": "out.bin", "picture": "out.npy"}
    -> {"seconds": 0.31, "peak_mib": 812.0}   or   {"error": "RuntimeError: ..."}

Stream: u16 height, u16 width, u8 number of strings, u16 z height, u16 z width, then u32 length and bytes of
each string. CompressAI has no file format; this is the least that a decoder needs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

# How many cores this process may use; torch's OpenMP narrows that when it is loaded.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

import torch  # noqa: E402

HEADER = struct.Struct("<HHBHH")
ALIGNMENT = 64  # the deepest latent is 64 times smaller
FAILURES = (RuntimeError, ValueError, OSError, KeyError, MemoryError, struct.error)


def declare_torchvision_operators() -> None:
    """torchvision's compiled part may not load beside a CPU build of torch; its Python part only needs the names."""
    spec = importlib.util.find_spec("torchvision")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    try:
        for library in folder.glob("_C*.so"):
            ctypes.CDLL(str(library))
    except OSError:
        pass
    if hasattr(torch.ops.torchvision, "nms"):
        return
    operators = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    KEPT.append(operators)


KEPT: list[object] = []  # a torch.library disappears with its object
NETWORKS: dict[tuple[str, int, str], Any] = {}  # CompressAI has no types


def network(model: str, quality: int, weights: str) -> Any:
    """The network of one quality, ready to compress: with weights from a file, or random ones (for speed only)."""
    key = (model, quality, weights)
    if key not in NETWORKS:
        from compressai.zoo import image_models
        from compressai.zoo.pretrained import load_pretrained

        torch.manual_seed(0)
        net = image_models[model](quality=quality, metric="mse", pretrained=False).eval()
        if weights:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            net = type(net).from_state_dict(load_pretrained(state))
        net.update(force=True)
        NETWORKS.clear()  # one at a time: eight qualities of a large model would fill the memory
        NETWORKS[key] = net.eval()
    return NETWORKS[key]


@torch.inference_mode()
def encode(model: str, quality: int, weights: str, picture: str, stream: str) -> float:
    import numpy as np

    net = network(model, quality, weights)
    rgb = torch.from_numpy(np.load(picture))
    start = time.perf_counter()
    height, width, _ = rgb.shape
    x = rgb.permute(2, 0, 1)[None].float() / 255
    below, right = -height % ALIGNMENT, -width % ALIGNMENT
    coded = net.compress(torch.nn.functional.pad(x, (0, right, 0, below), mode="replicate"))
    strings = [item[0] for item in coded["strings"]]
    data = HEADER.pack(height, width, len(strings), *coded["shape"])
    data += b"".join(struct.pack("<I", len(string)) + string for string in strings)
    seconds = time.perf_counter() - start
    Path(stream).write_bytes(data)
    return seconds


@torch.inference_mode()
def decode(model: str, quality: int, weights: str, picture: str, stream: str) -> float:
    import numpy as np

    net = network(model, quality, weights)
    data = Path(stream).read_bytes()
    start = time.perf_counter()
    height, width, count, *shape = HEADER.unpack_from(data)
    position, strings = HEADER.size, []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, position)
        strings.append([data[position + 4 : position + 4 + length]])
        position += 4 + length
    x_hat = net.decompress(strings, tuple(shape))["x_hat"][0, :, :height, :width]
    rgb = x_hat.clamp(0, 1).mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    seconds = time.perf_counter() - start
    np.save(picture, rgb)
    return seconds


def start_memory() -> float:
    """Forget the high-water mark so far (Linux; elsewhere it stays) and return the memory in use, MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return status_mib("VmRSS")
    except OSError:
        return peak_mib()


def peak_mib() -> float:
    """The high-water mark of this process's memory, MiB."""
    try:
        return status_mib("VmHWM")
    except OSError:  # no /proc
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def status_mib(field: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 2**10 for line in lines if line.startswith(f"{field}:"))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    do = request.pop("do")
    try:
        if do == "memory":
            return {"peak_mib": start_memory()}
        action = {"encode": encode, "decode": decode}[str(do)]
        return {"seconds": action(**request), "peak_mib": peak_mib()}
    except FAILURES as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    declare_torchvision_operators()
    import compressai

    if "--check" in sys.argv:
        print(f"CompressAI {compressai.__version__}, torch {torch.__version__}")
        return
    # CompressAI and torch print warnings; only answers may go to standard output.
    out, sys.stdout = sys.stdout, sys.stderr
    versions = {"compressai": compressai.__version__, "torch": torch.__version__}
    print(json.dumps({"versions": versions, "cores": CORES}), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)


if __name__ == "__main__":
    main()
