"""Positions of stars by fits of the effective PSF, whose two widths come from the exposure's own stars.

An effective PSF is the light that a pixel gets from a star, as a function of the star's place in the pixel.
On undersampled detectors it can't be built freely from one exposure: an error that depends on the pixel phase
goes into the positions and into the PSF alike (Anderson & King 2000, PASP 112, 1360). So its form is given
here, by the optics and the pixel, and only its widths are fitted. Where stars are few these are weakly tied
to what the optics should have.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.measuring.centroid import Stamps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


# Pixels to each side of a source that are fitted, and further ones for which the PSF has to be known.
_REACH = 3
_SPARE = 2
# Samples a pixel and side (pixels) of the grid on which the PSF is made: nothing passes beyond two cycles a
# pixel, and what comes in from the other side is 1e-4 of a star.
_SAMPLES = 4
_FIELD = 20
# Of the usual filter, by three wavelengths.
_WAVELENGTHS = (0.88, 1.0, 1.12)
# Error of the PSF's form and of the flat field, as a share of each pixel's light.
_MODEL_ERROR = 0.01
# Resolutions that are tried first, the blur there, blurs where the resolution is known, and the bounds of
# both, all in pixels.
_FIRST_RESOLUTIONS = (0.65, 0.85, 1.1, 1.4, 1.8)
_FIRST_BLUR = 0.35
_FIRST_BLURS = (0.3, 0.15, 0.45)
_BOUNDS = ((0.4, 2.5), (0.05, 1.2))
_STEPS = 6
_SETTLED = 3e-4
# What is expected where stars are few: the blur of any detector, with its error, and the share by which a
# wavelength over a diameter misses the resolution, of bands that are wide or mirrors that are not discs.
_USUAL_BLUR, _BLUR_ERROR, _RESOLUTION_ERROR = 0.3, 0.15, 0.1
# Stars for the PSF's widths: fewest if nothing is expected, and most; the misfit of a star, round by round.
_FEWEST = 4
_MOST = 60
_MISFITS = (0.2, 0.12, 0.08, 0.08, 0.08)
# Error (pix) of the centroid of a source bright enough to tell the PSF.
_BRIGHT = 0.033
# A star is what is wider than the PSF by less than this (pix^2) for certain, and misfits by less than that.
_WIDEST = 0.2
_WORST_MISFIT = 0.1


@dataclass(frozen=True, eq=False)
class PointSpread:
    """An effective PSF: a cubic spline in the offset of a pixel from a star.

    Parameters
    ----------
    coefficients : (J, J) ndarray, 1/pix^2
        Of the B-splines along y and x, the middle one at the star. A star's total is one.
    spacing : float, pix
        Of the knots.
    resolution, blur : float, pix
        Wavelength over the mirror's diameter; Gaussian sigma of everything else but the pixel.
    obstruction : float
        Width of what stands before the mirror, in the mirror's.
    """

    coefficients: NDArray[np.float64]
    spacing: float
    resolution: float
    blur: float
    obstruction: float

    def images(self, xy: NDArray[np.float64], side: int, wider: bool = False) -> list[NDArray[np.float64]]:
        """Return stars at (N, 2) pixels of stamps: their images (N, side, side), and derivatives.

        Returns
        -------
        list of ndarray
            The image, its derivatives by x and y of the star, and, if asked for, half its Laplacian, which
            is what a star gains when it is widened by a variance of one pix^2.
        """
        grid = np.arange(side)
        splines = [self._splines(grid - at[:, None], wider) for at in xy.T]
        (x, dx, *ddx), (y, dy, *ddy) = [np.swapaxes(part, 1, 2) for part in splines[0]], splines[1]
        rows, slope = y @ self.coefficients, dy @ self.coefficients
        light = [rows @ x, -(rows @ dx), -(slope @ x)]
        if wider:
            light.append(0.5 * (rows @ ddx[0] + (ddy[0] @ self.coefficients) @ x))
        return light

    def _splines(self, offset: NDArray[np.float64], curved: bool) -> list[NDArray[np.float64]]:
        """Return B-splines (N, side, J) at offsets (N, side), pixels, slopes and, if asked, curvatures."""
        half = len(self.coefficients) // 2
        u = offset[:, :, None] / self.spacing - np.arange(-half, half + 1)
        a = np.abs(u)
        # Two cubes, one of which ends at the inner knot: 4 (1 - a)+ off the outer one.
        inner, outer = np.maximum(1 - a, 0), np.maximum(2 - a, 0)
        inner2, outer2 = inner * inner, outer * outer
        parts = [(outer2 * outer - 4 * inner2 * inner) / 6]
        parts.append(np.sign(u) * (4 * inner2 - outer2) / (2 * self.spacing))
        if curved:
            parts.append((outer - 4 * inner) / self.spacing**2)
        return parts


@dataclass(frozen=True, eq=False)
class PsfFit:
    """Sources fitted as stars, N of each.

    Parameters
    ----------
    xy, xy_error : (N, 2) ndarray, pix
        Zero-based position on the stamp and its standard error.
    flux : (N,) ndarray
        Total.
    misfit : (N,) ndarray
        What the PSF leaves beyond the noise: its rms as a share of the rms of the star.
    widening, widening_error : (N,) ndarray, pix^2
        Variance by which the source is wider than the PSF; zero for a star.
    settled : (N,) ndarray of bool
        Whether the position stayed within a pixel of its start.
    """

    xy: NDArray[np.float64]
    xy_error: NDArray[np.float64]
    flux: NDArray[np.float64]
    misfit: NDArray[np.float64]
    widening: NDArray[np.float64]
    widening_error: NDArray[np.float64]
    settled: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class StarPositions:
    """Stars among some sources, K of them.

    Parameters
    ----------
    rows : (K,) ndarray of int
        Which sources are stars.
    xy, xy_error : (K, 2) ndarray, pix
        Zero-based position on the stamp and its standard error.
    psf : PointSpread or None
        The PSF of the stars.
    """

    rows: NDArray[np.int64]
    xy: NDArray[np.float64]
    xy_error: NDArray[np.float64]
    psf: PointSpread | None


def _overlap(x: NDArray[np.float64], small: float) -> NDArray[np.float64]:
    """Return the area that a disc of radius 1 shares with one of radius `small` at a distance 2x, over pi."""
    distance = np.clip(2 * x, max(1 - small, 1e-9), 1 + small)
    square = distance**2
    large_angle = np.arccos(np.clip((square + 1 - small**2) / (2 * distance), -1, 1))
    small_angle = np.arccos(np.clip((square + small**2 - 1) / (2 * distance * small), -1, 1))
    kite = ((1 + small) ** 2 - square) * (square - (1 - small) ** 2)
    return np.asarray((large_angle + small**2 * small_angle - np.sqrt(np.clip(kite, 0, None)) / 2) / np.pi)


@lru_cache(maxsize=256)
def telescope_psf(resolution: float, blur: float, obstruction: float) -> PointSpread:
    """Return the effective PSF of an obstructed circular mirror on square pixels.

    Parameters
    ----------
    resolution : float, pix
        Wavelength over the mirror's diameter.
    blur : float, pix
        Gaussian sigma of charge diffusion, jitter and aberrations.
    obstruction : float
        Width of what stands before the mirror, in the mirror's.

    Notes
    -----
    Its transform is that of the mirror (the autocorrelation of the pupil: O'Neill 1956, J. Opt. Soc. Am. 46,
    285) times those of the blur and of the pixel.
    """
    from scipy.ndimage import spline_filter

    k = np.fft.fftfreq(_FIELD * _SAMPLES, 1 / _SAMPLES)
    # a quarter of the plane has all of it, as it is even along both axes
    sides = np.abs(k[: len(k) // 2 + 1])
    radius = np.hypot(sides[None, :], sides[:, None])
    e = obstruction
    optics = np.zeros_like(radius)
    for wavelength in _WAVELENGTHS:
        x = radius * resolution * wavelength
        optics += _overlap(x, 1.0) + e**2 * _overlap(x / e, 1.0) - 2 * _overlap(x, e)
    optics /= len(_WAVELENGTHS) * (1 - e**2)
    pixel = np.sinc(sides)
    quarter = optics * np.exp(-2 * (np.pi * radius * blur) ** 2) * pixel[None, :] * pixel[:, None]
    place = np.minimum(np.arange(len(k)), len(k) - np.arange(len(k)))
    transform = quarter[np.ix_(place, place)]
    image = np.fft.fftshift(np.fft.ifft2(transform).real) * _SAMPLES**2
    knots = spline_filter(image, 3, mode="grid-wrap")
    middle, half = len(k) // 2, (_REACH + _SPARE) * _SAMPLES
    cut = slice(middle - half, middle + half + 1)
    return PointSpread(knots[cut, cut], 1 / _SAMPLES, resolution, blur, obstruction)


def fit_positions(stamps: Stamps, psf: PointSpread, start: NDArray[np.float64]) -> PsfFit:
    """Fit the PSF to every source: position and flux, by weighted least squares.

    Parameters
    ----------
    stamps : Stamps
        Cut-outs centred on the sources' peaks.
    psf : PointSpread
        The PSF.
    start : (N, 2) ndarray, pix
        First positions on the stamps.
    """
    cut = _core(stamps)
    border = (stamps.data.shape[1] - cut.data.shape[1]) // 2
    position = start - border
    active = np.arange(len(position))
    for _ in range(_STEPS):
        if len(active) == 0:
            break
        moving = cut.part(active)
        light, weight, flux = _light_and_weight(moving, psf, position[active])
        normal, right = _normal_equations(moving, light, weight, flux)
        step = np.linalg.solve(normal, right[:, :, None])[:, 1:, 0]
        position[active] += np.clip(step, -0.3, 0.3)
        active = active[np.abs(step).max(axis=1) > _SETTLED]
    return _fitted(cut, psf, position, start - border, border)


def _core(stamps: Stamps) -> Stamps:
    """Return the middle of the stamps."""
    middle = stamps.data.shape[1] // 2
    cut = slice(middle - _REACH, middle + _REACH + 1)
    return Stamps(
        corner=stamps.corner + middle - _REACH,
        data=stamps.data[:, cut, cut],
        variance=stamps.variance[:, cut, cut],
        good=stamps.good[:, cut, cut],
    )


def _light_and_weight(
    stamps: Stamps, psf: PointSpread, position: NDArray[np.float64], wider: bool = False
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], NDArray[np.float64]]:
    """Return images of unit stars with derivatives, weights (N, side, side), and fluxes (N,)."""
    light = psf.images(position, stamps.data.shape[1], wider)
    usable = stamps.good & (stamps.variance > 0)
    plain = usable / np.where(usable, stamps.variance, 1.0)
    flux = _flux(stamps.data, light[0], plain)
    softened = stamps.variance + (_MODEL_ERROR * flux[:, None, None] * light[0]) ** 2
    weight = usable / np.where(usable, softened, 1.0)
    return light, weight, _flux(stamps.data, light[0], weight)


def _flux(
    data: NDArray[np.float64], star: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    total = (weight * star**2).sum(axis=(1, 2))
    flux = (weight * star * data).sum(axis=(1, 2)) / np.where(total > 0, total, np.inf)
    return np.asarray(np.clip(flux, 0, None))


def _normal_equations(
    stamps: Stamps,
    light: list[NDArray[np.float64]],
    weight: NDArray[np.float64],
    flux: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normal matrices (N, k, k) and gradients (N, k) of stars' parameters, the flux's share first."""
    n = len(flux)
    design = np.stack([(flux[:, None, None] * part).reshape(n, -1) for part in light], axis=1)
    weighted = design * weight.reshape(n, 1, -1)
    residual = stamps.data.reshape(n, -1) - design[:, 0]
    normal = weighted @ np.swapaxes(design, 1, 2)
    # Where a source has no light or no pixels nothing moves.
    size = np.trace(normal, axis1=1, axis2=2)
    normal = normal + np.where(size > 0, 1e-12 * size, 1.0)[:, None, None] * np.eye(normal.shape[1])
    return normal, (weighted @ residual[:, :, None])[:, :, 0]


