"""The closing table: every exposure, its correction and whether to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit

__all__ = ["closing_table"]

_HEADINGS = (
    "exposure",
    "kind",
    "filter",
    "governed by",
    "matched",
    "shift E,N [mas]",
    "[px]",
    "roll [deg]",
    "rms [mas]",
    "status",
)


def closing_table(exposures: ExposureSet) -> str:
    """One line an exposure, in time order."""
    total = exposures.total.fits
    rows = [_HEADINGS, *(_row(exposure, total.get(exposure.key)) for exposure in exposures.exposures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _row(exposure: Exposure, fit: ExposureFit | None) -> tuple[str, ...]:
    head = (exposure.key, exposure.kind.value, exposure.filter)
    if fit is None:
        return (*head, "", "", "", "", "", "", "not fitted yet")
    governors = ",".join(fit.governed_by) or "-"
    status = f"{fit.status.value}: {fit.reason}" if fit.reason else fit.status.value
    if fit.transform is None:
        return (*head, governors, str(fit.n_matched), "-", "-", "-", "-", status)
    east, north = 1e3 * fit.transform.in_plane(exposure.plane).shift
    pixels = np.hypot(east, north) / 1e3 / exposure.pixel_scale
    rms = f"{fit.rms:.1f}" if np.isfinite(fit.rms) else "-"
    moved = (f"{east:+.1f},{north:+.1f}", f"{pixels:.3f}", f"{fit.transform.roll:+.5f}")
    return (*head, governors, str(fit.n_matched), *moved, rms, status)
