"""What a run says of each step: the figures that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.propagate import shift_error
from grism_align.values.catalog import UNRELIABLE
from grism_align.values.solution import FitStatus, agreement

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit

_ARCSEC = 1e3
_SHOWN = 4  # names of exposures of a list


def figures_of(step: str, exposures: ExposureSet) -> str:
    """Say what a step found; nothing where it was skipped.

    Parameters
    ----------
    step : str
        The step that was just done.
    exposures : ExposureSet
        With what it found.
    """
    done = {one.step: one for one in exposures.activities if one.outcome == "done"}
    if step not in done or step not in _TOLD:
        return ""
    n_kept = done[step].n_kept
    taken_over = [f"{_count(n_kept, 'measurement')} of an earlier run taken over"] if n_kept else []
    return "; ".join([*_TOLD[step](exposures), *taken_over])


def told_of_tracking(exposures: ExposureSet) -> Iterator[str]:
    """Say what headers tell of guiding and drift, once of all exposures of which it is the same.

    Parameters
    ----------
    exposures : ExposureSet
        As read.
    """
    tracked: dict[str, list[str]] = {}
    for each in exposures.exposures:
        tracked.setdefault(str(each.tracking), []).append(each.key)
    for text, keys in tracked.items():
        if text:
            who = "all exposures" if len(keys) == len(exposures.exposures) else listed(keys)
            yield f"{who}: by the headers, {text}"


def listed(keys: Sequence[str]) -> str:
    """Return names of exposures in a row, the first ones of many.

    Parameters
    ----------
    keys : sequence of str
        The names.
    """
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"


def _of_sources(exposures: ExposureSet) -> Iterator[str]:
    catalogs = [exposures.catalogs[each.key] for each in exposures.direct if each.key in exposures.catalogs]
    if not catalogs:
        return
    numbers = [len(catalog) for catalog in catalogs]
    flagged = sum(int(np.count_nonzero(catalog.flags & int(UNRELIABLE))) for catalog in catalogs)
    each = f" ({_between(numbers, 0)} each)" if len(catalogs) > 1 else ""
    of = _count(len(catalogs), "direct exposure")
    yield f"{sum(numbers)} sources in {of}{each}, {flagged} of them unreliable"


def _of_relative(exposures: ExposureSet) -> Iterator[str]:
    fits = exposures.relative.fits
    aligned = {key: fit for key, fit in fits.items() if fit.is_aligned}
    frames = len({fit.frame for fit in aligned.values()})
    into = "" if frames < 2 else f" in {frames} frames that share no source"
    of = _count(len(fits), "direct exposure")
    prior = sum(fit.status is FitStatus.PRIOR_ONLY for fit in aligned.values())
    others = f", {prior} PRIOR_ONLY" if prior else ""
    yield f"{len(aligned) - prior} of {of} aligned{others}{into}{_quality(aligned.values())}"
    yield from _moved(exposures, aligned)


def _of_absolute(exposures: ExposureSet) -> Iterator[str]:
    fits = exposures.absolute.fits
    tied = {key: fit for key, fit in fits.items() if fit.is_aligned}
    if not tied:
        return
    whole = agreement(list(tied.values()))
    chi2 = np.nanmean([fit.reduced_chi2 for fit in tied.values()])
    yield (
        f"{len(tied)} of {_count(len(fits), 'direct exposure')} tied to {exposures.absolute.reference} by "
        f"{whole.n_used} of {whole.n_matched} matched stars: rms {whole.rms:.1f} mas an axis, reduced "
        f"chi-square {chi2:.2f}, {whole.n_matched - whole.n_used} clipped"
    )
    yield from _moved(exposures, tied)


def _of_grisms(exposures: ExposureSet) -> Iterator[str]:
    fits = exposures.grism.fits
    aligned = {key: fit for key, fit in fits.items() if fit.transform is not None}
    claimed = ((exposures[key], fit.transform) for key, fit in aligned.items())
    errors = [shift_error(grism, transform).pixels for grism, transform in claimed if transform]
    known = [error for error in errors if np.isfinite(error) and error > 0]
    good = f", to {max(known):.3f} px or better" if known else ""
    yield f"{len(aligned)} of {_count(len(fits), 'grism exposure')} corrected{good}"


def _quality(fits: Collection[ExposureFit]) -> str:
    """Say how well exposures match others; nothing where none does."""
    matched = [fit for fit in fits if fit.n_matched]
    if not matched:
        return ""
    clipped = sum(fit.n_matched - fit.n_used for fit in matched)
    return (
        f": {_between([fit.n_matched for fit in matched], 0)} sources matched each, rms "
        f"{_between([fit.rms for fit in matched], 1)} mas an axis, reduced chi-square "
        f"{_between([fit.reduced_chi2 for fit in matched], 2)}, {clipped} clipped"
    )


def _moved(exposures: ExposureSet, fits: Mapping[str, ExposureFit]) -> Iterator[str]:
    """Say how far a step moved exposures at most."""
    moved = [there for key, fit in fits.items() if (there := _there(exposures[key], fit))]
    if moved:
        shift, roll = (max(column) for column in zip(*moved, strict=True))
        text = f"{shift / _ARCSEC:.2f} arcsec" if shift >= _ARCSEC else f"{shift:.1f} mas"
        yield f"shifts up to {text}, rolls up to {roll:.4f} deg"


def _there(exposure: Exposure, fit: ExposureFit) -> tuple[float, float] | None:
    """Return the length of a shift, mas, and a roll, deg, at an exposure's own place."""
    if fit.transform is None:
        return None
    there = fit.transform.at(exposure.plane)
    return 1e3 * float(np.hypot(*there.shift)), abs(there.roll)


def _between(values: Iterable[float], digits: int) -> str:
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "unknown"
    low, high = f"{min(known):.{digits}f}", f"{max(known):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


_TOLD: dict[str, Callable[[ExposureSet], Iterator[str]]] = {
    "source_catalog": _of_sources,
    "relative_align": _of_relative,
    "absolute_align": _of_absolute,
    "grism_wcs_propagate": _of_grisms,
}
