"""Random crops with flips, transposes and 0.5-1x rescaling, out of a corpus in memory.

One draw, two ways to cut: views of one image after the other (CPU), or one gather for the whole batch (GPU). Both give
the same crops; rescaled ones may differ by a rounding, one level of 8 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vaecodec.training.data import Corpus

MIN_SCALE = 0.5


@dataclass(frozen=True)
class Places:
    """Where the crops of a batch lie: image numbers and windows, int64 [B]; flips bool [B, 3].

    A window is `sides` pixels square and starts at (`tops`, `lefts`). The flips are: left-right, top-bottom, transpose,
    in this order.
    """

    numbers: Tensor
    tops: Tensor
    lefts: Tensor
    sides: Tensor
    flips: Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor to `device`, without making the CPU wait for a GPU's queue (pinned, asynchronous)."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Sampler:
    """Draws crops of `crop` pixels from a corpus, by the images' weights.

    All random numbers come from `generator` (CPU), in an order that doesn't depend on where the pixels live.
    """

    def __init__(self, corpus: Corpus, crop: int, generator: torch.Generator, rescale_chance: float = 0.3) -> None:
        self.corpus, self.crop, self.generator, self.rescale_chance = corpus, crop, generator, rescale_chance

    def batch(self, count: int) -> Tensor:
        """uint8 [count, 3, crop, crop], on the device of the corpus."""
        cut = gather_crops if self.corpus.flat.is_cuda else slice_crops
        return cut(self.corpus, self.draw(count), self.crop)

    def draw(self, count: int) -> Places:
        """Random places for `count` crops."""
        numbers = torch.multinomial(self.corpus.weights, count, replacement=True, generator=self.generator)
        chance, factor, row, column, *flips = torch.rand(count, 7, generator=self.generator).double().unbind(1)
        heights, widths = self.corpus.heights[numbers], self.corpus.widths[numbers]
        largest = torch.minimum(heights, widths).clamp(max=int(self.crop / MIN_SCALE))
        reduced = self.crop + (factor * (largest - self.crop + 1)).long()
        sides = torch.where(chance < self.rescale_chance, reduced, self.crop)
        tops, lefts = (row * (heights - sides + 1)).long(), (column * (widths - sides + 1)).long()
        return Places(numbers, tops, lefts, sides, torch.stack(flips, 1) < 0.5)


def slice_crops(corpus: Corpus, places: Places, crop: int) -> Tensor:
    """The crops at `places`, one by one: uint8 [B, 3, crop, crop]."""
    rows = zip(places.numbers.tolist(), places.tops.tolist(), places.lefts.tolist(), places.sides.tolist(), strict=True)
    patches = []
    for (number, top, left, side), flips in zip(rows, places.flips.tolist(), strict=True):
        patch = corpus.image(number)[top : top + side, left : left + side].permute(2, 0, 1)
        patches.append(_turn(_shrink(patch, crop), flips))
    return torch.stack(patches)


def _shrink(patch: Tensor, crop: int) -> Tensor:
    if patch.shape[-1] == crop:
        return patch
    shrunk = F.interpolate(patch[None].float(), (crop, crop), mode="bicubic", antialias=True)[0]
    return shrunk.round().clamp(0, 255).to(torch.uint8)


def _turn(patch: Tensor, flips: list[bool]) -> Tensor:
    if flips[0]:
        patch = patch.flip(-1)
    if flips[1]:
        patch = patch.flip(-2)
    return patch.transpose(-1, -2) if flips[2] else patch


def gather_crops(corpus: Corpus, places: Places, crop: int) -> Tensor:
    """The crops at `places`, all at once on the device of the corpus: uint8 [B, 3, crop, crop], channels last.

    Nothing here waits for the device.
    """
    device = corpus.flat.device
    first = corpus.offsets[places.numbers] // 3
    columns = [first, corpus.widths[places.numbers], places.tops, places.lefts, places.sides]
    plan = send(torch.stack([*columns, *places.flips.long().unbind(1)]), device)
    rescaled = (places.sides != crop).nonzero()[:, 0]
    out = _windows(corpus.flat, plan, crop)
    if len(rescaled):
        chosen = send(rescaled, device)
        size = int(places.sides.max())
        out[chosen] = _resize(_windows(corpus.flat, plan[:, chosen], size), plan[4, chosen], crop)
    return out.permute(0, 3, 1, 2)


def _windows(flat: Tensor, plan: Tensor, size: int) -> Tensor:
    """Windows of the plan's sides, flipped, in fields of `size`: uint8 [n, size, size, 3]. The rest repeats the edge.

    plan int64 [8, n]: first pixel of the image, its width, top, left, side, and the three flips.
    """
    first, width, top, left, side, mirror, upend, transpose = plan[:, :, None]
    steps = torch.minimum(torch.arange(size, device=plan.device), side - 1)  # [n, size]
    along = torch.where(mirror > 0, side - 1 - steps, steps)
    down = torch.where(upend > 0, side - 1 - steps, steps) * width
    rows, columns = torch.where(transpose > 0, along, down), torch.where(transpose > 0, down, along)
    index = (first + top * width + left)[:, :, None] + rows[:, :, None] + columns[:, None, :]
    return flat.view(-1, 3)[index]


def _resize(fields: Tensor, sides: Tensor, crop: int) -> Tensor:
    """uint8 [n, size, size, 3], the first `sides` rows and columns of each -> uint8 [n, crop, crop, 3]."""
    matrix = _bicubic_matrix(sides, fields.shape[1], crop)
    count, size = fields.shape[:2]
    rows = (matrix @ fields.float().flatten(2)).view(count, crop, size, 3)
    both = (matrix @ rows.transpose(1, 2).flatten(2)).view(count, crop, crop, 3)
    return both.transpose(1, 2).round().clamp(0, 255).to(torch.uint8)


def _bicubic_matrix(sides: Tensor, size: int, crop: int) -> Tensor:
    """Antialiased bicubic reduction from `sides` to `crop` samples, as F.interpolate does it: [n, crop, size]."""
    scale = sides.float()[:, None, None] / crop
    centres = (torch.arange(crop, device=sides.device)[:, None] + 0.5) * scale
    x = ((torch.arange(size, device=sides.device) + 0.5 - centres) / scale).abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
    weights = weights * (torch.arange(size, device=sides.device) < sides[:, None, None])
    return weights / weights.sum(2, keepdim=True)
