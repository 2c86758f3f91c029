"""Columns of the catalog of a mosaic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.table import Table

    from grism_align.values.mosaic import MosaicPlan


_CORNERS = (
    ("sky_bbox_ll", "xmin", "ymin"),
    ("sky_bbox_lr", "xmax", "ymin"),
    ("sky_bbox_ul", "xmin", "ymax"),
    ("sky_bbox_ur", "xmax", "ymax"),
)
_DESCRIPTIONS = {
    "label": "Number of the source, also in the segmentation image",
    "xcentroid": "Column, zero at the centre of the first pixel (windowed centroid)",
    "ycentroid": "Row, zero at the centre of the first pixel (windowed centroid)",
    "x_error": "Standard error of xcentroid, from the noise of pixels",
    "y_error": "Standard error of ycentroid, from the noise of pixels",
    "ra": "Right ascension (ICRS) at ref_epoch",
    "dec": "Declination (ICRS) at ref_epoch",
    "ra_error": "Standard error of ra x cos(dec), with those of corrections and of pixel phases",
    "dec_error": "Standard error of dec, with those of corrections and of pixel phases",
    "ref_epoch": "Julian year, mean of the exposures that show it",
    "n_exposures": "Exposures that show it",
    "mag": "AB magnitude in the Kron aperture",
    "mag_error": "Standard error of mag, with that of pixel phases",
    "aper_abmag": "AB magnitude in the circular aperture",
    "aper_abmag_err": "Standard error of aper_abmag",
    "isophotal_abmag": "AB magnitude of the segment",
    "isophotal_abmag_err": "Standard error of isophotal_abmag",
    "kron_radius": "Semi-axes of the Kron aperture, in those of the source",
    "semimajor_sigma": "Standard deviation along the major axis",
    "semiminor_sigma": "Standard deviation along the minor axis",
    "orientation": "Of the major axis, from +x counter-clockwise",
    "ellipticity": "1 - semiminor_sigma / semimajor_sigma",
    "fwhm": "Full width at half maximum of the Gaussian with the windowed moments",
    "isophotal_area": "Pixels of the segment",
    "is_extended": "Whether it is wider than the stars of the mosaic",
    "flags": "Sum of: 1 a neighbour in the Kron aperture, 2 pixels without data in it, 4 no centroid",
}


def with_corners(table: Table, plan: MosaicPlan) -> Table:
    """Add the sky positions of centres and of the corners of segments, as jwst wants them."""
    from astropy.coordinates import SkyCoord

    table["sky_centroid"] = SkyCoord(table["ra"], table["dec"], unit="deg")
    for name, x, y in _CORNERS:
        # from the outer edge of the first pixel to that of the last
        edge = [np.asarray(table[f"bbox_{one}"]) + (0.5 if "max" in one else -0.5) for one in (x, y)]
        sky = plan.grid.to_sky(np.column_stack(edge)) if len(table) else np.zeros((0, 2))
        table[name] = SkyCoord(*sky.T, unit="deg")
    return table


def described(table: Table) -> Table:
    """Give the columns of a mosaic's catalog their units and descriptions."""
    units = {
        **dict.fromkeys(("xcentroid", "ycentroid", "x_error", "y_error", "fwhm"), "pix"),
        **dict.fromkeys(("semimajor_sigma", "semiminor_sigma"), "pix"),
        **dict.fromkeys(("ra", "dec", "orientation"), "deg"),
        **dict.fromkeys(("ra_error", "dec_error"), "mas"),
        "ref_epoch": "yr",
    }
    for name in table.colnames:
        if name.endswith(("_flux", "_flux_err")):
            table[name].unit = "electron / s"
        elif name in ("mag", "mag_error"):
            # those named as jwst names them are without, as there
            table[name].unit = "mag"
        else:
            table[name].unit = units.get(name)
        table[name].description = _DESCRIPTIONS.get(name)
    first = ["label", "xcentroid", "ycentroid", "ra", "dec", "ra_error", "dec_error", "ref_epoch", "mag"]
    first += ["x_error", "y_error"]
    return table[[*first, *(name for name in table.colnames if name not in first)]]
