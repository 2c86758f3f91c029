"""The correction that the offsets of spectra ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.failure import DriftCorrected, DriftInsignificant, DriftTooLarge, Remark, TooFewOthers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.traces.verification import Drift
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.settings import TraceSettings
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import TraceModel
    from grism_align.values.transform import LinearTransform

from grism_align.values.detector import DetectorWindow


def refinement(
    exposure: Exposure,
    fit: ExposureFit,
    drift: Drift,
    settings: TraceSettings,
) -> tuple[LinearTransform | None, Remark]:
    """Correct a measured drift across the dispersion.

    Parameters
    ----------
    exposure : Exposure
        A grism exposure without a direct partner in time.
    fit : ExposureFit
        Its correction.
    drift : Drift
        How far its traces lie from the predicted ones.
    settings : TraceSettings
        What is significant and what is believed.

    Returns
    -------
    transform : LinearTransform or None
        The correction with a further shift across the dispersion, in the same plane. None where nothing is
        to be corrected.
    remark : Remark
        What was done, or why nothing was.

    Notes
    -----
    The measurement takes the place of what was carried across the dispersion at the centre of the chip, in
    the value and in the covariance: with the parameters p, the carried displacement across there, a.p, and
    the shift g that makes it one, the covariance C becomes (1 - g a) C (1 - g a)^T + v g g^T, where v is
    the variance of the measurement and of what it is relative to.
    """
    value, error = drift.value, drift.error
    if fit.transform is None or not np.isfinite([value, error]).all():
        return None, TooFewOthers()
    if abs(value) < settings.refine_significance * error:
        return None, DriftInsignificant(value, error)
    if abs(value) > settings.refine_limit:
        return None, DriftTooLarge(value, error, settings.refine_limit)
    step, across = _across_dispersion(exposure, fit.transform)
    size = float(np.hypot(*step))
    along_shift = np.append(step / size, np.zeros(4))
    kept = np.eye(6) - np.outer(along_shift, across)
    variance = (error * size) ** 2 + drift.reference_error**2
    covariance = kept @ fit.transform.covariance @ kept.T + variance * np.outer(along_shift, along_shift)
    # The source predicted at a row is seen `value` rows above, where the sky must therefore be.
    shift = fit.transform.shift + value * step
    return replace(fit.transform, shift=shift, covariance=covariance), DriftCorrected(value, error)


def carried_error(exposure: Exposure, transform: LinearTransform) -> float:
    """Return the standard error, arcsec, of a correction across the dispersion, at the first chip's centre.

    Parameters
    ----------
    exposure : Exposure
        Grism or direct.
    transform : LinearTransform
        Its total correction.
    """
    _, across = _across_dispersion(exposure, transform)
    return float(np.sqrt(across @ transform.covariance @ across))


def _across_dispersion(
    exposure: Exposure, transform: LinearTransform
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a step of one row down at the centre of the first chip, (2,) arcsec in a correction's plane.

    And derivatives of the displacement of the centre along it by the six parameters of the correction, (6,).
    """
    chip = exposure.chips[0]
    ny, nx = chip.shape
    place = np.array([(nx - 1) / 2, (ny - 1) / 2])
    sky = chip.wcs.to_sky(np.stack([place, place + np.array([0.0, 1.0])]))
    low, high = transform.plane.to_plane(transform.apply_to_sky(sky))
    step = low - high
    along = step / np.hypot(*step)
    return step, np.append(along, np.outer(along, transform.plane.to_plane(sky[0])).ravel())


def rows_moved(
    chip: Chip, transform: LinearTransform, model: TraceModel, window: DetectorWindow | None = None
) -> float:
    """Return by how many pixels a correction moves the predicted traces up, at the centre of the chip.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    transform : LinearTransform
        The total correction.
    model : TraceModel
        Where traces lie; a move along a sloping trace moves it across too.
    window : DetectorWindow, optional
        Which part of the detector the array is; a whole chip by default.
    """
    ny, nx = chip.shape
    center = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    before = chip.wcs.to_pixel(transform.apply_to_sky(chip.wcs.to_sky(center)))
    dx, dy = (window or DetectorWindow()).offsets(model, center)
    slope = (dy[0, -1] - dy[0, 0]) / (dx[0, -1] - dx[0, 0])
    x, y = (center - before)[0]
    return float(y - slope * x)


def has_partner(exposure: Exposure, directs: Sequence[Exposure], settings: TraceSettings) -> bool:
    """Return whether one of the direct exposures that govern a grism exposure is next to it in time."""
    limit = settings.partner_gap / 86400.0
    return any(
        max(direct.start - exposure.end, exposure.start - direct.end, 0.0) <= limit for direct in directs
    )
