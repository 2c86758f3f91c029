"""Cut the spectra of a group of grism exposures out of their files."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.cutouts import SpectralRange, cut_spectra
from grism_align.algorithms.spectra.neighbours import OtherLight
from grism_align.algorithms.spectra.offsets import Spectrum
from grism_align.algorithms.spectra.start import first_offsets
from grism_align.workflows.traces.survey import views

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.cutouts import CutSource
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.values.exposure import Exposure
    from grism_align.workflows.traces.survey import ViewJob


_CANDIDATES = 3  # times as many spectra are cut out as are used: not all are in two exposures
_MOST_OFTEN = 3  # exposures are cut, each time nearer to where their spectra are
_BRIGHTEST = 30  # spectra that tell where those of an exposure are
_LONG = 250  # pixels: of longer spectra, which tell more each and take longer, fewer are used


@dataclass(frozen=True, eq=False)
class CutSpectra:
    """Spectra that two exposures or more have, and where sources lie on the detector, (E, 2) pixels.

    `places`: by exposure, from where they lie on average.
    """

    spectra: list[Spectrum]
    places: NDArray[np.float64]


def cut_near(
    jobs: Sequence[ViewJob], zeroth: tuple[float, float] | None, n_spectra: int
) -> tuple[CutSpectra, NDArray[np.float64]]:
    """Cut out spectra where they are, should exposures be off by several pixels.

    Parameters
    ----------
    jobs : sequence of ViewJob
        E exposures, with the models of their grism.
    zeroth : (first, last), pixels of the detector, or None
        From the place of a source to its zeroth order along the dispersion.
    n_spectra : int
        Most spectra.

    Returns
    -------
    CutSpectra
    moved : (E, 2) ndarray, pixels
        From where spectra are predicted to where they were cut out, along and across the dispersion.

    Raises
    ------
    InputError
        If the pixels of an exposure can't be read.
    """
    moved = np.zeros((len(jobs), 2))
    for _ in range(_MOST_OFTEN):
        cut = _cut(jobs, moved, zeroth, n_spectra)
        farther = first_offsets([each.cutouts for each in cut.spectra[:_BRIGHTEST]], len(jobs))
        if not farther.any():
            break
        moved = moved + farther
    else:
        cut = _cut(jobs, moved, zeroth, n_spectra)
    return cut, moved


def _cut(
    jobs: Sequence[ViewJob], moved: NDArray[np.float64], zeroth: tuple[float, float] | None, n_spectra: int
) -> CutSpectra:
    """Cut out the spectra of exposures, one after the other, off by some pixels from where they should be."""
    cut: dict[tuple[int, int], list[CutSource]] = defaultdict(list)
    spans: dict[int, SpectralRange] = {}
    others: dict[int, OtherLight] = {}
    for number, job in enumerate(jobs):
        scale = rate_scale(job.exposure)
        for image, predicted in views(job):
            view = replace(predicted, xy=predicted.xy + moved[number])
            chip = view.window.chip
            model = job.models.get(chip)
            if model is None:
                continue
            span = spans.setdefault(chip, SpectralRange.on_chip(model, view.shape))
            unseen = np.full((len(jobs), *view.xy.shape), np.nan)
            light = others.setdefault(chip, other_light(unseen, view, span, zeroth))
            light.places[number] = view.xy
            found = cut_spectra(image, view, model, span, scale, number)
            for each in islice(found, _CANDIDATES * _number(n_spectra, span)):
                cut[each.row, chip].append(each)
    shared = [(source, cuts) for source, cuts in sorted(cut.items()) if len(cuts) > 1]
    chosen = dict(shared[: min((_number(n_spectra, span) for span in spans.values()), default=0)])
    spectra = [
        Spectrum(
            row,
            chip,
            others[chip].lessened([each.cutout for each in cuts], row),
            spans[chip].first,
            spans[chip].length,
            np.mean([each.place for each in cuts], axis=0),
        )
        for (row, chip), cuts in chosen.items()
    ]
    return CutSpectra(spectra, _places(chosen.values(), moved))


def _number(n_spectra: int, span: SpectralRange) -> int:
    """Return of how many spectra the pixels are used: of long ones as many as make up for their length."""
    return min(n_spectra, max(_BRIGHTEST, n_spectra * _LONG // span.length))


def rate_scale(exposure: Exposure) -> float:
    """Return what the pixels of an exposure are multiplied by to be rates."""
    return 1.0 if exposure.is_rate else 1.0 / exposure.exposure_time


def other_light(
    places: NDArray[np.float64], view: ChipView, span: SpectralRange, zeroth: tuple[float, float] | None
) -> OtherLight:
    """Return where light of the sources of a chip falls, which other spectra are seen through.

    Parameters
    ----------
    places : (E, N, 2) ndarray, pixels
        Of the sources in E exposures.
    view : ChipView
        The chip.
    span : SpectralRange
        Of the order that is measured.
    zeroth : (first, last), pixels of the detector, or None
        From the place of a source to its zeroth order along the dispersion.
    """
    along = view.window.ltm[0]
    return OtherLight(
        places,
        10 ** (-0.4 * view.mag),
        (float(span.first), float(span.first + span.length)),
        zeroth and (along * zeroth[0], along * zeroth[1]),
    )


def _places(chosen: Iterable[Sequence[CutSource]], moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where sources lie in each exposure, from where they do on average, (E, 2) pixels."""
    total, count = np.zeros_like(moved), np.zeros(len(moved))
    for cuts in chosen:
        places = [each.place - moved[each.cutout.exposure] for each in cuts]
        for each, place in zip(cuts, places, strict=True):
            total[each.cutout.exposure] += place - np.mean(places, axis=0)
            count[each.cutout.exposure] += 1
    return np.asarray(total / np.maximum(count, 1)[:, None])
