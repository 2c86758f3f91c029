"""Catalogs: of exposures, and of reference stars, from files and services."""