def _fitted(
    stamps: Stamps, psf: PointSpread, position: NDArray[np.float64], start: NDArray[np.float64], border: int
) -> PsfFit:
    light, weight, flux = _light_and_weight(stamps, psf, position, wider=True)
    normal, right = _normal_equations(stamps, light, weight, flux)
    inverse = np.linalg.inv(normal)
    errors = np.sqrt(np.diagonal(np.linalg.inv(normal[:, :3, :3]), axis1=1, axis2=2)[:, 1:])
    good = weight > 0
    model = flux[:, None, None] * light[0] * good
    left = ((good * stamps.data - model) ** 2 - good * stamps.variance).sum(axis=(1, 2))
    power = (model**2).sum(axis=(1, 2))
    moved = np.abs(position - start).max(axis=1, initial=0)
    return PsfFit(
        xy=position + border,
        xy_error=errors,
        flux=flux,
        misfit=np.sqrt(np.clip(left, 0, None) / np.where(power > 0, power, np.inf)),
        widening=(inverse[:, 3] * right).sum(axis=1),
        widening_error=np.sqrt(inverse[:, 3, 3]),
        settled=(flux > 0) & (moved < 1),
    )


def star_positions(
    stamps: Stamps,
    xy: NDArray[np.float64],
    error: NDArray[np.float64],
    clean: NDArray[np.bool_],
    obstruction: float,
    expected_resolution: float = nan,
) -> StarPositions:
    """Return positions of those sources that are stars.

    Parameters
    ----------
    stamps : Stamps
        Cut-outs centred on the sources' peaks, N of them.
    xy, error : (N, 2) ndarray, pix
        Centroids on the stamps, and their errors.
    clean : (N,) ndarray of bool
        Sources without a flag.
    obstruction, expected_resolution : float
        As for `fit_psf`.

    Returns
    -------
    StarPositions
        Of no source, if there are too few stars for a PSF.
    """
    worst = error.max(axis=1, initial=0)
    bright = np.flatnonzero(clean & (worst < _BRIGHT))
    psf = fit_psf(stamps.part(bright), xy[bright], 1 / worst[bright], obstruction, expected_resolution)
    rows = np.flatnonzero(clean)
    if psf is None:
        return StarPositions(rows[:0], xy[:0], error[:0], None)
    fit = fit_positions(stamps.part(rows), psf, xy[rows])
    narrow = np.abs(fit.widening) + fit.widening_error < _WIDEST
    star = fit.settled & narrow & (fit.misfit < _WORST_MISFIT)
    return StarPositions(rows[star], fit.xy[star], fit.xy_error[star], psf)


