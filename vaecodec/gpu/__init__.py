"""The Triton kernels behind plain functions and one class: what the codec does on a GPU."""
