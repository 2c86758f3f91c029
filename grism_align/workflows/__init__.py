"""Workflows: exposures opened, handed to the algorithms, and closed, for all of them; no stpipe."""
