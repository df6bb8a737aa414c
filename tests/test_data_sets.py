"""Images of data sets, with the libraries that hold them: Zarr, webdataset, Hugging Face datasets."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vaecodec

MODEL = "fast-perceptual"


@pytest.fixture
def photos(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three images of one size, uint8 [3, 61, 90, 3]."""
    return np.stack([photo, photo[::-1], photo[:, ::-1]])


def _expected(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return vaecodec.decode(vaecodec.encode(image, 70, model=MODEL), as_array=True)


def test_a_codec_of_numcodecs_is_known_by_its_name(photo: NDArray[np.uint8]) -> None:
    pytest.importorskip("numcodecs", reason="a codec for numcodecs")
    import numcodecs

    from vaecodec.zarr import Vaec

    numcodecs.register_codec(Vaec)  # as the entry point does where the package is installed
    codec = numcodecs.get_codec({"id": "vaecodec", "quality": 70, "model": MODEL})
    assert codec == Vaec(70, model=MODEL)
    assert numcodecs.get_codec(codec.get_config()) == codec
    data = codec.encode(photo[None])
    assert data == vaecodec.encode(photo, 70, model=MODEL)
    out = np.empty_like(photo)
    codec.decode(data, out)
    np.testing.assert_array_equal(out, _expected(photo))
    lossless = Vaec(lossless=True)
    for image in (photo[:, :, 0], photo[None, :, :, :1], np.dstack([photo, photo[:, :, :1]])[None]):
        np.testing.assert_array_equal(lossless.decode(lossless.encode(image)).reshape(image.shape), image)


def test_chunks_that_are_no_image_are_refused(photo: NDArray[np.uint8]) -> None:
    pytest.importorskip("numcodecs", reason="a codec for numcodecs")
    from vaecodec.zarr import Vaec

    for chunk in (np.stack([photo, photo]), photo.transpose(2, 0, 1), photo[0, 0], np.asfortranarray(photo)):
        with pytest.raises(vaecodec.InputError, match="a chunk"):
            Vaec().encode(chunk)
    with pytest.raises(vaecodec.VaecodecError):
        Vaec().encode(photo.astype(np.float64))
    with pytest.raises(vaecodec.FormatError):
        Vaec().decode(b"no file")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_arrays_hold_one_image_a_chunk(tmp_path: Path, photos: NDArray[np.uint8], zarr_format: int) -> None:
    pytest.importorskip("zarr", minversion="3", reason="codecs for Zarr")
    import numcodecs
    import zarr
    from zarr.registry import register_codec

    from vaecodec.zarr import Vaec
    from vaecodec.zarr3 import VaecCodec

    numcodecs.register_codec(Vaec)
    register_codec("vaecodec", VaecCodec)
    chunks, options = (1, *photos.shape[1:]), {"quality": 70, "model": MODEL}
    coding: dict[str, Any] = (
        {"compressors": Vaec(**options)}
        if zarr_format == 2
        else {"serializer": VaecCodec(**options), "compressors": None}
    )
    array = zarr.create_array(
        tmp_path / "a", shape=photos.shape, chunks=chunks, dtype="uint8", zarr_format=zarr_format, **coding
    )
    array[:] = photos
    again = zarr.open_array(tmp_path / "a", mode="r")
    np.testing.assert_array_equal(again[1], _expected(photos[1]))
    np.testing.assert_array_equal(again[:], np.stack([_expected(image) for image in photos]))
    metadata = (tmp_path / "a" / (".zarray" if zarr_format == 2 else "zarr.json")).read_text()
    assert '"vaecodec"' in json.dumps(json.loads(metadata))


def test_xarray_writes_through_the_codec(tmp_path: Path, photos: NDArray[np.uint8]) -> None:
    pytest.importorskip("zarr", minversion="3", reason="codecs for Zarr")
    xarray = pytest.importorskip("xarray", reason="xarray writes Zarr arrays")
    from zarr.registry import register_codec

    from vaecodec.zarr3 import VaecCodec

    register_codec("vaecodec", VaecCodec)
    encoding = {"photos": {"chunks": (1, *photos.shape[1:]), "serializer": VaecCodec(70, MODEL), "compressors": ()}}
    data = xarray.Dataset({"photos": (("n", "y", "x", "c"), photos)})
    data.to_zarr(tmp_path / "a", encoding=encoding, consolidated=False, zarr_format=3)
    with xarray.open_zarr(tmp_path / "a", consolidated=False, chunks=None) as again:
        np.testing.assert_array_equal(again["photos"][2].values, _expected(photos[2]))


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset leaves its tar files open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdatasets_are_written_and_read(tmp_path: Path, photos: NDArray[np.uint8]) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset's own writer and reader")
    from vaecodec.webdataset import Decoder, Encoder

    path = str(tmp_path / "a.tar")
    with webdataset.TarWriter(path, encoder=Encoder(70, MODEL)) as writer:
        for number, image in enumerate(photos):
            writer.write({"__key__": f"{number:03}", "vaec": image, "json": {"number": number}})
        writer.write({"__key__": "003", "vaec": vaecodec.encode(photos[0], 70, model=MODEL), "json": {"number": 3}})
    samples = list(webdataset.WebDataset(path, shardshuffle=False).decode(Decoder(as_array=True)))
    assert [sample["json"]["number"] for sample in samples] == [0, 1, 2, 3]
    for sample, image in zip(samples, [*photos, photos[0]], strict=True):
        np.testing.assert_array_equal(sample["vaec"], _expected(image))
    [sample, *_] = webdataset.WebDataset(path, shardshuffle=False).decode(Decoder(crop=(8, 4, 32, 16)))
    assert sample["vaec"].size == (32, 16)


def test_columns_of_images_are_decoded_in_every_process(tmp_path: Path, photos: NDArray[np.uint8]) -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets")
    import vaecodec.pillow

    files = [{"bytes": vaecodec.encode(image, 70, model=MODEL), "path": None} for image in photos]
    table = datasets.Dataset.from_dict({"image": files}, features=datasets.Features({"image": datasets.Image()}))
    np.testing.assert_array_equal(np.asarray(table[1]["image"]), _expected(photos[1]))
    sizes = table.map(_mean, num_proc=2, remove_columns="image", cache_file_name=str(tmp_path / "means.arrow"))
    assert sizes["mean"][:] == [float(_expected(image).mean()) for image in photos]
    compressed = table.map(_compressed, batched=True, num_proc=2, cache_file_name=str(tmp_path / "files.arrow"))
    raw = compressed.cast_column("image", datasets.Image(decode=False))
    assert vaecodec.inspect(raw[0]["image"]["bytes"]).quality == vaecodec.inspect(files[0]["bytes"]).quality


def _mean(row: dict[str, Any]) -> dict[str, float]:
    return {"mean": float(np.asarray(row["image"]).mean())}


def _compressed(batch: dict[str, Any]) -> dict[str, Any]:
    return {"image": [{"bytes": vaecodec.encode(image, 70, model=MODEL), "path": None} for image in batch["image"]]}


def test_importing_the_plugin_registers_the_format(photo: NDArray[np.uint8]) -> None:
    import vaecodec.pillow

    file = io.BytesIO(vaecodec.encode(photo, 70, model=MODEL))
    assert Image.open(file).format == "VAEC"


def test_any_chunk_that_was_written_is_read(photo: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks have the size that the owner of an array chose; Pillow's limit is for images of others."""
    from vaecodec.zarr import pixels_of

    data = vaecodec.encode(photo, model=MODEL, mode="neural")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert pixels_of(data).shape == photo.shape
