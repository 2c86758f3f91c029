"""When the positions of a catalog hold: columns, meta and VOTable coordinate systems of any spelling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.table_values import floats, text_of, texts
from grism_align.io.catalogs.text_tables import BLANKS

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray

_EARLIEST, _LATEST = 1800.0, 2200.0
_JULIAN_DATE_OF_MJD = 2400000.5
# VizieR's descriptions of columns
_IN_WORDS = re.compile(r"\bEp(?:och)?=(J?\d{4}(?:\.\d+)?)")


def parse_epoch(value: Any) -> float:
    """Return the Julian year of a number or of text such as J2016.0, B1950 or 2020-05-01; NaN of blanks.

    Raises
    ------
    ValueError
        If it is no year, naming what it may be.
    """
    text = text_of(value)
    if text.lower() in {"nan", *map(str.lower, BLANKS)}:
        return float("nan")
    try:
        year = float(text.removeprefix("J"))
    except ValueError:
        from astropy.time import Time

        return float(Time(text).jyear)
    return float(_checked(np.array([year]))[0])


def epochs_of_column(column: Any, unit: str) -> NDArray[np.float64]:
    """Return Julian years of a column of years, texts, times or, if that is its unit, days; NaN where blank.

    Raises
    ------
    ValueError
        If a value is no epoch.
    """
    if hasattr(column, "jyear"):
        return np.ma.filled(np.ma.asarray(column.jyear, dtype=float), np.nan)
    if column.dtype.kind in "SUO":
        unique, inverse = np.unique(texts(column), return_inverse=True)
        return np.array([parse_epoch(value) for value in unique])[inverse]
    values = floats(column)
    return _checked(year_of_days(values) if unit == "d" else values)


def epochs_of_meta(table: Table, column: str) -> float:
    """Return the Julian year in the description or meta of a column, else in that of its table; NaN for none.

    Raises
    ------
    ValueError
        If it is no year.
    """
    said = _IN_WORDS.search(getattr(table[column].info, "description", None) or "")
    if said:
        return parse_epoch(said[1])
    for meta in (getattr(table[column].info, "meta", None) or {}, table.meta):
        by_lower = {str(key).lower(): value for key, value in meta.items()}
        for key in ("ref_epoch", "epoch"):
            if by_lower.get(key) is not None:
                return parse_epoch(by_lower[key])
    return float("nan")


def year_of_days(days: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Julian years of modified Julian dates, or of Julian dates where they are as large."""
    modified = np.where(days > _JULIAN_DATE_OF_MJD, days - _JULIAN_DATE_OF_MJD, days)
    modified = np.where(modified > 0, modified, np.nan)
    return 2000.0 + (modified - 51544.5) / 365.25


def _checked(years: NDArray[np.float64]) -> NDArray[np.float64]:
    # the Legacy Surveys have zero, others a negative number, where there is none
    years = np.where(np.isfinite(years) & (years > 0), years, np.nan)
    wrong = years[(years < _EARLIEST) | (years > _LATEST)]
    if len(wrong):
        guess = " and looks like a Julian date" if wrong[0] > 15000 else ""
        msg = f"the epoch {wrong[0]} is no Julian year{guess}"
        raise ValueError(msg)
    return years
