"""One offset for each exposure, from what all spectra say of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.template import TemplateFit

# By how much dispersions differ over a thousand pixels: as G141's does.
_STRETCH = 0.05
_FREE = 1.0  # pixels: what is not known beforehand of an offset
# Pixels by which a spectrum may lie off in all exposures alike, which then says nothing
_COMMON = 3.0
_LARGEST = 0.5  # pixels, of a step
# By how much spectra differ beyond their noise along and across, pixels: distortion, aliasing, neighbours.
_SCATTER = np.array([0.01, 0.003])
# What all spectra of an exposure have in common beyond that, as they are sampled at one phase of the pixels.
_SAMPLING = np.array([0.01, 0.004])
# A spectrum's variance is as much larger as its own pulls say, and as many more of one.
_PRIOR_PULLS = 3.0
_ITERATIONS = 4
_LEAST_LEFT = 0.2
_FEWEST = 8  # spectra that tell their own scatter
# Of few, the noise is all that is known; by so much errors are larger then.
_FEW = 1.5


@dataclass(frozen=True, eq=False)
class Solved:
    """A step of the offsets of E exposures, (E, 2), with its covariance, (2E, 2E), and of the stretch, (2,).

    `told` (S, 2): the share of each spectrum in what is known along and across; `weight` (S, 2): what its own
    pulls leave of its weight.
    """

    step: NDArray[np.float64]
    covariance: NDArray[np.float64]
    stretch: NDArray[np.float64]
    told: NDArray[np.float64]
    weight: NDArray[np.float64]


def solve(
    fits: Sequence[TemplateFit],
    own: Sequence[NDArray[np.float64]],
    levers: NDArray[np.float64],
    stretch: NDArray[np.float64],
) -> Solved:
    """Combine gradients and information of spectra.

    Parameters
    ----------
    fits : sequence of TemplateFit
        Of S spectra.
    own : sequence of (2E, 2E) ndarray
        The part of each one's variance that is only the noise's.
    levers : (S, E, 2) ndarray
        By how much the stretch in x and in y shifts each spectrum in each exposure along the dispersion.
    stretch : (2,) ndarray
        What was found of it so far; none is expected beforehand.

    Returns
    -------
    Solved

    Notes
    -----
    A spectrum's own offsets scatter a little beyond its noise, so a few bright ones don't decide. Beyond that
    its variance is larger by what its own pulls say, as of Student's distribution: neighbours and extended
    sources do much to some, and nothing to most. Errors come from the scatter of the scores of the spectra
    (Liang & Zeger 1986, Biometrika 73, 13), each enlarged by its share (Bell & McCaffrey 2002, Survey
    Methodology 28, 169).
    """
    variance = np.array([fit.variance for fit in fits])
    scores = _Scores(np.array([fit.gradient for fit in fits]), variance, variance - np.array(own), levers)
    n_exposures = scores.size // 2
    excess = np.ones((len(fits), 2))
    for _ in range(_ITERATIONS):
        normal, right = scores.normal_equations(excess)
        right[-2:] -= stretch / _STRETCH**2
        step = np.linalg.solve(normal, right)
        rest = scores.less(step)
        pulls = [_pulls(rest, axis) for axis in range(2)]
        excess = np.maximum(1.0, (np.transpose(pulls) + _PRIOR_PULLS) / (1.0 + _PRIOR_PULLS))
    told = rest.told(excess)
    moved = np.clip(step[:-2].reshape(n_exposures, 2), -_LARGEST, _LARGEST)
    covariance = _covariance(rest, excess)
    stretched = np.asarray(step[-2:], dtype=np.float64)
    return Solved(moved - moved.mean(axis=0), covariance, stretched, told, 1.0 / excess)


@dataclass(frozen=True, eq=False)
class _Scores:
    """Gradients of S spectra, (S, P), their variances and information, (S, P, P), and levers (S, E, 2)."""

    gradient: NDArray[np.float64]
    variance: NDArray[np.float64]
    information: NDArray[np.float64]
    levers: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Number of parameters, P."""
        return int(self.gradient.shape[1])

    def less(self, step: NDArray[np.floating[Any]]) -> _Scores:
        """Return the scores after a step."""
        moved = np.einsum("sip,p->si", self.design, step)
        return replace(self, gradient=self.gradient - np.einsum("sij,sj->si", self.information, moved))

    @property
    def design(self) -> NDArray[np.float64]:
        """What offsets of a spectrum are made of, (S, P, P + 2): those of the exposures, and the stretch."""
        lever = np.zeros((len(self.gradient), self.size, 2))
        lever[:, ::2] = self.levers
        own = np.broadcast_to(np.eye(self.size), self.information.shape)
        return np.concatenate([own, lever], axis=2)

    def axis(self, number: int) -> _Scores:
        """Return the part of one axis."""
        rows = np.arange(number, self.size, 2)
        block = np.ix_(np.arange(len(self.gradient)), rows, rows)
        return replace(
            self,
            gradient=self.gradient[:, rows],
            variance=self.variance[block],
            information=self.information[block],
        )

    def total(self, scatter: NDArray[np.float64], excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the variances of the gradients with what spectra scatter by; regular, (S, P, P)."""
        axes, n = len(scatter), self.size // len(scatter)
        own = np.kron(np.eye(n), np.diag(scatter**2)) + np.kron(np.ones((n, n)), _COMMON**2 * np.eye(axes))
        total = self.variance + self.information @ own @ np.swapaxes(self.information, 1, 2)
        # Exposures without the spectrum have no gradient.
        size = np.einsum("sii->s", total)[:, None, None]
        total += (1e-9 * size + 1e-30) * np.eye(self.size)
        factor = np.tile(np.sqrt(excess), n)
        return np.asarray(factor[:, :, None] * total * factor[:, None, :])

    def normal_equations(
        self, excess: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the normal matrix and the right-hand side of the best step."""
        gain, design = self.gains(excess), self.design
        normal = np.einsum("sip,sij,sjq->pq", design, gain @ self.information, design, optimize=True)
        right = np.einsum("sip,sij,sj->p", design, gain, self.gradient, optimize=True)
        return 0.5 * (normal + normal.T) + _gauge(self.size // 2), right

    def told(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of each spectrum in the normal matrix, (S, 2)."""
        each = np.einsum("sij,sji->si", self.gains(excess), self.information).reshape(len(excess), -1, 2)
        size = np.clip(each.sum(axis=1), 0.0, None)
        return np.asarray(size / np.maximum(size.sum(axis=0), 1e-30))

    def gains(self, excess: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what gradients are multiplied by in the normal equations, (S, P, P)."""
        total = self.total(_SCATTER, excess)
        return np.asarray(np.swapaxes(np.linalg.solve(total, self.information), 1, 2))


def _gauge(n_exposures: int) -> NDArray[np.float64]:
    """Hold what spectra can't tell: offsets of exposures that share none, the mean of all, a stretch."""
    mean = np.kron(np.ones((n_exposures, n_exposures)), np.eye(2))
    gauge = np.diag(np.append(np.full(2 * n_exposures, _FREE**-2), np.full(2, _STRETCH**-2)))
    gauge[:-2, :-2] += mean / _FREE**2
    return gauge


def _pulls(scores: _Scores, axis: int) -> NDArray[np.float64]:
    """Return the mean squared pull of each spectrum on one axis, by its number of exposures less one."""
    own = scores.axis(axis)
    seen = (np.einsum("sii->si", own.variance) > 0).sum(axis=1)
    total = own.total(_SCATTER[axis : axis + 1], np.ones((len(seen), 1)))
    inverse = np.linalg.pinv(total, rcond=1e-6, hermitian=True)
    square = np.einsum("si,sij,sj->s", own.gradient, inverse, own.gradient)
    return np.asarray(square / np.maximum(seen - 1, 1))


def _covariance(scores: _Scores, excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the covariance of the offsets less what all have in common."""
    normal, _ = scores.normal_equations(excess)
    inverse = np.linalg.inv(normal)
    size = scores.size
    if len(excess) < _FEWEST:
        found = _FEW * inverse
    else:
        gained = np.einsum("sij,sj->si", scores.gains(excess), scores.gradient)
        # A spectrum that tells much draws the offsets to itself: what is left of its score is too small.
        gained /= np.tile(np.clip(1.0 - scores.told(excess), _LEAST_LEFT, None), size // 2)
        gained = np.einsum("sip,si->sp", scores.design, gained)
        # What holds offsets that no spectrum tells, and the stretch, is in the normal matrix too.
        held = np.diag(np.append(np.full(size, _FREE**-2), np.full(2, _STRETCH**-2)))
        found = inverse @ (gained.T @ gained + held) @ inverse
    contrast = np.eye(size) - np.kron(np.full((size // 2, size // 2), 2.0 / size), np.eye(2))
    found = found[:size, :size] + np.diag(np.tile(_SAMPLING**2, size // 2))
    return np.asarray(contrast @ found @ contrast)
