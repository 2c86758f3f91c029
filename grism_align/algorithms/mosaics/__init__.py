"""Exposures drizzled onto one grid, and its sources measured."""
