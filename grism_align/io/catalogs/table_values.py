"""Columns of any table as plain numbers, texts and truths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.text_tables import BLANKS
from grism_align.io.units import parse_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Numbers that are enough to tell how they were rounded, and decimals beyond which it hardly matters.
_TELLING, _DECIMALS = 8, 7

_TRUE, _FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")


def unit_of(column: Any) -> str:
    """Return the unit that a column states, as astropy spells it if it is one; empty for none."""
    text = str(getattr(column, "unit", None) or "").strip()
    unit = parse_unit(text)
    return text if unit is None else unit.to_string()


def text_of(value: Any) -> str:
    """Return one value as text, without blanks around it; empty where there is none."""
    if value is None or value is np.ma.masked:
        return ""
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def texts(column: Any) -> list[str]:
    """Return texts of a column, empty where blank."""
    return [text_of(value) for value in np.ma.asarray(column).tolist()]


def numerals(column: Any) -> list[str]:
    """Return texts of a column, with points where there are only decimal commas."""
    found = texts(column)
    if any("." in text for text in found):
        return found
    return [text.replace(",", ".") if text.count(",") == 1 else text for text in found]


def floats(column: Any) -> NDArray[np.float64]:
    """Return numbers of a column, of text too, which may have decimal commas; NaN where blank.

    Raises
    ------
    ValueError
        If they aren't numbers, one a row.
    """
    if column.ndim > 1 and column.size != len(column):
        msg = "several in each row"
        raise ValueError(msg)
    if column.dtype.kind in "SUO":
        return np.array([np.nan if text in BLANKS else float(text) for text in numerals(column)])
    values: Any = np.ma.asarray(getattr(column, "value", column), dtype=float)
    return np.ma.filled(values, np.nan).reshape(-1)


def rounding(column: Any) -> NDArray[np.float64]:
    """Return the standard errors that rounding adds to the numbers of a column, in its unit.

    Single precision is told by the type, or by every number of at least eight having no more; decimals by
    none of at least eight having more than seven.
    """
    values = floats(column)
    known = values[np.isfinite(values)]
    single = values.astype(np.float32)
    is_single = column.dtype.kind == "f" and column.dtype.itemsize <= single.itemsize
    step = np.zeros(len(values))
    if is_single or (len(known) >= _TELLING and (known == known.astype(np.float32)).all()):
        step = np.nan_to_num(np.spacing(np.abs(single)).astype(float))
    elif len(known) >= _TELLING:
        step[:] = next((10.0**-n for n in range(_DECIMALS + 1) if _has_decimals(known, n)), 0.0)
    return np.asarray(step / np.sqrt(12.0))


def _has_decimals(values: NDArray[np.float64], number: int) -> bool:
    """Tell whether numbers have no more than so many decimals."""
    return bool((np.abs(values - np.round(values, number)) <= 2 * np.spacing(np.abs(values))).all())


def truths(column: Any) -> NDArray[np.float64]:
    """Return one for true and zero for false, of logical values, numbers or words; NaN for anything else."""
    if column.dtype.kind in "biuf":
        values = floats(column)
        return np.where(np.isin(values, (0.0, 1.0)), values, np.nan)
    words = np.char.lower(np.array(texts(column), dtype=str))
    return np.where(np.isin(words, _TRUE), 1.0, np.where(np.isin(words, _FALSE), 0.0, np.nan))
