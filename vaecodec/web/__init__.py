"""Files for browsers: the decoder, its weights, and pages that show .vaec files. Nothing here needs torch or Node.

`assets/` is built by web/build.py from web/, the source of the decoder.
"""

from vaecodec.web.pages import shipped_model, site_files, viewer_page
from vaecodec.web.weights import browser_weights, encoder_weights

__all__ = ["browser_weights", "encoder_weights", "shipped_model", "site_files", "viewer_page"]
