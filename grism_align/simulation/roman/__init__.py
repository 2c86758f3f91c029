"""Exposures of Roman, as its pipeline gives them."""
