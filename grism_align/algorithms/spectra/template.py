"""A template of one spectrum: a smooth surface that all exposures sample, each at its own offset."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from grism_align.algorithms.spectra.banded import N_BLOCKS, diagonals, factorised, inner_product, solved
from grism_align.algorithms.spectra.shifts import FAR_APART

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from grism_align.algorithms.spectra.shifts import SpectralShifts

#: Pixels to either side of the trace that a template covers.
HALF_WIDTH = 4.5

# Pixels. Along the dispersion knots are one apart. Across it they are `_CLOSE` at the trace, whose light
# pixels undersample, and the farther apart the farther from it: 1.4 times at `_CORE`.
_CLOSE, _CORE = 0.5, 1.5


def _knots_up(up: ArrayLike) -> NDArray[np.float64]:
    """Return how many knots heights are above the trace."""
    return np.asarray(_CORE / _CLOSE * np.arcsinh(np.divide(up, _CORE)))


_OUTER = int(np.ceil(_knots_up(HALF_WIDTH))) + 1
#: Heights of the knots above the trace, pixels.
KNOTS_ACROSS = _CORE * np.sinh(_CLOSE / _CORE * np.arange(-_OUTER, _OUTER + 1))
# By how much the response of the detector may differ between exposures: flat field, blobs, loss of light. In
# its mean over the spectrum, its slope along it, and its curvature.
_GAINS = (0.015, 0.015, 0.015)
# Derivatives by what each exposure has: shifts along, across, along by the distance; level, its tilt; gains.
_N_SHIFTS = 3
_N_EACH = _N_SHIFTS + 2 + len(_GAINS)
_LEVEL = 100.0  # of templates in general that is expected, of the spectrum's height


def number_of_knot(up: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where heights above the trace, pixels, are among `KNOTS_ACROSS`, in numbers of knots."""
    return _OUTER + _knots_up(up)


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
        Columns from the place of the source, one by one; of models that tell, where their light would be from
        a source in the middle of the detector.
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
    curve : float
        Second differences from knot to knot across the dispersion that are expected, of the largest height:
        lines are several times as high as the rest.
    """

    first: float
    bend: NDArray[np.float64]
    height: NDArray[np.float64]
    curve: float = 3.0


@dataclass(frozen=True, eq=False)
class TemplateFit:
    """What a spectrum tells of the shifts of E exposures: two offsets each, and the stretch in x and y.

    Parameters
    ----------
    gradient : (2E + 2,) ndarray
        Of the log likelihood, per pixel; by the stretch, per unit of it.
    variance : (2E + 2, 2E + 2) ndarray
        Of the gradient by the noise of the pixels, the template eliminated.
    own : (2E + 2, 2E + 2) ndarray or None
        The part of it that is only the noise's: a template that follows noise has gradients that no spectrum
        has. The rest is the information on the shifts. None where it wasn't asked for.
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
    """Columns of a cutout with what they see of the surface: spline `first` on, the next column one farther.

    `along`, `along_slope` (4, C): weights of the splines along the dispersion and derivatives by the place;
    `across`, `across_slope` (C, R, m): the same across it; `weight`, `data` (C, R); `slope`, `distance` (C,):
    of the trace, and from the source; `tilt` (C,): from -1 to 1 over the cutout.
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
    distance: NDArray[np.float64]
    tilt: NDArray[np.float64]

    def rows(self, k: int) -> slice:
        """Return the k-th of the splines along the dispersion that each column sees."""
        first = self.first + k
        return slice(first, first + len(self.data))

    def columns(self, surface: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the coefficients across the dispersion in each column, (C, m)."""
        parts = [weight[:, None] * surface[self.rows(k)] for k, weight in enumerate(weights)]
        return np.asarray(parts[0] + parts[1] + parts[2] + parts[3])

    def seen(self, surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the surface at the pixels, (C, R)."""
        return _product(self.across, self.columns(surface, self.along))

    def derivatives(self, surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how much pixels change with shifts, along and across, and nuisances, (C, R, _N_EACH)."""
        here = self.columns(surface, self.along)
        light, up = _product(self.across, here), _product(self.across_slope, here)
        moved = self.slope[:, None] * up - _product(self.across, self.columns(surface, self.along_slope))
        farther = self.distance[:, None] / FAR_APART * moved
        tilt = np.broadcast_to(self.tilt[:, None], up.shape)
        gains = [light * tilt**power for power in range(len(_GAINS))]
        return np.stack([moved, -up, farther, np.ones_like(up), tilt, *gains], axis=-1)

    def scored(self, values: NDArray[np.float64], surface: NDArray[np.float64]) -> _Score:
        """Compare values of the pixels, (C, R), with the surface."""
        residual, change = values - self.seen(surface), self.derivatives(surface)
        weighted = self.weight[..., None] * change
        by_pixel = weighted.reshape(-1, _N_EACH).T
        return _Score(by_pixel @ residual.ravel(), by_pixel @ change.reshape(-1, _N_EACH), weighted, residual)

    def project(self, values: NDArray[np.float64], onto: NDArray[np.float64]) -> None:
        """Add K values of the pixels, (C, R, K), times what each spline has there, onto (n, m, K)."""
        by_column = np.swapaxes(self.across, 1, 2) @ values
        for k, weight in enumerate(self.along):
            onto[self.rows(k)] += weight[:, None, None] * by_column


class _Score(NamedTuple):
    """Gradient and information of shifts and nuisances, what pixels weigh in the gradient, and residuals."""

    gradient: NDArray[np.float64]
    information: NDArray[np.float64]
    weighted: NDArray[np.float64]
    residual: NDArray[np.float64]


def _product(matrices: NDArray[np.float64], vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((matrices @ vectors[..., None])[..., 0])


def fit_template(
    cutouts: Sequence[SpectrumCutout],
    shifts: SpectralShifts,
    prior: TemplatePrior,
    rng: np.random.Generator | None = None,
) -> TemplateFit:
    """Fit a template to a spectrum, and tell what the spectrum says of the shifts of the exposures.

    Parameters
    ----------
    cutouts : sequence of SpectrumCutout
        Of one spectrum in some of the exposures.
    shifts : SpectralShifts
        Where spectra lie from where they are predicted.
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
    lines and edges are; eliminating it leaves the likelihood of the shifts alone. At the true shifts the
    expectation of the gradient is zero whatever the noise, so iterated steps don't end short, as a single
    gradient fit against a noisy template does.
    """
    parts = [list(_sampled(cutout, shifts, prior.first)) for cutout in cutouts]
    sampled = [part for each in parts for part in each]
    factor = factorised(_normal_blocks(sampled, prior))
    data = [one.data for one in sampled]
    surface = _surface(sampled, data, factor, prior)
    gradient, variance, residuals = _likelihood(sampled, data, factor, surface, len(shifts.offset))
    own, design = None, shifts.design
    if rng is not None:
        noise = [_noise(one.weight, rng) for one in sampled]
        followed = _surface(sampled, noise, factor, prior)
        own = _likelihood(sampled, noise, factor, followed, len(shifts.offset))[1]
        own = design.T @ own @ design
    left = iter(residuals)
    return TemplateFit(
        design.T @ gradient,
        design.T @ variance @ design,
        own,
        tuple(np.concatenate(list(islice(left, len(each)))).T for each in parts),
        surface,
    )


def seen(
    cutout: SpectrumCutout, shifts: SpectralShifts, first: float, surface: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what a template predicts for the pixels of a cutout, (R, C).

    Parameters
    ----------
    cutout, shifts, first, surface
        As for `compare`.
    """
    return np.concatenate([one.seen(surface) for one in _sampled(cutout, shifts, first)]).T


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a spectrum tells of the shifts of an exposure, by a template that is known.

    Parameters
    ----------
    gradient : (3,) ndarray
        Of the log likelihood by the shifts along and across the dispersion, per pixel, and by what light
        `FAR_APART` from the source is shifted more.
    information : (3, 3) ndarray
        On these.
    residual : (R, C) ndarray
        Data minus template.
    """

    gradient: NDArray[np.float64]
    information: NDArray[np.float64]
    residual: NDArray[np.float64]


def compare(
    cutout: SpectrumCutout, shifts: SpectralShifts, first: float, surface: NDArray[np.float64]
) -> Comparison:
    """Compare a spectrum with a template.

    Parameters
    ----------
    cutout : SpectrumCutout
        Of the exposure.
    shifts : SpectralShifts
        Where the spectra of it lie from where they are predicted; of this exposure alone.
    first : float, pixels
        As in `TemplatePrior`.
    surface : (n, m) ndarray
        Coefficients of the template.
    """
    gradient, variance, residuals = np.zeros(_N_EACH), np.zeros((_N_EACH, _N_EACH)), []
    for one in _sampled(cutout, shifts, first):
        score = one.scored(one.data, surface)
        gradient += score.gradient
        variance += score.information
        residuals.append(score.residual)
    return Comparison(*_without_levels(gradient, variance), np.concatenate(residuals).T)


def _noise(weight: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.standard_normal(weight.shape) / np.sqrt(np.where(weight > 0, weight, np.inf))


def _sampled(cutout: SpectrumCutout, shifts: SpectralShifts, first: float) -> Iterator[_Sampled]:
    """Yield the columns of a cutout, in parts in which each is one spline farther than the one before."""
    shift = shifts.along(cutout.exposure, cutout.along)
    along = cutout.along - shift - first
    number = np.floor(along).astype(int)
    up = (cutout.across - shifts.offset[cutout.exposure, 1] + cutout.slope * shift).T
    across, across_slope = _splines_across(up)
    behind = along - number + 1.0 - np.arange(4)[:, None]
    along_spline, along_slope = _spline(behind)
    tilt = np.linspace(-1.0, 1.0, len(along))
    for part in np.split(np.arange(len(along)), np.flatnonzero(np.diff(number) != 1) + 1):
        yield _Sampled(
            cutout.exposure,
            int(number[part[0]]) - 1,
            along_spline[:, part],
            along_slope[:, part],
            across[part],
            across_slope[part],
            cutout.data.T[part],
            cutout.weight.T[part],
            cutout.slope[part],
            cutout.along[part],
            tilt[part],
        )


def _splines_across(up: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each of the m splines across has at heights (C, R), and its slope, (C, R, m)."""
    place = np.clip(number_of_knot(up), -3.0, len(KNOTS_ACROSS) + 1.0)
    knots_per_pixel = _CORE / _CLOSE / np.hypot(up, _CORE)
    number = np.floor(place).astype(int)
    values, slopes = _spline((place - number)[..., None] + 1.0 - np.arange(4))
    # With room for splines beyond the outermost
    found = np.zeros((2, *up.shape, len(KNOTS_ACROSS) + 8))
    column = (number + 3)[..., None] + np.arange(4)
    for to, each in zip(found, (values, slopes * knots_per_pixel[..., None]), strict=True):
        np.put_along_axis(to, column, each, axis=-1)
    across, across_slope = found[..., 4:-4]
    return across, across_slope


def _spline(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cubic B-spline of unit knots, centred on zero, and its slope."""
    size = np.abs(x)
    far, near = np.maximum(2.0 - size, 0.0), np.maximum(1.0 - size, 0.0)
    far2, near2 = far * far, near * near
    return (far2 * far - 4.0 * (near2 * near)) / 6.0, np.copysign(0.5, x) * (4.0 * near2 - far2)


def _normal_blocks(sampled: Sequence[_Sampled], prior: TemplatePrior) -> NDArray[np.float64]:
    n, m = len(prior.bend), len(prior.height)
    blocks = np.zeros((N_BLOCKS, n, N_BLOCKS, m))
    for one in sampled:
        own = diagonals(np.swapaxes(one.across, 1, 2) @ (one.weight[:, :, None] * one.across))
        for column in range(4):
            for row in range(column, 4):
                weight = one.along[row] * one.along[column]
                blocks[row - column, one.rows(column)] += weight[:, None, None] * own
    return _with_prior(blocks, prior)


def _with_prior(blocks: NDArray[np.float64], prior: TemplatePrior) -> NDArray[np.float64]:
    """Add the precision of second differences along, (1 -2 1), and across, and of the surface itself."""
    n, m = len(prior.bend), len(prior.height)
    precision = 1.0 / (prior.bend[1:-1, None] * prior.height) ** 2
    stencil = (1.0, -2.0, 1.0)
    for column in range(3):
        for row in range(column, 3):
            blocks[row - column, column : column + n - 2, 0] += stencil[row] * stencil[column] * precision
    second = np.diff(np.eye(m), 2, axis=0)
    largest = prior.height.max()
    across = second.T @ second / (prior.curve * largest) ** 2 + np.eye(m) / (_LEVEL * largest) ** 2
    blocks[0] += diagonals(across)
    return blocks


def _surface(
    sampled: Sequence[_Sampled],
    data: Sequence[NDArray[np.float64]],
    factor: NDArray[np.float64],
    prior: TemplatePrior,
) -> NDArray[np.float64]:
    shape = len(prior.bend), len(prior.height)
    right = np.zeros((*shape, 1))
    for one, values in zip(sampled, data, strict=True):
        one.project((one.weight * values)[..., None], right)
    return solved(factor, right.ravel()).reshape(shape)


def _likelihood(
    sampled: Sequence[_Sampled],
    data: Sequence[NDArray[np.float64]],
    factor: NDArray[np.float64],
    surface: NDArray[np.float64],
    n_exposures: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return gradient and information of the shifts of each exposure, and residuals."""
    n = _N_EACH * n_exposures
    gradient, variance = np.zeros(n), np.zeros((n, n))
    effects = np.zeros((n_exposures, *surface.shape, _N_EACH))
    residuals = []
    for one, values in zip(sampled, data, strict=True):
        rows = _N_EACH * one.exposure + np.arange(_N_EACH)
        score = one.scored(values, surface)
        gradient[rows] += score.gradient
        variance[np.ix_(rows, rows)] += score.information
        one.project(score.weighted, effects[one.exposure])
        residuals.append(score.residual)
    seen_in = np.unique([one.exposure for one in sampled])
    rows = (_N_EACH * seen_in[:, None] + np.arange(_N_EACH)).ravel()
    by_row = np.moveaxis(effects[seen_in], -1, 1).reshape(len(rows), -1)
    variance[np.ix_(rows, rows)] -= inner_product(factor, by_row)
    return *_without_levels(gradient, variance), residuals


def _without_levels(
    gradient: NDArray[np.float64], variance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eliminate what is left of the background in each exposure, which nothing else tells, and the gains."""
    is_level = np.arange(len(gradient)) % _N_EACH >= _N_SHIFTS
    kept, level = np.flatnonzero(~is_level), np.flatnonzero(is_level)
    own, shared = variance[np.ix_(level, level)], variance[np.ix_(level, kept)]
    # An exposure without the spectrum has no level to be told.
    regular = own + np.diag(np.where(np.diag(own) > 0, 1e-9 * np.diag(own), 1.0))
    precision = np.concatenate([np.zeros(2), np.array(_GAINS) ** -2.0])
    regular += np.diag(np.tile(precision, len(gradient) // _N_EACH))
    gain = np.linalg.solve(regular, shared).T
    return gradient[kept] - gain @ gradient[level], variance[np.ix_(kept, kept)] - gain @ shared
