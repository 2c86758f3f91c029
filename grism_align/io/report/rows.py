"""The rows of the exposures' table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.words import fixed, probability

if TYPE_CHECKING:
    from grism_align.io.report.contents import Contents, Entry

__all__ = ["COLUMNS", "Cell", "Row", "exposure_rows"]

#: Heading, what it means, and whether it is a number.
COLUMNS = (
    ("exposure", "root name", False),
    ("status", "how it came out", False),
    ("filter", "filter or grism", False),
    ("E [mas]", "total shift to the east", True),
    ("N [mas]", "total shift to the north", True),
    ("roll [°]", "growth of position angles", True),
    ("error [mas]", "claimed error of the correction, of one axis", True),
    ("matched", "sources matched with other exposures", True),
    ("rms [mas]", "of its residuals against the other exposures, of one axis", True),
    ("false match", "probability that lists without a common source match as well", True),
    ("governed by", "the direct exposures whose correction a grism exposure has", False),
    ("what to know", "reason, or how the governing exposure was chosen", False),
    ("start", "MJD (UTC)", True),
)


# Remarks of more characters get more width.
_LONG = 40


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Parameters
    ----------
    text : str
        As shown.
    sort : str
        What it is sorted by.
    kind : str
        ``number``, ``text`` for what may be broken into lines, ``text long``, or empty.
    """

    text: str
    sort: str
    kind: str = ""


@dataclass(frozen=True)
class Row:
    """An exposure's row.

    Parameters
    ----------
    key, status : str
        Root name; how it came out.
    is_direct : bool
        Whether it shows the sky.
    cells : tuple of Cell
        As `COLUMNS`, without the first two.
    """

    key: str
    status: str
    is_direct: bool
    cells: tuple[Cell, ...]


def exposure_rows(contents: Contents) -> list[Row]:
    """One row an exposure, in time order."""
    return [_row(entry) for entry in contents.entries]


def _row(entry: Entry) -> Row:
    east, north = entry.shift
    chance = float(entry.value("relative", "false_match_probability"))
    matched = entry.value("relative", "n_matched")
    remark = _remark(entry)
    cells = (
        _text(str(entry.record["filter"])),
        _number(east, 1, sign=True),
        _number(north, 1, sign=True),
        _number(entry.roll, 5, sign=True),
        _number(entry.error, 1),
        _number(float(matched), 0),
        _number(float(entry.value("relative", "rms")), 1),
        Cell(probability(chance), _sort(chance), "number"),
        _text(_governors(entry)),
        Cell(remark, remark.lower(), "text long" if len(remark) > _LONG else "text"),
        _number(float(entry.record["start"]), 4),
    )
    status = entry.status.value if entry.status else "not fitted"
    return Row(entry.key, status, entry.is_direct, cells)


def _governors(entry: Entry) -> str:
    """Those that govern; with their weights where there are several."""
    names, weights = entry.value("total", "governed_by", ()), entry.value("total", "weights", ())
    if len(names) < 2 or len(weights) != len(names):
        return ", ".join(names)
    return ", ".join(f"{name} ({weight:.2f})" for name, weight in zip(names, weights, strict=True))


def _remark(entry: Entry) -> str:
    parts = [entry.reason, str(entry.value("total", "rule", ""))]
    return "; ".join(part for part in parts if part)


def _text(text: str) -> Cell:
    return Cell(text, text.lower())


def _number(value: float, digits: int, *, sign: bool = False) -> Cell:
    return Cell(fixed(value, digits, sign=sign), _sort(value), "number")


def _sort(value: float) -> str:
    """Unknown numbers come last."""
    return repr(float(value)) if np.isfinite(value) else ""
