"""The training loop: one object that owns networks, optimizers and random state, and can stop and resume anywhere."""

from __future__ import annotations

import copy
import platform
import time
from collections import deque
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from vaecodec.errors import DivergedError, InputError, WeightsError
from vaecodec.levels import LEVELS, MAX_LEVEL
from vaecodec.networks.config import CONFIGS
from vaecodec.networks.denoising import DenoisingNetwork
from vaecodec.networks.network import CodecNetwork
from vaecodec.training import log
from vaecodec.training.checkpoint import load_checkpoint, save_checkpoint
from vaecodec.training.crops import Sampler, send
from vaecodec.training.data import Corpus
from vaecodec.training.denoising import DenoisingObjective, evaluate_denoising
from vaecodec.training.distributed import Peers
from vaecodec.training.evaluate import Point, evaluate
from vaecodec.training.initialize import initialize
from vaecodec.training.loss import Objective
from vaecodec.training.muon import Muon, split_parameters
from vaecodec.training.settings import Settings, learning_rate_factor

MAX_BAD_STEPS = 10
_RANK_STRIDE = 1_000_003  # a prime: the seeds of two processes meet at no step


class Trainer:
    """Trains one CodecNetwork on a corpus; `step()` is one optimizer step, `save()` a checkpoint.

    On a GPU `launch()` and `collect()`, the two halves of a step, let the CPU run ahead by `lag` steps.
    """

    def __init__(
        self, settings: Settings, corpus: Corpus, run: Path, device: str = "cpu", peers: Peers | None = None
    ) -> None:
        self.settings, self.run, self.device = settings, run, torch.device(device)
        self.peers = peers or Peers(device=self.device)
        self.share = self.peers.share_of(settings.batch)
        self.generator = torch.Generator()
        self._seed(settings.seed)
        bank = corpus.to(self.device) if self.device.type == "cuda" else corpus
        self.sampler = Sampler(bank, settings.crop, self.generator, settings.rescale_chance)
        self.network = self._make_network()
        initialize(self.network, self.sampler.batch(64).cpu().float() / 255)
        self._format = torch.channels_last if settings.channels_last else torch.contiguous_format
        self.network.to(self.device, memory_format=self._format)  # type: ignore[call-overload]
        self.objective = self._make_objective()
        self.ema = copy.deepcopy(self.network).requires_grad_(False)
        matrices, others = split_parameters(self.network)
        self.muon = Muon(matrices, settings.muon_lr)
        self.adam = torch.optim.AdamW(others, settings.adam_lr, weight_decay=0.0, fused=True)
        self.steps_done, self.bad_steps, self.corpus_digest = 0, 0, corpus.digest
        self.lag = 1 if self.device.type == "cuda" else 0
        self.history: list[dict[str, Any]] = []
        self._pending: deque[tuple[int, Tensor, torch.cuda.Event | None]] = deque()
        self._launched_at = time.perf_counter()
        self._scatter_seeds()

    def _make_network(self) -> CodecNetwork:
        config = CONFIGS[self.settings.config]
        return DenoisingNetwork(config) if self.settings.denoise else CodecNetwork(config)

    def _make_objective(self) -> nn.Module:
        """The loss as a module; with several processes also the average of their gradients."""
        settings = self.settings
        if settings.mix.ms_ssim > 0 and find_spec("pytorch_msssim") is None:
            message = "ms_ssim_share needs the package pytorch-msssim, which is part of vaecodec[train]"
            raise InputError(message)
        make = DenoisingObjective if settings.denoise else Objective
        objective: nn.Module = make(
            self.network,
            rounded_rate=settings.rounded_rate,
            bf16=settings.bf16,
            mix=settings.mix,
            compiled=settings.compile,
        )
        if self.peers.world > 1:
            objective = DistributedDataParallel(objective)
        return objective

    def _seed(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.generator.manual_seed(seed)

    def _scatter_seeds(self) -> None:
        """Other processes must see other crops and noise; process 0 keeps the random state of a run of its own."""
        if not self.peers.leads:
            self._seed(self._own_seed() + self.peers.rank * _RANK_STRIDE + self.steps_done)

    def _own_seed(self) -> int:
        """The seed of process 0: that of the settings, moved by the steps behind the weights.

        From the same seed each of a chain of runs would see the crops of the one before, and learn them by heart.
        """
        behind: int = sum(entry["last_step"] - entry["first_step"] + 1 for entry in self.history)
        return self.settings.seed + behind

    def _sample(self) -> tuple[Tensor, Tensor]:
        count = self.share
        x = self.sampler.batch(count).to(self.device).float() / 255
        # One level from each of `count` equal parts of the range: the loss of a batch varies less.
        strata = torch.randperm(count, generator=self.generator) + torch.rand(count, generator=self.generator)
        levels = (strata / count * LEVELS).floor().clamp(0, LEVELS - 1)
        return x.contiguous(memory_format=self._format), send(levels / MAX_LEVEL, self.device)

    def step(self) -> dict[str, float]:
        """One optimizer step and its figures. Raises DivergedError after 10 losses in a row that aren't finite."""
        self.launch()
        return self.collect(0)[-1]

    def launch(self) -> None:
        """Queue one optimizer step on the device."""
        self._launched_at = time.perf_counter()
        x, t = self._sample()
        loss, means = self.objective(x, t)
        self.muon.zero_grad()
        self.adam.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if self._allows_update(loss.detach(), norm):
            self._update()
        self.steps_done += 1
        self._pending.append((self.steps_done, *_fetch(torch.cat([torch.stack([loss.detach(), norm]), means]))))

    def collect(self, keep: int) -> list[dict[str, float]]:
        """The figures of all queued steps but the last `keep`. Raises DivergedError like `step`."""
        entries = []
        while len(self._pending) > keep:
            step, figures, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            loss, norm, bpp_y, bpp_z, psnr = figures.tolist()
            self._count_bad(step, loss + norm)
            seconds = time.perf_counter() - self._launched_at
            entries.append({
                "step": step, "loss": loss, "bpp": bpp_y + bpp_z, "bpp_z": bpp_z, "psnr": psnr, "norm": norm,
                "seconds": seconds,
            })  # fmt: skip
        return entries

    def _allows_update(self, loss: Tensor, norm: Tensor) -> bool:
        """A step with a NaN changes nothing; on a GPU, where asking would stall, it goes on with a zero gradient, so by
        the momentum of the steps before."""
        # Gradients are shared by all processes, the loss is not: the norm alone gives one answer everywhere.
        good = torch.isfinite(norm if self.peers.world > 1 else loss + norm)
        if not good.is_cuda:
            return bool(good)
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~good, 0.0)
        return True

    def _count_bad(self, step: int, figure: float) -> None:
        self.bad_steps = 0 if abs(figure) < float("inf") else self.bad_steps + 1
        if self.bad_steps >= MAX_BAD_STEPS:
            message = f"loss not finite for {MAX_BAD_STEPS} steps up to step {step}; lower the learning rates"
            raise DivergedError(message)

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
        if isinstance(self.ema, DenoisingNetwork):
            return evaluate_denoising(self.ema, images)
        return evaluate(self.ema, images)

    def start_from(self, weights: Mapping[str, Tensor], history: list[dict[str, Any]] | None = None) -> None:
        """Begin with these weights, for both network and EMA; optimizers and schedule start afresh.

        `history`: the record of the run that the weights come from.
        """
        if isinstance(self.network, DenoisingNetwork):
            self.network.start_from_model(weights)
        else:
            self.network.load_state_dict(weights)
        self.ema.load_state_dict(self.network.state_dict())
        self.history = list(history or [])
        self._seed(self._own_seed())
        self._scatter_seeds()

    def note_start(self) -> None:
        """Record this process in the run's history: the hardware, for the model card."""
        on_gpu = self.device.type == "cuda"
        name = torch.cuda.get_device_name(self.device) if on_gpu else platform.processor() or platform.machine()
        self.history.append({
            "device": name, "processes": self.peers.world, "threads": torch.get_num_threads(),
            "torch": str(torch.__version__), "first_step": self.steps_done + 1, "last_step": self.steps_done,
            "hours": 0.0,
        })  # fmt: skip

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "settings": self.settings.as_dict(), "step": self.steps_done, "corpus": self.corpus_digest,
            "network": self.network.state_dict(), "ema": self.ema.state_dict(), "muon": self.muon.state_dict(),
            "adam": self.adam.state_dict(), "generator": self.generator.get_state(), "rng": torch.get_rng_state(),
            "history": self.history,
        }  # fmt: skip

    def save(self) -> None:
        """Write the checkpoint of this moment (process 0 only)."""
        if self.peers.leads:
            save_checkpoint(self.run, self.state())

    def resume(self) -> None:
        """Continue from the run's checkpoint. Raises WeightsError if it was made with other data or another network."""
        state = load_checkpoint(self.run)
        if state["corpus"] != self.corpus_digest:
            message = f"{self.run}: made with corpus {state['corpus'][:12]}, this one is {self.corpus_digest[:12]}"
            raise WeightsError(message)
        if state["settings"]["config"] != self.settings.config:
            message = f"{self.run}: config {state['settings']['config']!r}, not {self.settings.config!r}"
            raise WeightsError(message)
        if bool(state["settings"].get("denoise")) != self.settings.denoise:
            message = f"{self.run}: denoise is {not self.settings.denoise} there; a run goes on with what it trains"
            raise WeightsError(message)
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["ema"])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["rng"])
        self.steps_done = state["step"]
        self.history = list(state.get("history", []))  # runs of older versions have none
        if self.device.type == "cuda":  # a GPU has random numbers of its own: at least no sequence comes twice
            torch.cuda.manual_seed_all(self.settings.seed + self.steps_done)
        self._scatter_seeds()

    def log(self, entry: dict[str, Any]) -> None:
        """Append one line to the run's log (process 0 only)."""
        if self.peers.leads:
            log.append(self.run, entry)


def _fetch(figures: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Figures on their way to the CPU, and the event after which they are there."""
    if not figures.is_cuda:
        return figures, None
    target = torch.empty_like(figures, device="cpu", pin_memory=True).copy_(figures, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return target, event
