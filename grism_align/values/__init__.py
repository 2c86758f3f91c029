"""Nouns: immutable values over numpy and astropy. No files, no network."""
