"""Weights: the manifest of what is shipped, files and their hashes, and what a broken one says."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaecodec.entropy.model import from_tensors, to_tensors
from vaecodec.errors import HashMismatch, UnknownModel, WeightsError
from vaecodec.levels import LEVELS
from vaecodec.runtime.loading import load_model
from vaecodec.training.export_run import MODEL_IDS
from vaecodec.weights.manifest import FOLDER, ManifestEntry, denoisers, entry_by_name, entry_by_wire, manifest
from vaecodec.weights.store import CARD_KEY, StoredModel, read_model, tensor_hash, write_model

TINY = Path(__file__).parent / "golden" / "tiny-v1.safetensors"
CARD = {"config": "tiny", "model_id": 1000}


@pytest.fixture(scope="module")
def tiny() -> StoredModel:
    return read_model(TINY)


def _tensors() -> dict[str, NDArray[Any]]:
    return {"b": np.arange(6, dtype=np.int32).reshape(2, 3), "a": np.array([0.5], np.float16)}


# What is shipped


@pytest.mark.parametrize("entry", manifest(), ids=lambda entry: entry.name)
def test_shipped_models_are_whole(entry: ManifestEntry) -> None:
    """The file is there, hashes to what the manifest says, and is the model that its id stands for."""
    stored = read_model(entry.path, entry.sha256)
    assert stored.card["model_id"] == entry.model_id
    assert stored.card["levels"] == LEVELS
    loaded = load_model(stored)
    assert loaded.wire_hash.hex() == entry.sha256[:8]
    assert loaded.network.config.name == stored.card["config"]
    assert MODEL_IDS[entry.name] == entry.model_id
    assert entry.name in {stored.card["config"], f"{stored.card['config']}-{stored.card['settings'].get('tune')}"}


def test_manifest_names_every_file_once() -> None:
    entries = manifest()
    assert {entry.file for entry in (*entries, *denoisers())} == {path.name for path in FOLDER.glob("*.safetensors")}
    assert len({(entry.model_id, entry.sha256[:8]) for entry in entries}) == len(entries)
    assert all(entry.model_id != CARD["model_id"] for entry in entries)


def test_entries_are_found_by_name_and_by_wire() -> None:
    entry = entry_by_name("base")
    assert entry_by_wire(entry.model_id, bytes.fromhex(entry.sha256)[:4]) is entry
    with pytest.raises(UnknownModel, match=r"'slow' is not shipped; known: .*base"):
        entry_by_name("slow")
    with pytest.raises(UnknownModel, match="model id 4711 is not shipped; known ids"):
        entry_by_wire(4711, bytes(4))
    with pytest.raises(HashMismatch, match=f"needs weights 00000000 of model id 1; installed: .*{entry.sha256[:8]}"):
        entry_by_wire(entry.model_id, bytes(4))


# The hash


def test_hash_is_pinned() -> None:
    """It stands in files: neither the order of the tensors nor the byte order of a machine may change it."""
    tensors = _tensors()
    expected = "45689bcdf2ebc589eb5982e80f724dc0a3f391229999db5c9a121715622b8102"
    assert tensor_hash(tensors) == expected
    assert tensor_hash(dict(reversed(tensors.items()))) == expected
    assert tensor_hash(tensors | {"b": tensors["b"].astype(">i4")}) == expected
    assert tensor_hash(tensors | {"b": np.asfortranarray(tensors["b"])}) == expected


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {"c": t["b"], "a": t["a"]},
        lambda t: t | {"b": t["b"].astype(np.int64)},
        lambda t: t | {"b": t["b"].reshape(3, 2)},
        lambda t: t | {"b": t["b"] + 1},
        lambda t: {"b": t["b"]},
    ],
    ids=["name", "type", "shape", "value", "missing"],
)
def test_hash_sees_every_change(change: Any) -> None:
    assert tensor_hash(change(_tensors())) != tensor_hash(_tensors())


def test_hash_leaves_out_what_files_do_not_depend_on() -> None:
    assert tensor_hash(_tensors() | {"preview.weight": np.zeros(3, np.float16)}) == tensor_hash(_tensors())


# Files


def test_files_keep_everything(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    sha256 = write_model(path, _tensors(), CARD)
    stored = read_model(path, sha256)
    assert stored.card == CARD
    assert stored.sha256 == sha256
    assert stored.wire_hash.hex() == sha256[:8]
    for name, array in _tensors().items():
        assert stored.tensors[name].dtype == array.dtype
        assert np.array_equal(stored.tensors[name], array)


def test_files_have_ordinary_permissions(tmp_path: Path) -> None:
    """As a file has that anyone writes: in a wheel that root installs, users must be able to read it."""
    write_model(tmp_path / "model.safetensors", _tensors(), CARD)
    (tmp_path / "other").write_bytes(b"")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_changed_tensors_are_noticed(tmp_path: Path) -> None:
    sha256 = write_model(tmp_path / "model.safetensors", _tensors(), CARD)
    write_model(tmp_path / "model.safetensors", _tensors() | {"a": np.array([0.25], np.float16)}, CARD)
    with pytest.raises(HashMismatch, match=f"the manifest says {sha256[:16]}"):
        read_model(tmp_path / "model.safetensors", sha256)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_model(tmp_path / "absent.safetensors")
    for number, content in enumerate([b"", b"\xff" * 40, TINY.read_bytes()[:-1]]):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a readable weights file"):
            read_model(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "not a vaecodec model"),
        ({CARD_KEY: "{"}, "the model card is not JSON"),
        ({CARD_KEY: "[]"}, "model_id of the model card is None"),
        ({CARD_KEY: json.dumps({"model_id": 0})}, "model_id of the model card is 0; it must be 1.."),
        ({CARD_KEY: json.dumps({"model_id": "1"})}, "model_id of the model card is '1'"),
    ],
)
def test_bad_model_cards(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    from safetensors.numpy import save_file

    save_file(_tensors(), tmp_path / "model.safetensors", metadata=metadata)
    with pytest.raises(WeightsError, match=message):
        read_model(tmp_path / "model.safetensors")


# Tensors that do not make a model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("int.z_table"), "has no tensor 'int.z_table'"),
        (lambda t: t.pop("int.h_scale.2.bias"), r"has no tensor 'int.h_scale.2.bias'"),
        (lambda t: t.pop("net.g_a.stem.bias"), "config tiny differ in g_a.stem.bias"),
        (lambda t: t.update({"net.extra": np.zeros(1, np.float16)}), "config tiny differ in extra"),
        (lambda t: t.update({"preview.bias": np.zeros(12, np.float16)}), "config tiny differ in preview.weight"),
        (lambda t: t.update({"net.g_a.stem.bias": np.zeros(7, np.float16)}), "config tiny differ in g_a.stem.bias"),
        (lambda t: t.update({"int.z_table": np.full((64, 8), 64, np.uint8)}), "must be uint8 below 64"),
        (lambda t: t.update({"int.z_table": np.ones((63, 8), np.uint8)}), "config tiny needs"),
        (lambda t: t.update({"int.z_table": np.ones((64, 9), np.uint8)}), "config tiny needs"),
        (lambda t: t.update({"int.h_scale.0.bias": t["int.h_scale.0.bias"][:1]}), "config tiny needs"),
        (lambda t: t.update({"int.y.sizes": t["int.y.sizes"] + 1}), "int.y: .* frequencies for sizes"),
        (lambda t: t.update({"int.z.frequencies": t["int.z.frequencies"] // 2}), "must sum to 65536"),
    ],
)
def test_bad_tensors_are_refused(tiny: StoredModel, change: Any, message: str) -> None:
    tensors = dict(tiny.tensors)
    change(tensors)
    with pytest.raises(WeightsError, match=message):
        load_model(StoredModel(tensors, tiny.card, tiny.sha256))


def test_unknown_config_is_refused(tiny: StoredModel) -> None:
    with pytest.raises(WeightsError, match="config 'huge'; known: tiny, fast"):
        load_model(StoredModel(tiny.tensors, tiny.card | {"config": "huge"}, tiny.sha256))


def test_integers_beyond_the_proof_are_refused(tiny: StoredModel) -> None:
    """The bound of every accumulator is proven from the weights at each load."""
    bias = np.full_like(tiny.tensors["int.h_scale.1.bias"], 2**31 - 1)
    with pytest.raises(WeightsError, match="layer 1: accumulator may reach"):
        from_tensors(tiny.tensors | {"int.h_scale.1.bias": bias})


def test_biases_that_fit_are_stored_in_two_bytes(tiny: StoredModel) -> None:
    """And read as the same numbers; one beyond 32,767 keeps its layer in four."""
    wide = tiny.tensors["int.h_scale.3.bias"].astype(np.int32)
    wide[5, 2] = 32_768
    model = from_tensors(tiny.tensors | {"int.h_scale.3.bias": wide})
    stored = to_tensors(model)
    assert [stored[f"int.h_scale.{n}.bias"].dtype.name for n in range(4)] == ["int16", "int16", "int16", "int32"]
    for layer, again in zip(model.layers, from_tensors(stored).layers, strict=True):
        assert again.bias.dtype == np.int32
        np.testing.assert_array_equal(again.bias, layer.bias)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update({"int.z_table": np.zeros((0, 8), np.uint8)}),
        lambda t: t.update({"int.y.sizes": np.array([5000] + [1] * 63, np.int32)}),
    ],
)
def test_tables_of_any_size_are_refused_as_weights(tiny: StoredModel, change: Any) -> None:
    tensors = dict(tiny.tensors)
    change(tensors)
    tensors["int.y.frequencies"] = np.resize(tensors["int.y.frequencies"], int(tensors["int.y.sizes"].sum()))
    with pytest.raises(WeightsError):
        load_model(StoredModel(tensors, tiny.card, tiny.sha256))


def test_a_configuration_is_a_name(tiny: StoredModel) -> None:
    with pytest.raises(WeightsError, match="config \\['tiny'\\]; known"):
        load_model(StoredModel(tiny.tensors, tiny.card | {"config": ["tiny"]}, tiny.sha256))
