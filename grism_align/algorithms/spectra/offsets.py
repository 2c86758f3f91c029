"""Offsets of grism exposures against each other, along and across the dispersion, from all their spectra."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.references import ReferenceSpectrum
from grism_align.algorithms.spectra.shifts import FARTHEST, SpectralShifts
from grism_align.algorithms.spectra.solution import Solved, solve
from grism_align.algorithms.spectra.template import (
    KNOTS_ACROSS,
    SpectrumCutout,
    TemplateFit,
    TemplatePrior,
    fit_template,
    number_of_knot,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.shifts import ExpectedStretch

# Spectra in the first rounds: the fainter ones need not be looked at while exposures are far off.
_BRIGHTEST, _ROUGH, _ROUNDS = 30, 3, 7
_CONVERGED = 2e-3  # pixels
# Pixels, of the last step: an exposure that still moves by more is on its way to nowhere, or, where its error
# is larger, by more than that, up to a limit.
_SETTLED, _STILL_SETTLED = 0.1, 0.25
# Spectra are left out that have together no more than the rest of this in what is known.
_ENOUGH, _FEWEST = 0.98, 10
# Second differences from pixel to pixel of a spectrum's height: expected before any are seen, and at least.
_BEND, _LEAST_BEND = 0.03, 6e-3
# The same across it of rough templates, which else have room for two traces where exposures are off by a
# pixel.
_STIFF = 0.5
_LINE = 4.5  # sigma by which a line or an edge stands out from the template
_REACH = 2.5  # pixels from the trace within which lines are looked for
_MODEL = 0.04  # of the template: errors of the flat field, of undersampling and of the template itself
_SPARE = int(FARTHEST) + 3  # pixels by which templates are longer to either side: splines reach two farther
_LEAST_WEIGHT = 0.05  # of a spectrum that is said to be used
# Signal-to-noise ratio of a spectrum that tells how strong those of an exposure are, and of its changes.
_TOLD, _TOLD_BY_CHANGES = 20.0, 10.0
# Spectra that tell how alike changes are, and the median below which those are of something else.
_FEWEST_CHANGING, _LEAST_USUAL = 10, 0.3
# Sigma at which a pixel has no weight; in the first rounds the weight falls slowly from half of that.
_FAR = 8.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """One order of one source, in the exposures that have it.

    Parameters
    ----------
    source, order : int
        Numbers of the source and of the order, which is that of one chip.
    cutouts : tuple of SpectrumCutout
        Its pixels.
    first : float, pixels
        From the place of a source to where spectra of the order begin.
    length : int, pixels
        Of spectra of the order.
    place : (2,) ndarray, zero-based pixels
        Mean of the places of the source in these exposures.
    """

    source: int
    order: int
    cutouts: tuple[SpectrumCutout, ...]
    first: float
    length: int
    place: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SpectralOffsets:
    """Where spectra of E exposures lie from where they are predicted, less what all have in common.

    Parameters
    ----------
    offset : (E, 2) ndarray, pixels
        Along and across the dispersion; zero on average.
    covariance : (2E, 2E) ndarray, pixels^2
        Of the offsets in the order of exposures, along before across; what all have in common is not in it.
    n_sources : (E,) ndarray of int
        Sources that kept weight.
    strength : (E,) ndarray
        Of the spectra in each exposure, in the mean of all exposures' one; NaN where none tells it.
    likeness : (E,) ndarray
        The same of changes along the dispersion alone, that is of edges and lines, in units of its median
        over exposures: little where these are at other places than in most of them. NaN where few tell it, or
        most are unlike the template.
    n_bright : (E,) ndarray of int
        Spectra that tell the strength.
    unrest : (E,) ndarray
        The last step against the others', in units of what an offset that is found still moves by: more
        where an exposure's spectra lie farther off than the templates reach.
    """

    offset: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_sources: NDArray[np.int64]
    strength: NDArray[np.float64]
    likeness: NDArray[np.float64]
    n_bright: NDArray[np.int64]
    unrest: NDArray[np.float64]

    @property
    def is_settled(self) -> NDArray[np.bool_]:
        """Whether the offset of each exposure came to rest, (E,)."""
        return np.asarray(self.unrest < 1.0)


def measure_offsets(
    spectra: Sequence[Spectrum],
    places: NDArray[np.float64],
    expected: ExpectedStretch,
    rng: np.random.Generator,
) -> SpectralOffsets | None:
    """Solve for the offsets of exposures, the templates of all spectra, and how smooth these are.

    Parameters
    ----------
    spectra : sequence of Spectrum
        The brightest first.
    places : (E, 2) ndarray, pixels
        Of the sources on the detector, by exposure, from where they are on average.
    expected : ExpectedStretch
        By how much dispersions grow over the detector.
    rng : numpy.random.Generator
        Draws noise that tells which part of the information isn't real.

    Returns
    -------
    SpectralOffsets or None
        None where no spectrum is in two exposures.

    Notes
    -----
    Dispersions differ over a detector. So a line moves along the dispersion with the place of its source, the
    more the farther it is from the source: by a stretch that is solved for too. The offsets are what is left
    at the places of the sources.
    """
    tracked = [_tracked(each) for each in spectra if len(each.cutouts) > 1]
    if not tracked:
        return None
    return _result(_solved(tracked, places, expected, rng))


def reference_spectra(
    spectra: Sequence[Spectrum],
    places: NDArray[np.float64],
    expected: ExpectedStretch,
    rng: np.random.Generator,
) -> list[ReferenceSpectrum]:
    """Return the templates of spectra, by which those of exposures of other visits are found.

    Parameters
    ----------
    spectra, places, expected, rng
        As for `measure_offsets`.

    Returns
    -------
    list of ReferenceSpectrum
        Of the spectra that two exposures or more have, and that tell most.
    """
    tracked = [_tracked(each) for each in spectra if len(each.cutouts) > 1]
    if not tracked:
        return []
    solution = _solved(tracked, places, expected, rng)
    fitted = dict(zip((each.name for each in solution.used), solution.fits, strict=True))
    for each in tracked:
        if each.name not in fitted:
            fit = each.fit(solution.shifts, solution.bends, None, is_rough=True)
            after = each.after(fit, solution.shifts, is_rough=True)
            fitted[each.name] = after.fit(solution.shifts, solution.bends, None)
    return [
        ReferenceSpectrum(
            source=each.spectrum.source,
            order=each.spectrum.order,
            place=each.spectrum.place,
            n_exposures=len(each.spectrum.cutouts),
            first=each.first,
            surface=fitted[each.name].surface,
        )
        for each in tracked
    ]


@dataclass(frozen=True, eq=False)
class _Solution:
    """Where rounds of solving end: the last step, and what is expected of and was fitted to spectra."""

    shifts: SpectralShifts
    solved: Solved
    bends: Mapping[int, NDArray[np.float64]]
    used: Sequence[_Tracked]
    fits: Sequence[TemplateFit]


def _solved(
    tracked: list[_Tracked],
    places: NDArray[np.float64],
    expected: ExpectedStretch,
    rng: np.random.Generator,
) -> _Solution:
    """Solve in rounds: with the brightest spectra first, then with those that tell most."""
    bends = {each.spectrum.order: np.full(_n_knots(each.spectrum), _BEND) for each in tracked}
    shifts = SpectralShifts.expected(places, expected)
    for number in range(_ROUNDS):
        is_rough = number < _ROUGH
        used = tracked[:_BRIGHTEST] if is_rough else tracked
        fits = [each.fit(shifts, bends, None if is_rough else rng, is_rough=is_rough) for each in used]
        noise = [each.own_of(fit) for each, fit in zip(used, fits, strict=True)]
        solved = solve(fits, noise, shifts.stretch, expected)
        bends = _expected_bends(used, fits, bends) if is_rough else bends
        after = [each.after(fit, shifts, is_rough=is_rough) for each, fit in zip(used, fits, strict=True)]
        shifts = shifts.moved(solved.step)
        tracked = after + tracked[len(used) :] if is_rough else _telling(after, solved)
        if not is_rough and np.abs(solved.step[:-2]).max() < _CONVERGED:
            break
    return _Solution(shifts, solved, bends, used, fits)


def _telling(tracked: Sequence[_Tracked], solved: Solved) -> list[_Tracked]:
    """Keep the spectra that tell most on either axis, and leave out the many that tell nothing."""
    kept = np.zeros(len(tracked), dtype=bool)
    for told in solved.told.T:
        order = np.argsort(-told)
        kept[order[: _FEWEST + int((np.cumsum(told[order]) < _ENOUGH).sum())]] = True
    return [each for each, keep in zip(tracked, kept, strict=True) if keep]


def _result(solution: _Solution) -> SpectralOffsets:
    used, solved = solution.used, solution.solved
    seen = {
        (cutout.exposure, each.spectrum.source)
        for each, weight in zip(used, solved.weight.max(axis=1).tolist(), strict=True)
        for cutout in each.spectrum.cutouts
        if weight > _LEAST_WEIGHT
    }
    offset = solution.shifts.offset - solution.shifts.offset.mean(axis=0)
    n_sources = np.bincount([exposure for exposure, _ in seen], minlength=len(offset))
    strengths, likenesses = _ratios(used, solution.fits, len(offset))
    n_bright = np.array([len(each) for each in strengths])
    likeness = _medians([each if len(each) >= _FEWEST_CHANGING else [] for each in likenesses])
    usual = np.nanmedian(likeness) if np.isfinite(likeness).any() else np.nan
    likeness = likeness / (usual if usual > _LEAST_USUAL else np.nan)
    step = solved.step[:-2].reshape(-1, 2)
    # What few spectra tell takes more rounds to come to rest, and needs none: its error says so.
    rest = np.clip(np.sqrt(np.diag(solved.covariance)).reshape(-1, 2), _SETTLED, _STILL_SETTLED)
    return SpectralOffsets(
        offset,
        solved.covariance,
        n_sources,
        _medians(strengths),
        likeness,
        n_bright,
        unrest=(np.abs(step - np.median(step, axis=0)) / rest).max(axis=1),
    )


def _ratios(
    used: Sequence[_Tracked], fits: Sequence[TemplateFit], n_exposures: int
) -> tuple[list[list[float]], list[list[float]]]:
    """Return the ratios of spectra, and of their changes along it, to their templates by exposure."""
    strengths: list[list[float]] = [[] for _ in range(n_exposures)]
    likenesses: list[list[float]] = [[] for _ in range(n_exposures)]
    for each, fit in zip(used, fits, strict=True):
        for cutout, residual in zip(each.spectrum.cutouts, fit.residuals, strict=True):
            variance = 1.0 / np.where(cutout.weight > 0, cutout.weight, np.nan)
            seen, known = cutout.data, cutout.data - residual
            strengths[cutout.exposure] += _ratio(seen, known, variance, _TOLD)
            changes = np.diff(seen, axis=1), np.diff(known, axis=1), variance[:, 1:] + variance[:, :-1]
            likenesses[cutout.exposure] += _ratio(*changes, _TOLD_BY_CHANGES)
    return strengths, likenesses


def _ratio(
    seen: NDArray[np.float64], known: NDArray[np.float64], variance: NDArray[np.float64], least: float
) -> list[float]:
    """Return how large what is seen is in units of what is known; none where its signal-to-noise is less."""
    size = float(np.nansum(known * known / variance))
    return [float(np.nansum(known * seen / variance)) / size] if size > least**2 else []


def _medians(values: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array([np.median(each) if each else np.nan for each in values])


@dataclass(frozen=True, eq=False)
class _Tracked:
    """A spectrum, the weights that its pixels have kept, and what its template is expected to be.

    `weights` as in the cutouts; `lines` (n,): second differences that were seen at single places; `own`: as
    of the fit that was asked for it.
    """

    spectrum: Spectrum
    weights: tuple[NDArray[np.float64], ...]
    height: NDArray[np.float64]
    lines: NDArray[np.float64]
    own: NDArray[np.float64] | None = None

    @property
    def name(self) -> tuple[int, int]:
        """Source and order."""
        return self.spectrum.source, self.spectrum.order

    @property
    def first(self) -> float:
        """Distance of the first knot from the place of the source, along the dispersion, pixels."""
        return self.spectrum.first - _SPARE

    def own_of(self, fit: TemplateFit) -> NDArray[np.float64] | None:
        """Return the part of a fit's variance that is only the noise's; None where it isn't known."""
        return self.own if fit.own is None else fit.own

    def fit(
        self,
        shifts: SpectralShifts,
        bends: Mapping[int, NDArray[np.float64]],
        rng: np.random.Generator | None,
        *,
        is_rough: bool = False,
    ) -> TemplateFit:
        """Fit the template with what is expected of all spectra and what was seen of this one."""
        bend = np.maximum(bends[self.spectrum.order], self.lines)
        pairs = zip(self.spectrum.cutouts, self.weights, strict=True)
        cutouts = [replace(cutout, weight=weight) for cutout, weight in pairs]
        prior = TemplatePrior(self.first, bend, self.height, _STIFF if is_rough else TemplatePrior.curve)
        return fit_template(cutouts, shifts, prior, rng if self.own is None else None)

    def after(self, fit: TemplateFit, shifts: SpectralShifts, *, is_rough: bool) -> _Tracked:
        """Weigh pixels by how far they lie from the template, and note where that lacks a line."""
        weights = tuple(
            robust_weights(cutout, residual, is_rough=is_rough)
            for cutout, residual in zip(self.spectrum.cutouts, fit.residuals, strict=True)
        )
        return replace(self, weights=weights, lines=self._with_lines(fit, shifts), own=self.own_of(fit))

    def _with_lines(self, fit: TemplateFit, shifts: SpectralShifts) -> NDArray[np.float64]:
        """Let the template bend where residuals, summed across the trace by its profile, stand out."""
        n = len(self.lines)
        excess, weight = np.zeros(n), np.zeros(n)
        each = zip(self.spectrum.cutouts, self.weights, fit.residuals, strict=True)
        for cutout, pixel_weight, residual in each:
            shift = shifts.along(cutout.exposure, cutout.along)
            knots = np.rint(cutout.along - shift - self.first).astype(int)
            up = cutout.across - shifts.offset[cutout.exposure, 1]
            height = np.where(np.abs(up) < _REACH, np.interp(up, KNOTS_ACROSS, self.height), 0.0)
            np.add.at(excess, knots, (pixel_weight * height * residual).sum(axis=0))
            np.add.at(weight, knots, (pixel_weight * height * height).sum(axis=0))
        excess, weight = (np.convolve(values, np.ones(3), "same") for values in (excess, weight))
        known = np.where(weight > 0, weight, np.inf)
        lines = self.lines.copy()
        for knot in np.flatnonzero(np.abs(excess) > _LINE * np.sqrt(known)):
            near = slice(max(knot - 2, 0), knot + 3)
            lines[near] = np.maximum(lines[near], abs(excess[knot] / known[knot]))
        return lines


