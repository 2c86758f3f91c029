"""Where the exposures of an acquisition point, by spectra that are known from other visits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import block_diag

from grism_align.algorithms.spectra.offsets import robust_weights
from grism_align.algorithms.spectra.shifts import SpectralShifts
from grism_align.algorithms.spectra.solution import ITERATIONS, SAMPLING, excess_variance
from grism_align.algorithms.spectra.template import Comparison, compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.field import FieldGradient
    from grism_align.algorithms.spectra.references import ReferenceSpectrum
    from grism_align.algorithms.spectra.shifts import ExpectedStretch
    from grism_align.algorithms.spectra.template import SpectrumCutout
    from grism_align.algorithms.traces.offsets import TraceField

_ROUNDS, _CONVERGED = 12, 2e-3  # pixels
_LARGEST = 1.0  # pixels, of a step
# Pixels and degrees by which offsets and the roll may differ from what was found before.
_FREE, _FREE_ROLL = 5.0, 0.2
# By how much spectra scatter beyond their noise along and across, pixels: distortion, and galaxies that are
# seen at another angle.
_SCATTER = np.array([0.02, 0.01])
_LEAST_WEIGHT = 0.05  # of a spectrum that is said to be used
_TOLD = 20.0  # signal-to-noise ratio of a spectrum that is seen


@dataclass(frozen=True, eq=False)
class Sighting:
    """A known spectrum in one exposure of another visit.

    Parameters
    ----------
    exposure : int
        Number of the exposure.
    reference : ReferenceSpectrum
        The spectrum.
    cutout : SpectrumCutout
        Its pixels.
    moved : (2,) ndarray, pixels
        Where its source is predicted, less its place in the reference.
    risen : (5,) ndarray
        What the terms of `TraceField` are multiplied by there, less what they are at the reference.
    by_offset : (2, 2) ndarray
        By how much it lies farther along and across on its own chip for a pixel on the first chip.
    by_roll : (2,) ndarray, pixels
        The same for a turn by a radian, from north to east.
    """

    exposure: int
    reference: ReferenceSpectrum
    cutout: SpectrumCutout
    moved: NDArray[np.float64]
    risen: NDArray[np.float64]
    by_offset: NDArray[np.float64]
    by_roll: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Optics:
    """What spectra of a grism do over its detectors.

    Parameters
    ----------
    traces : mapping of int to TraceField
        By chip: how traces rise over it.
    gradient : FieldGradient
        How spectra shift along the dispersion.
    stretch : ExpectedStretch
        How dispersions grow.
    """

    traces: Mapping[int, TraceField]
    gradient: FieldGradient
    stretch: ExpectedStretch


@dataclass(frozen=True, eq=False)
class SpectralPointing:
    """Where the spectra of E exposures lie from where they are predicted.

    Parameters
    ----------
    offset : (E, 2) ndarray, pixels
        Along and across the dispersion, of the first chip where rolls turn about.
    roll : float, radians
        By which they are turned from north to east, all alike.
    covariance : (2E + 1, 2E + 1) ndarray
        Of the offsets, along before across, and the roll.
    n_used : (E,) ndarray of int
        Sources whose spectra are bright enough to be seen and kept weight.
    strength : (E,) ndarray
        Of the spectra in units of the known ones; NaN where none tells it.
    reduced_chi2 : float
        Mean squared pull of the spectra that kept weight.
    """

    offset: NDArray[np.float64]
    roll: float
    covariance: NDArray[np.float64]
    n_used: NDArray[np.int64]
    strength: NDArray[np.float64]
    reduced_chi2: float


def fit_pointing(sightings: Sequence[Sighting], optics: Optics, n_exposures: int) -> SpectralPointing:
    """Solve for the offsets of exposures and their common roll, against known spectra.

    Parameters
    ----------
    sightings : sequence of Sighting
        Of several spectra, in some of the exposures each.
    optics : Optics
        Of the grism.
    n_exposures : int
        Number of exposures, E.

    Returns
    -------
    SpectralPointing

    Raises
    ------
    numpy.linalg.LinAlgError
        If the spectra leave what is to be known open.

    Notes
    -----
    A template that others made follows their noise, not that of these exposures: at the true offsets the
    expectation of the gradient is zero, and rounds of steps, however short, lead there. What spectra scatter
    by beyond their noise, as the profile of a galaxy is another at another angle, is added as in `solve`, and
    errors are those of the jackknife over sources.
    """
    model = _Model(n_exposures, optics)
    parameters = np.zeros(model.size)
    design = np.array([model.design(one) for one in sightings])
    weights = [_first_weights(one) for one in sightings]
    for number in range(_ROUNDS):
        compared = [
            _compared(one, weight, model.shifts(one, parameters))
            for one, weight in zip(sightings, weights, strict=True)
        ]
        solved = _step(compared, design, model, parameters)
        weights = [
            robust_weights(_noisier(one), each.residual, is_rough=number == 0)
            for one, each in zip(sightings, compared, strict=True)
        ]
        parameters = parameters + solved.step
        if np.abs(solved.step[:-1]).max() < _CONVERGED and number > 1:
            break
    size, ratio = _strengths(sightings, compared, weights)
    is_used = (1.0 / solved.excess.max(axis=1) > _LEAST_WEIGHT) & (size > _TOLD)
    exposure = np.array([one.exposure for one in sightings])
    source = np.array([one.reference.source for one in sightings])
    known = np.array([model.known(one) for one in sightings])
    by_known = -np.linalg.solve(solved.total, (solved.gain @ known).sum(axis=0))
    covariance = _jackknife(solved, source)
    covariance += model.unknown(by_known)
    covariance[:-1, :-1] += np.diag(np.tile(SAMPLING**2, n_exposures))
    return SpectralPointing(
        parameters[:-1].reshape(-1, 2),
        float(parameters[-1]),
        covariance,
        np.array([len(np.unique(source[is_used & (exposure == e)])) for e in range(n_exposures)]),
        np.array([_median(ratio[is_used & (exposure == e)]) for e in range(n_exposures)]),
        _mean(solved.pulls[is_used]),
    )


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else float("nan")


class _Model:
    """Parameters: two offsets for each exposure, and the roll.

    What spectra shift, rise and stretch by over the detector is taken as it is known, as smooth spectra and
    galaxies that are seen at another angle would tell it wrongly; its errors are in those of the result.
    """

    def __init__(self, n_exposures: int, optics: Optics) -> None:
        self.n_offsets, self._optics = 2 * n_exposures, optics
        self.size = self.n_offsets + 1
        self.precision = np.diag([*np.full(self.n_offsets, _FREE**-2), np.radians(_FREE_ROLL) ** -2])

    def design(self, one: Sighting) -> NDArray[np.float64]:
        """Return the derivatives of the shifts of a spectrum, (3, P): along, across, and by the distance."""
        design = np.zeros((3, self.size))
        design[:2, 2 * one.exposure : 2 * one.exposure + 2] = one.by_offset
        design[:2, -1] = one.by_roll
        return design

    def known(self, one: Sighting) -> NDArray[np.float64]:
        """Return the derivatives of the shifts by what is known, (3, 4 + 5 chips)."""
        chips = list(self._optics.traces)
        risen = np.zeros((len(chips), len(one.risen)))
        risen[chips.index(one.reference.order)] = one.risen
        moved = one.moved[None]
        return np.asarray(block_diag(moved, risen.reshape(1, -1), moved))

    def shifts(self, one: Sighting, parameters: NDArray[np.float64]) -> SpectralShifts:
        """Return where a spectrum lies from where it is predicted."""
        optics = self._optics
        risen = float(one.risen @ optics.traces[one.reference.order].terms)
        offset = (self.design(one) @ parameters)[:2]
        offset = offset + np.array([float(one.moved @ optics.gradient.along), risen])
        return SpectralShifts(offset[None], one.moved[None], optics.stretch.mean)

    def unknown(self, by_known: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the covariance of parameters by that of what is known, (P, P).

        `by_known` (P, 4 + 5 chips): derivatives of the parameters.
        """
        optics = self._optics
        traces = [each.covariance for each in optics.traces.values()]
        known = block_diag(optics.gradient.along_covariance, *traces, optics.stretch.covariance)
        return np.asarray(by_known @ known @ by_known.T)


