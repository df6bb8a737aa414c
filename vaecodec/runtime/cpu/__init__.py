"""The networks on a CPU, in NumPy and numba: rows of float32 [h, w, channels], see `networks`."""