def fit_psf(
    stamps: Stamps,
    start: NDArray[np.float64],
    snr: NDArray[np.float64],
    obstruction: float,
    expected_resolution: float = nan,
) -> PointSpread | None:
    """Find the PSF's resolution and blur from the stars among some sources.

    Parameters
    ----------
    stamps : Stamps
        Cut-outs of clean sources, centred on their peaks.
    start : (N, 2) ndarray, pix
        First positions on the stamps.
    snr : (N,) ndarray
        Signal-to-noise ratios; the highest are used.
    obstruction : float
        Of the mirror.
    expected_resolution : float, pix, optional
        What the optics should have, for where stars are few; NaN if that is not known.

    Returns
    -------
    PointSpread or None
        None if there are too few stars to tell.
    """
    brightest = np.argsort(-snr, kind="stable")
    rows, psf = brightest[:_MOST], None
    if len(rows) >= _FEWEST:
        trials = [telescope_psf(one, _FIRST_BLUR, obstruction) for one in _FIRST_RESOLUTIONS]
        bright, places = stamps.part(rows), start[rows]
        most = _like_stars(bright, places, trials).sum(axis=1).argmax()
        psf = _fitted_psf(bright, places, trials[most])
    if psf is None and len(rows) and 0 < expected_resolution < inf:
        trials = [telescope_psf(expected_resolution, blur, obstruction) for blur in _FIRST_BLURS]
        # of all sources: the one star of a field need not be among the brightest
        alike = _like_stars(stamps, start, trials)
        rows = brightest[alike[:, brightest].any(axis=0)][:_MOST]
        if len(rows):
            most = alike[:, rows].sum(axis=1).argmax()
            expected = expected_resolution, _USUAL_BLUR
            psf = _fitted_psf(stamps.part(rows), start[rows], trials[most], expected)
    return psf


