"""One offset for each exposure, from what all spectra say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.shifts import ExpectedStretch
    from grism_align.algorithms.spectra.template import TemplateFit

_FREE = 1.0  # pixels: what is not known beforehand of an offset
# Pixels by which a spectrum may lie off in all exposures alike, which then says nothing
_COMMON = 3.0
_LARGEST = 0.5  # pixels, of a step
# By how much spectra differ beyond their noise along and across, pixels: distortion, aliasing, neighbours.
_SCATTER = np.array([0.01, 0.003])
#: What all spectra of an exposure have in common beyond their own scatter along and across, pixels: they are
#: sampled at one phase of the pixels.
SAMPLING = np.array([0.01, 0.004])
# What a spectrum moves along by itself, in what it moves across.
_ALONG = 2.0
# So many pulls of one are added to a spectrum's own, and its variance is larger by their mean to this power.
_PRIOR_PULLS, _POWER = 3.0, 1.5
#: Of weights by pulls, and the other way round.
ITERATIONS = 4
_FEWEST = 8  # spectra that tell their own scatter
# Of few, the noise is all that is known; by so much errors are larger then.
_FEW = 1.5


@dataclass(frozen=True, eq=False)
class Solved:
    """A step of the offsets of E exposures and of the stretch, (2E + 2,), and the covariance of the offsets.

    `told` (S, 2): the share of each spectrum in what is known along and across; `weight` (S, 2): what its own
    pulls leave of its weight.
    """

    step: NDArray[np.float64]
    covariance: NDArray[np.float64]
    told: NDArray[np.float64]
    weight: NDArray[np.float64]


def solve(
    fits: Sequence[TemplateFit],
    own: Sequence[NDArray[np.float64] | None],
    stretch: NDArray[np.float64],
    expected: ExpectedStretch,
) -> Solved:
    """Combine gradients and information of spectra.

    Parameters
    ----------
    fits : sequence of TemplateFit
        Of S spectra.
    own : sequence of (2E + 2, 2E + 2) ndarray
        The part of each one's variance that is only the noise's; nothing is taken off where it isn't known.
    stretch : (2,) ndarray
        What was found of it so far.
    expected : ExpectedStretch
        What it was beforehand.

    Returns
    -------
    Solved

    Notes
    -----
    A spectrum's own offsets scatter a little beyond its noise, so a few bright ones don't decide. Beyond that
    its variance is larger by what its own pulls say, as of Student's distribution: neighbours and extended
    sources do much to some, and nothing to most. What moves a spectrum by itself, such as a zeroth order of
    another source that crosses it, shows first across the dispersion, and is expected along it too. Errors
    are those of the jackknife (Tukey 1958; MacKinnon & White 1985, J. Econometrics 29, 305): by how much the
    solution moves without each of the spectra. The scatter of their scores alone says too little where few
    decide, as they draw the solution to themselves.
    """
    variance = np.array([fit.variance for fit in fits])
    information = np.array(
        [each if noise is None else each - noise for each, noise in zip(variance, own, strict=True)]
    )
    precision = np.asarray(np.linalg.inv(expected.covariance), dtype=np.float64)
    gradient = np.array([fit.gradient for fit in fits])
    scores = _Scores(gradient, variance, information, precision, np.zeros(len(fits)))
    excess = np.ones((len(fits), 2))
    for _ in range(ITERATIONS):
        normal, right = scores.normal_equations(excess)
        right[-2:] -= precision @ (stretch - expected.mean)
        step = np.linalg.solve(normal, right)
        rest = scores.less(step)
        by_itself = _ALONG**2 * _own_variance(rest)
        scores, rest = (replace(each, own=by_itself) for each in (scores, rest))
        excess = excess_variance(np.transpose([_pulls(rest, axis) for axis in range(2)]))
    moved = np.clip(step[:-2].reshape(-1, 2), -_LARGEST, _LARGEST)
    stepped: NDArray[np.float64] = np.append(moved - moved.mean(axis=0), step[-2:])
    return Solved(stepped, _covariance(rest, excess), rest.told(excess), 1.0 / excess)


def excess_variance(pulls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by what factors the variances of spectra are larger than their noise says.

    Parameters
    ----------
    pulls : ndarray
        Mean squared pull of each.

    Notes
    -----
    What is far off has less weight than Student's distribution leaves it.
    """
    return np.asarray(np.maximum(1.0, (pulls + _PRIOR_PULLS) / (1.0 + _PRIOR_PULLS)) ** _POWER)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Gradients of S spectra, (S, P), their variances and information, (S, P, P).

    Of two offsets for each exposure, and the stretch, whose `precision` beforehand is (2, 2). `own` (S,),
    pixels^2: by how much each spectrum scatters along the dispersion by itself.
    """

    gradient: NDArray[np.float64]
    variance: NDArray[np.float64]
    information: NDArray[np.float64]
    precision: NDArray[np.float64]
    own: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of offsets, 2E."""
        return int(self.gradient.shape[1]) - 2

    def less(self, step: NDArray[np.floating[Any]]) -> _Scores:
        """Return the scores after a step."""
        return replace(self, gradient=self.gradient - self.information @ step)

    def total(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variances of the gradients with what spectra scatter by; regular, (S, P, P)."""
        own = np.zeros((len(self.own), self.size + 2, self.size + 2))
        own[:, :-2, :-2] = _scatter(self.size // 2, _SCATTER)
        along = np.arange(0, self.size, 2)
        own[:, along, along] += self.own[:, None]
        total = self.variance + self.information @ own @ self.information
        factor = np.sqrt(_by_parameter(excess, self.size // 2))
        return np.asarray(factor[:, :, None] * _regular(total) * factor[:, None, :])

    def normal_equations(
        self, excess: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the normal matrix and the right-hand side of the best step."""
        gain = self.gains(excess)
        normal = np.einsum("sij,sjk->ik", gain, self.information, optimize=True)
        right = np.einsum("sij,sj->i", gain, self.gradient, optimize=True)
        # What spectra can't tell is held: offsets of exposures that share none, and the mean of all.
        held = self.expected()
        n = self.size // 2
        held[:-2, :-2] += np.kron(np.ones((n, n)), np.eye(2)) / _FREE**2
        return 0.5 * (normal + normal.T) + held, right

    def expected(self) -> NDArray[np.float64]:
        """Return the precision that offsets and the stretch have beforehand, (P, P)."""
        precision = np.diag(np.full(self.size + 2, _FREE**-2))
        precision[-2:, -2:] = self.precision
        return precision

    def told(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each spectrum in the normal matrix, (S, 2)."""
        each = np.einsum("sij,sji->si", self.gains(excess), self.information)[:, :-2]
        size = np.clip(each.reshape(len(excess), -1, 2).sum(axis=1), 0.0, None)
        return np.asarray(size / np.maximum(size.sum(axis=0), 1e-30))

    def gains(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what gradients are multiplied by in the normal equations, (S, P, P)."""
        return np.asarray(np.swapaxes(np.linalg.solve(self.total(excess), self.information), 1, 2))


def _scatter(n_exposures: int, scatter: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of a spectrum's own offsets, by exposure and axis."""
    n, axes = n_exposures, len(scatter)
    return np.kron(np.eye(n), np.diag(scatter**2)) + np.kron(np.ones((n, n)), _COMMON**2 * np.eye(axes))


def _regular(total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return variances that can be inverted: exposures without the spectrum have no gradient."""
    diagonal = np.einsum("sii->si", total)
    least = 1e-9 * diagonal.max(axis=1, keepdims=True) + 1e-30
    return np.asarray(total + least[:, :, None] * np.eye(total.shape[1]))


def _by_parameter(by_axis: NDArray[np.float64], n_exposures: int) -> NDArray[np.float64]:
    """Return (S, 2) numbers by axis for each of P parameters: the stretch is along the dispersion."""
    return np.concatenate([np.tile(by_axis, n_exposures), by_axis[:, [0, 0]]], axis=1)


def _pulls(scores: _Scores, axis: int) -> NDArray[np.float64]:
    """Return the mean squared pull of each spectrum on one axis, by its number of exposures less one."""
    rows = np.arange(axis, scores.size, 2)
    block = np.ix_(np.arange(len(scores.gradient)), rows, rows)
    variance, information = scores.variance[block], scores.information[block]
    own = _scatter(len(rows), _SCATTER[axis : axis + 1]) + (1 - axis) * _diagonal(scores.own, len(rows))
    total = _regular(variance + information @ own @ information)
    inverse = np.linalg.pinv(total, rcond=1e-6, hermitian=True)
    gradient = scores.gradient[:, rows]
    square = np.einsum("si,sij,sj->s", gradient, inverse, gradient)
    seen = (np.einsum("sii->si", variance) > 0).sum(axis=1)
    return np.asarray(square / np.maximum(seen - 1, 1))


def _own_variance(scores: _Scores) -> NDArray[np.float64]:
    """Return by how much spectra scatter across the dispersion beyond their noise, (S,) pixels^2."""
    rows = np.arange(1, scores.size, 2)
    block = np.ix_(np.arange(len(scores.gradient)), rows, rows)
    variance, information = scores.variance[block], scores.information[block]
    seen = (np.einsum("sii->si", variance) > 0).astype(float)
    n = np.maximum(seen.sum(axis=1), 2.0)
    contrast = _diagonal(1.0, len(rows)) * seen[:, None] - seen[:, :, None] * seen[:, None] / n[:, None, None]
    inverse = np.linalg.pinv(contrast @ information @ contrast, rcond=1e-3, hermitian=True)
    offset = np.einsum("sij,sj->si", inverse, scores.gradient[:, rows])
    noise = np.einsum("sij,sjk,sik->s", inverse, variance, inverse, optimize=True)
    return np.asarray(np.clip((offset**2).sum(axis=1) - noise, 0.0, None) / (n - 1.0))


def _diagonal(values: NDArray[np.float64] | float, n: int) -> NDArray[np.float64]:
    """Return (..., n, n) matrices with the same value all along the diagonal."""
    return np.asarray(np.multiply.outer(values, np.eye(n)))


def _covariance(scores: _Scores, excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of the offsets less what all have in common."""
    normal, _ = scores.normal_equations(excess)
    inverse = np.linalg.inv(normal)
    size = scores.size
    contrast = np.zeros((size, size + 2))
    contrast[:, :-2] = np.eye(size) - np.kron(np.full((size // 2, size // 2), 2.0 / size), np.eye(2))
    expected = contrast @ inverse @ contrast.T
    if len(excess) < _FEWEST:
        found = _FEW * expected
    else:
        moved = _without_each(scores, excess, normal) @ contrast.T
        # What holds offsets that no spectrum tells, and the stretch, is in the normal matrix too.
        found = moved.T @ moved + contrast @ inverse @ scores.expected() @ inverse @ contrast.T
        # A few spectra may happen to agree better than their noise lets them.
        larger = np.sqrt(np.maximum(np.diag(expected) / np.diag(found), 1.0))
        found = larger[:, None] * found * larger
    contrast = contrast[:, :-2]
    return np.asarray(found + contrast @ np.diag(np.tile(SAMPLING**2, size // 2)) @ contrast)


def _without_each(
    scores: _Scores, excess: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return by how much the solution moves without each of the spectra, (S, P)."""
    gain = scores.gains(excess)
    own = gain @ scores.information
    gained = np.einsum("sij,sj->si", gain, scores.gradient)
    rest = normal - 0.5 * (own + np.swapaxes(own, 1, 2))
    return np.asarray(np.linalg.solve(rest, gained[..., None])[..., 0])
