"""What a training run is: every number that its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vaecodec.errors import InputError, WeightsError
from vaecodec.networks.config import CONFIGS
from vaecodec.weights.manifest import TUNES

MS_SSIM_CROP = 192
"""The least side of a crop for MS-SSIM, whose five scales of 11 x 11 windows need 160 pixels, as a multiple of 64."""


@dataclass(frozen=True)
class Settings:
    """Settings of one run; stored in every checkpoint.

    Schedule: `warmup` steps linear to the peak, constant, then linear to 1 % of the peak over the last `decay` (a
    fraction of `steps`): a longer run can branch off the constant part. Crops are `crop` pixels, a multiple of 64.
    tune: "psnr", or "perceptual" for squared error and MS-SSIM in equal parts (needs pytorch-msssim).
    `batch` counts the images of a step over all processes. `log_every`: every n-th step gets a line in the log.
    """

    config: str = "base"
    steps: int = 10_000
    batch: int = 8
    crop: int = 256
    muon_lr: float = 0.002
    adam_lr: float = 1e-3
    warmup: int = 200
    decay: float = 0.4
    ema: float = 0.999
    clip: float = 1.0
    seed: int = 1
    rescale_chance: float = 0.3
    rounded_rate: bool = False
    tune: str = "psnr"
    compile: bool = False
    bf16: bool = True
    eval_every: int = 1000
    checkpoint_every: int = 250
    channels_last: bool = True
    log_every: int = 1

    def __post_init__(self) -> None:
        _require("config", self.config, self.config in CONFIGS, f"one of {', '.join(CONFIGS)}")
        for field in ("steps", "batch", "eval_every", "checkpoint_every", "log_every"):
            _require(field, getattr(self, field), getattr(self, field) >= 1, "at least 1")
        for field in ("muon_lr", "adam_lr", "clip"):
            _require(field, getattr(self, field), getattr(self, field) > 0, "above 0")
        _require("warmup", self.warmup, self.warmup >= 0, "at least 0")
        _require("crop", self.crop, self.crop >= 64 and self.crop % 64 == 0, "a positive multiple of 64")
        _require("tune", self.tune, self.tune in TUNES, f"one of {', '.join(TUNES)}")
        if self.tune == "perceptual":
            _require("crop", self.crop, self.crop >= MS_SSIM_CROP, f"at least {MS_SSIM_CROP} for tune=perceptual")
        _require("decay", self.decay, 0 < self.decay <= 1, "above 0, at most 1")
        _require("ema", self.ema, 0 <= self.ema < 1, "0 <= ema < 1")
        _require("rescale_chance", self.rescale_chance, 0 <= self.rescale_chance <= 1, "0..1")

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The settings in a checkpoint; those that an older version didn't know get their defaults.

        Raises WeightsError for a setting that this version doesn't know: ignoring it would change the run.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            message = f"the checkpoint has settings of a newer version: {', '.join(sorted(unknown))}"
            raise WeightsError(message)
        return cls(**values)


def _require(field: str, value: object, legal: bool, allowed: str) -> None:
    if not legal:
        message = f"{field} is {value}; it must be {allowed}"
        raise InputError(message)


def learning_rate_factor(settings: Settings, step: int) -> float:
    """Factor on the peak learning rates at `step` (0-based)."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup))
    left = (settings.steps - step) / (settings.decay * settings.steps)
    return warm * max(0.01, min(1.0, left))