def _like_stars(
    stamps: Stamps, start: NDArray[np.float64], trials: Sequence[PointSpread]
) -> NDArray[np.bool_]:
    """Tell which sources may be stars by each of some PSFs, (number of PSFs, N)."""
    return np.array([_stars(fit_positions(stamps, one, start), _MISFITS[0]) for one in trials])


def _fitted_psf(
    stamps: Stamps,
    start: NDArray[np.float64],
    psf: PointSpread,
    expected: tuple[float, float] | None = None,
) -> PointSpread | None:
    """Return a PSF with the widths of the stars, of which one is enough where widths are expected."""
    for misfit in _MISFITS:
        fit = fit_positions(stamps, psf, start)
        star = _stars(fit, misfit)
        if star.sum() < (_FEWEST if expected is None else 1):
            return None
        position = fit.xy[star] - stamps.data.shape[1] // 2 + _REACH
        psf = _improved(_core(stamps.part(star)), psf, position, expected)
    return psf


def _stars(fit: PsfFit, misfit: float) -> NDArray[np.bool_]:
    return np.asarray(fit.settled & (fit.misfit < misfit))


def _improved(
    stamps: Stamps,
    psf: PointSpread,
    position: NDArray[np.float64],
    expected: tuple[float, float] | None,
) -> PointSpread:
    """Make one Gauss-Newton step of resolution and blur, which are as expected but for their errors."""
    normal, right = _equations_of_widths(stamps, psf, position)
    old = np.array([psf.resolution, psf.blur])
    if expected is None:
        normal += 1e-9 * np.trace(normal) * np.eye(2)
    else:
        precision = np.array([_RESOLUTION_ERROR * expected[0], _BLUR_ERROR]) ** -2.0
        normal += np.diag(precision)
        right += precision * (np.array(expected) - old)
    change = np.linalg.solve(normal, right)
    new = np.clip(old + np.clip(change, -0.15, 0.15), *np.transpose(_BOUNDS))
    # To a thousandth of a pixel, which no position feels; exposures of one filter then share their PSFs.
    return telescope_psf(*(round(float(value), 3) for value in new), psf.obstruction)


def _equations_of_widths(
    stamps: Stamps, psf: PointSpread, position: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return normal matrix and gradient of resolution and blur; each star's flux follows."""
    step = 0.02
    light, weight, flux = _light_and_weight(stamps, psf, position)
    star, side = light[0], stamps.data.shape[1]
    scale = flux[:, None, None]
    residual = stamps.data - scale * star
    moved = ((psf.resolution + step, psf.blur), (psf.resolution, psf.blur + step))
    changed = [telescope_psf(*widths, psf.obstruction) for widths in moved]
    columns = []
    for other in changed:
        column = scale * (other.images(position, side)[0] - star) / step
        share = (weight * column * star).sum(axis=(1, 2)) / (weight * star**2).sum(axis=(1, 2))
        columns.append((column - share[:, None, None] * star).ravel())
    design = np.column_stack(columns)
    pull = residual * np.sqrt(weight)
    # A star that fits badly is a galaxy or a blend: its pull grows, its say does not.
    trust = (weight / (1 + np.square(pull).mean(axis=(1, 2), keepdims=True))).ravel()
    return design.T @ (trust[:, None] * design), design.T @ (trust * residual.ravel())