def _noisier(one: Sighting) -> SpectrumCutout:
    """Return a cutout with the noise of the template in its variances."""
    return replace(one.cutout, weight=one.cutout.weight / (1.0 + 1.0 / one.reference.n_exposures))


def _first_weights(one: Sighting) -> NDArray[np.float64]:
    return _noisier(one).weight


def _compared(one: Sighting, weight: NDArray[np.float64], shifts: SpectralShifts) -> Comparison:
    cutout = replace(one.cutout, exposure=0, weight=weight)
    return compare(cutout, shifts, one.reference.first, one.reference.surface)


@dataclass(frozen=True, eq=False)
class _Solved:
    """A step (P,); what made it, by spectrum: `right` (S, P), `normal` (S, P, P), `excess`, `pulls` (S, 2).

    `total` (P, P): the normal matrix with what is known beforehand; `gain` (S, P, 3): what shifts of each
    spectrum add to the right-hand side.
    """

    step: NDArray[np.float64]
    gain: NDArray[np.float64]
    right: NDArray[np.float64]
    normal: NDArray[np.float64]
    total: NDArray[np.float64]
    excess: NDArray[np.float64]
    pulls: NDArray[np.float64]


def _step(
    compared: Sequence[Comparison],
    design: NDArray[np.float64],
    model: _Model,
    parameters: NDArray[np.float64],
) -> _Solved:
    """Return the best step of the parameters, each spectrum weighed by how far off it lies."""
    gradient = np.array([each.gradient for each in compared])
    information = np.array([each.information for each in compared])
    own = information @ np.diag([*_SCATTER**2, 0.0]) @ information
    size = np.einsum("sii->si", information).max(axis=1)[:, None, None]
    total = information + own + (1e-9 * size + 1e-30) * np.eye(3)
    excess = np.ones((len(compared), 2))
    back = -model.precision @ parameters
    for _ in range(ITERATIONS):
        factor = np.sqrt(excess[:, [0, 1, 0]])
        gain = np.swapaxes(
            np.linalg.solve(factor[:, :, None] * total * factor[:, None, :], information), 1, 2
        )
        by_design = np.swapaxes(design, 1, 2) @ gain
        normal = by_design @ information @ design
        matrix = normal.sum(axis=0) + model.precision
        step = np.linalg.solve(matrix, (by_design @ gradient[:, :, None])[:, :, 0].sum(axis=0) + back)
        rest = gradient - (information @ (design @ step)[:, :, None])[:, :, 0]
        pulls = rest[:, :2] ** 2 / np.einsum("sii->si", total)[:, :2]
        excess = excess_variance(pulls)
    right = (by_design @ rest[:, :, None])[:, :, 0]
    stepped = np.append(np.clip(step[:-1], -_LARGEST, _LARGEST), step[-1])
    return _Solved(stepped, by_design @ information, right, normal, matrix, excess, pulls)


def _jackknife(solved: _Solved, source: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the covariance of the parameters by how much they move without each of the sources."""
    names = np.unique(source)
    of_source = (source[:, None] == names).astype(float)
    right = of_source.T @ solved.right
    normal = np.einsum("sn,sij->nij", of_source, solved.normal, optimize=True)
    moved = np.linalg.solve(solved.total - normal, right[:, :, None])[:, :, 0]
    n = len(names)
    scattered = moved.T @ moved * (n - 1) / n
    known = np.linalg.inv(solved.total)
    # Few sources may agree by chance: never below what their noise allows.
    return np.asarray(np.where(np.eye(len(known), dtype=bool), np.maximum(scattered, known), scattered))


def _strengths(
    sightings: Sequence[Sighting],
    compared: Sequence[Comparison],
    weights: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return signal-to-noise ratios of what is known of spectra, and how strong these are in units of it."""
    sizes, ratios = [], []
    for one, each, weight in zip(sightings, compared, weights, strict=True):
        template = one.cutout.data - each.residual
        size = float((weight * template * template).sum())
        sizes.append(np.sqrt(size))
        ratios.append(float((weight * template * one.cutout.data).sum()) / max(size, 1e-30))
    return np.array(sizes), np.array(ratios)
