"""CompressAI's models as peers, in a process and an environment of their own (`bench setup-compressai`)."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import openmp
from bench.codecs.base import CodecError, Image, LadderCodec

DEFAULT_ENVIRONMENT = ".venv-compressai"
WORKER = Path(__file__).resolve().with_name("compressai_worker.py")


def environment_python(folder: Path | None = None) -> Path:
    """The interpreter of CompressAI's environment: $COMPRESSAI_ENV, or `.venv-compressai` in the working folder."""
    folder = folder or Path(os.environ.get("COMPRESSAI_ENV", DEFAULT_ENVIRONMENT))
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def worker_command(python: Path) -> list[str]:
    """What starts the worker: isolated, as `import compressai` would else find this module, in the worker's folder."""
    return [str(python), "-I", str(WORKER)]


class CompressAi(LadderCodec):
    """One model of CompressAI's zoo, for example `compressai:mbt2018-mean`; each quality is a network of its own.

    Weights are the user's, in the folder $COMPRESSAI_WEIGHTS under the names the zoo gives them. Without them the
    networks are random: good for time and memory, not for rate-distortion.
    """

    requires = "python -m bench setup-compressai, and its weights in the folder $COMPRESSAI_WEIGHTS"
    openmp = True
    qualities: tuple[float, ...] = (1, 2, 3, 4, 5, 6, 7, 8)

    def __init__(self, model: str, threads: int = 1) -> None:
        self.model = model
        self.name = f"compressai:{model}"
        self.title = f"CompressAI {model}"
        if model.startswith("cheng2020"):
            self.qualities = (1, 2, 3, 4, 5, 6)
        super().__init__(threads)
        self._worker: subprocess.Popen[str] | None = None
        self._versions: dict[str, str] = {}
        self.last: dict[str, Any] = {}  # the worker's last answer: seconds without the files, peak memory

    def installed(self) -> bool:
        return environment_python().exists()

    def available(self) -> bool:
        return self.installed() and bool(self.weights())

    def weights(self, quality: float | None = None) -> str:
        """The weights file of a quality (default: the first one), or an empty string: the network is then random.

        $COMPRESSAI_WEIGHTS holds MODEL-QUALITY-*.pth.tar, as CompressAI's zoo names its files.
        """
        folder = os.environ.get("COMPRESSAI_WEIGHTS")
        pattern = f"{self.model}-{int(quality or self.qualities[0])}-*.pth*"
        return next(map(str, sorted(Path(folder).glob(pattern))), "") if folder else ""

    def ask(self, request: dict[str, object]) -> dict[str, Any]:
        """Send one request to the worker (started on first use). Raises CodecError with the worker's words."""
        worker = self.worker()
        assert worker.stdin is not None  # noqa: S101  (both are pipes, see worker())
        assert worker.stdout is not None  # noqa: S101
        try:
            worker.stdin.write(json.dumps(request) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._worker = None
            message = f"CompressAI's process ended with code {worker.wait()}"
            raise CodecError(message)
        self.last = json.loads(line)
        if "error" in self.last:
            raise CodecError(self.last["error"])
        return self.last

    def worker(self) -> subprocess.Popen[str]:
        if self._worker is None:
            environment = {**os.environ, **openmp.variables(self.threads), "PYTHONWARNINGS": "ignore"}
            self._worker = subprocess.Popen(
                worker_command(environment_python()),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            )
            assert self._worker.stdout is not None  # noqa: S101
            first = self._worker.stdout.readline()
            if not first:
                message = f"CompressAI does not start in {environment_python().parent.parent}"
                raise CodecError(message)
            greeting = json.loads(first)
            self._versions = greeting["versions"]
            if greeting["cores"] < self.threads:
                self.close()
                message = f"{self.threads} threads on {greeting['cores']} core(s)"
                raise CodecError(message)
        return self._worker

    def close(self) -> None:
        """End the worker process."""
        if self._worker is not None:
            self._worker.communicate()
            self._worker = None

    def encode(self, pixels: Image, setting: float) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            picture, stream = Path(folder) / "in.npy", Path(folder) / "out.bin"
            np.save(picture, pixels)
            self.ask(self.request("encode", setting, picture, stream))
            # The quality picks the network, so a decoder must be told.
            return bytes([int(setting)]) + stream.read_bytes()

    def decode(self, data: bytes) -> Image:
        with tempfile.TemporaryDirectory() as folder:
            picture, stream = Path(folder) / "out.npy", Path(folder) / "in.bin"
            stream.write_bytes(data[1:])
            self.ask(self.request("decode", data[0], picture, stream))
            decoded: Image = np.load(picture)
            return decoded

    def request(self, do: str, quality: float, picture: Path, stream: Path) -> dict[str, object]:
        paths = {"picture": str(picture), "stream": str(stream), "weights": self.weights(quality)}
        return {"do": do, "model": self.model, "quality": int(quality), **paths}

    def version(self) -> str:
        weights = self.weights()
        self.worker()
        named = ", ".join(f"{name} {version}" for name, version in self._versions.items())
        return f"{named}; weights {Path(weights).name if weights else 'random'}"
