"""The check of images that are no plain photographs: its images, its comparison with JPEG, its verdicts; small."""

from __future__ import annotations

import inspect
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from checks.hostile import command, edited, kinds, measure
from checks.hostile.canvas import MissingError, random_of
from checks.hostile.edited import Photographs
from checks.hostile.jpeg import MOST_PSNR, JpegLadder
from checks.hostile.kinds import Drawn, Gallery

TINY = str(Path(__file__).parent / "golden" / "tiny-v1.safetensors")
SAMPLES = Path(__file__).parents[1] / "samples"
NO_TOOLS = ("gradient", "stripes", "checkerboard", "noise", "flat", "extremes", "few pixels")
TOOLS = (
    "text",
    "bilevel text",
    "pixel art",
    "QR code",
    "bar code",
    "document",
    "scan",
    "page",
    "program",
    "plot",
    "diagram",
)


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    return Photographs(SAMPLES)


@pytest.fixture
def gallery(photographs: Photographs, tmp_path: Path) -> Gallery:
    return Gallery(1, photographs, tmp_path)


def _number(kind: str, turn: int = 0) -> int:
    return turn * len(kinds.KINDS) + kinds.KINDS.index(kind)


# Images


@pytest.mark.parametrize("kind", [kind for kind in kinds.KINDS if kind not in TOOLS])
def test_images_are_images_and_the_same_again(gallery: Gallery, kind: str) -> None:
    for turn in range(6):
        drawn = gallery.image(_number(kind, turn))
        assert drawn.kind == kind
        assert drawn.pixels.dtype == np.uint8
        assert drawn.pixels.ndim == 2 or drawn.pixels.shape[2] == 3
        assert drawn.pixels.size > 0
        assert np.array_equal(drawn.pixels, gallery.image(_number(kind, turn)).pixels)


@pytest.mark.parametrize("kind", TOOLS)
def test_images_of_programs(gallery: Gallery, kind: str) -> None:
    """Where these are installed."""
    try:
        drawn = gallery.image(_number(kind))
    except MissingError as missing:
        pytest.skip(str(missing))
    assert drawn.pixels.dtype == np.uint8
    assert np.array_equal(drawn.pixels, gallery.image(_number(kind)).pixels)


def test_every_filter_of_pillow_is_used() -> None:
    """Also those of a Pillow to come: a new name must be added, or its absence explained here."""
    abstract = {"Filter", "MultibandFilter", "BuiltinFilter"}
    classes = {
        name
        for name, value in inspect.getmembers(ImageFilter, inspect.isclass)
        if issubclass(value, ImageFilter.Filter)
    }
    assert {name.split()[0] for name, _ in edited.filters()} == classes - abstract
    public = {
        name for name, value in inspect.getmembers(ImageOps, inspect.isfunction) if value.__module__ == "PIL.ImageOps"
    }
    public = {name for name in public if not name.startswith("_")}
    assert {name.split()[0] for name, _ in edited.operations()} == public
    enhancers = {
        name
        for name, value in inspect.getmembers(ImageEnhance, inspect.isclass)
        if value.__module__ == "PIL.ImageEnhance"
    }
    assert {name.split()[0] for name, _ in edited.enhancements()} == enhancers - {"_Enhance"}


@pytest.mark.parametrize(
    "edits", [edited.filters, edited.operations, edited.enhancements], ids=lambda edits: edits.__name__
)
def test_every_edit_works(photographs: Photographs, edits: object) -> None:
    photograph = photographs.part(random_of(1, "test", 0)).resize((70, 66))
    for place in range(len(edits())):  # type: ignore[operator]
        name, pixels = edited.in_turn(edits(), place, photograph)  # type: ignore[operator]
        assert pixels.size > 0, name


def test_a_folder_without_photographs_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="holds no photographs"):
        Photographs(tmp_path)


# JPEG


def _jpeg_psnr(pixels: NDArray[np.uint8], quality: int, subsampling: str) -> tuple[int, float]:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
    decoded = np.asarray(Image.open(io.BytesIO(out.getvalue())))
    return len(out.getvalue()), float(10 * np.log10(255**2 / np.mean((pixels.astype(float) - decoded) ** 2)))


def test_the_ladder_finds_the_best_jpeg(photo: NDArray[np.uint8]) -> None:
    ladder = JpegLadder(photo)
    jpegs = [_jpeg_psnr(photo, quality, subsampling) for quality in range(1, 101) for subsampling in ("4:2:0", "4:4:4")]
    for most in (700, 1500, 4000):
        best = max(psnr for size, psnr in jpegs if size <= most)
        assert ladder.psnr_within(most) == pytest.approx(best, abs=0.35)  # sizes grow with the quality, but for a few
    smallest = min(size for size, _ in jpegs)
    assert ladder.psnr_within(smallest - 1) is None
    free = ladder.psnr_of_scan_within(smallest - 1)
    assert free is not None
    assert free > 10


