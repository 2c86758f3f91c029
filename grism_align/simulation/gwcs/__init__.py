"""What exposures of JWST and Roman have in common: detectors in the telescope's field, and a gwcs."""
