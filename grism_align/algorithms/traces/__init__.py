"""Spectra of grism exposures, measured against where the WCS puts them."""
