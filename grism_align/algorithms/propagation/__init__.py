"""The correction of a grism exposure from those of direct exposures."""
