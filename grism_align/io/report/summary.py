"""What was done and whether to trust it, in words with the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import (
    UNKNOWN,
    all_of,
    count,
    fixed,
    length,
    listed,
    probability,
    value_range,
)
from grism_align.values.fitted import fitted_in_words
from grism_align.values.record import CHOICE
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.io.report.contents import Contents, Entry, Tie
    from grism_align.io.report.quality_warnings import QualityWarning

# Pixels with more decimals below.
_SMALL = 0.01


@dataclass(frozen=True)
class Figure:
    """One number of the first screenful.

    Parameters
    ----------
    label, value, note : str
        What it is, the number, and what to know about it.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """Whether to trust a run.

    Parameters
    ----------
    level : str
        ``good``, ``care``, ``bad``, or ``plain`` where nothing was aligned, nor was to be.
    headline : str
        Whether to trust it.
    sentences : tuple of str
        What was done.
    figures : tuple of Figure
        The numbers it rests on.
    """

    level: str
    headline: str
    sentences: tuple[str, ...]
    figures: tuple[Figure, ...]


def summary_of(contents: Contents, warnings: Sequence[QualityWarning]) -> Summary:
    """Sum up whether to trust what is on record.

    Parameters
    ----------
    contents : Contents
        The record.
    warnings : sequence of QualityWarning
        What is to be said against it.
    """
    level = _level(contents, warnings)
    sentences = (
        *_direct_sentences(contents),
        _grism_sentence(contents),
        _spectra_sentence(contents),
        _trace_sentence(contents),
        _mosaic_sentence(contents),
    )
    return Summary(
        level,
        _headline(contents, warnings, level),
        tuple(sentence for sentence in sentences if sentence),
        (_exposures(contents), _tie(contents), _errors(contents), _chance(contents), _shifts(contents)),
    )


def _level(contents: Contents, warnings: Sequence[QualityWarning]) -> str:
    problems = any(one.is_problem for one in warnings)
    if not contents.is_begun or ((contents.is_given or contents.is_lone) and not problems):
        return "plain"
    if not any(entry.is_aligned for entry in contents.grisms or contents.entries):
        return "bad"
    return "care" if problems else "good"


def _headline(contents: Contents, warnings: Sequence[QualityWarning], level: str) -> str:
    if not contents.is_begun:
        return _not_begun(contents)
    if level == "bad":
        what = "grism exposure" if contents.grisms else "exposure"
        return f"Not aligned: no {what} has a correction to rely on."
    problems = sum(one.is_problem for one in warnings)
    done = f"{_done(contents)}{_to_what(contents)}"
    if level in {"good", "plain"}:
        others = sum(one.is_warning for one in warnings)
        return f"{done}; {count(others, 'warning') if others else 'no warnings'}."
    unusable = [e.key for e in contents.entries if e.status in {FitStatus.FAILED, None}]
    left = f" {count(len(unusable), 'exposure')} did not get a correction." if unusable else ""
    return f"{done}, with {count(problems, 'thing')} to look at before you use it.{left}"


def _not_begun(contents: Contents) -> str:
    if contents.record.mosaics:
        made = "a mosaic was" if len(contents.record.mosaics) == 1 else "mosaics were"
        return f"Not aligned: {made} made with the WCSs that the exposures came with."
    done = contents.record.activity("source_catalog")
    return f"Not aligned yet{': the sources are measured' if done else ''}."


def _lone(contents: Contents) -> str:
    still = "Not aligned" if any(entry.is_moved for entry in contents.entries) else "Not moved"
    step = contents.record.activity("absolute_align")
    if step and step.outcome == "failed":
        return f"{still}: there is one direct exposure, and it could not be tied to a catalog"
    return f"{still}: there is one direct exposure, and no catalog to align it with"


def _done(contents: Contents) -> str:
    if contents.is_given:
        return "Moved as you said, nothing was measured"
    if contents.is_lone:
        return _lone(contents)
    if contents.is_unmatched:
        return "Not aligned: no direct exposure shares sources with another, and none is on a catalog"
    tied, groups = {tie.frame for tie in contents.ties}, len(contents.frames)
    if len(contents.direct) == 1:
        return "Aligned with the sky"
    if groups > 1:
        sky = "with the sky" if len(tied) == groups else f"{len(tied)} of them with the sky"
        return (
            f"Aligned within {groups} groups that share no sources, {sky if tied else 'not with a catalog'}"
        )
    return f"Aligned with each other{' and with the sky' if tied else ', not with a catalog'}"


def _to_what(contents: Contents) -> str:
    """How well the grism exposures are placed, which is what an extraction goes by."""
    errors = [entry.error_px for entry in contents.grisms if np.isfinite(entry.error)]
    if not errors or contents.is_lone or contents.is_unmatched:
        return ""
    return f", grism exposures to {_pixels(max(errors))}"


def _pixels(value: float) -> str:
    return f"{fixed(value, 2)} px" if value >= _SMALL else f"{fixed(value, 3)} px"


