"""How far WCSs are from the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from grism_align.simulation.truth import TrueExposure, Truth
    from grism_align.values.exposure import ExposureKind


Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]


class ToSky(Protocol):
    """What a WCS must be able to do to be scored."""

    def to_sky(self, xy: ArrayLike) -> Floats:
        """Return sky positions (N, 2) in deg of zero-based pixels (N, 2)."""
        ...


@dataclass(frozen=True)
class ExposureScore:
    """Errors of one exposure, rms over its pixels of the distance to the true place.

    Parameters
    ----------
    key : str
        Root name.
    kind : ExposureKind
        DIRECT or GRISM.
    visit : str
        Name of the visit.
    absolute : float, mas
        As it is.
    relative : float, mas
        After the one shift, rotation and scale that bring all direct exposures closest to the truth.
    is_usable : bool
        False for an exposure spoiled beyond use.
    """

    key: str
    kind: ExposureKind
    visit: str
    absolute: float
    relative: float
    is_usable: bool


def score(truth: Truth, wcs_of: Callable[[str, int], ToSky], samples: int = 9) -> dict[str, ExposureScore]:
    """Compare WCSs with the truth.

    Parameters
    ----------
    truth : Truth
        Of the simulation.
    wcs_of : callable
        Gives the WCS of an exposure's key and a chip's EXTVER.
    samples : int
        Pixels along each axis of a chip at which WCSs are compared.

    Returns
    -------
    dict of str to ExposureScore
        By key. The relative errors are NaN if no direct exposure is usable.
    """
    corners = np.concatenate(
        [chip.footprint() for exposure in truth.exposures.values() for chip in exposure.chips.values()]
    )
    plane = TangentPlane(*mean_direction(corners))
    pairs = {key: _positions(exposure, wcs_of, plane, samples) for key, exposure in truth.exposures.items()}
    fitted = [pairs[key] for key, exposure in truth.exposures.items() if _counts(exposure)]
    slope, shift = _similarity(fitted)
    return {
        key: ExposureScore(
            key,
            exposure.kind,
            exposure.visit,
            absolute=_rms(pairs[key][0] - pairs[key][1]),
            relative=_rms(slope * pairs[key][0] + shift - pairs[key][1]),
            is_usable=exposure.is_usable,
        )
        for key, exposure in truth.exposures.items()
    }


def _counts(exposure: TrueExposure) -> bool:
    return exposure.is_direct and exposure.is_usable


def _positions(
    exposure: TrueExposure, wcs_of: Callable[[str, int], ToSky], plane: TangentPlane, samples: int
) -> tuple[Complexes, Complexes]:
    """Return given and true positions of a grid of pixels in the plane: xi + i eta, arcsec."""
    given, true = [], []
    for extver, chip in exposure.chips.items():
        axes = [np.linspace(0, n - 1, samples) for n in chip.shape[::-1]]
        xy = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        given.append(plane.to_plane(wcs_of(exposure.key, extver).to_sky(xy)))
        true.append(plane.to_plane(chip.to_sky(xy)))
    return _as_complex(given), _as_complex(true)


def _as_complex(positions: list[Floats]) -> Complexes:
    xi, eta = np.concatenate(positions).T
    return np.asarray(xi + 1j * eta, dtype=np.complex128)


def _similarity(pairs: list[tuple[Complexes, Complexes]]) -> tuple[complex, complex]:
    """Return the slope and shift, as complex numbers, that bring the first of each pair to the second."""
    if not pairs:
        return complex(np.nan), complex(np.nan)
    given, true = (np.concatenate(side) for side in zip(*pairs, strict=True))
    design = np.stack([given, np.ones_like(given)], axis=1)
    slope, shift = np.linalg.lstsq(design, true, rcond=None)[0]
    return complex(slope), complex(shift)


def _rms(difference: Complexes) -> float:
    return float(np.sqrt(np.mean(np.abs(difference) ** 2)) * 1e3)
