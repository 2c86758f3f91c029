"""A relative frame brought onto a reference catalog."""
