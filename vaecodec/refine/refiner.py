"""Integers of whole images, window by window: memory goes with the window, not with the image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from vaecodec.entropy.coding import Latents
from vaecodec.errors import InputError
from vaecodec.levels import level_lambda
from vaecodec.networks.config import ALIGNMENT, PATCH, ModelConfig
from vaecodec.networks.network import level_position
from vaecodec.refine import Progress, silent
from vaecodec.refine.descent import Problem, descend
from vaecodec.refine.distortion import Distortion
from vaecodec.refine.rates import RateCurve
from vaecodec.runtime.loading import TorchModel, load_model
from vaecodec.runtime.windows import Pixels, Window, z_shape
from vaecodec.weights.store import StoredModel

MOST_CELLS = 16
"""Positions of z along a side of a window's core, 1024 pixels. Smaller windows take less memory and more time, as their
halos are computed, too."""
HALO = 1
"""Positions of z around the core that are computed, but not changed."""
COUNTED = 48
"""Pixels around the core whose distortion counts: g_s reaches no farther to an effect that matters."""
PRIOR_HALO = 2
"""Positions of z beyond the window that its prior features depend on."""
SEED = 1


def bytes_per_pixel(config: ModelConfig) -> float:
    """Held of a window for its gradient: what every block keeps, at 1/8 in g_s and at 1/16 in the context, float32."""
    blocks = config.blocks_s * config.C * (8 + 7 * config.ffn) / PATCH**2
    context = 3 * config.blocks_context * config.P * 15 / (4 * PATCH**2)
    return 4 * 1.3 * (blocks + context + 12 * config.M / (4 * PATCH**2) + 12)


class Refiner:
    """Refines the integers of images for one model.

    loaded: with the plain network, in which gradients flow (see `load_model`; that of an engine is packed). narrow: the
    type in which convolutions may run.
    """

    def __init__(self, loaded: TorchModel, device: torch.device, *, narrow: torch.dtype | None = None) -> None:
        self._network = loaded.network.to(device)
        self._device, self._narrow = device, narrow
        self._rates = RateCurve(loaded.entropy, device)
        self._distortion = Distortion.of_card(loaded.card)
        self._config = loaded.config

    @property
    def is_for_squared_error(self) -> bool:
        """Whether the model was trained for squared error alone."""
        return self._distortion.ssimulacra2 == 0

    def refine(
        self,
        pixels: Pixels,
        start: Latents,
        index: NDArray[np.uint8],
        passes: int,
        *,
        balance: float = 1.0,
        max_memory: int | None = None,
        progress: Progress = silent,
    ) -> NDArray[np.int32]:
        """pixels uint8 [H, W, 3], what one pass made of them, the scale index of it -> better integers, like `start.r`.

        balance: times lambda, to move between two levels: more is more bits. max_memory: bytes that a window may take,
        None for about 1 GB. Raises InputError where the least window takes more.
        """
        generator = torch.Generator().manual_seed(SEED)
        windows = list(tiles(*z_shape(*pixels.shape[:2]), _core_cells(self._config, max_memory)))
        r: NDArray[np.int32] = start.r.copy()
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            progress(done, passes * len(windows))

        for core in windows:
            problem = self._problem(pixels, start, index, r, core, balance)
            y = core.finer(ALIGNMENT // (2 * PATCH))
            outer = _grown(core, start).finer(ALIGNMENT // (2 * PATCH))
            better = descend(problem, passes, generator, advance)[0].to(torch.int32).cpu().numpy()
            y.cut(r)[...] = y.relative_to(outer).cut(better)
        return r

    def _problem(
        self,
        pixels: Pixels,
        start: Latents,
        index: NDArray[np.uint8],
        r: NDArray[np.int32],
        core: Window,
        balance: float,
    ) -> Problem:
        """The window around a core, with the integers as they are by now."""
        outer = _grown(core, start)
        y, inner = (window.finer(ALIGNMENT // (2 * PATCH)) for window in (outer, core))
        table = torch.from_numpy(y.cut(index).astype(np.int64)).to(self._device)[None]
        free = torch.zeros(table.shape, device=self._device)
        inner.relative_to(y).cut(free)[...] = 1
        area = outer.finer(ALIGNMENT)
        image = Window(0, pixels.shape[0], 0, pixels.shape[1])
        counted = core.finer(ALIGNMENT).grown(COUNTED, *pixels.shape[:2]).clipped(*pixels.shape[:2])
        cut = area.clipped(image.bottom, image.right)
        missing = ((0, area.bottom - cut.bottom), (0, area.right - cut.right), (0, 0))
        x = np.pad(pixels[cut.top : cut.bottom, cut.left : cut.right], missing, mode="edge")
        t = level_position(torch.tensor([start.level], device=self._device))
        return Problem(
            network=self._network,
            rates=self._rates,
            distortion=self._distortion,
            x=torch.from_numpy(x.astype(np.float32) / 255).to(self._device).permute(2, 0, 1)[None],
            p=self._prior(start, outer, t),
            t=t,
            index=table,
            r=torch.from_numpy(y.cut(r).astype(np.float32)).to(self._device)[None],
            free=free * (table > 0),
            counted=counted.relative_to(area),
            weight=balance * level_lambda(start.level) * 255**2,
            narrow=self._narrow,
        )

    @torch.no_grad()
    def _prior(self, start: Latents, outer: Window, t: torch.Tensor) -> torch.Tensor:
        """Prior features of a window, as those of the whole image have them."""
        wider = outer.grown(PRIOR_HALO, *start.z_hat.shape[1:])
        z_hat = torch.from_numpy(wider.cut(start.z_hat).astype(np.float32)).to(self._device)[None]
        growth = ALIGNMENT // (2 * PATCH)
        p: torch.Tensor = outer.finer(growth).relative_to(wider.finer(growth)).cut(self._network.prior(z_hat, t))
        return p


def make_refiner(stored: StoredModel, device: str, dtype: str) -> Refiner:
    """The refiner of a weights file; device and dtype as in a plan. bfloat16 is taken where the codec takes it."""
    narrow = torch.bfloat16 if dtype == "bfloat16" else None
    return Refiner(load_model(stored), torch.device(device), narrow=narrow)


def _grown(core: Window, start: Latents) -> Window:
    """A core with its halo."""
    return core.grown(HALO, *start.z_hat.shape[1:])


def tiles(height: int, width: int, most: int) -> Iterator[Window]:
    """Cores of at most `most` positions of z a side, about equal in size, that cover height * width of them."""
    for top, bottom in _parts(height, most):
        for left, right in _parts(width, most):
            yield Window(top, bottom, left, right)


def _parts(length: int, most: int) -> list[tuple[int, int]]:
    count = -(-length // most)
    edges = [length * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def _core_cells(config: ModelConfig, max_memory: int | None) -> int:
    """The side of the largest core whose window fits. Raises InputError where none does."""
    if max_memory is None:
        return MOST_CELLS
    fixed = bytes_per_pixel(config) * ALIGNMENT**2
    cells = math.isqrt(max(0, int(max_memory / fixed))) - 2 * HALO
    if cells < 1:
        least = math.ceil(fixed * (1 + 2 * HALO) ** 2)
        message = (
            f"max_memory leaves {max_memory} bytes for refinement, which needs {least}; raise it, or take effort 4"
        )
        raise InputError(message)
    return min(MOST_CELLS, cells)