def test_the_ladder_has_room_for_noise() -> None:
    """Pillow by itself can't write an optimized JPEG that is larger than its image has pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    assert JpegLadder(noise).psnr_within(1 << 20) is not None


# Measuring


def test_rows_and_verdicts(gallery: Gallery) -> None:
    """The tiny model codes what it is given; a broken promise of any kind is named."""
    drawn = [gallery.image(_number(kind)) for kind in NO_TOOLS]
    rows = measure.measure(drawn, [JpegLadder(one.pixels) for one in drawn], TINY, 60.0)
    assert [row.kind for row in rows] == list(NO_TOOLS)
    for row in rows:
        assert row.failure == ""
        assert row.finite
        assert row.size > 0
        assert row.psnr <= MOST_PSNR
    assert command.rows_of(command.as_columns(rows)) == rows
    good = [replace(row, margin=0.0, difference=1) for row in rows]
    assert all(holds for holds, _ in command.verdicts(good).values())
    broken = {
        "decodable": replace(good[0], failure="CorruptStream: x"),
        "finite": replace(good[0], finite=False),
        "float32 and bfloat16 within 3 levels": replace(good[0], difference=4),
        "neural alone at most 1 dB below JPEG for 95%": replace(good[0], margin=-1.1),
    }
    for name, row in broken.items():
        verdicts = command.verdicts([row, *good[1:]])
        assert not verdicts[name][0]
    assert len(command.table(rows, "kind")) == len(NO_TOOLS) + 2


def test_both_types_encode_every_kind(gallery: Gallery) -> None:
    """An image's files are encoded by both types in turn; what is reported of auto is what auto makes of the image."""
    drawn = [gallery.image(_number("gradient", turn)) for turn in range(2)]
    ladders = [JpegLadder(one.pixels) for one in drawn]
    rows = [row for quality in (30.0, 95.0) for row in measure.measure(drawn, ladders, TINY, quality)]
    assert {(row.number, row.encoder) for row in rows} == {
        (one.number, dtype) for one in drawn for dtype in measure.DTYPES
    }
    for row in rows:
        [one] = [one for one in drawn if one.number == row.number]
        codec = measure.codec_of(TINY, row.encoder)
        assert row.size == len(codec.encode(one.pixels, row.quality, mode="neural"))
        assert row.auto_size == len(codec.encode(one.pixels, row.quality))


def test_a_record_tells_what_it_covers() -> None:
    """A run that was cut off has not passed, whatever it found."""
    rows = [
        measure.Row(number, "flat", "", 8, 8, "base", quality, margin=0.0) for number in (0, 1) for quality in (5, 9)
    ]
    whole, part = command.as_record(rows, {}, 4), command.as_record(rows[:3], {}, 4)
    assert whole["passed"]
    assert whole["covered"] == {"images": 2, "models": 1, "qualities": 2, "files": 4, "complete": True}
    assert not part["passed"]
    assert part["covered"]["files"] == 3


def test_one_bad_image_does_not_hide_the_others() -> None:
    """A batch that fails is halved until it is clear which image did it; so is one with numbers that are not finite."""

    def work(items: list[int]) -> list[int]:
        if 5 in items:
            message = "overflow"
            raise RuntimeWarning(message)
        return items

    results = measure.each(work, list(range(9)))
    assert [result.value for result in results] == [0, 1, 2, 3, 4, None, 6, 7, 8]
    assert results[5].failure == "RuntimeWarning: overflow"


def test_the_worst_block() -> None:
    image = np.zeros((40, 50, 3), np.uint8)
    other = image.copy()
    other[32:40, 48:50] = 9
    other[0, 0] = 16
    assert measure.worst_block(image, other) == pytest.approx(9)
    assert measure.worst_block(image[:, :, 0], image[:, :, 0]) == 0


def test_a_chunk_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stored rows are found again; with other settings they are not taken."""
    drawn = Drawn(0, "flat", "", np.full((64, 64), 9, np.uint8))
    monkeypatch.setattr(command, "chunk_of", lambda *_: [(drawn, JpegLadder(drawn.pixels))])
    task = command.Task(SAMPLES, 1, tmp_path, (0,), TINY, (30.0,))
    assert task.stored() is None
    rows = command.run_task(task)
    assert task.stored() == rows
    assert command.run_chunk([task]) == [rows]
    assert replace(task, qualities=(31.0,)).stored() is None
    record = command.as_record(rows, {"count": 1}, 1)
    assert record["passed"] == all(verdict["holds"] for verdict in record["verdicts"].values())


def test_the_worst_are_shown(tmp_path: Path, gallery: Gallery) -> None:
    number = _number("stripes")
    drawn = gallery.image(number)
    rows = measure.measure([drawn], [JpegLadder(drawn.pixels)], TINY, 60.0)
    command.contact_sheet(rows, [command.Task(SAMPLES, 1, tmp_path, (number,), TINY, (60.0,))], tmp_path / "worst.png")
    with Image.open(tmp_path / "worst.png") as sheet:
        assert sheet.width == 4 * command.CELL
