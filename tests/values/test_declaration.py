"""Each field of a value on record is declared once, and what is made of the declaration."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, field
from functools import cached_property
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from grism_align.values.declaration import declarations_of, declared, derived, recorded
from grism_align.values.record import Record


@declared(eq=False)
class Track:
    """Where something went.

    Notes
    -----
    Made for this test.
    """

    name: str = recorded("What it is called.")
    xy: NDArray[np.float64] = recorded("Where it was.", unit="pixel", shape=("n", 2))
    stops: int = recorded("Where it rested.", default=0)
    note: str = field(default="", compare=False)

    @property
    @derived(unit="pixel")
    def length(self) -> float:
        """How far it came.

        Not how far it went.
        """
        return float(np.hypot(*(self.xy[-1] - self.xy[0])))

    @cached_property
    @derived(shape=(2,))
    def end(self) -> NDArray[np.float64]:
        """Where it ended."""
        return np.asarray(self.xy[-1])

    @property
    def is_short(self) -> bool:
        """Whether it is short."""
        return self.length < 1


TRACK = Track("a", np.array([[0.0, 0.0], [3.0, 4.0]]))


def test_a_declared_class_is_a_frozen_dataclass():
    assert (TRACK.stops, TRACK.length, TRACK.end.tolist()) == (0, 5.0, [3.0, 4.0])
    assert Track("a", TRACK.xy) != TRACK
    with pytest.raises(FrozenInstanceError):
        TRACK.name = "b"


def test_its_declarations():
    """Those on record alone, and after them what follows from them."""
    name, xy, stops, end, length = declarations_of(Track)
    assert (name.name, name.hint, name.help, name.unit, name.shape) == (
        "name",
        str,
        "What it is called.",
        "",
        (),
    )
    assert (xy.unit, xy.shape, xy.is_table, xy.is_derived) == ("pixel", ("n", 2), False, False)
    assert (stops.hint, end.is_derived, end.shape) == (int, True, (2,))
    assert (length.hint, length.help, length.unit) == (float, "How far it came.", "pixel")


def test_its_docstring_has_them():
    assert Track.__doc__.splitlines() == [
        "Where something went.",
        "",
        "Parameters",
        "----------",
        "name : str",
        "    What it is called.",
        "xy : (n, 2) NDArray[np.float64], pixel",
        "    Where it was.",
        "stops : int",
        "    Where it rested.",
        "note : str",
        "    Not on record.",
        "",
        "Notes",
        "-----",
        "Made for this test.",
    ]


def _classes(kind: object, found: dict[type, None]) -> dict[type, None]:
    """All classes with declarations that a type leads to."""
    for part in get_args(kind):
        _classes(part, found)
    if isinstance(kind, type) and kind not in found and hasattr(kind, "__dataclass_fields__"):
        found[kind] = None
        for one in declarations_of(kind):
            _classes(one.hint, found)
    return found


def test_all_that_is_on_record_says_what_it_is():
    classes = _classes(Record, {})
    assert len(classes) > 20
    for kind in classes:
        for one in declarations_of(kind):
            assert one.help.endswith("."), (kind, one.name)
