"""What is to be said against a run, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from grism_align.io.report.formatting import count, fixed, listed, probability
from grism_align.values.failure import (
    DisplacedVisits,
    FailureCode,
    OfDirect,
    ReferenceAlone,
    Remark,
    Unguided,
    advice_on,
    text_of,
)
from grism_align.values.record import CHOICE
from grism_align.values.solution import LARGE_ERROR, NOTABLE_ERROR, FitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grism_align.io.report.contents import Contents, Entry, Tie
    from grism_align.values.record import Activity


# So many are told, and so many reasons of one of them.
_MOST, _MOST_REASONS = 40, 6

# Residuals that are this many times what the errors allow.
_LARGE_CHI2 = 4.0
# Ties of fewer stars, or with more of the weight on one, stand on little.
_FEW_STARS = 8
_LARGE_LEVERAGE = 0.5
_LARGE_PROBABILITY = 1e-6
# Exposures of one acquisition differ by tens of mas; arcsec.
_LARGE_JUMP = 0.15
_LARGE_SHIFT = 5.0
# Spectra this far from where they should be, and by as many errors; pixels.
_LARGE_TRACE, _TRACE_ERRORS = 0.1, 3.0

# What is said once, of a step or of frames, and not again of each grism exposure.
_SAID_ONCE = frozenset({FailureCode.NO_CATALOG, FailureCode.NOT_TIED, FailureCode.SEPARATE_FRAME})

# Where the corrections of these commands come from is for information.
_ORIGINS = {"apply": "No new alignment:", "shift": "No alignment:", CHOICE: "No alignment:"}
_OF_ORIGIN = {CHOICE: "Align them, and they start from it"}
_OF_FILE = "The file is named in full, with its checksum, in the record"
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
        Whether it speaks against using the result.
    is_warning : bool
        Whether it is more than for information, though it does not.
    exposures : tuple of str
        Those that it is about; empty for all.
    """

    text: str
    advice: str
    is_problem: bool = True
    is_warning: bool = False
    exposures: tuple[str, ...] = ()


