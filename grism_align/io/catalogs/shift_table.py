"""Read a user's own corrections from a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.table_values import floats, texts, unit_of
from grism_align.io.catalogs.tables import read_table
from grism_align.io.missions import root_name
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure


_NAMES = ("exposure", "visit")
# What columns mean, and the unit of those that state none.
_SKY, _PIXELS = ("dra", "ddec"), ("dx", "dy")
_UNITS = {"dra": "arcsec", "ddec": "arcsec", "dx": "pix", "dy": "pix", "roll": "deg", "scale": ""}
_ABSENT = {"roll": 0.0, "scale": 1.0}
_ERROR = "_error"
_KNOWN = (*_NAMES, *_UNITS, *(name + _ERROR for name in _UNITS))
_COLUMNS = (
    "Columns are exposure or visit, and dra and ddec (arcsec) or dx and dy (pix), roll (deg), scale, "
    "each with an error (such as roll_error) or without"
)
# A scale or a roll beyond these is a slip, as a scale of zero for none is.
_LARGEST_SCALING = 0.1
# Nothing points so wrong: a number beyond is in another unit (mas for arcsec, arcsec for deg).
_LARGEST = {"dra": 300.0, "ddec": 300.0, "dx": 3000.0, "dy": 3000.0, "roll": 45.0}
_PIXEL_NAMES = ("pixel", "pixels", "px")


@dataclass(frozen=True, eq=False)
class ShiftRow:
    """One row of a table of corrections.

    Parameters
    ----------
    kind : str
        ``exposure`` or ``visit``.
    name : str
        Which, in lower case.
    shift : (2,) ndarray
        East and north, arcsec; or along x and y of the detector, pixels.
    in_pixels : bool
        Which of the two.
    roll : float, deg
        Growth of position angles.
    scale : float
        Growth of distances, a factor.
    errors : mapping of str to float
        Standard errors, by column.
    """

    kind: str
    name: str
    shift: NDArray[np.float64]
    in_pixels: bool = False
    roll: float = 0.0
    scale: float = 1.0
    errors: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def read_shifts(path: Path) -> tuple[ShiftRow, ...]:
    """Read corrections by exposure or by visit.

    Parameters
    ----------
    path : Path
        A table of any format that `read_table` takes. Columns may be in any order and case, and in any
        unit of the right kind that they state.

    Raises
    ------
    InputError
        If it can't be read, has a column that isn't known, lacks one, or a value is missing, double, or
        no number. Rows are counted from 1.
    """
    if not path.is_file():
        raise InputError(path, "no such table of corrections", _COLUMNS)
    table = read_table(path)
    columns = {name.lower(): table[name] for name in table.colnames}
    _check_columns(path, columns, len(table))
    names = _named(path, columns, len(table))
    values = {name: _numbers(path, name, columns[name]) for name in columns if name not in _NAMES}
    _check_values(path, values)
    return tuple(_row(kind, name, {key: column[n] for key, column in values.items()})
                 for n, (kind, name) in enumerate(names))  # fmt: skip


def _check_columns(path: Path, columns: Mapping[str, Any], n_rows: int) -> None:
    unknown = sorted(set(columns) - set(_KNOWN))
    given = set(columns) & set(_UNITS)
    problem = ""
    if unknown:
        problem = f"it has columns that are not known: {', '.join(unknown)}"
    elif not set(columns) & set(_NAMES):
        problem = "it has no column exposure or visit"
    elif not given:
        problem = "it has no correction"
    elif given & {*_SKY} and given & {*_PIXELS}:
        problem = "it has shifts both on the sky (dra, ddec) and in pixels (dx, dy)"
    elif lone := [name for pair in (_SKY, _PIXELS) if len(given & {*pair}) == 1 for name in {*pair} - given]:
        problem = f"it has no column {lone[0]} to go with the other axis"
    elif spare := [n for n in columns if n.endswith(_ERROR) and n.removesuffix(_ERROR) not in given]:
        problem = f"it has {spare[0]} without {spare[0].removesuffix(_ERROR)}"
    elif not n_rows:
        problem = "it has no row"
    if problem:
        raise InputError(path, problem, _COLUMNS)


def _named(path: Path, columns: Mapping[str, Any], n_rows: int) -> list[tuple[str, str]]:
    """Return the exposure or the visit of each row."""
    blank = [""] * n_rows
    exposures, visits = (texts(columns[name]) if name in columns else blank for name in _NAMES)
    found: dict[tuple[str, str], int] = {}
    for number, (exposure, visit) in enumerate(zip(exposures, visits, strict=True), start=1):
        if bool(exposure) == bool(visit):
            problem = f"row {number} names {'an exposure and a visit' if visit else 'nothing'}"
            raise InputError(path, problem, "Give each row an exposure, or a visit")
        key = ("exposure", root_name(exposure).lower()) if exposure else ("visit", visit.lower())
        if key in found:
            problem = f"rows {found[key]} and {number} are both for {' '.join(key)}"
            raise InputError(path, problem, "Leave one of them out; corrections are not added")
        found[key] = number
    return list(found)


def _numbers(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    """Return the values of a column in our unit, all of them finite."""
    ours = _UNITS[name.removesuffix(_ERROR)]
    try:
        values = floats(column) * _factor(unit_of(column), ours)
    except ValueError as error:
        problem = f"column {name} can't be used ({error})"
        raise InputError(
            path, problem, f"Give numbers, {f'in {ours}' if ours else 'without unit'}"
        ) from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        rest = f"; {_ABSENT[name]:g} is none" if name in _ABSENT else ""
        problem = f"{name} of row {bad[0] + 1} is missing or not finite"
        raise InputError(path, problem, f"Give a number in each row{rest}")
    return np.asarray(values, dtype=float)


def _factor(unit: str, ours: str) -> float:
    """Return what takes numbers of one unit to another."""
    if unit in {"", ours} or (ours == "pix" and unit.lower() in _PIXEL_NAMES):
        return 1.0
    from astropy import units

    try:
        return float(units.Unit(unit).to(units.Unit(ours) if ours else units.dimensionless_unscaled))
    except units.UnitConversionError as error:
        msg = f"its unit is {unit}"
        raise ValueError(msg) from error


def _check_values(path: Path, values: Mapping[str, NDArray[np.float64]]) -> None:
    """Refuse what no WCS can be wrong by, and negative errors."""
    for name, column in values.items():
        if name.endswith(_ERROR) and (column < 0).any():
            problem = f"{name} of row {np.argmax(column < 0) + 1} is negative"
            raise InputError(path, problem, "Give standard errors")
    far = np.abs(values.get("scale", np.ones(1)) - 1) > _LARGEST_SCALING
    if far.any():
        problem = f"scale of row {np.argmax(far) + 1} is {values['scale'][np.argmax(far)]:g}"
        raise InputError(path, problem, "Give the factor by which distances grow; 1 is none")
    for name, largest in _LARGEST.items():
        far = np.abs(values.get(name, np.zeros(1))) > largest
        if far.any():
            value, unit = values[name][np.argmax(far)], _UNITS[name]
            problem = f"{name} of row {np.argmax(far) + 1} is {value:g} {unit}, more than {largest:g}"
            raise InputError(path, problem, "Give it in this unit, or say in the table which it has")


def _row(kind: str, name: str, values: Mapping[str, float]) -> ShiftRow:
    in_pixels = "dx" in values
    axes = _PIXELS if in_pixels else _SKY
    return ShiftRow(
        kind,
        name,
        np.array([values.get(axis, 0.0) for axis in axes]),
        in_pixels,
        float(values.get("roll", _ABSENT["roll"])),
        float(values.get("scale", _ABSENT["scale"])),
        {key.removesuffix(_ERROR): float(v) for key, v in values.items() if key.endswith(_ERROR)},
    )


def rows_by_exposure(
    rows: Sequence[ShiftRow], exposures: Sequence[Exposure], path: Path
) -> dict[str, ShiftRow]:
    """Return the row of each exposure that one names: its own, else that of its visit.

    Parameters
    ----------
    rows : sequence of ShiftRow
        Of the table.
    exposures : sequence of Exposure
        All that are given.
    path : Path
        The table, for errors.

    Raises
    ------
    InputError
        If a row is for an exposure or a visit that isn't there.
    """
    known = {("exposure", e.key) for e in exposures} | {("visit", e.visit) for e in exposures}
    unknown = [str(row) for row in rows if (row.kind, row.name) not in known]
    if unknown:
        visits = sorted({e.visit for e in exposures})
        problem = f"no file given is of {', '.join(unknown)}"
        remedy = (
            f"Give those files too, or correct the names; the files are of the visits {', '.join(visits)}"
        )
        raise InputError(path, problem, remedy)
    by_name = {(row.kind, row.name): row for row in rows}
    chosen = {e.key: by_name.get(("exposure", e.key), by_name.get(("visit", e.visit))) for e in exposures}
    return {key: row for key, row in chosen.items() if row is not None}
