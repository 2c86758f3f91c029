"""Direct exposures aligned with each other."""
