"""Whether what a record says can be: it may have been damaged, or written by anyone.

The schema knows types and lengths. Here are bounds: a correction that no pointing needs would be put onto
files as readily as any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.names import is_safe
from grism_align.io.record.columns import Rows
from grism_align.io.record.layout import LayoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from grism_align.values.record import ExposureRecord, Record
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform, TangentPlane


# Of a correction where the exposure is, arcsec: farther no pointing is off. In the plane that the exposures
# of a field share, a roll adds to it.
_FARTHEST, _FARTHEST_IN_PLANE = 1800.0, 1e6
# By which no correction stretches the sky.
_STRETCH = 1.25
_MOST_PIXELS = 100_000
_EXPOSURES = "exposures"


def check_transform(transform: LinearTransform) -> None:
    """Refuse a map that no correction is.

    Raises
    ------
    LayoutError
        Naming the entry of it.
    """
    covariance = transform.covariance
    stretch = (
        np.linalg.svd(transform.matrix, compute_uv=False) if np.isfinite(transform.matrix).all() else 0.0
    )
    if not np.all(stretch <= _STRETCH) or not np.all(stretch >= 1 / _STRETCH):
        _fail("matrix", f"{transform.matrix.tolist()} stretches the sky")
    if not (np.abs(transform.shift) <= _FARTHEST_IN_PLANE).all():
        _fail("shift", f"{transform.shift.tolist()} arcsec is no correction of a pointing")
    if not np.isfinite(covariance).all() or (np.diag(covariance) < 0).any():
        _fail("covariance", "not finite, or with negative variances")


def check_plane(plane: TangentPlane) -> None:
    """Refuse a tangent point that is not on the sky.

    Raises
    ------
    LayoutError
        If it is not.
    """
    if not (-360 <= plane.ra <= 720 and -90 <= plane.dec <= 90):
        _fail("plane", f"RA {plane.ra:g}, Dec {plane.dec:g} is not on the sky")


def check_record(record: Record) -> None:
    """Refuse what can't be, and texts that would be no names of files.

    Parameters
    ----------
    record : Record
        As decoded.

    Raises
    ------
    LayoutError
        Naming the entry.
    """
    for place, text in _names(record):
        if not is_safe(text):
            msg = f"{text!r} is no file name"
            raise LayoutError(msg, list(place))
    # what is read when it is asked for is checked then
    known = {} if isinstance(record.exposures, Rows) else record.exposures
    for key, exposure in known.items():
        try:
            check_exposure(key, exposure)
        except LayoutError as error:
            raise error.inside(_EXPOSURES) from None
    for name in ("aligned_sources", "reference_catalog"):
        found = getattr(record, name)
        sources = getattr(found, "sources", found)
        if sources is not None:
            _check_sky(np.column_stack([sources.ra, sources.dec]), name)


def _names(record: Record) -> Iterator[tuple[Iterable[str], str]]:
    yield ("product",), record.product
    for key in record.exposures:
        yield ("exposures",), key
    for number, mosaic in enumerate(record.mosaics):
        yield ("mosaics", str(number), "plan", "name"), mosaic.plan.name
        for name in mosaic.files:
            yield ("mosaics", str(number), "files"), name


def check_exposure(key: str, exposure: ExposureRecord) -> None:
    """Refuse what is on record of an exposure and can't be.

    Parameters
    ----------
    key : str
        Its root name.
    exposure : ExposureRecord
        As decoded.

    Raises
    ------
    LayoutError
        Naming the entry.
    """
    try:
        _check_exposure(exposure)
    except LayoutError as error:
        raise error.inside(key) from None


def _check_exposure(exposure: ExposureRecord) -> None:
    times = (exposure.start, exposure.end, exposure.exposure_time)
    if not np.isfinite(times).all() or exposure.end < exposure.start or exposure.exposure_time < 0:
        _fail(
            "start", f"{exposure.start:g} to {exposure.end:g}, {exposure.exposure_time:g} s, is no exposure"
        )
    for chip in exposure.input_wcs.chips:
        if not all(0 < side <= _MOST_PIXELS for side in chip.shape):
            _fail("input_wcs", f"chip {chip.number} has {chip.shape} pixels")
        if not np.isfinite(chip.sky).all():
            _fail("input_wcs", f"chip {chip.number} is not on the sky")
        _check_sky(chip.sky, "input_wcs")
    for name in ("relative", "absolute", "grism"):
        fit = getattr(exposure, name)
        if fit is not None:
            _check_fit(fit, exposure, name)


def _check_fit(fit: ExposureFit, exposure: ExposureRecord, name: str) -> None:
    """Refuse a correction that is too large where the exposure is, or that nobody can have given."""
    if fit.transform is not None:
        moved = float(np.hypot(*fit.transform.at(exposure.plane).shift))
        if not moved <= _FARTHEST:
            _fail(f"{name}.transform", f"it moves the exposure by {moved:.3g} arcsec")
    if fit.governed is not None:
        lengths = {
            len(one) for one in (fit.governed.exposures, fit.governed.weights, fit.governed.idle_times)
        }
        if len(lengths) > 1 or not np.isfinite(fit.governed.weights).all():
            _fail(f"{name}.governed", "exposures, weights and idle times of several lengths, or no numbers")


def _check_sky(sky: NDArray[np.float64], place: str) -> None:
    beyond = (np.abs(sky[:, 1]) > 90) | (np.abs(sky[:, 0]) > 720)
    if beyond.any():
        _fail(place, f"{np.count_nonzero(beyond)} of {len(sky)} positions are not on the sky")


def _fail(place: str, problem: str) -> None:
    raise LayoutError(problem, [place])
