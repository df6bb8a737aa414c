"""Time and memory: codecs, the entropy coder, large pictures, whole processes."""
