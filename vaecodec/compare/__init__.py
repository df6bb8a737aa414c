"""Codecs beside each other on one photograph at equal bytes, as a self-contained HTML page.

    page = vaecodec.compare.photos.compare_photos([("cat", pixels)], codec, quality=60)

``peers`` holds the codecs, which the benchmark has too, ``matching`` brings them to equal bytes, ``ms_ssim`` and
``maps`` say what was lost and where, ``scene`` joins that for one photograph, ``photos`` does it for several, and
``page`` makes the page out of scenes and curves.
"""
