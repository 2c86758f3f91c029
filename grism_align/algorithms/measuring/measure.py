"""The source catalog of one exposure from the pixels of its chips."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.detect import ChipSources, detect_sources, mean_ellipticity
from grism_align.values.catalog import UNRELIABLE, SourceCatalog, SourceFlag
from grism_align.values.failure import Remark, Trailed, remark_entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mission import ChipPixels
    from grism_align.values.settings import DetectionSettings


# Sources whose mean ellipticity tells whether an exposure is trailed, and how sure it must be.
_TRAIL_SOURCES = 100
_FEWEST_TRAILS = 10
_TRAIL_SIGNIFICANCE = 5.0
# Magnitudes per relative error: 2.5 / ln 10.
_POGSON = 1.0857


def measure_exposure(
    exposure: Exposure, chips: Iterable[tuple[Chip, ChipPixels]], settings: DetectionSettings
) -> SourceCatalog:
    """Find and measure the sources of an exposure.

    Parameters
    ----------
    exposure : Exposure
        A direct exposure.
    chips : iterable of (Chip, ChipPixels)
        Its chips with their arrays, one at a time.
    settings : DetectionSettings
        The parameters.

    Returns
    -------
    SourceCatalog
        Its meta has the settings, the counts of every cut and, where there is no usable source, a remark.
    """
    resolution = exposure.resolution
    found = [
        (chip.number, detect_sources(own.sci, own.err, own.dq, settings, resolution)) for chip, own in chips
    ]
    ellipticity = np.concatenate([sources.ellipticity for _, sources in found])
    columns = _columns(exposure, found, np.hypot(*ellipticity.T))
    remarks = [] if len(ellipticity) else sorted({s.remark for _, s in found if s.remark}, key=str)
    trail = _trail(columns, ellipticity, settings.trail_ellipticity)
    if trail:
        columns["flags"] |= int(SourceFlag.TRAILED)
        remarks = [trail]
    meta = {
        "exposure": exposure.key,
        "instrument": exposure.instrument,
        "filter": exposure.filter,
        "ab_zero_point": exposure.ab_zero_point,
        "exposure_time": exposure.exposure_time,
        "mid_mjd": exposure.mid,
        "settings": asdict(settings),
        "counts": _total_counts(found),
        "remarks": [remark_entry(remark) for remark in remarks],
    }
    return SourceCatalog.from_columns(columns, meta)


def _columns(
    exposure: Exposure, found: list[tuple[int, ChipSources]], ellipticity: NDArray[np.float64]
) -> dict[str, NDArray[Any]]:
    xy = np.concatenate([sources.xy for _, sources in found])
    error = np.concatenate([sources.xy_error for _, sources in found])
    time = 1.0 if exposure.is_rate else exposure.exposure_time
    flux = np.concatenate([sources.flux for _, sources in found]) / time
    flux_error = np.concatenate([sources.flux_error for _, sources in found]) / time
    with np.errstate(invalid="ignore", divide="ignore"):
        mag = exposure.ab_zero_point - 2.5 * np.log10(flux)
        snr = flux / flux_error
    return {
        "id": np.arange(1, len(xy) + 1),
        "chip": np.repeat([number for number, _ in found], [len(sources.xy) for _, sources in found]),
        "x": xy[:, 0],
        "y": xy[:, 1],
        "x_error": error[:, 0],
        "y_error": error[:, 1],
        "flux": flux,
        "flux_error": flux_error,
        "mag": np.where(flux > 0, mag, np.nan),
        "mag_error": _POGSON / np.where(snr > 0, snr, np.nan),
        "snr": snr,
        "fwhm": np.concatenate([sources.fwhm for _, sources in found]),
        "ellipticity": ellipticity,
        "flags": np.concatenate([sources.flags for _, sources in found]),
    }


def _trail(columns: dict[str, NDArray[Any]], ellipticity: NDArray[np.float64], limit: float) -> Remark | None:
    """Return what is wrong with an exposure whose sources are all drawn out the same way."""
    rows = np.flatnonzero((columns["flags"] & int(UNRELIABLE | SourceFlag.SATURATED)) == 0)
    brightest = rows[np.argsort(-columns["flux"][rows], kind="stable")[:_TRAIL_SOURCES]]
    mean, error = mean_ellipticity(ellipticity[brightest])
    if len(brightest) >= _FEWEST_TRAILS and mean > limit and mean > _TRAIL_SIGNIFICANCE * error:
        return Trailed(len(brightest), mean, limit)
    return None


def _total_counts(found: list[tuple[int, ChipSources]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for _, sources in found:
        for name, count in sources.counts.items():
            total[name] = total.get(name, 0) + count
    return total
