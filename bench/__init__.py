"""The benchmark: rate-distortion and speed of image codecs on anyone's photographs (`python -m bench`)."""
