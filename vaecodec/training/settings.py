"""What a training run is: every number that its result depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from vaecodec.errors import InputError, WeightsError
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.ssimulacra2 import LEAST_SIDE
from vaecodec.training.loss import Mix
from vaecodec.weights.manifest import TUNES

MS_SSIM_CROP = 192
"""The least side of a crop for MS-SSIM, whose five scales of 11 x 11 windows need 160 pixels, as a multiple of 64."""


@dataclass(frozen=True)
class Settings:
    """Settings of one run; stored in every checkpoint.

    Schedule: `warmup` steps linear to the peak, constant, then linear to 1 % of the peak over the last `decay` (a
    fraction of `steps`): a longer run can branch off the constant part. Crops are `crop` pixels, a multiple of 64.
    tune: "psnr" for squared error, or "perceptual" for a mix of it with `ms_ssim_share` of MS-SSIM (which needs
    pytorch-msssim) and `ssimulacra2_share` of SSIMULACRA2; the shares mean nothing for tune="psnr".
    graphics_share: share of the crops from the second folder, of images that are no photographs, if there is one.
    denoise: train a denoising encoder for the model that the run starts from, which stays as it is.
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
    ms_ssim_share: float = 0.2
    ssimulacra2_share: float = 0.5
    graphics_share: float = 0.2
    denoise: bool = False
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
        for field in ("ms_ssim_share", "ssimulacra2_share"):
            _require(field, getattr(self, field), 0 <= getattr(self, field) <= 1, "0..1")
        shares = self.ms_ssim_share + self.ssimulacra2_share
        _require("ms_ssim_share + ssimulacra2_share", shares, shares <= 1, "at most 1")
        for name, share, least in (
            ("MS-SSIM", self.mix.ms_ssim, MS_SSIM_CROP),
            ("SSIMULACRA2", self.mix.ssimulacra2, LEAST_SIDE),
        ):
            _require("crop", self.crop, share == 0 or self.crop >= least, f"at least {least} for {name}")
        _require("decay", self.decay, 0 < self.decay <= 1, "above 0, at most 1")
        _require("ema", self.ema, 0 <= self.ema < 1, "0 <= ema < 1")
        _require("graphics_share", self.graphics_share, 0 < self.graphics_share < 1, "above 0, below 1")
        _require("rescale_chance", self.rescale_chance, 0 <= self.rescale_chance <= 1, "0..1")

    @property
    def mix(self) -> Mix:
        """The distortion that the run minimizes."""
        return Mix(self.ms_ssim_share, self.ssimulacra2_share) if self.tune == "perceptual" else Mix()

    def as_dict(self) -> dict[str, Any]:
        """The settings by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The settings in a checkpoint; those that an older version didn't know get their defaults.

        Raises WeightsError for a setting that this version doesn't know, as ignoring it would change the run, and for
        a perceptual run that knows no shares: its distortion was another one.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            message = f"the checkpoint has settings of a newer version: {', '.join(sorted(unknown))}"
            raise WeightsError(message)
        if values.get("tune") == "perceptual" and "ssimulacra2_share" not in values:
            message = "the checkpoint is of a perceptual run of an older version: begin a run with --init instead"
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
