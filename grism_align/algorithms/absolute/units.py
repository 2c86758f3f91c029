"""Parts of a frame: what it saw at one epoch, and each visit or exposure as a rigid whole of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.absolute.frame_tie import FrameSources, FrameTie, MeasurementTimes, refine_tie
from grism_align.values.errors import AlignmentError
from grism_align.values.failure import MovesWithFrame, Remark
from grism_align.values.plane_list import PlaneList

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.algorithms.absolute.measured import MeasuredSources
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.settings import AbsoluteSettings
    from grism_align.values.transform import TangentPlane


# Within so many years stars stay where they are, for a search; and for a fit, even one of 1"/yr.
_ONE_EPOCH, _ONE_TIME = 0.25, 1e-4
# Epochs that are searched.
_MOST_PARTS = 3
# Share of the sources that must be known by their measurements.
_MOSTLY = 0.8


def at_each_epoch(
    own: FrameSources, sources: Sequence[MeasuredSources]
) -> tuple[FrameSources, list[FrameSources]]:
    """Find the sources of a frame, and where they were at each epoch of its exposures.

    Of exposures of several epochs the sources are the means of what was measured, since a robust position of
    one that moves is that of whichever epoch it agrees with.

    Parameters
    ----------
    own : FrameSources
        The sources, numbered.
    sources : sequence of MeasuredSources
        What each exposure measured.

    Returns
    -------
    FrameSources
        The sources.
    list of FrameSources
        Three epochs at most, that of most measurements first; none where all exposures are of one epoch.
    """
    groups: list[list[MeasuredSources]] = []
    for one in sorted(sources, key=lambda each: each.time):
        if not groups or one.time - groups[-1][0].time > _ONE_EPOCH:
            groups.append([])
        groups[-1].append(one)
    if len(groups) < 2:
        return own, []
    groups.sort(key=lambda members: -sum(map(len, members)))
    merged = (_merged(members, own.plane) for members in (sources, *groups[:_MOST_PARTS]))
    means, *parts = (_known(part, own) for part in merged)
    # A record without matches doesn't tell what was measured.
    return means if len(means) > _MOSTLY * len(own) else own, [part for part in parts if len(part)]


def _known(part: FrameSources, own: FrameSources) -> FrameSources:
    """Keep those sources that are among others, with the magnitudes of these."""
    _, mine, theirs = np.intersect1d(part.number, own.number, return_indices=True)
    known = part.rows(mine)
    return replace(known, positions=replace(known.positions, mag=own.positions.mag[theirs]))


def unit_ties(
    sources: Sequence[MeasuredSources],
    catalog: ReferenceCatalog,
    frame: FrameTie,
    settings: AbsoluteSettings,
) -> tuple[dict[str, FrameTie], dict[str, Remark]]:
    """Find how each unit of a frame lies on the catalog.

    Parameters
    ----------
    sources : sequence of MeasuredSources
        What each exposure measured.
    catalog : ReferenceCatalog
        The reference.
    frame : FrameTie
        How the frame as a whole lies on it.
    settings : AbsoluteSettings
        `reference.solve` is ``visit`` or ``exposure``.

    Returns
    -------
    ties : dict of str to FrameTie
        By exposure key, from the relative frame to the catalog.
    remarks : dict of str to Remark
        Why an exposure's unit could not be fitted.
    """
    units: dict[str, list[MeasuredSources]] = {}
    for one in sources:
        exposure = one.exposure
        unit = exposure.visit if settings.reference.solve == "visit" else exposure.pointing
        units.setdefault(unit, []).append(one)
    ties: dict[str, FrameTie] = {}
    remarks: dict[str, Remark] = {}
    for unit, members in units.items():
        keys = [one.exposure.key for one in members]
        try:
            tie = refine_tie(_merged(members, frame.transform.plane), catalog, frame.transform, settings)
        except AlignmentError as error:
            remarks.update(dict.fromkeys(keys, MovesWithFrame(unit, error.remark)))
            continue
        found = replace(tie, probability=frame.probability)
        ties.update(dict.fromkeys(keys, found))
    return ties, remarks


def _merged(members: Sequence[MeasuredSources], plane: TangentPlane) -> FrameSources:
    """Merge the sources of some exposures, each at the weighted mean of its measurements."""
    number = np.concatenate([one.number for one in members])
    # What has no number is a source by itself.
    label = np.where(number >= 0, number, -1 - np.arange(len(number)))
    labels, index = np.unique(label, return_inverse=True)
    index = index.ravel()
    error = np.concatenate([one.error for one in members])
    time = np.repeat([one.time for one in members], [len(one) for one in members])
    weight = error**-2.0
    total = np.bincount(index, weight)
    columns = (*np.concatenate([one.xy for one in members]).T, time)
    x, y, epoch = (np.bincount(index, weight * column) / total for column in columns)
    positions = PlaneList(np.column_stack([x, y]), 1.0 / np.sqrt(total), np.full(len(labels), np.nan), epoch)
    times, when = np.unique(np.round(time / _ONE_TIME) * _ONE_TIME, return_inverse=True)
    share = np.zeros((len(labels), len(times)))
    np.add.at(share, (index, when.ravel()), weight / total[index])
    return FrameSources(
        positions,
        np.maximum(labels, -1),
        plane,
        min(one.exposure.pixel_scale for one in members),
        MeasurementTimes(times, share),
    )