def _n_knots(spectrum: Spectrum) -> int:
    return spectrum.length + 2 * _SPARE + 5


def _tracked(spectrum: Spectrum) -> _Tracked:
    weights = tuple(cutout.weight for cutout in spectrum.cutouts)
    return _Tracked(spectrum, weights, _height(spectrum.cutouts), np.zeros(_n_knots(spectrum)))


def _height(cutouts: Sequence[SpectrumCutout]) -> NDArray[np.float64]:
    """Return the usual size of values by knot across the dispersion."""
    usable = [cutout.weight > 0 for cutout in cutouts]
    data = np.abs(np.concatenate([each.data[good] for each, good in zip(cutouts, usable, strict=True)]))
    knot = np.concatenate([each.across[good] for each, good in zip(cutouts, usable, strict=True)])
    number = np.rint(number_of_knot(knot)).astype(int)
    height = np.array(
        [np.median(data[near]) if (near := number == k).any() else 0.0 for k in range(len(KNOTS_ACROSS))]
    )
    return np.asarray(np.maximum(height, max(0.02 * height.max(), 1e-30)))


def robust_weights(
    cutout: SpectrumCutout, residual: NDArray[np.float64], *, is_rough: bool
) -> NDArray[np.float64]:
    """Return inverse variances with the template's own error, less where it is missed by far.

    Parameters
    ----------
    cutout : SpectrumCutout
        Data, and inverse variances by their noise.
    residual : (R, C) ndarray
        Data minus template.
    is_rough : bool
        Whether they are to fall slowly, as the template has been fitted to outliers too, and does not have
        all lines yet: pixels of a line that have no weight would never come back.
    """
    variance = 1.0 / np.where(cutout.weight > 0, cutout.weight, np.inf)
    variance = np.where(cutout.weight > 0, variance + (_MODEL * (cutout.data - residual)) ** 2, 1.0)
    pull = residual**2 / variance
    if is_rough:
        kept = 1.0 / np.maximum(pull / (0.5 * _FAR) ** 2, 1.0)
    else:
        kept = np.clip(1.0 - pull / _FAR**2, 0.0, None) ** 2
    return np.where(cutout.weight > 0, kept / variance, 0.0)


def _expected_bends(
    used: Sequence[_Tracked], fits: Sequence[TemplateFit], before: Mapping[int, NDArray[np.float64]]
) -> dict[int, NDArray[np.float64]]:
    """Return the rms second differences of templates by order and place, their highest tenth left out."""
    bends = dict(before)
    for order in before:
        squares = []
        for each, fit in zip(used, fits, strict=True):
            if each.spectrum.order == order:
                bright = each.height > 0.5 * each.height.max()
                second = np.diff(fit.surface[:, bright], 2, axis=0) / each.height[bright]
                squares.append((second**2).mean(axis=1))
        if squares:
            capped = np.minimum(squares, np.quantile(squares, 0.9, axis=0))
            bends[order] = np.pad(np.maximum(np.sqrt(capped.mean(axis=0)), _LEAST_BEND), 1, mode="edge")
    return bends
