"""Where PyTorch is not installed, everything on a CPU works, and what needs it says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# find_spec and import as where it is absent.
ABSENT = """
import importlib.abc, importlib.util, sys
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "triton"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
known = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in ("torch", "triton") else known(name, package)
"""
CODE = """
import pickle
import numpy as np
import vaecodec
photo = np.random.default_rng(1).integers(0, 256, (90, 130, 3), dtype=np.uint8)
codec = pickle.loads(pickle.dumps(vaecodec.Codec("fast-perceptual")))
data = codec.encode(photo, 70)
whole = codec.decode(data, as_array=True)
assert whole.shape == photo.shape
assert np.abs(codec.decode(data, as_array=True, crop=(10, 20, 30, 40)).astype(int) - whole[20:60, 10:40]).max() <= 1
assert codec.decode(data, reduction=8).size == (17, 12)
assert len(codec.encode(photo, target_bytes=len(data) // 2)) <= len(data) // 2
assert [image.size for image in codec.decode_batch(codec.encode_batch([photo, photo]))] == [(130, 90)] * 2
for arguments in ({"device": "cuda"}, {"dtype": "float16"}):
    try:
        vaecodec.Codec("fast-perceptual", **arguments)
    except vaecodec.BackendError as error:
        assert str(error).endswith("pip install 'vaecodec[torch]'"), error
    else:
        raise AssertionError(arguments)
assert "torch" not in sys.modules
print("done")
"""


def test_images_are_coded_without_pytorch() -> None:
    line = [sys.executable, "-c", ABSENT + CODE]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "done", done.stderr


def test_commands_run_without_pytorch(tmp_path: Path) -> None:
    picture = next((ROOT / "samples").glob("*.jpg"))
    for command in (
        ["compress", str(picture), "-o", str(tmp_path / "a.vaec")],
        ["doctor"],
        ["verify", str(tmp_path / "a.vaec")],
    ):
        program = f"{ABSENT}\nsys.argv = {['vaecodec', *command]!r}\nfrom vaecodec.cli import main\nmain()\n"
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr)
