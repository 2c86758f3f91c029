"""From corrections to what is known of them beforehand, and from a joint solution to corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.joint import group_centers
from grism_align.algorithms.fitting.prior import GENERATORS, N_TERMS, PointingPrior, SharedPrior
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.fitting.joint import JointSolution, Measurements
    from grism_align.values.settings import PointingSettings
    from grism_align.values.transform import TangentPlane


def pointing_prior(
    errors: PointingSettings, measured: Measurements, transforms: Sequence[LinearTransform]
) -> PointingPrior:
    """Make the prior, given the corrections that the measured positions already have.

    Parameters
    ----------
    errors : PointingSettings
        How well the a priori WCSs are known.
    measured : Measurements
        With positions as corrected so far.
    transforms : sequence of LinearTransform
        The corrections so far, of the E pointings.
    """
    center = group_centers(measured)
    group = measured.group
    at = center[group]
    matrix = np.array([t.matrix for t in transforms])
    before = np.linalg.solve(matrix, (at - np.array([t.shift for t in transforms]))[:, :, None])[:, :, 0]
    g = len(center)
    terms = np.zeros((g, N_TERMS))
    # Projections on roll, scale and shears, which are orthogonal.
    np.add.at(terms, group, 0.5 * np.einsum("eij,kij->ek", matrix - np.eye(2), GENERATORS))
    own, shared = term_errors(errors)
    _, first = np.unique(group, return_index=True)
    acquisitions = measured.acquisitions
    return PointingPrior(
        shift=at - before,
        terms=terms / np.maximum(np.bincount(group, minlength=g), 1)[:, None],
        center=center,
        group=group,
        of_shifts=SharedPrior.of(acquisitions, errors.dither_error, errors.visit_error),
        of_terms=tuple(SharedPrior.of(acquisitions[first], *each) for each in zip(own, shared, strict=True)),
    )


def term_errors(errors: PointingSettings) -> tuple[list[float], list[float]]:
    """Return expected sizes of the four terms, of an exposure within its acquisition and of an acquisition.

    Parameters
    ----------
    errors : PointingSettings
        As the user has them.
    """
    others = N_TERMS - 1
    own = [float(np.radians(errors.dither_roll_error)), *[errors.dither_scale_error] * others]
    return own, [float(np.radians(errors.roll_error)), *[errors.scale_error] * others]


def followed(measured: Measurements, solution: JointSolution, plane: TangentPlane) -> list[LinearTransform]:
    """Return what a joint solution adds to the correction of each pointing, without its errors.

    Parameters
    ----------
    measured : Measurements
        What was solved.
    solution : JointSolution
        Its solution.
    plane : TangentPlane
        The common plane.
    """
    matrices = solution.matrices()[measured.group]
    center = solution.center[measured.group]
    shifts = solution.shift + center - np.einsum("eij,ej->ei", matrices, center)
    return [LinearTransform(matrix, shift, plane) for matrix, shift in zip(matrices, shifts, strict=True)]


def with_errors(
    transforms: Sequence[LinearTransform], measured: Measurements, solution: JointSolution
) -> list[LinearTransform]:
    """Return corrections with the covariances that a joint solution tells: each solution is of the whole.

    Parameters
    ----------
    transforms : sequence of LinearTransform
        Of the E pointings.
    measured : Measurements
        What was solved.
    solution : JointSolution
        Its solution.
    """
    own = zip(transforms, solution.covariance, solution.center[measured.group], strict=True)
    return [
        replace(transform, covariance=_linear_covariance(covariance, center))
        for transform, covariance, center in own
    ]


@dataclass(frozen=True, eq=False)
class FollowedPlaces:
    """How the correction of a pointing follows the places of D detectors.

    Parameters
    ----------
    offset : (2 D,) ndarray, arcsec
        Where the correction takes them to be.
    by_offset : (6, 2 D) ndarray
        Derivatives of its shift and matrix by the offsets.
    shared : (6, 8 D) ndarray
        What errors of the quarters of detectors, of their size, do to it while detectors stay.
    """

    offset: NDArray[np.float64]
    by_offset: NDArray[np.float64]
    shared: NDArray[np.float64]


def followed_places(measured: Measurements, solution: JointSolution) -> list[FollowedPlaces] | None:
    """Return how the corrections of E pointings follow the places of detectors; None where these are known.

    Parameters
    ----------
    measured : Measurements
        What was solved.
    solution : JointSolution
        Its solution.
    """
    border = solution.border
    if border is None or measured.mounted is None:
        return None
    e, g = measured.n_pointings, len(solution.center)
    offset = measured.mounted.prior.taken.ravel() + border.step
    both = np.column_stack([border.following, border.shared])
    of_terms = both[2 * e :].reshape(-1, g, both.shape[1])[:, measured.group]
    moves = np.zeros((e, 2 + N_TERMS, both.shape[1]))
    moves[:, :2] = both[: 2 * e].reshape(2, e, -1).swapaxes(0, 1)
    moves[:, 2 : 2 + len(of_terms)] = of_terms.swapaxes(0, 1)
    centers = solution.center[measured.group]
    return [
        FollowedPlaces(offset, *np.split(_linear(center) @ own, [len(offset)], axis=1))
        for own, center in zip(moves, centers, strict=True)
    ]


def _linear_covariance(covariance: NDArray[np.float64], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Go from (shift at the centre, terms) to (shift, m00, m01, m10, m11)."""
    jacobian = _linear(center)
    return np.asarray(jacobian @ covariance @ jacobian.T)


def _linear(center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivatives of (shift, m00, m01, m10, m11) by (shift at the centre, terms), (6, 6)."""
    jacobian = np.zeros((6, 2 + N_TERMS))
    jacobian[:2, :2] = np.eye(2)
    jacobian[2:, 2:] = GENERATORS.reshape(N_TERMS, 4).T
    jacobian[:2, 2:] = -np.kron(np.eye(2), center) @ jacobian[2:, 2:]
    return jacobian
