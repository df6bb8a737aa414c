"""Training: never imported by the codec."""
