"""Affine maps in a named tangent plane: what an alignment measures and what it applies."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grism_align.values.declaration import declared, recorded
from grism_align.values.errors import PlaneMismatchError
from grism_align.values.sphere import project, unproject

Floats = NDArray[np.float64]


@declared()
class TangentPlane:
    """The plane that touches the sky at one point; coordinates in arcsec, xi east and eta north."""

    ra: float = recorded("Right ascension of the tangent point (ICRS).", unit="deg")
    dec: float = recorded("Its declination.", unit="deg")

    def coincides(self, other: TangentPlane) -> bool:
        """Tell whether the two touch the sky within a microarcsecond, as planes read back from headers do.

        Parameters
        ----------
        other : TangentPlane
            Another plane.

        Returns
        -------
        bool
        """
        return self == other or bool(np.hypot(*self.to_plane([other.ra, other.dec])) < 1e-6)

    def to_plane(self, sky: ArrayLike) -> Floats:
        """Project sky positions.

        Parameters
        ----------
        sky : (..., 2) array_like, deg
            RA and Dec.

        Returns
        -------
        (..., 2) ndarray, arcsec
        """
        return project(sky, self.ra, self.dec)

    def to_sky(self, xy: ArrayLike) -> Floats:
        """Return the sky positions of plane positions.

        Parameters
        ----------
        xy : (..., 2) array_like, arcsec
            Positions in the plane.

        Returns
        -------
        (..., 2) ndarray, deg
        """
        return unproject(xy, self.ra, self.dec)


def _frozen(values: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    array = np.array(values, dtype=float)
    if array.shape != shape:
        msg = f"{name} has shape {array.shape}, not {shape}"
        raise ValueError(msg)
    array.flags.writeable = False
    return array


@declared(eq=False)
class LinearTransform:
    """An affine map ``p' = matrix @ p + shift`` of one tangent plane onto itself.

    Raises
    ------
    ValueError
        If an array has the wrong shape or the matrix is singular or not finite.
    """

    matrix: Floats = recorded("Rows of the matrix, dimensionless.", shape=(2, 2))
    shift: Floats = recorded("East and north.", unit="arcsec", shape=(2,))
    plane: TangentPlane = recorded("Where the map holds; maps of two planes don't compose.")
    covariance: Floats = recorded(
        "Of (shift x, shift y, m00, m01, m10, m11), arcsec and dimensionless; zero where unknown.",
        shape=(6, 6),
        default_factory=lambda: np.zeros((6, 6)),
    )

    def __post_init__(self) -> None:
        for name, shape in (("matrix", (2, 2)), ("shift", (2,)), ("covariance", (6, 6))):
            object.__setattr__(self, name, _frozen(getattr(self, name), shape, name))
        (a, b), (c, d) = self.matrix.tolist()
        determinant = a * d - b * c
        if not (math.isfinite(sum(self.shift.tolist(), determinant)) and abs(determinant) > 1e-12):
            msg = f"matrix {self.matrix.tolist()} and shift {self.shift.tolist()} are no invertible map"
            raise ValueError(msg)

    @classmethod
    def identity(cls, plane: TangentPlane) -> LinearTransform:
        """Make the map that moves nothing.

        Parameters
        ----------
        plane : TangentPlane
            Where the map holds.
        """
        return cls(np.eye(2), np.zeros(2), plane)

    @classmethod
    def from_parameters(
        cls,
        plane: TangentPlane,
        shift: ArrayLike = (0.0, 0.0),
        roll: float = 0.0,
        scale: float = 1.0,
        center: ArrayLike = (0.0, 0.0),
    ) -> LinearTransform:
        """Make a shift, roll and scale about a point.

        Parameters
        ----------
        plane : TangentPlane
            Where the map holds.
        shift : (2,) array_like, arcsec
            How `center` moves, east and north.
        roll : float, deg
            Growth of position angles, north through east.
        scale : float
            Growth of distances.
        center : (2,) array_like, arcsec
            The point that roll and scale leave where it is.
        """
        angle = np.radians(roll)
        matrix = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        origin = np.asarray(center, dtype=float)
        return cls(matrix, np.asarray(shift, dtype=float) + origin - matrix @ origin, plane)

    def apply(self, xy: ArrayLike) -> Floats:
        """Map positions of the plane.

        Parameters
        ----------
        xy : (..., 2) array_like, arcsec
            Positions in the plane.

        Returns
        -------
        (..., 2) ndarray, arcsec
        """
        return np.asarray(np.asarray(xy, dtype=float) @ self.matrix.T + self.shift)

    def apply_to_sky(self, sky: ArrayLike) -> Floats:
        """Map sky positions.

        Parameters
        ----------
        sky : (..., 2) array_like, deg
            RA and Dec.

        Returns
        -------
        (..., 2) ndarray, deg
        """
        return self.plane.to_sky(self.apply(self.plane.to_plane(sky)))

    def then(self, other: LinearTransform) -> LinearTransform:
        """Let this map be followed by `other`; covariances of the two are taken as independent.

        Parameters
        ----------
        other : LinearTransform
            The map that comes after, in the same plane.

        Returns
        -------
        LinearTransform

        Raises
        ------
        PlaneMismatchError
            If the planes differ.
        """
        if not self.plane.coincides(other.plane):
            msg = f"a transform of {self.plane} can't be followed by one of {other.plane}"
            raise PlaneMismatchError(msg)
        matrix, shift = other.matrix @ self.matrix, other.matrix @ self.shift + other.shift
        if not (self.covariance.any() or other.covariance.any()):
            return LinearTransform(matrix, shift, self.plane)
        before, after = _composition_jacobians(self, other)
        covariance = before @ self.covariance @ before.T + after @ other.covariance @ after.T
        return LinearTransform(matrix, shift, self.plane, covariance)

    def inverted(self) -> LinearTransform:
        """Return the map that undoes this one.

        Returns
        -------
        LinearTransform
        """
        inverse = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        if not self.covariance.any():
            return LinearTransform(inverse, -inverse @ self.shift, self.plane)
        jacobian = np.zeros((6, 6))
        jacobian[:2, :2] = -inverse
        # d(inv) = -inv dM inv, and the new shift is -inv @ shift
        matrix_part = -np.kron(inverse, inverse.T)
        jacobian[2:, 2:] = matrix_part
        jacobian[:2, 2:] = -np.kron(np.eye(2), self.shift) @ matrix_part
        return LinearTransform(
            inverse, -inverse @ self.shift, self.plane, jacobian @ self.covariance @ jacobian.T
        )

    def at(self, plane: TangentPlane) -> LinearTransform:
        """Return what this map is at another point of the sky: displacement, linear terms and their errors.

        For reading, not for composing: it is the map's first derivative there, exact at the tangent point.
        What it leaves out is of second order, shift x distance^2 in radians: 0.01 mas for 15" at 3'.

        Parameters
        ----------
        plane : TangentPlane
            Where to look; the result is written in it.

        Returns
        -------
        LinearTransform
        """
        if self.plane.coincides(plane):
            return self
        there = plane.to_sky([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
        origin, *steps = plane.to_plane(self.apply_to_sky(there))
        matrix = np.column_stack([steps[0] - steps[1], steps[2] - steps[3]]) / 2
        return LinearTransform(matrix, origin, plane, self._covariance_at(plane))

    def _covariance_at(self, plane: TangentPlane) -> Floats:
        """Take the covariance to another plane: a turn of the axes and a move of the origin."""
        origin = self.plane.to_plane([plane.ra, plane.dec])
        steps = self.plane.to_plane(plane.to_sky([[1.0, 0.0], [0.0, 1.0]])) - origin
        turn = np.linalg.inv(steps.T)
        # p = turn^-1 q + origin, so matrix' = turn M turn^-1 and shift' = turn (M origin + shift - origin)
        jacobian = np.zeros((6, 6))
        jacobian[:2, :2] = turn
        jacobian[:2, 2:] = turn @ np.kron(np.eye(2), origin)
        jacobian[2:, 2:] = np.kron(turn, np.linalg.inv(turn).T)
        return np.asarray(jacobian @ self.covariance @ jacobian.T)

    @property
    def roll(self) -> float:
        """Growth of position angles, deg, north through east."""
        m = self.matrix
        return float(np.degrees(np.arctan2(m[0, 1] - m[1, 0], m[0, 0] + m[1, 1])))

    @property
    def scale(self) -> float:
        """Growth of distances, the square root of the determinant."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))))

    @property
    def skew(self) -> float:
        """Departure of the axes from a right angle, deg."""
        x, y = self.matrix.T
        angle = np.arctan2(x[1], x[0]) - np.arctan2(-y[0], y[1])
        return float(np.degrees((angle + np.pi) % (2 * np.pi) - np.pi))

    @property
    def shift_error(self) -> Floats:
        """Standard errors of the shift, (2,) arcsec."""
        return np.asarray(np.sqrt(np.clip(np.diag(self.covariance)[:2], 0.0, None)))

    @property
    def axis_error(self) -> float:
        """Standard error of the shift on one axis, the rms of both, arcsec."""
        return float(np.sqrt(np.mean(self.shift_error**2)))


def _composition_jacobians(first: LinearTransform, second: LinearTransform) -> tuple[Floats, Floats]:
    """Return derivatives of the parameters of ``first.then(second)`` by those of each."""
    by_first, by_second = np.zeros((6, 6)), np.zeros((6, 6))
    by_first[:2, :2] = second.matrix
    by_first[2:, 2:] = np.kron(second.matrix, np.eye(2))
    by_second[:2, :2] = np.eye(2)
    by_second[:2, 2:] = np.kron(np.eye(2), first.shift)
    by_second[2:, 2:] = np.kron(np.eye(2), first.matrix.T)
    return by_first, by_second
