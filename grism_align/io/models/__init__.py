"""Exposures that are in memory: open data models, alone, in lists and containers, in libraries."""
