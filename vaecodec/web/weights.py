"""The weights that a browser needs: those of a decoder, under a name that says which they are."""

from __future__ import annotations

import json
from dataclasses import dataclass

from vaecodec.weights.manifest import ManifestEntry
from vaecodec.weights.store import CARD_KEY, read_model

ENCODER_PREFIXES = ("net.g_a.", "net.h_a.", "net.log_q_enc.")
"""Of a network; no decoder uses them, and they are two fifths of a file."""


@dataclass(frozen=True)
class BrowserWeights:
    """name: model id and wire hash, as in the header of a file, "1-68d9d7d5". data: a safetensors file."""

    name: str
    data: bytes


def browser_weights(entry: ManifestEntry) -> BrowserWeights:
    """The decoder's weights of a shipped model. Raises WeightsError and HashMismatch."""
    from safetensors.numpy import save

    stored = read_model(entry.path, entry.sha256)
    tensors = {name: tensor for name, tensor in stored.tensors.items() if not name.startswith(ENCODER_PREFIXES)}
    # What is left can't be hashed as the whole is: the card says which whole it was taken from.
    card = {"model_id": entry.model_id, "wire_hash": stored.wire_hash.hex(), "name": entry.name}
    data = save(tensors, metadata={CARD_KEY: json.dumps(card)})
    return BrowserWeights(f"{entry.model_id}-{stored.wire_hash.hex()}", data)
