"""Files of one's own model open everywhere: by --model, by model=, and by the folder that VAECODEC_MODELS names."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec
from tests.conftest import Command
from vaecodec import numpy_codec
from vaecodec.cli.exits import Exit
from vaecodec.codec import Codec
from vaecodec.errors import HashMismatch, UnknownModel, WeightsError
from vaecodec.weights.store import read_model, write_model


@pytest.fixture
def own(command: Command, photo: NDArray[np.uint8], tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """mine.vaec, made on the command line with mine.safetensors; the folder `models` is not yet searched."""
    monkeypatch.delenv("VAECODEC_MODELS", raising=False)
    shutil.copy(tiny_model, "mine.safetensors")
    Image.fromarray(photo).save("photo.png")
    assert command("compress", "photo.png", "--model", "mine.safetensors", "-o", "mine.vaec").code == 0
    Path("models").mkdir()
    return Path("mine.vaec")


def test_the_message_says_how(command: Command, own: Path) -> None:
    done = command("decompress", "mine.vaec")
    assert done.code == Exit.WEIGHTS
    assert "--model FILE" in done.err
    assert "VAECODEC_MODELS is not set" in done.err
    with pytest.raises(UnknownModel, match="model="):
        vaecodec.decode(own)


def test_commands_take_the_weights_file(command: Command, own: Path) -> None:
    model = ["--model", "mine.safetensors"]
    assert command("decompress", "mine.vaec", "-o", "back.png", *model).code == 0
    with Image.open("back.png") as back:
        assert back.size == (90, 61)
    assert command("verify", "mine.vaec", *model).out == "mine.vaec: ok\n"
    (facts,) = json.loads(command("info", "mine.vaec", "--json", *model).out)["files"]
    assert facts["model"] == "mine"
    (facts,) = json.loads(command("info", "mine.vaec", "--json").out)["files"]
    assert facts["model"] == "unknown"
    assert command("compare", "photo.png", *model).code == 0
    assert command("decompress", "mine.vaec", "-o", "part.png", "--crop", "1,2,30,40", *model).code == 0
    # A shipped model's file opens beside it.
    assert command("compress", "photo.png", "-o", "shipped.vaec").code == 0
    assert command("decompress", "shipped.vaec", "mine.vaec", "-o", "out/", *model).code == 0
    assert command("verify", "shipped.vaec", *model).code == 0


def test_another_model_of_that_id_is_named(command: Command, own: Path) -> None:
    stored = read_model(Path("mine.safetensors"))
    name = next(name for name in stored.tensors if name.startswith("net."))
    tensors = stored.tensors | {name: stored.tensors[name] * stored.tensors[name].dtype.type(2)}
    write_model(Path("other.safetensors"), tensors, stored.card)
    for verb in ("decompress", "verify", "info"):
        done = command(verb, "mine.vaec", "--model", "other.safetensors")
        assert done.code == Exit.WEIGHTS, verb
        assert "other.safetensors is" in done.err


def test_the_library_takes_the_weights_file(own: Path) -> None:
    data = own.read_bytes()
    for model in ("mine.safetensors", Path("mine.safetensors")):
        assert vaecodec.decode(data, model=model).size == (90, 61)
        assert vaecodec.verify(data, model=model).model == "unknown"
    encoded = vaecodec.encode(Image.open("photo.png"), model=Path("mine.safetensors"))
    assert vaecodec.inspect(encoded).model_id == vaecodec.inspect(data).model_id


def test_a_folder_of_models_is_searched_by_hash(command: Command, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAECODEC_MODELS", "models")
    with pytest.raises(UnknownModel, match=r"models \(VAECODEC_MODELS\) has none with this id and hash"):
        vaecodec.decode(own)
    Path("models/broken.safetensors").write_bytes(b"not weights")
    Path("models/note.txt").write_text("not weights")
    shutil.copy("mine.safetensors", "models/any name.safetensors")
    assert vaecodec.decode(own).size == (90, 61)
    assert command("decompress", "mine.vaec", "-o", "back.png").code == 0
    assert command("verify", "mine.vaec").code == 0
    assert Codec("fast-perceptual", device="cpu").decode(own).size == (90, 61)
    assert numpy_codec.decode(own.read_bytes()).size == (90, 61)
    vaecodec.register_pillow()
    with Image.open(own) as image:
        image.load()
    buffer = io.BytesIO()
    Image.open("photo.png").save(buffer, "VAEC", model="mine.safetensors")
    assert Image.open(buffer).copy().size == (90, 61)


def test_names_of_models(command: Command, own: Path) -> None:
    done = command("compress", "photo.png", "--model", "/etc/passwd", "-o", "a.vaec")
    assert done.code == Exit.WEIGHTS
    assert "not a readable weights file" in done.err
    done = command("compress", "photo.png", "--model", "none-such", "-o", "a.vaec")
    assert "or the path of a weights file, named *.safetensors" in done.err
    for arguments in (
        ["--model", "base-perceptual", "--tune", "psnr"],
        ["--model", "fast-perceptual", "--tune", "psnr"],
    ):
        done = command("compress", "photo.png", "-o", "a.vaec", *arguments)
        assert (done.code, "contradict each other" in done.err) == (2, True)
    assert (
        command("compress", "photo.png", "-o", "a.vaec", "--model", "fast-perceptual", "--tune", "perceptual").code == 0
    )
    assert vaecodec.inspect("a.vaec").model == "fast-perceptual"
    assert command("compress", "photo.png", "-o", "b.vaec", "--model", "base", "--tune", "perceptual").code == 0
    assert vaecodec.inspect("b.vaec").model == "base-perceptual"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused_at_load(tmp_path: Path, tiny_model: Path, value: float) -> None:
    stored = read_model(tiny_model)
    name = next(n for n, a in stored.tensors.items() if n.startswith("net.") and a.dtype.kind == "f")
    changed = stored.tensors[name].copy()
    changed.flat[-1] = value
    write_model(tmp_path / "bad.safetensors", stored.tensors | {name: changed}, stored.card)
    with pytest.raises(WeightsError, match="no finite numbers"):
        Codec(tmp_path / "bad.safetensors", device="cpu")


@pytest.mark.parametrize("mode", ["neural", "auto"])
@pytest.mark.parametrize("value", [6e4, -6e4])
def test_weights_far_too_large_make_no_file_that_cannot_be_read(
    command: Command, own: Path, value: float, mode: str
) -> None:
    stored = read_model(Path("mine.safetensors"))
    changed = {
        name: np.full_like(array, value)
        for name, array in stored.tensors.items()
        if name.startswith("net.") and array.dtype.kind == "f"
    }
    write_model(Path("hot.safetensors"), stored.tensors | changed, stored.card)
    done = command("compress", "photo.png", "-o", "hot.vaec", "--model", "hot.safetensors", "--mode", mode)
    assert (done.code, done.err.count("\n")) == (Exit.CODING, 1)
    assert not Path("hot.vaec").exists()


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.bool_, np.int64])
@pytest.mark.parametrize(
    "name", ["int.y.sizes", "int.z.sizes", "int.z_table", "int.y.frequencies", "int.h_scale.0.bias", "net"]
)
def test_weights_of_wrong_types_are_refused_at_load(tmp_path: Path, tiny_model: Path, name: str, dtype: type) -> None:
    stored = read_model(tiny_model)
    if name == "net":
        name = next(n for n in stored.tensors if n.startswith("net."))
    if name.startswith("net.") and dtype is np.float32:
        pytest.skip("that is what they are")
    write_model(tmp_path / "bad.safetensors", stored.tensors | {name: stored.tensors[name].astype(dtype)}, stored.card)
    with pytest.raises(WeightsError, match=f"{name} is of type"):
        Codec(tmp_path / "bad.safetensors", device="cpu")


def test_hash_mismatch_is_still_a_mismatch(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(vaecodec.encode(Image.open("photo.png"), model="fast-perceptual"))
    parsed = vaecodec.container.parse(bytes(data))
    wrong = vaecodec.container.pack(
        type(parsed.header)(**{**vars(parsed.header), "model_hash": b"abcd"}),
        list(vaecodec.container.read_all(bytes(data), parsed).items()),
    )
    with pytest.raises(HashMismatch, match="needs weights 61626364"):
        vaecodec.decode(wrong)
