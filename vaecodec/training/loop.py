"""The training loop: one object that owns networks, optimizers and random state, and can stop and resume anywhere."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaecodec.errors import VaecodecError, WeightsError
from vaecodec.models.config import CONFIGS, LEVELS
from vaecodec.models.initialize import initialize
from vaecodec.models.network import CodecNetwork
from vaecodec.training.checkpoint import load_checkpoint, save_checkpoint
from vaecodec.training.data import Corpus, Sampler
from vaecodec.training.evaluate import Point, evaluate
from vaecodec.training.loss import balanced_loss, forward_terms
from vaecodec.training.muon import Muon, split_parameters
from vaecodec.training.settings import Settings, learning_rate_factor

LOG = "log.jsonl"


class DivergedError(VaecodecError):
    """The loss was not finite several times in a row: a lower learning rate is needed."""


MAX_BAD_STEPS = 10


class Trainer:
    """Trains one CodecNetwork on a corpus; `step()` is one optimizer step, `save()` a checkpoint."""

    def __init__(self, settings: Settings, corpus: Corpus, run: Path, device: str = "cpu") -> None:
        self.settings, self.run, self.device = settings, run, torch.device(device)
        torch.manual_seed(settings.seed)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.sampler = Sampler(corpus, settings.crop, self.generator, settings.rescale_chance)
        self.network = CodecNetwork(CONFIGS[settings.config])
        initialize(self.network, self.sampler.batch(64).float() / 255)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = copy.deepcopy(self.network).requires_grad_(False)
        matrices, others = split_parameters(self.network)
        self.muon = Muon(matrices, settings.muon_lr)
        self.adam = torch.optim.AdamW(others, settings.adam_lr, weight_decay=0.0, fused=True)
        self.steps_done, self.bad_steps, self.corpus_digest = 0, 0, corpus.digest
        self.loss_function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = self._loss
        if settings.compile:
            self.loss_function = torch.compile(self._loss)

    def _loss(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.bf16):
            terms = forward_terms(self.network, x, t, rounded_rate=self.settings.rounded_rate)
        means = torch.stack([terms.bpp_y.mean(), terms.bpp_z.mean(), terms.mse.log10().mean() * -10])
        return balanced_loss(terms, t), means.detach()

    def _sample(self) -> tuple[Tensor, Tensor]:
        batch = self.settings.batch
        x = self.sampler.batch(batch).to(self.device).float() / 255
        # One level from each of `batch` equal parts of the range: the loss of a batch varies less.
        strata = torch.randperm(batch, generator=self.generator) + torch.rand(batch, generator=self.generator)
        levels = (strata / batch * LEVELS).floor().clamp(0, LEVELS - 1)
        return x.contiguous(memory_format=torch.channels_last), (levels / (LEVELS - 1)).to(self.device)

    def step(self) -> dict[str, float]:
        """One optimizer step. Raises DivergedError after 10 losses in a row that aren't finite."""
        start = time.perf_counter()
        x, t = self._sample()
        loss, means = self.loss_function(x, t)
        self.muon.zero_grad()
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if self._is_finite(loss, norm):
            self._update()
        self.steps_done += 1
        bpp_y, bpp_z, psnr = means.tolist()
        seconds = time.perf_counter() - start
        return {
            "step": self.steps_done, "loss": loss.item(), "bpp": bpp_y + bpp_z, "bpp_z": bpp_z, "psnr": psnr,
            "norm": norm.item(), "seconds": seconds,
        }  # fmt: skip

    def _is_finite(self, loss: Tensor, norm: Tensor) -> bool:
        """A step with a NaN is left out; the run ends when they don't stop."""
        if torch.isfinite(loss) and torch.isfinite(norm):
            self.bad_steps = 0
            return True
        self.bad_steps += 1
        if self.bad_steps >= MAX_BAD_STEPS:
            message = (
                f"loss not finite for {MAX_BAD_STEPS} steps up to step {self.steps_done}; lower the learning rates"
            )
            raise DivergedError(message)
        return False

    def _update(self) -> None:
        factor = learning_rate_factor(self.settings, self.steps_done)
        for optimizer, peak in ((self.muon, self.settings.muon_lr), (self.adam, self.settings.adam_lr)):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()
        # A young average must not remember the start: the decay grows with the steps.
        decay = min(self.settings.ema, (1 + self.steps_done) / (10 + self.steps_done))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.network.parameters()), 1 - decay)

    def evaluate(self, images: list[Tensor]) -> list[Point]:
        """Operating points of the EMA weights."""
        return evaluate(self.ema, images)

    def state(self) -> dict[str, Any]:
        return {
            "settings": self.settings.as_dict(), "step": self.steps_done, "corpus": self.corpus_digest,
            "network": self.network.state_dict(), "ema": self.ema.state_dict(), "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(), "generator": self.generator.get_state(), "rng": torch.get_rng_state(),
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint of this moment."""
        save_checkpoint(self.run, self.state())

    def resume(self) -> None:
        """Continue from the run's checkpoint. Raises WeightsError if it was made with other data or another network."""
        state = load_checkpoint(self.run)
        if state["corpus"] != self.corpus_digest:
            message = f"{self.run}: made with corpus {state['corpus'][:12]}, this one is {self.corpus_digest[:12]}"
            raise WeightsError(message)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        self.steps_done = state["step"]

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to the run's log."""
        with (self.run / LOG).open("a") as file:
            file.write(json.dumps(entry) + "\n")
