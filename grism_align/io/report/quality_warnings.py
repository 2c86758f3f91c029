"""What is to be said against a run, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count, fixed, listed, probability
from grism_align.values.failure import FailureCode, Remark, advice_on, text_of
from grism_align.values.solution import FitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grism_align.io.report.contents import Contents, Entry, Tie


# Residuals that are this many times what the errors allow.
_LARGE_CHI2 = 4.0
# Ties of fewer stars, or with more of the weight on one, stand on little.
_FEW_STARS = 8
_LARGE_LEVERAGE = 0.5
_LARGE_PROBABILITY = 1e-6
# Exposures of one acquisition differ by tens of mas; arcsec.
_LARGE_JUMP = 0.15
_LARGE_SHIFT = 5.0
# What dithers and drift between the governing exposure and the grism exposure add; mas.
_LARGE_CARRIED = 15.0
# Spectra this far from where they should be, and by as many errors; pixels.
_LARGE_TRACE, _TRACE_ERRORS = 0.1, 3.0

# Where the corrections of these commands come from is for information.
_ORIGINS = {"apply": "No new alignment:", "shift": "No alignment:"}
_OF_ORIGIN = "The file is named in full, with its checksum, in the record"
# Steps whose note is no warning: what was made, and that there was nothing to do.
_EXPECTED = {
    ("visit_mosaic", "done"),
    ("visit_mosaic", "skipped"),
    *(("grism_wcs_propagate", one) for one in ("done", "skipped")),
}


@dataclass(frozen=True)
class QualityWarning:
    """One thing to know.

    Parameters
    ----------
    text : str
        What it is.
    advice : str
        What to do about it.
    is_problem : bool
        Whether it speaks against using the result; else it is for information.
    exposures : tuple of str
        Those that it is about; empty for all.
    """

    text: str
    advice: str
    is_problem: bool = True
    exposures: tuple[str, ...] = ()


def quality_warnings(contents: Contents) -> list[QualityWarning]:
    """All that is to be known of a record before its products are used, the worst first."""
    finders: tuple[Callable[[Contents], Iterator[QualityWarning]], ...] = (
        _left_out,
        _failures,
        _priors,
        _substitutes,
        _carried,
        _ties,
        _frames,
        _steps,
        _traces,
        _tracking,
        _jumps,
        _large_shifts,
        _missing_files,
        _mixed_solutions,
        _mixed_distortions,
        _earlier,
    )
    found = [one for finder in finders for one in finder(contents)]
    return sorted(found, key=lambda one: not one.is_problem)


def _by_remarks(entries: list[Entry]) -> Iterator[tuple[str, tuple[Remark, ...], tuple[str, ...]]]:
    """Group exposures by what is remarked of them, in words; with the remarks of one, and their names."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(text_of(entry.remarks), []).append(entry)
    for text, members in grouped.items():
        yield text, members[0].remarks, tuple(member.key for member in members)


def _left_out(contents: Contents) -> Iterator[QualityWarning]:
    for one in contents.record.left_out:
        yield QualityWarning(f"{one.name} left out: {one.problem}", one.remedy or "Leave it out")


def _failures(contents: Contents) -> Iterator[QualityWarning]:
    failed = [entry for entry in contents.entries if entry.status is FitStatus.FAILED]
    for text, remarks, keys in _by_remarks(failed):
        keeps = "keeps its WCS" if len(keys) == 1 else "keep their WCSs"
        yield QualityWarning(f"{listed(keys)} {keeps}: {text}", advice_on(remarks), exposures=keys)
    unfitted = tuple(entry.key for entry in contents.entries if entry.status is None)
    if unfitted and not contents.is_given:
        remedy = "Run the pipeline to its end, from the association beside this record"
        text = f"{count(len(unfitted), 'exposure')} not fitted by any step yet"
        yield QualityWarning(text, remedy, is_problem=contents.is_begun, exposures=unfitted)
    elif unfitted:
        text = f"{count(len(unfitted), 'exposure')} not in your table, and as before: {listed(unfitted)}"
        yield QualityWarning(text, "Nothing to do, if that was meant", is_problem=False, exposures=unfitted)


def _priors(contents: Contents) -> Iterator[QualityWarning]:
    prior = [entry for entry in contents.direct if entry.status is FitStatus.PRIOR_ONLY]
    for text, remarks, keys in _by_remarks(prior):
        yield QualityWarning(
            f"{listed(keys)} PRIOR_ONLY: {text}",
            f"{advice_on(remarks)}. As it is, good to tens of mas: too little for stacking",
            exposures=keys,
        )


def _substitutes(contents: Contents) -> Iterator[QualityWarning]:
    odd = [entry for entry in contents.grisms if entry.remarks and entry.status is not FitStatus.FAILED]
    verify = "verify_traces tells how far the spectra are off, and refine_grism mends that"
    own = f"See whether a direct exposure of their own can be had; if not, {verify}"
    prior = f"Good to tens of mas, enough for extracting spectra; {verify}"
    for is_prior, what, remedy in ((False, "with reservations", own), (True, "as PRIOR_ONLY", prior)):
        entries = [entry for entry in odd if (entry.status is FitStatus.PRIOR_ONLY) is is_prior]
        if entries:
            reasons = "; ".join(f"{listed(names)} ({why})" for why, names in _alike(entries).items())
            text = f"{count(len(entries), 'grism exposure')} corrected {what}: {reasons}"
            yield QualityWarning(text, remedy, exposures=tuple(entry.key for entry in entries))


