"""What is unlike the normal images of a part or surface, and where: from latents, without pixels.

A model is fitted to normal images only. Each position of y (16 x 16 pixels) gets a score by one of these methods:

distance   the Mahalanobis distance of y_hat from the normal positions, one Gaussian for all (PaDiM, arXiv 2011.08785,
           has one for each; a texture looks alike everywhere)
bits       the position's bits less what a code that knows no image would take for the same integers: raw bits rank
           whatever is simple low (Serra et al. 2020, arXiv 1909.11480)
combined   the distance less what the bits let expect: where there is much to see, also a normal position is far from
           the mean. Nearly a ratio of likelihoods, of the Gaussian and of the prior for all photographs
error      the difference of image and reconstruction; needs the image, a .vaec file has no other than its own

Scores are standardized on normal positions that the Gaussian has not seen: each tenth of the images is scored by what
the other nine tenths give. The score of an image is the mean of its highest 3 %. The threshold is a rank among the
scores of those held-back normal images, so that it holds whatever their distribution (split conformal prediction): of
normal images to come no more than `false_alarms` are above it, on average, if they are like those.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vaecodec import container
from vaecodec.arguments import check_real
from vaecodec.codec import Codec, shared_codec
from vaecodec.errors import HashMismatch, InputError
from vaecodec.image_latents import ImageLatents
from vaecodec.latents.blending import opened
from vaecodec.levels import DEFAULT_QUALITY, LEVELS, level_to_quality, quality_to_level
from vaecodec.picture_file import make_source
from vaecodec.reading import Content
from vaecodec.runtime.windows import Y_CELL

Map = NDArray[np.float32]
"""float32 [h, w], a value for each position of 16 x 16 pixels."""

METHODS = ("combined", "distance", "bits", "error")
DEFAULT_METHOD = "combined"
FALSE_ALARMS = 0.05
"""Where nothing else is asked for, and there are images enough for it."""
FOLDS = 10
SHRINKAGE = 0.03
"""Of the correlations towards none. This, the floor, the share and the part were chosen on textures of the benchmark
that it does not report."""
LEAST_SPREAD = 0.02
"""Of a channel, as a part of the mean over all: a channel that is always 0 would make any value infinitely far."""
SHARE = 0.9
"""How much of what the bits let expect is taken from a distance."""
HIGHEST = 0.03
"""The part of an image's positions that its score is the mean of."""
KEPT_BYTES = 256 << 20
"""Latents of normal images that are kept for the second look; those beyond are read again."""
CHUNK = 16384
"""Positions that are whitened at once."""
FORMAT = 1
KEY = "vaecodec-anomaly"
"""The entry of a model file's metadata that holds all but its tensors, as JSON."""
MOST_BYTES = 64 << 20
"""Of a model file."""
MOST_CHANNELS = 2048


@dataclass(frozen=True, eq=False)
class Described:
    """What a method looks at. rows: y_hat, float32 [positions, M], empty where it needs none. plain: bits or error."""

    size: tuple[int, int]
    model_hash: bytes
    level: int
    rows: NDArray[np.float32]
    plain: Map


