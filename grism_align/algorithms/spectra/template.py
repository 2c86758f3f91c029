"""A template of one spectrum: a smooth surface that all exposures sample, each at its own offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.banded import N_BLOCKS, factorised, solved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Pixels to either side of the trace that a template covers.
HALF_WIDTH = 4.5

_ACROSS = 0.75  # pixels between knots across the dispersion; along it they are a pixel apart
_OUTER = int(np.ceil(HALF_WIDTH / _ACROSS)) + 1
#: Heights of the knots above the trace, pixels.
KNOTS_ACROSS = _ACROSS * np.arange(-_OUTER, _OUTER + 1)
# By how much the response of the detector may differ between exposures: flat field, blobs, loss of light. In
# its mean over the spectrum, its slope along it, and its curvature.
_GAINS = (0.03, 0.03, 0.03)
_N_EACH = 4 + len(
    _GAINS
)  # derivatives by what each exposure has: offsets, level, tilt of that, and the gains
# Curvatures of templates across the dispersion and in general that are expected, of the spectrum's height.
_CURVED, _LEVEL = 3.0, 100.0


@dataclass(frozen=True, eq=False)
class SpectrumCutout:
    """The pixels about one predicted spectrum in one exposure, R rows of C columns.

    Parameters
    ----------
    exposure : int
        Number of the exposure.
    data, weight : (R, C) ndarray
        Background-subtracted values and inverse variances; zero weight where not usable.
    along : (C,) ndarray, pixels
        Columns from the place of the source, one by one.
    across : (R, C) ndarray, pixels
        Heights above the predicted trace.
    slope : (C,) ndarray
        Of the trace.
    """

    exposure: int
    data: NDArray[np.float64]
    weight: NDArray[np.float64]
    along: NDArray[np.float64]
    across: NDArray[np.float64]
    slope: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TemplatePrior:
    """What a template is expected to be before any pixel is seen.

    Parameters
    ----------
    first : float, pixels
        Distance of the first knot from the place of the source, along the dispersion.
    bend : (n,) ndarray
        Second differences from knot to knot along the dispersion that are expected, of the spectrum's height.
    height : (m,) ndarray
        Of the spectrum by knot across the dispersion, in the unit of the data.
    """

    first: float
    bend: NDArray[np.float64]
    height: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TemplateFit:
    """What a spectrum tells of the offsets of E exposures, two numbers each: along and across.

    Parameters
    ----------
    gradient : (2E,) ndarray
        Of the log likelihood, per pixel.
    variance : (2E, 2E) ndarray
        Of the gradient by the noise of the pixels, the template eliminated.
    own : (2E, 2E) ndarray or None
        The part of it that is only the noise's: a template that follows noise has gradients that no spectrum
        has. The rest is the information on the offsets. None where it wasn't asked for.
    residuals : tuple of ndarray
        Data minus template, by cutout.
    surface : (n, m) ndarray
        Coefficients of the template.
    """

    gradient: NDArray[np.float64]
    variance: NDArray[np.float64]
    own: NDArray[np.float64] | None
    residuals: tuple[NDArray[np.float64], ...]
    surface: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Sampled:
    """A cutout with what its pixels see of the surface: spline `first` on, with these weights along.

    `along`, `along_slope` (4,): weights of the splines along the dispersion and derivatives by the place;
    `across`, `across_slope` (C, R, m): the same across it; `weight`, `data` (C, R), `slope` (C,).
    """

    exposure: int
    first: int
    along: NDArray[np.float64]
    along_slope: NDArray[np.float64]
    across: NDArray[np.float64]
    across_slope: NDArray[np.float64]
    data: NDArray[np.float64]
    weight: NDArray[np.float64]
    slope: NDArray[np.float64]

    def rows(self, k: int) -> slice:
        """Return the k-th of the splines along the dispersion that each column sees."""
        first = self.first + k
        return slice(first, first + len(self.data))

    def columns(self, surface: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients across the dispersion in each column, (C, m)."""
        parts = [surface[self.rows(k)] for k in range(4)]
        return np.asarray(np.tensordot(weights, parts, axes=1))

    def seen(self, surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the surface at the pixels, (C, R)."""
        return _product(self.across, self.columns(surface, self.along))

    def derivatives(self, surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much pixels change with offsets, along and across, and nuisances, (_N_EACH, C, R)."""
        here = self.columns(surface, self.along)
        up = _product(self.across_slope, here)
        along = _product(self.across, self.columns(surface, self.along_slope))
        tilt = np.broadcast_to(np.linspace(-1.0, 1.0, len(up))[:, None], up.shape)
        light = _product(self.across, here)
        gains = [light * tilt**power for power in range(len(_GAINS))]
        return np.stack([self.slope[:, None] * up - along, -up, np.ones_like(up), tilt, *gains])

    def project(self, values: NDArray[np.float64], onto: NDArray[np.float64]) -> None:
        """Add the values of the pixels, (C, R), times what each spline has there, onto (n, m)."""
        by_column = _product(np.swapaxes(self.across, 1, 2), values)
        for k, weight in enumerate(self.along.tolist()):
            onto[self.rows(k)] += weight * by_column


def _product(matrices: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((matrices @ vectors[..., None])[..., 0])


def fit_template(
    cutouts: Sequence[SpectrumCutout],
    offsets: NDArray[np.float64],
    prior: TemplatePrior,
    rng: np.random.Generator | None = None,
) -> TemplateFit:
    """Fit a template to a spectrum, and tell what the spectrum says of the offsets of the exposures.

    Parameters
    ----------
    cutouts : sequence of SpectrumCutout
        Of one spectrum in some of the exposures.
    offsets : (E, 2) ndarray, pixels
        Where spectra lie from where they are predicted, along and across the dispersion, by exposure.
    prior : TemplatePrior
        What the template is expected to be.
    rng : numpy.random.Generator, optional
        Draws noise, to tell `TemplateFit.own`.

    Returns
    -------
    TemplateFit

    Notes
    -----
    The surface is a sum of cubic B-splines, a Gaussian process whose prior expects little curvature but where
    lines and edges are; eliminating it leaves the likelihood of the offsets alone. At the true offsets the
    expectation of the gradient is zero whatever the noise, so iterated steps don't end short, as a single
    gradient fit against a noisy template does.
    """
    sampled = [_sampled(cutout, offsets[cutout.exposure], prior.first) for cutout in cutouts]
    factor = factorised(_normal_blocks(sampled, prior))
    data = [one.data for one in sampled]
    surface = _surface(sampled, data, factor, prior)
    gradient, variance, residuals = _likelihood(sampled, data, factor, surface, len(offsets))
    own = None
    if rng is not None:
        noise = [_noise(one.weight, rng) for one in sampled]
        followed = _surface(sampled, noise, factor, prior)
        own = _likelihood(sampled, noise, factor, followed, len(offsets))[1]
    return TemplateFit(gradient, variance, own, tuple(each.T for each in residuals), surface)


def _noise(weight: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(weight.shape) / np.sqrt(np.where(weight > 0, weight, np.inf))


def _sampled(cutout: SpectrumCutout, offset: NDArray[np.float64], first: float) -> _Sampled:
    along = cutout.along[0] - offset[0] - first
    number = int(np.floor(along))
    up = (cutout.across - offset[1] + cutout.slope * offset[0]).T
    from_knots = (up[:, :, None] - KNOTS_ACROSS) / _ACROSS
    near = np.arange(4)
    return _Sampled(
        cutout.exposure,
        number - 1,
        _spline(along - number + 1.0 - near),
        _spline_slope(along - number + 1.0 - near),
        _spline(from_knots),
        _spline_slope(from_knots) / _ACROSS,
        cutout.data.T,
        cutout.weight.T,
        cutout.slope,
    )


def _spline(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic B-spline of unit knots, centred on zero."""
    far = np.clip(2.0 - np.abs(x), 0.0, None)
    near = np.clip(1.0 - np.abs(x), 0.0, None)
    return np.asarray((far * far * far - 4.0 * near * near * near) / 6.0)


def _spline_slope(x: NDArray[np.float64]) -> NDArray[np.float64]:
    far = np.clip(2.0 - np.abs(x), 0.0, None)
    near = np.clip(1.0 - np.abs(x), 0.0, None)
    return np.asarray(np.sign(x) * (4.0 * near * near - far * far) / 2.0)


def _normal_blocks(sampled: Sequence[_Sampled], prior: TemplatePrior) -> NDArray[np.float64]:
    n, m = len(prior.bend), len(prior.height)
    blocks = np.zeros((N_BLOCKS, n, m, m))
    for one in sampled:
        own = np.swapaxes(one.across, 1, 2) @ (one.weight[:, :, None] * one.across)
        for column in range(4):
            for row in range(column, 4):
                weight = one.along[row] * one.along[column]
                blocks[row - column, one.rows(column)] += weight * own
    return _with_prior(blocks, prior)


def _with_prior(blocks: NDArray[np.float64], prior: TemplatePrior) -> NDArray[np.float64]:
    """Add the precision of second differences along, (1 -2 1), and across, and of the surface itself."""
    n, m = len(prior.bend), len(prior.height)
    diagonal = np.arange(m)
    precision = 1.0 / (prior.bend[1:-1, None] * prior.height) ** 2
    stencil = (1.0, -2.0, 1.0)
    for column in range(3):
        for row in range(column, 3):
            to = blocks[row - column, column : column + n - 2]
            to[:, diagonal, diagonal] += stencil[row] * stencil[column] * precision
    second = np.diff(np.eye(m), 2, axis=0)
    largest = prior.height.max()
    across = second.T @ second / (_CURVED * largest) ** 2 + np.eye(m) / (_LEVEL * largest) ** 2
    blocks[0] += across
    return blocks


def _surface(
    sampled: Sequence[_Sampled],
    data: Sequence[NDArray[np.float64]],
    factor: NDArray[np.float64],
    prior: TemplatePrior,
) -> NDArray[np.float64]:
    shape = len(prior.bend), len(prior.height)
    right = np.zeros(shape)
    for one, values in zip(sampled, data, strict=True):
        one.project(one.weight * values, right)
    return solved(factor, right.ravel()).reshape(shape)


def _likelihood(
    sampled: Sequence[_Sampled],
    data: Sequence[NDArray[np.float64]],
    factor: NDArray[np.float64],
    surface: NDArray[np.float64],
    n_exposures: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return gradient and information of the offsets, and residuals."""
    n = _N_EACH * n_exposures
    gradient, variance, effects = np.zeros(n), np.zeros((n, n)), np.zeros((n, *surface.shape))
    residuals = []
    for one, values in zip(sampled, data, strict=True):
        rows = _N_EACH * one.exposure + np.arange(_N_EACH)
        residual = values - one.seen(surface)
        change = one.derivatives(surface)
        weighted = one.weight * change
        gradient[rows] += (weighted * residual).sum(axis=(1, 2))
        variance[np.ix_(rows, rows)] += np.einsum("acr,bcr->ab", weighted, change)
        for row, each in zip(rows, weighted, strict=True):
            one.project(each, effects[row])
        residuals.append(residual)
    flat = effects.reshape(n, -1)
    variance -= flat @ solved(factor, flat.T)
    return *_without_levels(gradient, variance), residuals


def _without_levels(
    gradient: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eliminate what is left of the background in each exposure, which nothing else tells, and the gains."""
    is_level = np.arange(len(gradient)) % _N_EACH > 1
    kept, level = np.flatnonzero(~is_level), np.flatnonzero(is_level)
    own, shared = variance[np.ix_(level, level)], variance[np.ix_(level, kept)]
    # An exposure without the spectrum has no level to be told.
    regular = own + np.diag(np.where(np.diag(own) > 0, 1e-9 * np.diag(own), 1.0))
    precision = np.concatenate([np.zeros(2), np.array(_GAINS) ** -2.0])
    regular += np.diag(np.tile(precision, len(gradient) // _N_EACH))
    gain = np.linalg.solve(regular, shared).T
    return gradient[kept] - gain @ gradient[level], variance[np.ix_(kept, kept)] - gain @ shared
