"""The pixel-to-sky maps of HST and, later, JWST and Roman."""
