"""Size against quality of image codecs: curves, BD-rates, plots, the page."""
