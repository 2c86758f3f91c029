"""Readers and writers of exposures, one module a mission."""
