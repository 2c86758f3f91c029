"""Where and when the sources of an exposure were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector, tangent_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.transform import LinearTransform


def source_positions(
    exposure: Exposure, catalog: SourceCatalog
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sky positions (N, 2) in deg by the a priori WCS, and errors of one axis (N,) in arcsec."""
    sky, scale = np.full((len(catalog), 2), np.nan), np.full(len(catalog), np.nan)
    for chip in exposure.chips:
        rows = catalog.chip == chip.number
        sky[rows] = chip.wcs.to_sky(catalog.xy[rows])
        scale[rows] = chip.wcs.pixel_scale
    return sky, scale * np.sqrt((catalog.xy_error**2).mean(axis=1))


def corrected_positions(
    exposure: Exposure, catalog: SourceCatalog, correction: LinearTransform | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sky positions (N, 2) in deg by the corrected WCS, and errors (N, 2) in mas, east and north.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    catalog : SourceCatalog
        Its sources.
    correction : LinearTransform or None
        Its total correction; None for none.

    Notes
    -----
    Errors are those of the measurement on the detector; that of the correction all sources share.
    """
    sky, _ = source_positions(exposure, catalog)
    error = np.full((len(catalog), 2), np.nan)
    for chip in exposure.chips:
        rows = np.flatnonzero(catalog.chip == chip.number)
        xy = catalog.xy[rows]
        steps = [
            _east_north(chip.wcs.to_sky(xy - half), chip.wcs.to_sky(xy + half)) for half in 0.5 * np.eye(2)
        ]
        jacobian = np.stack(steps, axis=-1)
        error[rows] = 1e3 * np.sqrt((jacobian**2 * catalog.xy_error[rows][:, None, :] ** 2).sum(axis=-1))
    return sky if correction is None else correction.apply_to_sky(sky), error


def _east_north(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far (N, 2), arcsec, the second of two near positions lies to the east and north."""
    east, north, _ = np.moveaxis(tangent_axes(*first.T), 1, 0)
    way = sky_to_vector(second) - sky_to_vector(first)
    return ARCSEC_PER_RADIAN * np.column_stack([(way * axis).sum(axis=1) for axis in (east, north)])
