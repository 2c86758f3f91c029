"""Exposures of JWST, as its pipeline gives them."""
