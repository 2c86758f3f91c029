"""The rows of the exposures' table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import fixed, probability, utc
from grism_align.values.failure import text_of
from grism_align.values.solution import LARGE_ERROR, FitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.io.report.contents import Contents, Entry
    from grism_align.values.solution import Governed


#: Heading, what it means, and its kind: ``number``, ``screen`` for what is not on paper.
COLUMNS = (
    ("exposure", "root name", ""),
    ("status", "how it came out", ""),
    ("filter", "filter or grism", ""),
    ("E [mas]", "total shift; positive to the east", "number"),
    ("N [mas]", "total shift; positive to the north", "number"),
    ("roll [°]", "growth of position angles; positive from north through east", "number"),
    ("error [mas]", "claimed error of the correction, of one axis", "number"),
    ("[px]", "the same in pixels", "number"),
    ("matched", "sources matched with other exposures", "number"),
    ("rms [mas]", "of its residuals against the other exposures, of one axis", "number"),
    ("false match", "probability that lists without a common source match as well", "number screen"),
    ("governed by", "the direct exposures whose correction a grism exposure has", ""),
    ("what to know", "reason, or how the governing exposure was chosen", ""),
    ("start (UTC)", "start of the exposure", "screen"),
)


# Remarks of more characters get more width.
_LONG = 40
#: More rows than these are shown in pages of so many.
MOST_ROWS, PAGE = 200, 100
_NOT_FITTED = "not fitted"
# What comes first where there are pages.
_FIRST = {FitStatus.FAILED.value: 0, _NOT_FITTED: 1, FitStatus.PRIOR_ONLY.value: 3}
_UNCERTAIN, _REMARKED, _GOOD = 2, 4, 5


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
        ``number``, ``date``, ``text`` for what may be broken into lines, ``text long``,
        ``names``, or empty; with ``screen`` for what is not on paper.
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
    is_first : bool
        Whether the row before is of another visit.
    is_uncertain : bool
        Whether it is a grism exposure whose claimed error is too large to rely on.
    is_remarked : bool
        Whether there is something to know about it.
    cells : tuple of Cell
        As `COLUMNS`, without the first two.
    """

    key: str
    status: str
    is_direct: bool
    is_first: bool
    is_uncertain: bool
    is_remarked: bool
    cells: tuple[Cell, ...]

    @property
    def rank(self) -> int:
        """Where it stands among problems, the worst first."""
        usual = _UNCERTAIN if self.is_uncertain else _REMARKED if self.is_remarked else _GOOD
        return _FIRST.get(self.status, usual)


@dataclass(frozen=True)
class ExposureTable:
    """The table of exposures.

    Parameters
    ----------
    rows : tuple of Row
        Those that are in the page as it comes: all, in time order, or the first of many, problems first.
    n : int
        How many there are in all.
    data : str
        All rows as JSON, for the script that shows them in pages; empty where all are there.
    """

    rows: tuple[Row, ...]
    n: int
    data: str = ""


def exposure_table(contents: Contents) -> ExposureTable:
    """One row an exposure; in pages where there are many."""
    rows = exposure_rows(contents)
    if len(rows) <= MOST_ROWS:
        return ExposureTable(tuple(rows), len(rows))
    ordered = sorted(rows, key=lambda row: row.rank)
    return ExposureTable(tuple(ordered[:PAGE]), len(rows), _data(ordered))


def _data(rows: Sequence[Row]) -> str:
    """Return rows as the page's script takes them: flags, name, status and the texts of the cells."""
    kinds = ["", "", *(cell.kind.removesuffix(" long") for cell in rows[0].cells)]
    texts = [
        [2 * row.is_uncertain + row.is_direct, row.key, row.status, *(cell.text for cell in row.cells)]
        for row in rows
    ]
    told = json.dumps(
        {"page": PAGE, "kinds": kinds, "rows": texts}, ensure_ascii=False, separators=(",", ":")
    )
    # nothing in it ends the element that it is in
    return told.replace("<", "\\u003c")


def exposure_rows(contents: Contents) -> list[Row]:
    """One row an exposure, in time order."""
    visits = [entry.record.visit for entry in contents.entries]
    before = [*visits[:1], *visits[:-1]]
    return [
        _row(entry, is_first=visit != last)
        for entry, visit, last in zip(contents.entries, visits, before, strict=True)
    ]


def _row(entry: Entry, *, is_first: bool) -> Row:
    east, north = entry.shift
    chance, fit = entry.chance, entry.record.relative
    matched, rms = (float(fit.n_matched), fit.rms) if fit else (np.nan, np.nan)
    remark, governors = _remark(entry), _governors(entry)
    start = entry.record.start
    cells = (
        _text(entry.record.filter),
        _number(east, 1, sign=True),
        _number(north, 1, sign=True),
        _number(entry.roll, 5, sign=True),
        _number(entry.error, 1),
        _number(entry.error_px, 3),
        _number(matched, 0),
        _number(rms, 1),
        Cell(probability(chance), _sort(chance), "number screen"),
        Cell(governors, governors.lower(), "names"),
        Cell(remark, remark.lower(), "text long" if len(remark) > _LONG else "text"),
        Cell(utc(start), _sort(start), "date screen"),
    )
    status = entry.status.value if entry.status else _NOT_FITTED
    is_uncertain = not entry.is_direct and entry.error_px > LARGE_ERROR
    return Row(entry.key, status, entry.is_direct, is_first, is_uncertain, bool(entry.remarks), cells)


def _governors(entry: Entry) -> str:
    """Those that govern; with their weights where there are several."""
    if entry.governed is None:
        return ""
    names, weights = entry.governed.exposures, entry.governed.weights
    if len(names) < 2:
        return ", ".join(names)
    return ", ".join(
        f"{name}\N{NO-BREAK SPACE}({weight:.2f})" for name, weight in zip(names, weights, strict=True)
    )


def _remark(entry: Entry) -> str:
    given_by = entry.total.given_by if entry.total else ""
    parts = [text_of(entry.remarks), _how(entry.governed) if entry.governed else "", given_by]
    return "; ".join(part for part in parts if part)


#: What the rules by which direct exposures govern mean.
RULES = {
    "association": "named by the association",
    "simultaneous": "taken at the same instant",
    "interpolated": "between the direct exposures around it",
    "paired": "the direct exposure at its dither position",
    "previous": "the direct exposure before it",
    "next": "the direct exposure after it",
    "nearest": "the nearest direct exposure in time",
    "visit": "all direct exposures of its visit",
}


def _how(governed: Governed) -> str:
    """Tell how a grism exposure came by its correction: which direct exposures, and when they were taken."""
    times = [_when(time) for time in governed.idle_times]
    told = f"{RULES.get(governed.rule, governed.rule)} ({', '.join(times)})" if times else governed.rule
    return ", ".join([told, *(f"from its WCS {name}" for name in governed.shared_wcs)])


def _when(idle: float) -> str:
    return f"{abs(idle):.0f} s {'earlier' if idle < 0 else 'later'}" if round(idle) else "at once"


def _text(text: str) -> Cell:
    return Cell(text, text.lower())


def _number(value: float, digits: int, *, sign: bool = False) -> Cell:
    return Cell(fixed(value, digits, sign=sign), _sort(value), "number")


def _sort(value: float) -> str:
    """Unknown numbers come last."""
    return repr(float(value)) if np.isfinite(value) else ""
