"""Fits of transforms, of pairs and of whole networks."""
