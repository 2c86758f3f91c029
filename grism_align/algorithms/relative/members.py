"""The exposures of a network, and what their alignment gives for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.fitting.fit import WeightedResiduals

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from grism_align.values.failure import Remark
    from grism_align.values.plane_list import PlaneList
    from grism_align.values.settings import PointingSettings
    from grism_align.values.transform import LinearTransform, TangentPlane

__all__ = ["AlignedFrame", "MemberFit", "NetworkInput"]


@dataclass(frozen=True, eq=False)
class NetworkInput:
    """What is aligned.

    Parameters
    ----------
    lists : sequence of PlaneList
        Sources of each exposure in the common plane, by its a priori WCS.
    visits, groups, kinds : sequence of str
        Visit, guide-star acquisition and instrument of each exposure.
    pixel_scales : sequence of float, arcsec
        Of each exposure.
    fixed : sequence of bool
        Exposures that fix the frame.
    plane : TangentPlane
        The common plane.
    pointing : PointingSettings
        How well the a priori WCSs are known.
    """

    lists: Sequence[PlaneList]
    visits: Sequence[str]
    groups: Sequence[str]
    kinds: Sequence[str]
    pixel_scales: Sequence[float]
    fixed: Sequence[bool]
    plane: TangentPlane
    pointing: PointingSettings


@dataclass(frozen=True, eq=False)
class MemberFit(WeightedResiduals):
    """The result for one exposure.

    Parameters
    ----------
    transform : LinearTransform
        From the a priori positions to the frame, in the common plane, with covariance.
    rows : (N,) ndarray of int
        Matched rows of the exposure's list.
    sources : (N,) ndarray of int
        The frame's sources that they are.
    residual : (N, 2) ndarray, arcsec
        Corrected position minus the source's.
    weight : (N,) ndarray
        Robust weight, 0 to 1.
    error : (N,) ndarray, arcsec
        Given standard error of one axis.
    probability : float
        That an exposure without a common source matches as well.
    reduced_chi2 : float
        Of the used sources, by their given errors.
    leverage : float
        Share of the heaviest source in the weight.
    """

    transform: LinearTransform
    rows: NDArray[np.int64]
    sources: NDArray[np.int64]
    residual: NDArray[np.float64]
    weight: NDArray[np.float64]
    error: NDArray[np.float64]
    probability: float
    reduced_chi2: float = float("nan")
    leverage: float = float("nan")


@dataclass(frozen=True, eq=False)
class AlignedFrame:
    """Exposures that overlap, on one frame.

    Parameters
    ----------
    members : dict of int to MemberFit
        By number of the exposure.
    fixed : tuple of int
        The exposures that fix the frame.
    sources : PlaneList
        The frame's sources, in the common plane.
    count : (S,) ndarray of int
        Exposures that saw each.
    rejected : dict of int to Remark
        Exposures that were matched but whose fit was not acceptable, and why.
    """

    members: dict[int, MemberFit]
    fixed: tuple[int, ...]
    sources: PlaneList
    count: NDArray[np.int64]
    rejected: dict[int, Remark]
