"""Parameter files, one an instrument; installed as `grism_align.cfg`."""
