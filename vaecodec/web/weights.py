"""The weights that a browser needs: a decoder's, under a name that says which, and what an encoder takes beside."""

from __future__ import annotations

import json
from dataclasses import dataclass

from vaecodec.weights.manifest import ManifestEntry
from vaecodec.weights.store import CARD_KEY, StoredModel, read_model

ENCODER_PREFIXES = ("net.g_a.", "net.h_a.", "net.log_q_enc.", "net.shift_enc.")
"""Of a network; no decoder uses them, and they are two fifths of a file."""
ENCODER = "encoder"


@dataclass(frozen=True)
class BrowserWeights:
    """name: of a decoder's, model id and wire hash as in the header of a file, "1-68d9d7d5"; of an encoder's,
    "base.encoder". data: a safetensors file."""

    name: str
    data: bytes


def browser_weights(entry: ManifestEntry) -> BrowserWeights:
    """The decoder's weights of a shipped model. Raises WeightsError and HashMismatch."""
    stored = read_model(entry.path, entry.sha256)
    data = _part(entry, stored, {}, encodes=False)
    return BrowserWeights(f"{entry.model_id}-{stored.wire_hash.hex()}", data)


def encoder_weights(entry: ManifestEntry) -> BrowserWeights:
    """What encoding with a shipped model takes beside `browser_weights`. Raises WeightsError and HashMismatch."""
    data = _part(entry, read_model(entry.path, entry.sha256), {"part": ENCODER}, encodes=True)
    return BrowserWeights(f"{entry.name}.{ENCODER}", data)


def _part(entry: ManifestEntry, stored: StoredModel, card: dict[str, object], *, encodes: bool) -> bytes:
    """The tensors of the encoder alone, or all others."""
    from safetensors.numpy import save

    tensors = {name: tensor for name, tensor in stored.tensors.items() if name.startswith(ENCODER_PREFIXES) == encodes}
    # A part can't be hashed as the whole is: the card says which whole it was taken from.
    card = {"model_id": entry.model_id, "wire_hash": stored.wire_hash.hex(), "name": entry.name, **card}
    return save(tensors, metadata={CARD_KEY: json.dumps(card)})
