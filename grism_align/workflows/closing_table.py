"""What a run ends with on a terminal: every exposure in a line, remarks below, and the frame."""

from __future__ import annotations

import textwrap
from itertools import groupby, takewhile
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.solution import FitStatus
from grism_align.workflows.summary_table import summary_table, ties
from grism_align.workflows.telling import listed, told_of_tracking

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.failure import FailureCode
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import ExposureFit

#: Columns of a terminal that lines fit into; long names of exposures apart.
WIDTH = 80

_HEADINGS = ("exposure", "filter", "by", "shift E,N mas", "roll deg", "error px", "status")
#: The column that goes first where names are long.
_ROLL = _HEADINGS.index("roll deg")
_LONGEST_NAME = 16


def closing_table(exposures: ExposureSet, *, wide: bool = False) -> str:
    """Return the result of a run as a table of 80 columns.

    Parameters
    ----------
    exposures : ExposureSet
        With the solutions found.
    wide : bool, optional
        Give all columns, however long the lines become.

    Notes
    -----
    Shift and roll are the whole correction, at the exposure's own reference point; the error is the claimed
    one of an axis. Direct exposures are corrected by the sources matched with others, grism exposures by the
    direct exposures named. A line separates visits.
    """
    table = summary_table(exposures) if wide else "\n".join([*_lines(exposures), *wrapped(_below(exposures))])
    return "\n".join([table, *wrapped(_frame_and_sum(exposures))])


def _lines(exposures: ExposureSet) -> Iterator[str]:
    visits = [list(group) for _, group in groupby(exposures.exposures, key=lambda each: each.visit)]
    rows = [[_row(exposures, each, _short(each, visit)) for each in visit] for visit in visits]
    everything = [_HEADINGS, *(row for visit in rows for row in visit)]
    widths = [max(map(len, column)) for column in zip(*everything, strict=True)]
    if sum(widths) + 2 * (len(widths) - 1) > WIDTH:
        widths[_ROLL] = 0
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1 - widths.count(0)))
    yield _line(_HEADINGS, widths)
    for visit in rows:
        yield rule
        yield from (_line(row, widths) for row in visit)
    yield rule


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Put texts to the left, numbers to the right; columns without a width are left out."""
    texts, numbers = {0, 1, 2, 6}, zip(row, widths, strict=True)
    cells = (
        cell.ljust(width) if at in texts else cell.rjust(width)
        for at, (cell, width) in enumerate(numbers)
        if width
    )
    return "  ".join(cells).rstrip()


def _short(exposure: Exposure, visit: Sequence[Exposure]) -> str:
    """Return an exposure's name; a long one without what all of the visit begin with, up to an underscore."""
    key = exposure.key
    parts = zip(*(each.key.split("_")[:-1] for each in visit), strict=False)
    start = sum(len(part[0]) + 1 for part in takewhile(lambda part: len(set(part)) == 1, parts))
    return f"..{key[start:]}" if len(key) > _LONGEST_NAME and start else key


def _row(exposures: ExposureSet, exposure: Exposure, name: str) -> tuple[str, ...]:
    fit = exposures.fit(exposure.key)
    if not fit.is_fitted:
        return (name, exposure.filter, *["-"] * 4, fit.status.value)
    by = _corrected_by(exposures, exposure, fit)
    if fit.transform is None:
        return (name, exposure.filter, by, *["-"] * 3, fit.status.value)
    there = fit.transform.at(exposure.plane)
    # Rounded first, and zero added, so that nothing reads -0.0.
    east, north = np.round(1e3 * there.shift, 1) + 0.0
    roll = round(there.roll, 5) + 0.0
    error = there.axis_error / exposure.pixel_scale
    moved = (f"{east:+.1f},{north:+.1f}", f"{roll:+.5f}", f"{error:.3f}" if error > 0 else "-")
    return (name, exposure.filter, by, *moved, fit.status.value)


def _corrected_by(exposures: ExposureSet, exposure: Exposure, fit: ExposureFit) -> str:
    own, governors = exposures.relative.fits.get(exposure.key), fit.governors
    if exposure.is_direct:
        return f"{own.n_matched} matches" if own and own.n_matched else "-"
    if len(governors) == 1:
        governor = exposures[governors[0]] if governors[0] in exposures.total else None
        return _short(governor, exposures.exposures) if governor else governors[0]
    if governors:
        return f"{len(governors)} exposures"
    return f"{fit.n_used} spectra" if fit.n_used else "-"


def _below(exposures: ExposureSet) -> Iterator[str]:
    """Say what is remarked of exposures, once of all of which the like is said, and what was left out."""
    alike: dict[tuple[FailureCode | FitStatus, ...], list[str]] = {}
    for each in exposures.exposures:
        fit = exposures.fit(each.key)
        if fit.remarks:
            codes = (remark.code for one in fit.remarks for remark in one.with_causes())
            alike.setdefault((fit.status, *codes), []).append(each.key)
    for keys in alike.values():
        fit = exposures.total[keys[0]]
        others = f"; so {len(keys) - 1} more: {listed(keys[1:])}" if len(keys) > 1 else ""
        yield f"{keys[0]} {fit.status.value}: {fit.reason}{others}"
    yield from told_of_tracking(exposures)
    for one in exposures.left_out:
        yield f"{one.name} LEFT OUT: {one.problem}"


def _frame_and_sum(exposures: ExposureSet) -> Iterator[str]:
    told = ties(exposures)
    yield from told
    if not told and exposures.relative.reference:
        yield f"the frame is that of the pointing of {exposures.relative.reference}; not tied to a catalog"
    states = [exposures.fit(each.key).status for each in exposures.exposures]
    tally = ", ".join(f"{states.count(one)} {one.value}" for one in FitStatus if one in states)
    visits = len({each.visit for each in exposures.exposures})
    n = len(exposures.exposures)
    yield f"{n} exposure{'s' * (n != 1)} of {visits} visit{'s' * (visits != 1)}: {tally}{_worst(exposures)}"


def _worst(exposures: ExposureSet) -> str:
    """Say how well all grism exposures are placed, which is what an extraction goes by."""
    fits = ((grism, exposures.fit(grism.key)) for grism in exposures.grisms)
    errors = [
        fit.transform.at(grism.plane).axis_error / grism.pixel_scale
        for grism, fit in fits
        if fit.transform is not None
    ]
    known = [error for error in errors if error > 0]
    return f"; grism exposures to {max(known):.3f} px or better" if known else ""


def wrapped(sentences: Iterable[str]) -> list[str]:
    """Break sentences into lines that fit the screen; what goes on is indented.

    Parameters
    ----------
    sentences : iterable of str
        One each; a sentence may be indented itself.
    """
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(
            sentence, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
    ]