@dataclass(frozen=True, eq=False)
class Score:
    """How unlike normal an image is. value: in standard deviations of normal positions. map: the same of each position.

    chance: the share of normal images that score as high, at least 1 / (images + 1). is_anomalous: value > threshold.
    """

    value: float
    threshold: float
    chance: float
    map: Map
    size: tuple[int, int]

    @property
    def is_anomalous(self) -> bool:
        """Whether the value is above the threshold."""
        return self.value > self.threshold

    def pixels(self) -> Map:
        """The map at the size of the image, linear between the centres of positions: float32 [height, width]."""
        width, height = self.size
        rows, columns = self.map.shape
        large = Image.fromarray(self.map).resize((Y_CELL * columns, Y_CELL * rows), Image.Resampling.BILINEAR)
        return np.asarray(large, np.float32)[:height, :width]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """mean float32 [M]. whitening float32 [M, M]: a row less the mean, times it, is white."""

    mean: NDArray[np.float32]
    whitening: NDArray[np.float32]

    def distances(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The Mahalanobis distance of each row, over the root of M: about 1 for a normal one. float32 [positions]."""
        parts = [rows[at : at + CHUNK] for at in range(0, len(rows), CHUNK)]
        white = [np.square((part - self.mean) @ self.whitening).mean(axis=1) for part in parts]
        return np.asarray(np.sqrt(np.concatenate(white)), np.float32)


@dataclass(eq=False)
class Moments:
    """Sums over the positions of some images, in double precision."""

    count: int = 0
    total: Any = 0.0
    products: Any = 0.0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Count positions [n, M] in."""
        for at in range(0, len(rows), CHUNK):
            part = rows[at : at + CHUNK].astype(np.float64)
            self.count += len(part)
            self.total = self.total + part.sum(axis=0)
            self.products = self.products + part.T @ part

    def gaussian(self) -> Gaussian:
        """The Gaussian of all positions, its correlations shrunk."""
        mean = self.total / self.count
        covariance = self.products / self.count - np.outer(mean, mean)
        spread = np.sqrt(np.maximum(np.diag(covariance), 0))
        spread = np.maximum(spread, max(LEAST_SPREAD * float(spread.mean()), 1e-6))
        correlation = covariance / np.outer(spread, spread)
        np.fill_diagonal(correlation, 1.0)  # also of a channel below the floor
        correlation = (1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(mean))
        whitening = np.linalg.inv(np.linalg.cholesky(correlation)).T / spread[:, None]
        return Gaussian(mean.astype(np.float32), whitening.astype(np.float32))


@dataclass(frozen=True, eq=False)
class AnomalyModel:
    """What normal images are like. model_hash, level: of the latents that it was fitted to, which it can be used on.

    slope, centre, scale: a value is (distance - slope * bits - centre) / scale; methods without a distance have the
    bits or the error in its place. normal: scores of the held-back normal images, float32 [images], ascending.
    """

    method: str
    model_hash: bytes
    level: int
    gaussian: Gaussian | None
    slope: float
    centre: float
    scale: float
    normal: NDArray[np.float32]
    false_alarms: float

    @cached_property
    def threshold(self) -> float:
        """The score from which an image counts as anomalous."""
        return threshold_of(self.normal, self.false_alarms)

    def score(self, item: object, codec: Codec | None = None) -> Score:
        """The score of a .vaec file or an image, as for `fit`.

        codec: of the model that this was fitted with. Raises as `describe`; HashMismatch for latents of another model;
        InputError for a .vaec file of another quality.
        """
        codec = shared_codec() if codec is None else codec
        described = describe(item, codec, self.method, self.level)
        self.check(described)
        return self.score_of(described)

    def check(self, described: Described) -> None:
        """Raises HashMismatch or InputError for latents that the model was not fitted to."""
        _check_model(described.model_hash, self.model_hash)
        _check_level(described.level, self.level)

    def score_of(self, described: Described) -> Score:
        """The score of what `describe` gave."""
        values = _values(self.gaussian, described)
        values = np.asarray((values - self.slope * described.plain - self.centre) / self.scale, np.float32)
        value = highest(values)
        at_least = len(self.normal) - int(np.searchsorted(self.normal, value, side="left"))
        chance = (1 + at_least) / (len(self.normal) + 1)
        return Score(value, self.threshold, chance, values, described.size)

    def to_bytes(self) -> bytes:
        """The model as the bytes of a file (safetensors)."""
        from safetensors.numpy import save

        facts = {
            "format": FORMAT,
            "method": self.method,
            "model_hash": self.model_hash.hex(),
            "level": self.level,
            "slope": self.slope,
            "centre": self.centre,
            "scale": self.scale,
            "false_alarms": self.false_alarms,
        }
        tensors = {"normal": self.normal}
        if self.gaussian is not None:
            tensors |= {"mean": self.gaussian.mean, "whitening": np.ascontiguousarray(self.gaussian.whitening)}
        return bytes(save(tensors, metadata={KEY: json.dumps(facts)}))


def fit(
    items: Sequence[object],
    codec: Codec | None = None,
    *,
    method: str = DEFAULT_METHOD,
    quality: float = DEFAULT_QUALITY,
    false_alarms: float | None = None,
) -> AnomalyModel:
    """The model of normal images: .vaec files (bytes, paths) or images; two at least, of any sizes.

    method: see this module. quality: at which images are encoded; .vaec files must all have one quality, their own.
    false_alarms: the share of normal images that may count as anomalous, 1 / (images + 1) to 0.5; None: 0.05, or the
    least that the number of images allows. Raises InputError, and as `Codec.latents`.
    """
    codec = shared_codec() if codec is None else codec
    fitting = Fitting(method, quality_to_level(quality), false_alarms)
    for number, item in enumerate(items):

        def read(item: object = item) -> Described:
            return describe(item, codec, method, fitting.level)

        fitting.add(number, read)
    for number in range(len(items)):
        fitting.hold_back(number)
    return fitting.model()


class Fitting:
    """A fit under way: `add` every normal image, then `hold_back` each, then `model`. Threads may share it."""

    def __init__(self, method: str, level: int, false_alarms: float | None) -> None:
        """level: at which images are encoded. Raises InputError for an unknown method or an impossible rate."""
        check_method(method)
        if false_alarms is not None:
            _check_rate(false_alarms)
        self.method, self.level, self._false_alarms = method, level, false_alarms
        self._moments = [Moments() for _ in range(FOLDS)]
        self._alike = b"", level
        self._readers: dict[int, Callable[[], Described]] = {}
        self._folds: dict[int, int] = {}
        self._kept: dict[int, Described] = {}
        self._room = KEPT_BYTES
        self._gaussians: dict[int | None, Gaussian] = {}
        self._held: dict[int, tuple[Map, Map]] = {}
        self._lock = threading.Lock()

    def add(self, number: int, read: Callable[[], Described]) -> Described:
        """Count a normal image in. Folds take turns: threads that add in another order fit a little otherwise.

        read: gives it, now and, where memory is short, once more. Raises what `read` does.

        InputError, HashMismatch where it is of another quality or model than those before.
        """
        described = read()
        with self._lock:
            if not self._readers:
                self._alike = described.model_hash, described.level
            _check_model(described.model_hash, self._alike[0])
            _check_level(described.level, self._alike[1])
            fold = self._folds[number] = len(self._readers) % FOLDS
            if described.rows.size:
                self._moments[fold].add(described.rows)
            self._readers[number] = read
            size = described.rows.nbytes + described.plain.nbytes
            if size <= self._room:
                self._kept[number] = described
                self._room -= size
        return described

    def hold_back(self, number: int) -> None:
        """Compute the values of an image by what the images of other folds give; once all are added.

        Raises InputError for a single image.
        """
        _rate_for(None, len(self._readers))
        kept = self._kept.get(number)
        described = self._readers[number]() if kept is None else kept
        values = _values(self._gaussian(self._folds[number]), described)
        with self._lock:
            self._held[number] = values, described.plain

    def _gaussian(self, without: int | None) -> Gaussian | None:
        """The Gaussian of all images, or of those outside a fold."""
        if self.method not in ("combined", "distance"):
            return None
        with self._lock:
            if without not in self._gaussians:
                picked = [each for fold, each in enumerate(self._moments) if fold != without and each.count]
                self._gaussians[without] = _sum(picked).gaussian()
            return self._gaussians[without]

    def model(self) -> AnomalyModel:
        """The model. Raises InputError for less than two images, or too few for the false-alarm rate."""
        _rate_for(None, len(self._readers))  # a single image cannot be held back
        rate = _rate_for(self._false_alarms, len(self._held))
        held = [self._held[number] for number in sorted(self._held)]
        values, plain = (np.concatenate([pair[which].ravel() for pair in held]).astype(np.float64) for which in (0, 1))
        slope = SHARE * _slope(values, plain) if self.method == "combined" else 0.0
        values = values - slope * plain
        centre, scale = float(values.mean()), max(float(values.std()), 1e-9)
        normal = np.sort([highest((image - slope * bits - centre) / scale) for image, bits in held])
        return AnomalyModel(
            self.method,
            self._alike[0],
            self._alike[1],
            self._gaussian(None),
            slope,
            centre,
            scale,
            normal.astype(np.float32),
            rate,
        )


def describe(item: object, codec: Codec, method: str, level: int) -> Described:
    """What a method looks at of a .vaec file (bytes, path, open file) or an image, which is encoded at `level`.

    A lossless file counts as its image. Raises as `Codec.latents`; InputError for the method "error" and a .vaec file.
    """
    content = opened(item)
    if isinstance(content, Content) and container.parse_header(content).header.is_lossless:
        content = codec.decode(content)
    if method == "error":
        return _described_error(content, codec, level)
    latents = codec.latents(content) if isinstance(content, Content) else _latents(codec, content, level)
    return describe_latents(latents, method)


def describe_latents(latents: ImageLatents, method: str) -> Described:
    """The same of latents at hand, for any method but "error"."""
    if method == "bits":
        own = np.log2(1 + np.abs(latents.integers.r).astype(np.float32)).sum(axis=0)
        return _described(latents, latents.inside(latents.bits - 2 * own))
    rows = latents.inside(latents.y_hat)
    return _described(latents, latents.inside(latents.bits), np.ascontiguousarray(rows.reshape(len(rows), -1).T))


def _described_error(image: object, codec: Codec, level: int) -> Described:
    if isinstance(image, Content):
        message = 'method "error" compares an image with its reconstruction; a .vaec file holds the latter only'
        raise InputError(message)
    pixels = make_source(image, strip=True).picture.rgb
    latents = _latents(codec, Image.fromarray(pixels), level)
    squares = np.square(np.asarray(codec.synthesize(latents), np.float32) - pixels).mean(axis=2)
    height, width = (-side % Y_CELL for side in squares.shape)
    padded = np.pad(squares, ((0, height), (0, width)), mode="edge")
    cells = padded.reshape(len(padded) // Y_CELL, Y_CELL, -1, Y_CELL).mean(axis=(1, 3))
    return _described(latents, np.sqrt(cells))


def _latents(codec: Codec, image: object, level: int) -> ImageLatents:
    return codec.latents(image, level_to_quality(level))


def _described(latents: ImageLatents, plain: NDArray[Any], rows: NDArray[np.float32] | None = None) -> Described:
    header = latents.header
    rows = np.empty((plain.size, 0), np.float32) if rows is None else rows
    size = header.width, header.height
    return Described(size, header.model_hash, header.level, rows, np.ascontiguousarray(plain, np.float32))


def _values(gaussian: Gaussian | None, described: Described) -> Map:
    """What is standardized, before the bits are taken off: distances, or bits or error themselves."""
    if gaussian is None:
        return described.plain
    return gaussian.distances(described.rows).reshape(described.plain.shape)


def _sum(parts: Sequence[Moments]) -> Moments:
    total = Moments()
    for part in parts:
        total.count += part.count
        total.total = total.total + part.total
        total.products = total.products + part.products
    return total


def _slope(values: NDArray[np.float64], bits: NDArray[np.float64]) -> float:
    """The slope of the line of values over bits, by least squares; 0 where bits are all alike."""
    spread = float(bits.var())
    return float(((values - values.mean()) * (bits - bits.mean())).mean()) / spread if spread > 0 else 0.0


def highest(values: NDArray[Any]) -> float:
    """The score of an image: the mean of the highest 3 % of its positions, of one at least."""
    count = max(1, round(HIGHEST * values.size))
    return float(np.partition(values.ravel(), values.size - count)[-count:].mean())


def threshold_of(normal: NDArray[np.float32], false_alarms: float) -> float:
    """The score that a normal image exceeds with a probability of `false_alarms` at most, from n ascending ones.

    It is the ceil((n + 1) (1 - rate))-th of them (split conformal prediction: Lei et al. 2018, arXiv 1604.04173).
    """
    count = len(normal)
    return float(normal[math.ceil((count + 1) * (1 - false_alarms) - 1e-9) - 1])


def _check_model(own: bytes, needed: bytes) -> None:
    if own != needed:
        message = f"the latents are of weights {own.hex()}; those of the normal images are of {needed.hex()}"
        raise HashMismatch(message)


def _check_level(level: int, needed: int) -> None:
    """Bits depend on the quality, so what was made at another one cannot be judged."""
    if level != needed:
        message = (
            f"the file is of quality {level_to_quality(level)} (level {level}); "
            f"the normal images are of quality {level_to_quality(needed)} (level {needed})"
        )
        raise InputError(message)


def check_method(method: str) -> None:
    """Raises InputError for an unknown method."""
    if method not in METHODS:
        message = f"method is {method!r}; it must be one of {', '.join(METHODS)}"
        raise InputError(message)


MOST_FALSE_ALARMS = 0.5


def _check_rate(rate: float) -> None:
    if not 0 < check_real("false_alarms", rate) <= MOST_FALSE_ALARMS:
        message = f"false_alarms is {rate}; it must be above 0 and at most {MOST_FALSE_ALARMS}"
        raise InputError(message)


def _rate_for(asked: float | None, images: int) -> float:
    """The false-alarm rate that so many images can state: 1 / (images + 1) is the least. Raises InputError."""
    if images < 2:
        message = f"{images} normal images; at least 2 are needed, 19 for a false-alarm rate of {FALSE_ALARMS}"
        raise InputError(message)
    least = 1 / (images + 1)
    if asked is None:
        return min(max(FALSE_ALARMS, least), MOST_FALSE_ALARMS)
    if asked < least - 1e-9:
        message = f"false_alarms is {asked}; with {images} normal images it must be at least {least:.4g}"
        raise InputError(message)
    return float(asked)


# Files


def read_model(path: str | os.PathLike[str]) -> AnomalyModel:
    """The model in a file. Raises InputError for what is none, OSError."""
    with Path(path).open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    try:
        return _parsed(data)
    except InputError as error:
        message = f"{os.fspath(path)} is no anomaly model of version {FORMAT}: {error}"
        raise InputError(message) from error


def _parsed(data: bytes) -> AnomalyModel:
    if len(data) > MOST_BYTES:
        message = f"it has more than {MOST_BYTES} bytes"
        raise InputError(message)
    facts, tensors = _contents(data)
    method = _text(facts, "method", METHODS)
    needs_gaussian = method in ("combined", "distance")
    names = {"normal", "mean", "whitening"} if needs_gaussian else {"normal"}
    if set(tensors) != names:
        message = f"its tensors are {sorted(tensors)}; they must be {sorted(names)}"
        raise InputError(message)
    normal = _tensor(tensors, "normal", (-1,), 2)
    if (np.diff(normal) < 0).any():
        message = "normal is not ascending"
        raise InputError(message)
    gaussian = None
    if needs_gaussian:
        mean = _tensor(tensors, "mean", (-1,), 1)
        if len(mean) > MOST_CHANNELS:
            message = f"mean has {len(mean)} channels; the most are {MOST_CHANNELS}"
            raise InputError(message)
        gaussian = Gaussian(mean, _tensor(tensors, "whitening", (len(mean), len(mean)), 1))
    rate = _number(facts, "false_alarms", 1 / (len(normal) + 1) - 1e-9, MOST_FALSE_ALARMS)
    level = _number(facts, "level", 0, LEVELS - 1)
    if level != int(level):
        message = f"level is {level}; it must be a whole number"
        raise InputError(message)
    slope, centre = (_number(facts, name, -1e9, 1e9) for name in ("slope", "centre"))
    return AnomalyModel(
        method, _hash(facts), int(level), gaussian, slope, centre, _number(facts, "scale", 1e-9, 1e9), normal, rate
    )


def _contents(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The facts and the tensors of a file. safetensors checks names, types, shapes and lengths against the data."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts = json.loads(header.get("__metadata__", {}).get(KEY, "null"))
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        message = f"it cannot be read ({type(error).__name__}: {error})"
        raise InputError(message) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        message = f"its metadata have no {KEY!r} of format {FORMAT}"
        raise InputError(message)
    return facts, tensors


def _tensor(tensors: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], least: int) -> NDArray[np.float32]:
    """A tensor of this shape; -1 stands for any length from `least` on."""
    array = tensors[name]
    fits = array.ndim == len(shape) and all(want in (-1, have) for have, want in zip(array.shape, shape, strict=True))
    if array.dtype != np.float32 or not fits or array.shape[0] < least or not np.isfinite(array).all():
        message = f"{name} is {array.dtype.name} {array.shape}; it must be float32 {shape} of finite numbers"
        raise InputError(message)
    return array


def _text(facts: dict[str, Any], name: str, legal: Sequence[str]) -> str:
    value = facts.get(name)
    if value not in legal:
        message = f"{name} is {value!r}; it must be one of {', '.join(legal)}"
        raise InputError(message)
    return str(value)


def _number(facts: dict[str, Any], name: str, least: float, most: float) -> float:
    value = facts.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        message = f"{name} is {value!r}; it must be a number {least:g}..{most:g}"
        raise InputError(message)
    return float(value)


def _hash(facts: dict[str, Any]) -> bytes:
    value = facts.get("model_hash")
    if not isinstance(value, str) or len(value) != 8 or set(value) - set("0123456789abcdef"):
        message = f"model_hash is {value!r}; it must be 8 hexadecimal digits"
        raise InputError(message)
    return bytes.fromhex(value)