def _tally(entries: Sequence[Entry]) -> str:
    """How many came out how, those that are aligned first."""
    order = (FitStatus.ALIGNED, FitStatus.REFERENCE, FitStatus.PRIOR_ONLY, FitStatus.FAILED, None)
    numbers = {status: sum(entry.status is status for entry in entries) for status in order}
    names = {status: status.value if status else "not fitted" for status in order}
    return ", ".join(f"{number} {names[status]}" for status, number in numbers.items() if number)


def _direct_sentences(contents: Contents) -> list[str]:
    if not contents.is_begun:
        of = f"{len(contents.direct)} direct and {count(len(contents.grisms), 'grism exposure')}"
        return [f"There are {of} of {count(len(contents.visits), 'visit')}."]
    if contents.is_given:
        moved = sum(entry.transform is not None for entry in contents.entries)
        whence = "from your table"
        if chosen := contents.record.activity(CHOICE):
            whence = f"that puts them onto the WCS {chosen.settings['solution']} of their headers"
        return [f"{moved} of {count(len(contents.entries), 'exposure')} have a correction {whence}."]
    if len(contents.direct) == 1:
        return _tie_sentences(contents)
    fits = {entry.key: entry.record.relative for entry in contents.direct if entry.record.relative}
    return [_together(contents), *fitted_in_words(fits), *_tie_sentences(contents)]


def _together(contents: Contents) -> str:
    direct = contents.direct
    aligned = [entry for entry in direct if entry.is_aligned]
    if not aligned:
        return f"None of the {count(len(direct), 'direct exposure')} could be aligned."
    visits = count(len({entry.record.visit for entry in direct}), "visit")
    if contents.is_unmatched:
        return f"The {len(direct)} direct exposures of {visits} share no sources."
    aligned = [entry for entry in aligned if entry.record.relative and entry.record.relative.n_matched]
    those = all_of(len(aligned), len(direct), "direct exposure")
    groups = {entry.frame for entry in aligned}
    many = f"within {len(groups)} groups that share no sources"
    how = f"{'is' if len(aligned) == 1 else 'are'} aligned {many if len(groups) > 1 else 'with each other'}"
    fits = [fit for entry in aligned if (fit := entry.record.relative)]
    matched, rms = [float(fit.n_matched) for fit in fits], [fit.rms for fit in fits]
    return (
        f"{those} of {visits} {how}: {value_range(matched, 0)} matched sources each, "
        f"rms {value_range(rms)} mas an axis{_weighed(*contents.source_errors)}."
    )


def _weighed(typical: float, best: float, chi2: float = float("nan")) -> str:
    """Tell why a fit is better than its rms: what a source weighs, and if they scatter as they should."""
    if not np.isfinite(typical):
        return ""
    scatter = f", reduced χ² {fixed(chi2, 2)}" if np.isfinite(chi2) else ""
    return f" (error of a source: median {fixed(typical)} mas, least {fixed(best)}{scatter})"


def _tie_sentences(contents: Contents) -> list[str]:
    if not any(entry.is_aligned for entry in contents.direct):
        return []
    if not contents.ties:
        reference = contents.record.references.relative or "the first exposure"
        return [
            f"{'They are' if len(contents.direct) > 1 else 'It is'} not tied to a catalog: the frame is that "
            f"of the pointing of {reference}, which on the sky may be off by some tenths of an arcsecond and "
            "a few hundredths of a degree."
        ]
    number = {frame: at + 1 for at, frame in enumerate(contents.frames)}
    several = len(contents.ties) > 1
    return [_tied(tie, number.get(tie.frame, 1) if several else 0) for tie in contents.ties[:4]]


def _tied(tie: Tie, number: int) -> str:
    who = "They are" if tie.n_exposures > 1 else "It is"
    if number:
        who = f"Frame {number} ({count(tie.n_exposures, 'exposure')}) is"
    rms = f"rms {fixed(tie.rms)} mas an axis{_weighed(tie.star_error, tie.best_error, tie.reduced_chi2)}"
    return (
        f"{who} tied to the catalog {tie.reference} by {tie.n_used} of {tie.n_matched} matched stars, {rms}."
    )


def _grism_sentence(contents: Contents) -> str:
    grisms = contents.grisms
    if not grisms or contents.is_given or not any(entry.status for entry in grisms):
        return ""
    corrected = [entry for entry in grisms if entry.transform]
    if not corrected:
        return f"None of the {count(len(grisms), 'grism exposure')} has the correction of a direct exposure."
    if contents.is_lone and not any(entry.is_moved for entry in grisms):
        return ""
    governors = {name for entry in corrected if entry.governed for name in entry.governed.exposures}
    prior = [entry.error for entry in corrected if entry.status is FitStatus.PRIOR_ONLY]
    good = f", good to {value_range(prior, 0)} mas" if np.isfinite(prior).any() else ""
    rough = f"; {len(prior)} of them as PRIOR_ONLY{good}" if prior else ""
    who, verb = all_of(len(corrected), len(grisms), "grism exposure"), "is" if len(corrected) == 1 else "are"
    alone = sum(entry.governed is None for entry in corrected)
    found = f", {alone} of them by the spectra of other visits" if alone else ""
    return f"{who} {verb} corrected, by {count(len(governors), 'direct exposure')}{found}{rough}."


