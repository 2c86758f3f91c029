"""Data-quality flags that JWST and Roman have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_DO_NOT_USE, _SATURATED = 1, 2


def without_partly_saturated(dq: NDArray[Any]) -> NDArray[Any]:
    """Take the flag of saturation off pixels that have a value all the same.

    Parameters
    ----------
    dq : (ny, nx) ndarray of int
        Data-quality bits.
    """
    partly = (dq & (_SATURATED | _DO_NOT_USE)) == _SATURATED
    return np.where(partly, dq & ~np.array(_SATURATED, dq.dtype), dq)
