"""The sources whose spectra verify a solution: merged from all direct exposures of a frame, and chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.catalog import UNRELIABLE
from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector, vector_to_sky

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


# Measurements nearer than this are of one source.
_SAME = 0.15  # arcsec


@dataclass(frozen=True, eq=False)
class TraceSources:
    """Sources of one frame, N of each, the brightest first.

    Parameters
    ----------
    sky : (N, 2) ndarray, deg
        Mean position by the corrected WCSs.
    mag : (N,) ndarray
        Of the brightest measurement: AB, or instrumental where there is no zero point.
    fwhm : (N,) ndarray, pixels
        The least measured.
    is_clean : (N,) ndarray of bool
        Whether a measurement has no flag.
    n_seen : (N,) ndarray of int
        Exposures that measured it.
    """

    sky: NDArray[np.float64]
    mag: NDArray[np.float64]
    fwhm: NDArray[np.float64]
    is_clean: NDArray[np.bool_]
    n_seen: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sky)

    def __getitem__(self, rows: NDArray[np.bool_]) -> TraceSources:
        """Return the sources of some rows."""
        return TraceSources(
            self.sky[rows], self.mag[rows], self.fwhm[rows], self.is_clean[rows], self.n_seen[rows]
        )

    @classmethod
    def none(cls) -> TraceSources:
        """Make a list without a source."""
        empty = np.zeros(0)
        return cls(np.zeros((0, 2)), empty, empty, np.zeros(0, bool), np.zeros(0, np.int64))


def frame_sources(exposures: ExposureSet, frame: int) -> TraceSources:
    """Return all sources of the direct exposures of a frame, where their corrections put them.

    Parameters
    ----------
    exposures : ExposureSet
        With catalogs and corrections.
    frame : int
        Number of the relative frame.

    Returns
    -------
    TraceSources
        Of several exposures, what only one measured, as it does cosmic rays, is left out.
    """
    members = [exposure for exposure in exposures.direct if _frame_of(exposures, exposure) == frame]
    tables = [rows for member in members if len(rows := _measured(exposures, member))]
    if not tables:
        return TraceSources.none()
    rows = np.concatenate(tables)
    rows = rows[np.argsort(rows["mag"], kind="stable")]
    found = _merged(rows)
    return found[found.n_seen > 1] if len(members) > 1 else found


def _frame_of(exposures: ExposureSet, exposure: Exposure) -> int | None:
    fit = exposures.fit(exposure.key)
    known = fit is not None and fit.transform is not None and exposure.key in exposures.catalogs
    return fit.frame if known and fit is not None else None


def _measured(exposures: ExposureSet, exposure: Exposure) -> NDArray[np.void]:
    """Return direction, weight, magnitude, width and cleanness of the reliable sources of one exposure."""
    catalog, fit = exposures.catalogs[exposure.key], exposures.fit(exposure.key)
    usable = (catalog.flags & int(UNRELIABLE)) == 0
    usable &= np.isfinite(catalog.xy).all(axis=1) & (catalog.flux > 0)
    catalog = catalog.selected(usable)
    rows = np.zeros(len(catalog), dtype=_ROW)
    sky = np.zeros((len(catalog), 2))
    for chip in exposure.chips:
        on_chip = catalog.chip == chip.number
        sky[on_chip] = chip.wcs.to_sky(catalog.xy[on_chip])
    if fit is not None and fit.transform is not None and len(sky):
        sky = fit.transform.apply_to_sky(sky)
    rows["vector"] = sky_to_vector(sky)
    # No weaker error than a hundredth of a pixel, so that no exposure rules a bright source.
    rows["weight"] = 1.0 / (np.square(catalog.xy_error).mean(axis=1) + 1e-4)
    instrumental = -2.5 * np.log10(catalog.flux)
    rows["mag"] = np.where(np.isfinite(catalog.mag), catalog.mag, instrumental)
    rows["fwhm"] = np.asarray(catalog.table["fwhm"], dtype=float)
    rows["clean"] = catalog.flags == 0
    return np.asarray(rows[np.isfinite(rows["weight"])])


_ROW = np.dtype([("vector", float, 3), ("weight", float), ("mag", float), ("fwhm", float), ("clean", bool)])


def _merged(rows: NDArray[np.void]) -> TraceSources:
    """Merge rows that lie within a small distance of a brighter one."""
    from scipy.spatial import cKDTree

    neighbours = cKDTree(rows["vector"]).query_ball_point(rows["vector"], _SAME / ARCSEC_PER_RADIAN)
    label = np.full(len(rows), -1)
    n = 0
    for row, near in enumerate(neighbours):
        if label[row] < 0:
            free = [other for other in near if label[other] < 0]
            label[free] = n
            n += 1
    return _means(rows, label, n)


def _means(rows: NDArray[np.void], label: NDArray[np.int64], n: int) -> TraceSources:
    """Return one source for each label; clean measurements alone give its position where there are any."""
    clean = np.zeros(n, bool)
    np.logical_or.at(clean, label, rows["clean"])
    weight = np.where(rows["clean"] | ~clean[label], rows["weight"], 0.0)
    vector = np.zeros((n, 3))
    np.add.at(vector, label, weight[:, None] * rows["vector"])
    mag, fwhm = np.full(n, np.inf), np.full(n, np.inf)
    np.minimum.at(mag, label, rows["mag"])
    np.minimum.at(fwhm, label, rows["fwhm"])
    return TraceSources(vector_to_sky(vector), mag, fwhm, clean, np.bincount(label, minlength=n))
