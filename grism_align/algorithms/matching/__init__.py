"""Two lists of sources matched without knowing shift or roll."""