def _alike(entries: list[Entry]) -> dict[str, list[str]]:
    """Exposures by what is remarked of them, in which those that govern them have no names."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        governors = entry.governed.exposures if entry.governed else ()
        unnamed = dict.fromkeys(governors, "the direct exposure")
        text = text_of(remark.renamed(unnamed) for remark in entry.remarks)
        found.setdefault(text, []).append(entry.key)
    return found


def _carried(contents: Contents) -> Iterator[QualityWarning]:
    """Grism exposures whose errors are mostly those of the way from the direct exposure."""
    plain = [entry for entry in contents.grisms if entry.is_aligned and not entry.remarks]
    errors = {entry.key: entry.governed.propagation_error for entry in plain if entry.governed}
    keys = tuple(key for key, error in errors.items() if error > _LARGE_CARRIED)
    if keys:
        have = "has" if len(keys) == 1 else "have"
        text = (
            f"{count(len(keys), 'grism exposure')} {have} no direct exposure of the same pointing: "
            f"dithers and drift in between add errors of up to {max(errors[key] for key in keys):.0f} mas"
        )
        remedy = "Fine for extracting spectra; where it matters, have the traces verified or refined"
        yield QualityWarning(text, remedy, is_problem=False, exposures=keys)


def _ties(contents: Contents) -> Iterator[QualityWarning]:
    for tie in contents.ties:
        yield from _weak_tie(tie)
    for entry in contents.direct:
        if entry.is_aligned and entry.chance > _LARGE_PROBABILITY:
            chance = probability(entry.chance)
            text = f"{entry.key} may be matched by chance: false-match probability {chance}"
            yield QualityWarning(
                text, "Look at its residuals below before you use it", exposures=(entry.key,)
            )


def _weak_tie(tie: Tie) -> Iterator[QualityWarning]:
    name = f"The tie to {tie.reference} ({count(tie.n_exposures, 'exposure')})"
    if tie.n_used < _FEW_STARS:
        remedy = "Give a deeper catalog (LSDR10, PS1DR2, HSCV3), or an aligned visit's record as the catalog"
        yield QualityWarning(f"{name} rests on {count(tie.n_used, 'star')}", remedy)
    if tie.leverage > _LARGE_LEVERAGE:
        remedy = "See in the catalog whether this star's position and motion can be believed"
        yield QualityWarning(f"{name} has {100 * tie.leverage:.0f} % of its weight on one star", remedy)
    if tie.reduced_chi2 > _LARGE_CHI2:
        excess = fixed(float(np.sqrt(tie.reduced_chi2)))
        remedy = (
            "Look at the residuals below: probably there are galaxies or blends among the matches, or the "
            "catalog's errors are too small, or its epoch is wrong"
        )
        yield QualityWarning(f"{name} has residuals {excess} times what the given errors allow", remedy)
    if tie.probability > _LARGE_PROBABILITY:
        text = f"{name} may be by chance: false-match probability {probability(tie.probability)}"
        yield QualityWarning(text, "Compare with another catalog before you use it")


def _frames(contents: Contents) -> Iterator[QualityWarning]:
    tied = {tie.frame for tie in contents.ties}
    if len(contents.frames) > 1:
        loose = len([frame for frame in contents.frames if frame not in tied])
        yield QualityWarning(
            f"{len(contents.frames)} groups of exposures share no sources, {loose} of them not on a catalog",
            "Groups that are not tied may be off from each other as the pointing is: tie them to a catalog",
            is_problem=loose > 0,
        )
    fits = {e.key: e.record.absolute for e in contents.direct if e.is_aligned and not e.is_tied}
    untied = {key: text_of(fit.remarks) for key, fit in fits.items() if fit}
    step = contents.record.activity("absolute_align")
    if untied and not (step and step.outcome == "failed"):
        why = next(iter(untied.values()))
        text = f"{count(len(untied), 'exposure')} aligned, but not tied to the catalog: {why}"
        yield QualityWarning(text, FailureCode.NOT_TIED.advice, exposures=tuple(untied))


def _steps(contents: Contents) -> Iterator[QualityWarning]:
    for activity in contents.record.activities:
        step, note, outcome = activity.step, activity.note, activity.outcome
        if outcome == "failed":
            yield QualityWarning(
                f"{step} changed nothing: {note}", "Mend what it names, then run from this association"
            )
        elif step == "absolute_align" and outcome == "skipped":
            alone = "it has the WCS that it came with" if contents.is_lone else "the alignment is relative"
            text = f"Not tied to a catalog: {alone}"
            remedy = (
                "If you need positions on the sky, give the step absolute_align a catalog, such as GAIADR3"
            )
            yield QualityWarning(text, remedy, is_problem=False)
        elif step in _ORIGINS:
            yield QualityWarning(f"{_ORIGINS[step]} {note}", _OF_ORIGIN, is_problem=False)
        elif note and (step, outcome) not in _EXPECTED and not contents.is_lone:
            verb = "was skipped" if outcome == "skipped" else "says"
            yield QualityWarning(f"{step} {verb}: {note}", "Read whether it matters to you", is_problem=False)


def _traces(contents: Contents) -> Iterator[QualityWarning]:
    """Spectra that do not lie where the corrected WCSs say."""
    for entry in contents.grisms:
        check = entry.record.traces
        if check and abs(check.after_px) > max(_LARGE_TRACE, _TRACE_ERRORS * check.after_error):
            off = fixed(check.after_px, 2, sign=True)
            text = f"{entry.key}: its spectra lie {off} pixels from where they should"
            remedy = "Use refine_grism, or let the extraction fit the offset across the dispersion"
            yield QualityWarning(text, remedy, exposures=(entry.key,))


def _tracking(contents: Contents) -> Iterator[QualityWarning]:
    """Tell of direct exposures that were not taken as usual; of others their remarks do."""
    grouped: dict[str, list[str]] = {}
    for entry in contents.direct:
        text = str(entry.record.tracking)
        if text and entry.status is not FitStatus.FAILED:
            grouped.setdefault(text, []).append(entry.key)
    advice = (
        "Its own sources tell where it pointed: see its residuals, and errors of grism exposures beside it"
    )
    for text, keys in grouped.items():
        told = f"{listed(keys)}, by the headers: {text}"
        yield QualityWarning(told, advice, is_problem=False, exposures=tuple(keys))


def _jumps(contents: Contents) -> Iterator[QualityWarning]:
    """Exposures that lie apart from the others of their guide-star acquisition."""
    groups: dict[str, list[Entry]] = {}
    for entry in contents.direct:
        if entry.is_aligned:
            groups.setdefault(entry.record.group, []).append(entry)
    for group, entries in groups.items():
        shifts = np.array([entry.shift for entry in entries]) / 1e3
        away = np.hypot(*(shifts - np.median(shifts, axis=0)).T)
        for entry, distance in zip(entries, away, strict=True):
            if len(entries) > 2 and distance > _LARGE_JUMP:
                text = f"{entry.key} lies {distance:.2f}″ from the others of its acquisition ({group})"
                remedy = "See whether the guide star was lost or changed; its grism exposures moved as well"
                yield QualityWarning(text, remedy, exposures=(entry.key,))


def _large_shifts(contents: Contents) -> Iterator[QualityWarning]:
    far = [e for e in contents.direct if e.transform and np.hypot(*e.shift) > 1e3 * _LARGE_SHIFT]
    if far:
        largest = max(float(np.hypot(*entry.shift)) for entry in far) / 1e3
        moved = count(len(far), "direct exposure")
        text = f"{moved} moved by more than {_LARGE_SHIFT:g}″ (up to {largest:.1f}″)"
        remedy = "Check the false-match probability and the residuals; such an offset is rare"
        yield QualityWarning(text, remedy, is_problem=False, exposures=tuple(entry.key for entry in far))


def _missing_files(contents: Contents) -> Iterator[QualityWarning]:
    """Exposures with a correction that no file has."""
    if all(entry.record.output is None for entry in contents.entries):
        return
    missing = tuple(e.key for e in contents.entries if e.transform and e.record.output is None)
    if missing:
        text = f"{count(len(missing), 'exposure')} with a correction, but no file written"
        yield QualityWarning(text, "Run the step again with room to write", exposures=missing)


def _mixed_solutions(contents: Contents) -> Iterator[QualityWarning]:
    names = sorted({entry.record.wcs_solution or "unnamed" for entry in contents.entries})
    if len(names) > 1:
        text = f"The exposures came with WCSs of different solutions: {listed(names)}"
        remedy = "Corrections count from each exposure's own, so compare final positions and not shifts"
        yield QualityWarning(text, remedy, is_problem=False)


def _mixed_distortions(contents: Contents) -> Iterator[QualityWarning]:
    found: dict[str, list[str]] = {}
    for entry in contents.entries:
        instrument, model = entry.record.instrument, entry.record.input_wcs.distortion
        found.setdefault(instrument, []).append(model or "unnamed")
    for instrument, models in found.items():
        names = sorted(set(models))
        if len(names) > 1:
            each = listed([f"{name} ({models.count(name)})" for name in names])
            text = f"Exposures of {instrument} have different distortion models: {each}"
            remedy = "Two models differ by up to 10 mas: fetch the files anew, so that all have one"
            yield QualityWarning(text, remedy)


def _earlier(contents: Contents) -> Iterator[QualityWarning]:
    keys = tuple(entry.key for entry in contents.entries if entry.record.applied is not None)
    if keys:
        text = f"{count(len(keys), 'file')} had an earlier correction when read"
        remedy = "Nothing to do: shifts and rolls here count from the WCS before any correction"
        yield QualityWarning(text, remedy, is_problem=False, exposures=keys)
