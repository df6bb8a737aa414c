"""Refinement at encode time: better integers for the decoder that everyone has. Files stay what they are.

The encoder's one pass guesses y; rounding it then decides each of a million integers on its own. Here they are chosen
for this image, together: the bits of the tables plus lambda times the distortion, as in training, are made smaller by
gradients through the context and g_s, while a growing penalty drives each value back to a whole number (`descent`).
z_hat stays as it is, so the scale indices are constants and a symbol's bits a lookup (`rates`).

At effort 9 encoding takes about a minute a megapixel on two cores, decoding not a moment more. Needs PyTorch
(`pip install 'vaecodec[torch]'`).
"""

from __future__ import annotations

from collections.abc import Callable

from vaecodec.errors import InputError

DEFAULT_EFFORT = 4
"""One pass of the encoder, with `feedback` where the image is no photograph."""

PASSES = {5: 12, 6: 32, 7: 50, 8: 70, 9: 90}
"""Passes through context and g_s, forward and backward, by effort; up to 4 there is nothing to refine."""

Progress = Callable[[int, int], None]
"""Told after each pass: passes done, and passes in all. A target takes up to four rounds: each begins anew."""


def silent(done: int, total: int) -> None:
    """Progress that nobody watches."""


def passes_of(effort: int) -> int:
    """The passes of an effort 1..9, 0 for one that doesn't refine. Raises InputError outside, BackendError for an
    effort that needs PyTorch where it isn't installed."""
    if isinstance(effort, bool) or not isinstance(effort, int) or not 1 <= effort <= max(PASSES):
        message = f"effort is {effort!r}; it must be a whole number 1..{max(PASSES)}"
        raise InputError(message)
    passes = PASSES.get(effort, 0)
    if passes:
        from vaecodec.runtime.devices import require_torch

        require_torch(f"effort {effort}")
    return passes
