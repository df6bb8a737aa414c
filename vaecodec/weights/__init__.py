"""Shipped weights: one safetensors file per model, found by id, checked by hash.

MANIFEST.json lists the models: a written id (never a position), the name, the file and the SHA-256 of its tensors.
Nothing is ever downloaded, and a file's header selects only among what is listed here.
"""