def quality_warnings(contents: Contents) -> list[QualityWarning]:
    """All that is to be known of a record before its products are used, the worst first."""
    finders: tuple[Callable[[Contents], Iterator[QualityWarning]], ...] = (
        _changed,
        _left_out,
        _failures,
        _priors,
        _substitutes,
        _unguided,
        _grism_errors,
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
    found.sort(key=lambda one: (not one.is_problem, not one.is_warning))
    return found if len(found) <= _MOST else [*found[:_MOST], _others(found[_MOST:])]


def _others(found: list[QualityWarning]) -> QualityWarning:
    """Sum up what would make the list of warnings too long to be read."""
    keys = tuple(dict.fromkeys(key for one in found for key in one.exposures))
    of = f", of {count(len(keys), 'exposure')}" if keys else ""
    text = f"{len(found)} more warnings{of}"
    remedy = "See what to know in the table of exposures"
    return QualityWarning(text, remedy, found[0].is_problem, found[0].is_warning, keys)


def _by_remarks(entries: list[Entry]) -> Iterator[tuple[str, tuple[Remark, ...], tuple[str, ...]]]:
    """Group exposures by what is remarked of them, in words; with the remarks of one, and their names."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(text_of(entry.remarks), []).append(entry)
    for text, members in grouped.items():
        yield text, members[0].remarks, tuple(member.key for member in members)


def _changed(contents: Contents) -> Iterator[QualityWarning]:
    if contents.changed:
        yield QualityWarning(contents.out_of_date, "See the report of the run that changed them")


def _left_out(contents: Contents) -> Iterator[QualityWarning]:
    for one in contents.record.left_out:
        yield QualityWarning(f"{one.name} left out: {one.problem}", one.remedy or "Leave it out")


def _failures(contents: Contents) -> Iterator[QualityWarning]:
    failed = [entry for entry in contents.entries if entry.status is FitStatus.FAILED]
    for text, remarks, keys in _by_remarks(failed):
        keeps = "keeps its WCS" if len(keys) == 1 else "keep their WCSs, each"
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
            f"{advice_on(remarks)}. As it is, {_good_to(contents, keys)}: too little for stacking",
            exposures=keys,
        )


def _good_to(contents: Contents, keys: tuple[str, ...]) -> str:
    """Say what exposures claim, the worst of them."""
    wanted = set(keys)
    known = [e for e in contents.entries if e.key in wanted and np.isfinite(e.error)]
    if not known:
        return "of unknown error"
    worst = max(known, key=lambda entry: entry.error_px)
    return f"good to {fixed(worst.error, 0)} mas ({fixed(worst.error_px, 2)} px)"


def _substitutes(contents: Contents) -> Iterator[QualityWarning]:
    fitted = [entry for entry in contents.grisms if entry.status is not FitStatus.FAILED]
    grouped: dict[tuple[bool, str], list[Entry]] = {}
    for entry in fitted:
        remarks = _own_remarks(entry)
        if remarks:
            is_prior = entry.status is FitStatus.PRIOR_ONLY
            grouped.setdefault((is_prior, advice_on(remarks)), []).append(entry)
    for (is_prior, advice), entries in grouped.items():
        keys = tuple(entry.key for entry in entries)
        alike = _alike(entries)
        told = [f"{listed(names)} ({why})" for why, names in alike.items()]
        more = [f"{len(told) - _MOST_REASONS} other reasons"] if len(told) > _MOST_REASONS + 1 else []
        reasons = "; ".join((told[:_MOST_REASONS] if more else told) + more)
        how = "as PRIOR_ONLY" if is_prior else "with reservations"
        text = f"{count(len(entries), 'grism exposure')} corrected {how}: {reasons}"
        yield QualityWarning(text, f"{advice}. As it is, {_good_to(contents, keys)}", exposures=keys)


def _own_remarks(entry: Entry) -> tuple[Remark, ...]:
    """Return what is remarked of a grism exposure, without what is said elsewhere."""
    found: list[Remark] = []
    for remark in entry.remarks:
        if isinstance(remark, OfDirect):
            left = tuple(one for one in remark.remarks if one.code not in _SAID_ONCE)
            found += [OfDirect(remark.exposure, left)] if left else []
        elif remark.code not in {FailureCode.SHIFT_ERROR, FailureCode.UNGUIDED} and not (
            remark.code is FailureCode.SPECTRA_OFF and _is_off(entry)
        ):
            found.append(remark)
    return tuple(found)


def _unguided(contents: Contents) -> Iterator[QualityWarning]:
    """Tell once of all exposures that gyros held, and how good grism exposures of each acquisition are."""
    found: dict[str, dict[str, list[Unguided]]] = {}
    for entry in contents.grisms:
        for remark in entry.remarks if entry.status is not FitStatus.FAILED else ():
            if isinstance(remark, Unguided):
                found.setdefault(remark.guiding, {}).setdefault(entry.record.group, []).append(remark)
    for guiding, groups in found.items():
        told = [remark for remarks in groups.values() for remark in remarks]
        keys = tuple(dict.fromkeys(key for remark in told for key in remark.exposures))
        errors = [
            f"{fixed(max(each.error for each in remarks), 0)} mas ({group})"
            for group, remarks in groups.items()
        ]
        text = (
            f"{count(len(keys), 'exposure')} guided on {guiding}: the pointing drifts, error of grism "
            f"exposures by acquisition at most {listed(errors)}"
        )
        yield QualityWarning(text, FailureCode.UNGUIDED.advice, exposures=keys)


def _is_off(entry: Entry) -> bool:
    """Tell whether traces lie so far off that it is a warning of its own."""
    check = entry.record.traces
    return check is not None and abs(check.after_px) > max(_LARGE_TRACE, _TRACE_ERRORS * check.after_error)


def _alike(entries: list[Entry]) -> dict[str, list[str]]:
    """Exposures by what is remarked of them, in which the one that governs them has no name."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        governors = entry.governed.exposures if entry.governed else ()
        nameless = governors if len(governors) == 1 else ()
        text = text_of(_unnamed(remark, nameless) for remark in _own_remarks(entry))
        found.setdefault(text, []).append(entry.key)
    return found


def _unnamed(remark: Remark, governors: tuple[str, ...]) -> Remark:
    """Return a remark on a governing exposure without its name, which lists of names keep."""
    if remark.numbers.get("exposure") not in governors:
        return remark
    unnamed: Remark = replace(cast("Any", remark), exposure="the direct exposure")
    return unnamed


def _grism_errors(contents: Contents) -> Iterator[QualityWarning]:
    """Grism exposures that may be displaced by more than an extraction of spectra bears."""
    known = [entry for entry in contents.grisms if entry.transform and not contents.is_given]
    large = [entry for entry in known if entry.error_px > LARGE_ERROR]
    notable = [entry for entry in known if NOTABLE_ERROR < entry.error_px <= LARGE_ERROR]
    for entries, is_problem in ((large, True), (notable, False)):
        if entries:
            keys = tuple(entry.key for entry in entries)
            ways = [entry.governed.propagation_error for entry in entries if entry.governed]
            since = (
                f"; dithers and drift since the direct exposure add up to {fixed(max(ways), 0)} mas"
                if ways
                else ""
            )
            grisms = count(len(keys), "grism exposure")
            text = f"{grisms} {_good_to(contents, keys)} at worst: {listed(keys)}{since}"
            remedy = "Before you extract spectra, see where their traces lie"
            yield QualityWarning(text, remedy, is_problem, not is_problem, keys)


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
        yield from _of_whole(contents, activity)
        step, note, outcome = activity.step, activity.note, activity.outcome
        if outcome == "failed":
            text = f"{step} changed nothing: {note.rstrip('.')}"
            yield QualityWarning(text, "Mend what it names, then run from this association")
        elif step == "absolute_align" and outcome == "skipped":
            alone = "it has the WCS that it came with" if contents.is_lone else "the alignment is relative"
            text = f"Not tied to a catalog: {alone}"
            remedy = (
                "If you need positions on the sky, give the step absolute_align a catalog, such as GAIADR3"
            )
            yield QualityWarning(text, remedy, is_problem=False)
        elif step in _ORIGINS:
            yield QualityWarning(f"{_ORIGINS[step]} {note}", _OF_ORIGIN.get(step, _OF_FILE), is_problem=False)
        elif note and not activity.remarks and (step, outcome) not in _EXPECTED and not contents.is_lone:
            verb = "was skipped" if outcome == "skipped" else "says"
            yield QualityWarning(f"{step} {verb}: {note}", "Read whether it matters to you", is_problem=False)


def _of_whole(contents: Contents, activity: Activity) -> Iterator[QualityWarning]:
    """Tell what is remarked of an alignment as a whole; of frames and failures it is told elsewhere."""
    tied = {key for tie in contents.ties for key in tie.keys}
    for remark in activity.remarks:
        text = str(remark)
        if isinstance(remark, DisplacedVisits):
            is_doubtful = tied.isdisjoint(remark.reference.split(","))
            yield QualityWarning(_sentence(text), remark.code.advice, is_problem=is_doubtful)
        elif isinstance(remark, ReferenceAlone):
            yield QualityWarning(_sentence(text), remark.code.advice, is_problem=False, is_warning=True)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _traces(contents: Contents) -> Iterator[QualityWarning]:
    """Spectra that do not lie where the corrected WCSs say."""
    off = {
        entry.key: f"{entry.key} by {fixed(check.after_px, 2, sign=True)} px"
        for entry in contents.grisms
        if (check := entry.record.traces) and _is_off(entry)
    }
    if off:
        which = listed(list(off.values()))
        text = f"Traces of {count(len(off), 'grism exposure')} lie off across the dispersion: {which}"
        yield QualityWarning(text, FailureCode.SPECTRA_OFF.advice, exposures=tuple(off))


def _tracking(contents: Contents) -> Iterator[QualityWarning]:
    """Tell of direct exposures that were not taken as usual; of others their remarks do."""
    grouped: dict[str, list[str]] = {}
    for entry in contents.direct:
        text = str(entry.record.tracking)
        if text and entry.status is not FitStatus.FAILED:
            grouped.setdefault(text, []).append(entry.key)
    if grouped:
        told = "; ".join(f"{listed(keys)} {text}" for text, keys in grouped.items())
        advice = (
            "Their own sources tell where they pointed: see their residuals, and errors of grism exposures "
            "beside them"
        )
        keys = tuple(key for keys in grouped.values() for key in keys)
        yield QualityWarning(f"By the headers, {told}", advice, is_problem=False, exposures=keys)


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
