"""Offsets of grism exposures, measured by the spectra that they have in common."""
