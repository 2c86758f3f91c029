"""The closing table: every exposure, its correction and whether to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

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
    """One line an exposure, in time order; below it the tie to the reference catalog.

    Matches and residuals are those of the relative alignment, which each exposure has of its own.
    """
    rows = [_HEADINGS, *(_row(exposures, exposure) for exposure in exposures.exposures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *_ties(exposures)])


def _row(exposures: ExposureSet, exposure: Exposure) -> tuple[str, ...]:
    fit, own = exposures.fit(exposure.key), exposures.relative.fits.get(exposure.key)
    head = (exposure.key, exposure.kind.value, exposure.filter)
    if fit is None:
        return (*head, "-", "-", "-", "-", "-", "-", "not fitted yet")
    governors = ",".join(fit.governed_by) or "-"
    status = f"{fit.status.value}: {fit.reason}" if fit.reason else fit.status.value
    matched = str(own.n_matched) if own else "-"
    if fit.transform is None:
        return (*head, governors, matched, "-", "-", "-", "-", status)
    # Rounded first, and zero added, so that nothing reads -0.0.
    east, north = np.round(1e3 * fit.transform.in_plane(exposure.plane).shift, 1) + 0.0
    roll = round(fit.transform.roll, 5) + 0.0
    pixels = np.hypot(east, north) / 1e3 / exposure.pixel_scale
    rms = f"{own.rms:.1f}" if own and np.isfinite(own.rms) else "-"
    moved = (f"{east:+.1f},{north:+.1f}", f"{pixels:.3f}", f"{roll:+.5f}")
    return (*head, governors, matched, *moved, rms, status)


def _ties(exposures: ExposureSet) -> list[str]:
    """How each relative frame is tied to the sky, or why it is not."""
    lines = {}
    for key, fit in exposures.absolute.fits.items():
        number = exposures.relative[key].frame
        if fit.is_aligned:
            used = f"{fit.n_used} of {fit.n_matched} matched stars used"
            text = f"on {fit.reference}: {used}, rms {fit.rms:.1f} mas"
        else:
            text = fit.reason
        lines[number, text] = f"frame {number + 1} {text}"
    return [lines[key] for key in sorted(lines)]
