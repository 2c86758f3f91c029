"""Where the spectra of matched sources should lie on a grism exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.traces.model import find_trace
from grism_align.values.inspection import TraceMarks
from grism_align.workflows.traces.survey import known_trace, views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.trace import TraceModel
    from grism_align.values.transform import LinearTransform, TangentPlane
    from grism_align.workflows.traces.survey import ViewJob

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

#: Spectra of an exposure that are shown, at most, the brightest first; and points of each.
MOST_TRACES, POINTS = 120, 7
_FOUND = "found on this exposure, to a pixel or two across"
_COARSE = "only roughly known for this grism"


@dataclass(frozen=True, eq=False)
class MatchedSources:
    """The sources of one relative frame, N of each, the brightest first.

    `number` (N,), `sky` (N, 2) in deg, by the solution, and `mag` (N,).
    """

    number: Ints
    sky: Floats
    mag: Floats


@dataclass(frozen=True, eq=False)
class TraceJob:
    """What it takes to predict the traces of one exposure.

    Parameters
    ----------
    sources : MatchedSources
        Those of its frame.
    transform : LinearTransform
        Its total correction.
    band : str
        The filter that positions were measured in.
    models : mapping of int to TraceModel
        From configurations, by chip of the detector.
    view : ViewJob
        For looking at the exposure where there is no configuration.
    """

    sources: MatchedSources
    transform: LinearTransform
    band: str
    models: Mapping[int, TraceModel]
    view: ViewJob


def predicted_traces(exposure: Exposure, job: TraceJob, plane: TangentPlane) -> TraceMarks | None:
    """Return the traces that lie on the chips of an exposure.

    Parameters
    ----------
    exposure : Exposure
        With the WCSs before any correction.
    job : TraceJob
        Sources and models.
    plane : TangentPlane
        Where to place them.

    Returns
    -------
    TraceMarks or None
        None where nobody knows where the traces of the grism lie.
    """
    models, origin = (job.models, "") if job.models else _models(exposure, job.view)
    parts = [
        _on_chip(chip, models[chip.window.chip], job, plane)
        for chip in exposure.chips
        if chip.window.chip in models
    ]
    if not parts:
        return None
    named = ", ".join(dict.fromkeys(model.name for model in models.values() if model.name))
    return _brightest(parts, named or origin)


def _brightest(parts: Sequence[TraceMarks], model: str) -> TraceMarks:
    """Return the traces of several chips, as many as are shown."""
    rows = np.argsort(np.concatenate([part.mag for part in parts]), kind="stable")[:MOST_TRACES]

    def joined(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])[rows]

    number, chip, xy, mag = map(joined, ("number", "chip", "xy", "mag"))
    return TraceMarks(number, chip, xy, mag, joined("after"), joined("before"), model)


def _models(exposure: Exposure, view: ViewJob) -> tuple[Mapping[int, TraceModel], str]:
    """Return models by chip as the exposure shows them, and else as they are roughly known."""
    coarse = {chip.window.chip: known for chip in exposure.chips if (known := known_trace(exposure, chip))}
    found = {}
    for image, seen in views(view) if coarse else ():
        if seen.window.chip in coarse:
            model = find_trace(image, seen, coarse[seen.window.chip])
            if model is not None:
                found[seen.window.chip] = model
    rough = {chip: known.model for chip, known in coarse.items()}
    return {**rough, **found}, _FOUND if found else _COARSE


def _on_chip(chip: Chip, model: TraceModel, job: TraceJob, plane: TangentPlane) -> TraceMarks:
    sources, moved = job.sources, job.transform.inverted().apply_to_sky(job.sources.sky)
    after, before = chip.wcs.to_pixel(moved), chip.wcs.to_pixel(sources.sky)
    lines = [trace_points(chip, model, xy, job.band) for xy in (after, before)]
    with np.errstate(invalid="ignore"):
        is_on = ((lines[0] > -0.5) & (lines[0] < np.array(chip.shape[::-1]) - 0.5)).all(axis=2)
    rows = np.flatnonzero(is_on.sum(axis=1) > 1)[:MOST_TRACES]
    there, earlier = (_places(chip, line[rows], job.transform, plane) for line in lines)
    number = np.full(len(rows), chip.number)
    return TraceMarks(sources.number[rows], number, after[rows], sources.mag[rows], there, earlier, "")


def trace_points(chip: Chip, model: TraceModel, xy: Floats, band: str) -> Floats:
    """Return points of traces, the first and the last among them.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    model : TraceModel
        With the dispersion along rows; of a chip that has it along columns, by pixels with these as rows.
    xy : (N, 2) ndarray, zero-based pixels
        Where the sources would be without the grism.
    band : str
        The filter that positions were measured in.

    Returns
    -------
    (N, POINTS, 2) ndarray, zero-based pixels
    """
    if chip.along_columns:
        dy, dx = chip.window.transposed().offsets(model, xy[:, ::-1], band)
    else:
        dx, dy = chip.window.offsets(model, xy, band)
    chosen = np.linspace(0, dx.shape[1] - 1, POINTS).round().astype(int)
    return np.asarray(xy[:, None, :] + np.stack([dx, dy], axis=-1)[:, chosen])


def _places(chip: Chip, points: Floats, transform: LinearTransform, plane: TangentPlane) -> Floats:
    """Where the corrected WCS puts points of the picture, in the plane."""
    sky = transform.apply_to_sky(chip.wcs.to_sky(points.reshape(-1, 2)))
    return plane.to_plane(sky).reshape(points.shape)
