"""What fits to a catalog leave of its stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.solution import Residuals

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def star_residuals(error: ArrayLike, rms: float = 2.0, *, named: bool = True) -> Residuals:
    """Residuals in mas of stars with given errors of one axis, all of them used and none of them off more.

    Stars of a catalog are named, sources of the relative frame have numbers.
    """
    error = np.asarray(error, dtype=float)
    n = len(error)
    sign = np.where(np.arange(n) % 2, 1.0, -1.0)
    names = np.array([f"S{number}" for number in range(n)]) if named else np.arange(n)
    return Residuals(np.arange(n), names, rms * np.column_stack([sign, -sign]), np.ones(n), error)
