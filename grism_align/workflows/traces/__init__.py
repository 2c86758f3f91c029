"""Grism exposures opened, their spectra looked at, closed again."""
