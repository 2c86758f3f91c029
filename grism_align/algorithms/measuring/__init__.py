"""Sources detected and measured on an exposure."""
