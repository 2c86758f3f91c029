"""Exposures of HST, as its archive gives them."""
