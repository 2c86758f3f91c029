"""Transforms of a gwcs in little room: those of a detector once, and plain ones as a matrix.

As a model of astropy.modeling each exposure's distortion takes half a megabyte, and surveys have thousands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from grism_align.values.sphere import sky_to_vector, vector_to_sky

if TYPE_CHECKING:
    from numpy.typing import NDArray


# By a digest of all that they compute with.
_KNOWN: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
# What models have that follows from their parameters, or that plain calls don't ask for.
_DERIVED = frozenset(
    {
        "_constraints_cache", "_mconstraints", "_name", "_param_metrics", "_parameters",
        "_user_bounding_box", "_user_inverse",
    }
)  # fmt: skip
_PLAIN = (bool, int, float, str, type(None))
# Any wavelength and order: positions don't depend on them.
_FILLER = (1.0, 1.0)
_ARCSEC = 3600.0
# How far a matrix may be from its model: of a direction, rad, and of a place in the field, arcsec.
_SAME_DIRECTION, _SAME_PLACE = 1e-14, 1e-9


def mapped(model: Any, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map positions by a model that may pass a wavelength and an order through.

    Parameters
    ----------
    model : callable
        With ``n_inputs``, of two arrays and more.
    xy : (N, 2) ndarray
        Positions.

    Returns
    -------
    (N, 2) ndarray
    """
    if len(xy) == 0:
        return xy
    filler = (np.full(len(xy), value) for value in _FILLER[: model.n_inputs - 2])
    return np.column_stack(model(xy[:, 0], xy[:, 1], *filler)[:2]).astype(float)


@dataclass(frozen=True, eq=False)
class FieldRotation:
    """Directions in the field, V2 and V3 in arcsec, turned to the sky, deg; or back.

    Parameters
    ----------
    matrix : (3, 3) ndarray
        Of unit vectors.
    scale : (float, float)
        Units in a degree, before and after.
    """

    matrix: NDArray[np.float64]
    scale: tuple[float, float]
    n_inputs = 2

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return both coordinates after it, (2, N)."""
        before = sky_to_vector(np.column_stack([x, y]) / self.scale[0])
        return np.asarray(vector_to_sky(before @ self.matrix.T).T * self.scale[1])


@dataclass(frozen=True, eq=False)
class FieldAffine:
    """Places in the field stretched and moved, as for velocity aberration.

    Parameters
    ----------
    matrix : (2, 2) ndarray
        Applied first.
    translation : (2,) ndarray, arcsec
        Added then.
    """

    matrix: NDArray[np.float64]
    translation: NDArray[np.float64]
    n_inputs = 2

    def __call__(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return both coordinates after it, (2, N)."""
        return np.asarray(self.matrix @ np.stack([x, y]) + self.translation[:, None])


def lean_sky(to_sky: Any, from_sky: Any) -> tuple[Any, Any]:
    """Return transforms from the field to the sky and back, as rotations where they are that.

    Parameters
    ----------
    to_sky, from_sky : callable
        From V2 and V3, arcsec, to RA and Dec, deg, and back.
    """
    # all over the sphere, where it is known best; and in the field, where it is needed
    field = _ARCSEC * np.array([[0, 0], [80, 10], [170, -20], [250, 40], [30, -70], [300, 60], [0.2, -0.3]])
    before, after = sky_to_vector(field / _ARCSEC), sky_to_vector(mapped(to_sky, field))
    u, _, v = np.linalg.svd(after.T @ before)
    matrix = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    if not np.abs(before @ matrix.T - after).max() < _SAME_DIRECTION:
        return to_sky, from_sky
    return FieldRotation(matrix, (_ARCSEC, 1.0)), FieldRotation(matrix.T, (1.0, _ARCSEC))


def lean_field(step: Any) -> Any:
    """Return a transform within the field, arcsec, as an affine map where it is that.

    Parameters
    ----------
    step : callable
        From one frame with V2 and V3 to another.
    """
    field = np.array([[0.0, 0.0], [900, 100], [-500, 700], [300, -800], [-1500, -1100], [1, 2]])
    after = mapped(step, field)
    terms, *_ = np.linalg.lstsq(np.column_stack([field, np.ones(len(field))]), after - field, rcond=None)
    found = FieldAffine(np.eye(2) + terms[:2].T, terms[2])
    return found if np.abs(mapped(found, field) - after).max() < _SAME_PLACE else step


def shared(model: Any) -> Any:
    """Return the one model that is held of all with the same parts and parameters.

    Parameters
    ----------
    model : astropy.modeling.Model
        Not to be changed from then on. One that can't be told from others is returned as it is.
    """
    known = _known_by(model)
    if known is None:
        return model
    return _KNOWN.setdefault(hashlib.sha256(repr(known).encode()).digest(), model)


def _known_by(model: Any) -> Any:
    """Return all that a model computes with, in plain values; None where that can't be told."""
    if hasattr(model, "left") and hasattr(model, "op"):
        parts = _known_by(model.left), _known_by(model.right)
        return None if None in parts else (model.op, *parts)
    from astropy.modeling import Parameter

    parameters = [getattr(model, name) for name in model.param_names]
    values = [(one.unit, np.shape(one.value), np.asarray(one.value).tobytes()) for one in parameters]
    # A polynomial has parameters of higher ones, too, where such were made before: not its own.
    rest = {
        name: one
        for name, one in vars(model).items()
        if name not in _DERIVED and not isinstance(one, Parameter)
    }
    return (type(model).__qualname__, type(model).__module__, values, rest) if _is_plain(rest) else None


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(each) for each in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
