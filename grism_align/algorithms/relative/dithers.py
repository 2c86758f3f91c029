"""What the pointing allows of exposures, and of matches between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.errors import ImplausibleMatchError
from grism_align.values.failure import FarFromDither, SamePixels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.algorithms.relative.members import NetworkInput
    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import Remark
    from grism_align.values.settings import PointingSettings
    from grism_align.values.transform import LinearTransform


# Exposures are dithered where the sky moves by more than this, in pixels, and in errors of the pointing.
_LEAST_PIXELS = 2.0
_SIGMAS = 5.0
# Matches that put one pixel of two exposures at one place of the sky leave less than this between the two.
_SAME_PIXEL = 1.5
# Largest shift within an acquisition that is believed, in errors of a dither.
_BELIEVED = 150.0


def acquisition_of(exposure: Exposure) -> tuple[str, str, str]:
    """Return what exposures have in common whose WCSs differ by the errors of dithers only.

    Parameters
    ----------
    exposure : Exposure
        One of them.
    """
    return exposure.group, exposure.mount, exposure.wcs_solution


def least_dither(
    is_one: NDArray[np.bool_], pixel_scale: NDArray[np.float64], errors: PointingSettings
) -> NDArray[np.float64]:
    """Return how far apart, arcsec, the WCSs of two exposures must put a pixel to be surely dithered.

    Parameters
    ----------
    is_one : ndarray of bool
        Whether they are of one acquisition.
    pixel_scale : ndarray, arcsec
        Side of a pixel.
    errors : PointingSettings
        How well the a priori WCSs are known.
    """
    error = np.where(is_one, errors.dither_error, errors.visit_error)
    return np.asarray(np.maximum(_LEAST_PIXELS * pixel_scale, _SIGMAS * np.sqrt(2.0) * error))


def believed_shift(errors: PointingSettings) -> float:
    """Return the largest shift, arcsec, between exposures of one acquisition that is believed.

    Parameters
    ----------
    errors : PointingSettings
        How well dithers are known.
    """
    return _BELIEVED * errors.dither_error


@dataclass(frozen=True, eq=False)
class MatchDoubts:
    """Tells what the pointing has against a match.

    Parameters
    ----------
    field : NetworkInput
        The pointings.
    n : int
        Sources that match.
    seen_once : bool
        Whether most of them were seen by one exposure on either side, as what is fixed to the detector is.
    """

    field: NetworkInput
    n: int
    seen_once: bool

    def check(self, first: Mapping[int, LinearTransform], second: Mapping[int, LinearTransform]) -> None:
        """Refuse a match that moves an exposure too far in its acquisition, or onto another one's pixels.

        Parameters
        ----------
        first, second : mapping of int to LinearTransform
            Pointings on either side, and what takes each to the common frame.

        Raises
        ------
        ImplausibleMatchError
            With what is wrong.
        """
        for i, onto in first.items():
            back = np.linalg.inv(onto.matrix)
            for j, moved in second.items():
                matrix, shift = back @ moved.matrix, back @ (moved.shift - onto.shift)
                remark = self._far(i, j, matrix, shift) or self._on_pixels(i, j, matrix, shift)
                if remark:
                    raise ImplausibleMatchError(remark)

    def _far(self, i: int, j: int, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> Remark | None:
        one, other = self.field.pointings[i], self.field.pointings[j]
        if one.acquisition != other.acquisition:
            return None
        far = float(np.hypot(*(matrix @ other.center + shift - other.center)))
        limit = believed_shift(self.field.errors)
        return FarFromDither(self.n, one.keys[0], far, limit) if far > limit else None

    def _on_pixels(
        self, i: int, j: int, matrix: NDArray[np.float64], shift: NDArray[np.float64]
    ) -> Remark | None:
        """Tell whether the match makes nothing of a dither between two exposures by one detector."""
        one, other = self.field.pointings[i], self.field.pointings[j]
        is_one, scale = np.array(one.acquisition == other.acquisition), np.array(one.pixel_scale)
        limit = float(least_dither(is_one, scale, self.field.errors))
        for own in one.footprints if self.seen_once else ():
            for its in other.footprints:
                before = np.hypot(*(its.corners - own.corners).T).min()
                after = np.hypot(*(its.corners @ matrix.T + shift - own.corners).T).max()
                if own.pixels == its.pixels and before > limit and after < _SAME_PIXEL * one.pixel_scale:
                    return SamePixels(self.n, one.keys[0], float(before))
        return None
