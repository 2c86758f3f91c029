"""Pure functions on arrays and values; no files, no stpipe."""
