"""What latents are good for beside pixels, measured: `python -m bench latents`."""
