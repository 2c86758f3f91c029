"""Mosaics and their catalogs as files."""