def _spectra_sentence(contents: Contents) -> str:
    """How far their own spectra moved grism exposures."""
    checks = [entry.record.spectra for entry in contents.grisms]
    found = [check for check in checks if check and check.is_measured]
    if not found:
        return ""
    along, across = np.abs([check.moved_px for check in found]).max(axis=0)
    return (
        f"Their spectra put {count(len(found), 'grism exposure')} right, by at most {_pixels(along)} along "
        f"and {_pixels(across)} across the dispersion."
    )


def _trace_sentence(contents: Contents) -> str:
    """How well spectra lie where the corrected WCSs say, where that was verified."""
    checks = [entry.record.traces for entry in contents.grisms]
    found = [abs(check.after_px) for check in checks if check and check.is_measured]
    if not found:
        return ""
    largest = max(found)
    return (
        f"The traces of {count(len(found), 'grism exposure')} lie at most {_pixels(largest)} across from "
        "where the corrected WCSs put them."
    )


def _mosaic_sentence(contents: Contents) -> str:
    names = [one.plan.name for one in contents.record.mosaics]
    if not names:
        return ""
    return f"{count(len(names), 'mosaic')} {'was' if len(names) == 1 else 'were'} made: {listed(names)}."


def _exposures(contents: Contents) -> Figure:
    of = len(contents.entries)
    note = f"direct: {_tally(contents.direct)}"
    if contents.grisms:
        note += f"; grism: {_tally(contents.grisms)}"
    if contents.is_lone:
        return Figure("Exposures moved", f"{sum(entry.is_moved for entry in contents.entries)} of {of}", note)
    if contents.is_given:
        return Figure("Exposures moved", f"{sum(e.is_aligned for e in contents.entries)} of {of}", note)
    return Figure("Exposures aligned", f"{len(contents.matched)} of {of}", note)


def _tie(contents: Contents) -> Figure:
    if not contents.ties:
        notes = {"as you said": contents.is_given, "as the file came": contents.is_lone}
        note = next((text for text, holds in notes.items() if holds), "relative alignment only")
        return Figure("Tie to the sky", "none", note if contents.is_begun else "")
    stars = value_range([float(tie.n_used) for tie in contents.ties], 0)
    rms = value_range([tie.rms for tie in contents.ties])
    names = listed(sorted({tie.reference for tie in contents.ties}))
    return Figure("Tie to the sky", f"{stars} stars", f"{names}, rms {rms} mas an axis")


def _errors(contents: Contents) -> Figure:
    direct, grism = (
        [entry.error for entry in part if np.isfinite(entry.error)]
        for part in (contents.direct, contents.grisms)
    )
    frame = "on the sky" if contents.ties else "within the frame"
    middle = fixed(float(np.median(direct))) if direct else ""
    of_direct = f"direct: median {middle} mas, worst {fixed(max(direct))}" if direct else ""
    if grism:
        worst = max((e for e in contents.grisms if np.isfinite(e.error)), key=lambda e: e.error_px)
        of_grism = f"worst grism exposure, one axis, {frame}; median {fixed(float(np.median(grism)))} mas"
        value = f"{_pixels(worst.error_px)}, {fixed(worst.error)}\N{NO-BREAK SPACE}mas"
        return Figure("Claimed error", value, "; ".join(filter(None, (of_grism, of_direct))))
    if not direct:
        return Figure("Claimed error", UNKNOWN, "not on record")
    return Figure("Claimed error", f"{middle} mas", f"one axis, {frame}; {of_direct}")


def _chance(contents: Contents) -> Figure:
    relative = [entry.chance for entry in contents.direct if entry.is_aligned]
    tie = [tie.probability for tie in contents.ties]
    worst = [float(np.nanmax(part)) for part in (relative, tie) if np.isfinite(part).any()]
    if not worst:
        return Figure("False match", UNKNOWN, "not on record")
    shown = [probability(one) for one in worst]
    note = "worst probability that a match is by chance"
    if len(set(shown)) > 1:
        note += f": with each other {shown[0]}, with the catalog {shown[1]}"
    return Figure("False match", probability(max(worst)), note)


def _shifts(contents: Contents) -> Figure:
    lengths = [float(np.hypot(*entry.shift)) for entry in contents.entries if entry.transform]
    if not lengths:
        return Figure("Corrections", UNKNOWN, "no exposure has one")
    rolls = [abs(entry.roll) for entry in contents.entries if entry.transform]
    note = f"median shift; largest {length(max(lengths))}, roll {fixed(max(rolls), 4)}°"
    return Figure("Corrections", length(float(np.median(lengths))), note)
