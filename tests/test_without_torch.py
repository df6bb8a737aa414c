"""Where PyTorch is not installed, everything on a CPU works, and what needs it says so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "samples" / "mountain-lake.jpg"
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
    small = _small_photo(tmp_path)
    for command in (
        ["compress", str(PHOTO), "-o", str(tmp_path / "a.vaec")],
        ["doctor"],
        ["verify", str(tmp_path / "a.vaec")],
        ["compare", str(small), "--html", str(tmp_path / "page.html")],
    ):
        done = _run(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert "MS-SSIM" in (tmp_path / "page.html").read_text()


def test_what_needs_pytorch_says_so_in_one_line(tmp_path: Path) -> None:
    folder, model = str(tmp_path), str(tmp_path / "mine.safetensors")
    photo = _small_photo(tmp_path)
    for command in (
        ["train", folder],
        ["pack", folder, "-o", str(tmp_path / "shards")],
        ["export", folder, folder, "-o", model],
        ["compress", str(photo), "--effort", "9"],
        ["compress", str(photo), "--device", "cuda"],
    ):
        done = _run(*command)
        assert (done.returncode, done.stdout) == (8, ""), (command, done.stderr)
        [line] = done.stderr.splitlines()
        assert line.startswith("vaecodec: ")
        assert line.endswith("pip install 'vaecodec[torch]'")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    program = f"{ABSENT}\nsys.argv = {['vaecodec', *command]!r}\nfrom vaecodec.cli import main\nmain()\n"
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)


def _small_photo(folder: Path) -> Path:
    path = folder / "small.png"
    with Image.open(PHOTO) as photo:
        photo.crop((0, 0, 180, 170)).save(path)
    return path
