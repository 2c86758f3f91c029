"""A second opinion: the linear fit of tweakwcs on the matches of this package."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import LinearFit, weighted_rms, weighted_transform
from grism_align.values.errors import SettingsError
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.transform import TangentPlane

__all__ = ["fit_by_tweakwcs", "require_tweakwcs"]

_CLIPPINGS = 3


def require_tweakwcs() -> None:
    """Raise `SettingsError` where tweakwcs is not installed."""
    if find_spec("tweakwcs") is None:
        name, value = "engine", "tweakwcs"
        raise SettingsError(name, value, "needs tweakwcs, which is not installed: pip install tweakwcs")


def fit_by_tweakwcs(
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    error: NDArray[np.float64],
    plane: TangentPlane,
    geometry: str,
    clip: float,
) -> LinearFit:
    """Fit a transform that takes `source` to `target`, as `fit_linear` does, but by tweakwcs.

    Parameters
    ----------
    source, target, error, plane, geometry
        As for `fit_linear`.
    clip : float
        Sources beyond this many times the rms residual are clipped.

    Returns
    -------
    LinearFit
        tweakwcs gives no covariance: it is that of equal errors as large as the residuals.

    References
    ----------
    ``tweakwcs.linearfit.iter_linear_fit``.
    """
    from tweakwcs.linearfit import iter_linear_fit

    found = iter_linear_fit(
        target, source, wuv=error**-2.0, fitgeom=geometry, nclip=_CLIPPINGS, sigma=(clip, "rmse")
    )
    matrix = np.asarray(found["matrix"], dtype=float)
    center = np.asarray(found["center"], dtype=float)
    shift = np.asarray(found["shift"], dtype=float) + center - matrix @ center
    weight = np.asarray(found["fitmask"], dtype=float)
    residual = source @ matrix.T + shift - target
    rms = max(weighted_rms(residual, weight), 1e-9)
    same = weighted_transform((source, target), weight / rms**2, plane, geometry)
    return LinearFit(LinearTransform(matrix, shift, plane, same.covariance), residual, weight, 0.0, geometry)
