"""The commands that are no Step."""
