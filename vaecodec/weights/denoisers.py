"""Denoising encoders: weights files that hold another g_a for one shipped model, for every strength of noise.

Files made with one are files of the model: nothing of the encoder is in them, and any installation decodes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vaecodec.errors import InputError
from vaecodec.weights.store import StoredModel, between_anchors

NOISE_SHIFT, NOISE_LOG_GAIN = "net.noise_shift.anchors", "net.noise_log_gain.anchors"
STEM_BIAS, ENCODER_GAIN = "net.g_a.stem.bias", "net.log_q_enc.anchors"
BLOCKS_KEY, NOISE_KEY, MODEL_KEY = "blocks_a", "noise_max", "model_sha256"
"""Entries of the card: the blocks of g_a, the strongest noise in shades 0..255, the hash of the model's tensors."""


def noise_vector(anchors: NDArray[np.float32], sigma: float, noise_max: float) -> NDArray[np.float32]:
    """A table over the noise (`networks.denoising.noise_position`) at a standard deviation: [channels]."""
    return between_anchors(anchors, (min(sigma, noise_max) / noise_max) ** 0.5)


def denoising_model(model: StoredModel, denoiser: StoredModel, sigma: float) -> StoredModel:
    """`model` with the encoder for noise of standard deviation `sigma`, in shades 0..255.

    Its hash stays: the files are the model's. Raises InputError for a denoiser of other weights.
    """
    if denoiser.card.get(MODEL_KEY) != model.sha256:
        message = (
            f"the denoising encoder is for weights {denoiser.card.get(MODEL_KEY)!r}; the model is {model.sha256!r}"
        )
        raise InputError(message)
    noise_max = float(denoiser.card[NOISE_KEY])
    tensors = model.tensors | denoiser.tensors
    shift, gain = (noise_vector(tensors.pop(name), sigma, noise_max) for name in (NOISE_SHIFT, NOISE_LOG_GAIN))
    tensors[STEM_BIAS] = tensors[STEM_BIAS].astype(np.float32) + shift
    tensors[ENCODER_GAIN] = tensors[ENCODER_GAIN] + gain
    return StoredModel(tensors, model.card | {BLOCKS_KEY: denoiser.card[BLOCKS_KEY]}, model.sha256)
