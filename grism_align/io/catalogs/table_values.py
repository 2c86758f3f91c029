"""Columns of any table as plain numbers, texts and truths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.tables import BLANKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["floats", "text_of", "texts", "truths", "unit_of"]

# What people and services write for units that astropy spells otherwise.
_UNIT_NAMES = {
    **dict.fromkeys(("degrees", "degs"), "deg"),
    **dict.fromkeys(("h", "hr", "hours"), "hourangle"),
    **dict.fromkeys(("day", "days", "mjd"), "d"),
}

_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


def unit_of(column: Any) -> str:
    """Return the unit that a column states, as astropy spells it; empty for none."""
    text = str(getattr(column, "unit", None) or "").strip()
    return _UNIT_NAMES.get(text.lower(), text)


def text_of(value: Any) -> str:
    """Return one value as text, without blanks around it; empty where there is none."""
    if value is None or value is np.ma.masked:
        return ""
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def texts(column: Any) -> list[str]:
    """Return texts of a column, empty where blank."""
    return [text_of(value) for value in np.ma.asarray(column).tolist()]


def floats(column: Any) -> NDArray[np.float64]:
    """Return numbers of a column, of text too, NaN where blank.

    Raises
    ------
    ValueError
        If they aren't numbers, one a row.
    """
    if column.ndim > 1:
        msg = "an array in each row"
        raise ValueError(msg)
    if column.dtype.kind in "SUO":
        return np.array([np.nan if text in BLANKS else float(text) for text in texts(column)])
    return np.ma.filled(np.ma.asarray(getattr(column, "value", column), dtype=float), np.nan)


def truths(column: Any) -> NDArray[np.float64]:
    """Return one for true and zero for false, of logical values, numbers or words; NaN for anything else."""
    if column.dtype.kind in "biuf":
        values = floats(column)
        return np.where(np.isin(values, (0.0, 1.0)), values, np.nan)
    words = np.char.lower(np.array(texts(column), dtype=str))
    return np.where(np.isin(words, _TRUE), 1.0, np.where(np.isin(words, _FALSE), 0.0, np.nan))
