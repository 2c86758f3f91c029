"""The closing table: every exposure, its correction and whether to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.solution import agreement

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


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
    "error [mas]",
    "status",
)


def summary_table(exposures: ExposureSet) -> str:
    """One line an exposure, in time order; below it the tie to the reference catalog.

    Where spectra were measured, a column has by how much these moved an exposure, along and across the
    dispersion, and one how far traces lie off across it; where an exposure was not taken as usual, one has
    what its headers say. Matches and residuals are those of the relative alignment, which each exposure has
    of its own. The error is that of one axis of the whole correction at CRVAL, as good as the spectra made
    it; an exposure that fixes the frame has none.
    """
    rows = [_HEADINGS, *(_row(exposures, exposure) for exposure in exposures.exposures)]
    tracking = [str(exposure.tracking) for exposure in exposures.exposures]
    if any(tracking):
        told = ["tracking", *(text or "-" for text in tracking)]
        rows = [(*row[:-1], text, row[-1]) for row, text in zip(rows, told, strict=True)]
    if exposures.spectra:
        rows = [(*row[:-1], text, row[-1]) for row, text in zip(rows, _spectra(exposures), strict=True)]
    if exposures.traces:
        rows = [(*row[:-1], trace, row[-1]) for row, trace in zip(rows, _traces(exposures), strict=True)]
    unknown = ["-"] * (len(rows[0]) - 2)
    rows += [(one.name, *unknown, f"LEFT OUT: {one.problem}") for one in exposures.left_out]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *ties(exposures)])


def _row(exposures: ExposureSet, exposure: Exposure) -> tuple[str, ...]:
    fit, own = exposures.fit(exposure.key), exposures.relative.fits.get(exposure.key)
    head = (exposure.key, exposure.kind.value, exposure.filter)
    if not fit.is_fitted:
        return (*head, *["-"] * 7, f"{fit.status.value} yet")
    governors = ",".join(fit.governors) or "-"
    status = f"{fit.status.value}: {fit.reason}" if fit.reason else fit.status.value
    matched = str(own.n_matched) if own else "-"
    if fit.transform is None:
        return (*head, governors, matched, *["-"] * 5, status)
    there = fit.transform.at(exposure.plane)
    # Rounded first, and zero added, so that nothing reads -0.0.
    east, north = np.round(1e3 * there.shift, 1) + 0.0
    roll = round(there.roll, 5) + 0.0
    pixels = np.hypot(east, north) / 1e3 / exposure.pixel_scale
    rms = f"{own.rms:.1f}" if own and np.isfinite(own.rms) else "-"
    moved = (f"{east:+.1f},{north:+.1f}", f"{pixels:.3f}", f"{roll:+.5f}")
    error = 1e3 * there.axis_error
    return (*head, governors, matched, *moved, rms, f"{error:.1f}" if error > 0 else "-", status)


def _spectra(exposures: ExposureSet) -> list[str]:
    """By how much spectra moved exposures, along and across the dispersion, below a heading."""
    checks = [exposures.spectra.get(exposure.key) for exposure in exposures.exposures]
    found = [
        "-" if check is None or not check.is_measured else ",".join(f"{each:+.3f}" for each in check.moved_px)
        for check in checks
    ]
    return ["spectra [px]", *found]


def _traces(exposures: ExposureSet) -> list[str]:
    """How far spectra lie from where the corrected WCSs say, below a heading."""
    checks = [exposures.traces.get(exposure.key) for exposure in exposures.exposures]
    found = [
        "-" if check is None or not check.is_measured else f"{check.after_px:+.3f}+-{check.after_error:.3f}"
        for check in checks
    ]
    return ["trace [px]", *found]


def ties(exposures: ExposureSet) -> list[str]:
    """Say how each relative frame, or part that was tied by itself, is tied to the sky, or why it is not.

    Parameters
    ----------
    exposures : ExposureSet
        With the absolute solution; nothing is said without one.
    """
    parts: dict[tuple[int, str], list[str]] = {}
    for key, fit in exposures.absolute.fits.items():
        number = exposures.relative[key].frame
        part = _part(exposures, key) if fit.is_aligned else f": {fit.reason}"
        parts.setdefault((number, part), []).append(key)
    lines = []
    for (number, part), keys in sorted(parts.items()):
        fits = [exposures.absolute[key] for key in keys]
        text = f"frame {number + 1}{part}"
        if fits[0].is_aligned:
            whole = agreement(fits)
            used = f"{whole.n_used} of {whole.n_matched} matched stars used"
            text += f" on {fits[0].reference}: {used}, rms {whole.rms:.1f} mas"
        lines.append(text)
    return lines


def _part(exposures: ExposureSet, key: str) -> str:
    """Return the visit or the exposure, where these were tied each by itself."""
    done = [one.settings for one in exposures.activities if one.step == "absolute_align"]
    solve = done[-1].get("solve") if done else None
    names = {"visit": exposures[key].visit, "exposure": key}
    return f", {names[solve]}," if solve in names else ""
