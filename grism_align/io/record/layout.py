"""What is wrong with an entry of a record."""

from __future__ import annotations


class LayoutError(ValueError):
    """An entry that is not what its declaration says.

    Parameters
    ----------
    problem : str
        What is wrong with it.
    place : list of str, optional
        Its name, and those of what it is inside of.
    """

    def __init__(self, problem: str, place: list[str] | None = None) -> None:
        self.problem = problem
        self.place = place or []
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{'.'.join(self.place)}: {self.problem}" if self.place else self.problem

    def inside(self, name: str) -> LayoutError:
        """Say what the entry is inside of."""
        self.place.insert(0, name)
        return self
