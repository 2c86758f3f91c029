"""Whether two values of a record say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isnan
from numbers import Real
from typing import Any

import numpy as np

from grism_align.values.failure import Remark

# What rounding makes of numbers on the way through other formulae, or another machine; mas, deg, arcsec.
_RELATIVE, _ABSOLUTE = 1e-6, 1e-6


def agree(one: Any, other: Any) -> bool:
    """Tell whether the numbers of two values are the same; words, which may be put otherwise, don't matter.

    Parameters
    ----------
    one, other : object
        Values of one type, or None.
    """
    if one is None or other is None:
        return one is None and other is None
    if isinstance(one, Real | np.ndarray):
        return _close(one, other)
    if is_dataclass(one) and not isinstance(one, Remark):
        return all(agree(getattr(one, each.name), getattr(other, each.name)) for each in fields(one))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(agree(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(agree, one, other))
    return True


def _close(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        # hundreds of each exposure: the same as below, without arrays
        is_near = abs(one - other) <= _ABSOLUTE + _RELATIVE * abs(other)
        return one == other or is_near or (isnan(one) and isnan(other))
    first, second = np.asarray(one), np.asarray(other)
    if first.shape != second.shape or first.dtype.kind not in "biuf":
        return first.shape == second.shape
    return bool(np.allclose(first, second, _RELATIVE, _ABSOLUTE, equal_nan=True))
