"""Exposures of a run pictured, with what was found on them."""
