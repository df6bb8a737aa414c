"""The GPU kernels and whole pictures with them, against their rivals."""
