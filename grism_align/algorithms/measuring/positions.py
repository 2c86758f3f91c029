"""Where and when the sources of an exposure were measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure


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
