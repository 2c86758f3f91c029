from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.measuring.centroid import cut_stamps
from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.algorithms.measuring.psf import fit_positions, fit_psf, telescope_psf
from grism_align.simulation.psf import JWST, Band, Shape, stamp
from grism_align.values.settings import DetectionSettings
from tests.support.images import gaussian_sources, lattice, noisy

# WFC3/IR F140W and ACS/WFC F814W: wavelength over mirror 0.94 and 1.40 pix
BANDS = {"ir": Band(1.392, 0.39, 0.1283, 0.24), "acs": Band(0.806, 0.16, 0.0495, 0.37)}
STAR = Shape(0.0, 1.0, 0.0, 0.5)
SIDE, HALF = 32, 9


def image_of(xy, flux, shape, band, sources=STAR):
    """Noiseless image of sources by the simulation, which shares no code with the fit."""
    image = np.zeros(shape)
    sources = [sources] * len(xy) if isinstance(sources, Shape) else sources
    for place, light, source in zip(xy, flux, sources, strict=True):
        x, y = np.rint(place).astype(int)
        piece = stamp(SIDE, band, source, band.pixel * np.eye(2), place - (x, y))
        ends = [slice(max(at - SIDE // 2, 0), at + SIDE // 2) for at in (y, x)]
        inside = image[tuple(ends)]
        skipped = [max(SIDE // 2 - at, 0) for at in (y, x)]
        cut = tuple(slice(start, start + n) for start, n in zip(skipped, inside.shape, strict=True))
        inside += light * piece[cut]
    return image


def stamps_of(image, error, xy):
    return cut_stamps(image, error, np.ones(image.shape, bool), np.rint(xy).astype(int), HALF)


@pytest.fixture(scope="module", params=["ir", "acs"])
def field(request):
    """Stars of all brightnesses, their images and errors."""
    rng = np.random.default_rng(31)
    xy, shape = lattice(9, 24, rng)
    flux = rng.permutation(np.geomspace(1e3, 2e5, len(xy)))
    image, error = noisy(image_of(xy, flux, shape, BANDS[request.param]), 150.0, rng)
    return request.param, xy, flux, image, error


def test_a_star_is_whole_and_round():
    psf = telescope_psf(0.94, 0.25, 0.33)
    places = np.array([[9.0, 9.0], [9.3, 8.6], [8.5, 9.5]])
    star, dx, dy = psf.images(places, 19)
    # it is known to 5 pixels, where the outer rings are left
    assert star.sum(axis=(1, 2)) == pytest.approx(0.955, abs=0.01)
    np.testing.assert_allclose(star[0], star[0].T, atol=1e-12)
    np.testing.assert_allclose(star[0], star[0][::-1, ::-1], atol=1e-12)
    np.testing.assert_allclose(dx[0], dy[0].T, atol=1e-12)


def test_derivatives():
    psf, step = telescope_psf(0.94, 0.25, 0.33), 1e-3
    place = np.array([[3.2, 2.9]])
    _, dx, dy, wider = psf.images(place, 7, wider=True)
    ends = [psf.images(place + move, 7)[0] for move in ([step, 0], [-step, 0], [0, step], [0, -step])]
    np.testing.assert_allclose(dx, (ends[0] - ends[1]) / (2 * step), atol=1e-5)
    np.testing.assert_allclose(dy, (ends[2] - ends[3]) / (2 * step), atol=1e-5)
    laplacian = (sum(ends) - 4 * psf.images(place, 7)[0]) / step**2
    # the second derivative of a cubic spline is bent, not smooth
    np.testing.assert_allclose(wider, laplacian / 2, atol=5e-3)


def test_the_psf_comes_from_the_stars(field):
    name, xy, flux, image, error = field
    stamps = stamps_of(image, error, xy)
    psf = fit_psf(stamps, xy - stamps.corner, flux, 0.33)
    band = BANDS[name]
    resolution = band.pivot * 1e-6 / 2.4 * 206264.806 / band.pixel
    assert psf.resolution == pytest.approx(resolution, rel=0.04)
    assert psf.blur == pytest.approx(band.diffusion, abs=0.04)


def test_positions_have_true_errors(field):
    _, xy, flux, image, error = field
    stamps = stamps_of(image, error, xy)
    psf = fit_psf(stamps, xy - stamps.corner, flux, 0.33)
    fit = fit_positions(stamps, psf, xy - stamps.corner + 0.3)
    assert fit.settled.all()
    off = fit.xy + stamps.corner - xy
    pull = (off / fit.xy_error).ravel()
    # 162 pulls: width known to 6 %
    assert pull.std() == pytest.approx(1, abs=0.22)
    bright = flux > 3e4
    assert np.sqrt((off[bright] ** 2).mean()) < 0.01
    # wings outside the core are not in the fit, but in the PSF
    np.testing.assert_allclose(fit.flux[bright], flux[bright], rtol=0.05)
    assert (np.abs(fit.widening) < 4 * fit.widening_error + 0.03).all()


def test_no_error_of_the_pixel_phase():
    """Windowed centroids of the undersampled camera err with the phase by 0.02 pix; fits of the PSF don't."""
    rng = np.random.default_rng(32)
    xy, shape = lattice(8, 24, rng)
    image = image_of(xy, np.full(len(xy), 1e5), shape, BANDS["ir"])
    error = np.sqrt(image + 100)
    off = {}
    for centroid in ("windowed", "psf"):
        found = detect_sources(
            image, error, np.zeros(shape, int), DetectionSettings(centroid=centroid, obstruction=0.33)
        )
        nearest = ((found.xy[:, None] - xy) ** 2).sum(axis=2).argmin(axis=1)
        off[centroid] = np.sqrt(((found.xy - xy[nearest])[found.flags == 0] ** 2).mean())
    assert off["windowed"] > 0.01
    assert off["psf"] < 0.004


def test_bad_pixels_do_not_count(field):
    _, xy, _, image, error = field
    spoiled, good = image.copy(), np.ones(image.shape, bool)
    x, y = np.rint(xy).astype(int).T
    good[y + 1, x] = False
    spoiled[y + 1, x] = 1e6
    psf = telescope_psf(0.94, 0.25, 0.33)
    fits = [
        fit_positions(s, psf, xy - s.corner)
        for s in (
            cut_stamps(picture, error, good, np.rint(xy).astype(int), HALF) for picture in (image, spoiled)
        )
    ]
    np.testing.assert_allclose(fits[0].xy, fits[1].xy, atol=1e-9)


@pytest.mark.parametrize(("n_stars", "resolution"), [(15, np.nan), (2, 0.935)])
def test_galaxies_and_stars_are_told_apart(n_stars, resolution):
    rng = np.random.default_rng(33)
    xy, shape = lattice(7, 30, rng)
    galaxy = rng.permutation(len(xy)) >= n_stars
    radius = rng.uniform(0.12, 0.4, len(xy))
    shapes = [Shape(r, 0.7, 40.0, 0.5) if g else STAR for r, g in zip(radius, galaxy, strict=True)]
    flux = rng.uniform(1e4, 1e5, len(xy))
    image, error = noisy(image_of(xy, flux, shape, BANDS["ir"], shapes), 150.0, rng)
    dq = np.zeros(shape, int)
    plain = detect_sources(image, error, dq, DetectionSettings(centroid="windowed"))
    found = detect_sources(image, error, dq, DetectionSettings(obstruction=0.33), resolution)
    nearest = ((found.xy[:, None] - xy) ** 2).sum(axis=2).argmin(axis=1)
    clean = found.flags == 0
    changed = (found.xy != plain.xy).any(axis=1)[clean]
    np.testing.assert_array_equal(changed, ~galaxy[nearest[clean]])
    assert found.counts["fitted_as_stars"] == changed.sum()


@pytest.mark.parametrize("resolution", [np.nan, 0.935])
def test_a_field_of_galaxies_has_windowed_positions(resolution):
    rng = np.random.default_rng(34)
    xy, shape = lattice(5, 30, rng)
    shapes = [Shape(r, 0.7, 40.0, 0.5) for r in rng.uniform(0.15, 0.5, len(xy))]
    image, error = noisy(image_of(xy, np.full(len(xy), 5e4), shape, BANDS["ir"], shapes), 150.0, rng)
    dq = np.zeros(shape, int)
    plain = detect_sources(image, error, dq, DetectionSettings(centroid="windowed"))
    found = detect_sources(image, error, dq, DetectionSettings(obstruction=0.33), resolution)
    assert found.counts["fitted_as_stars"] == 0
    np.testing.assert_array_equal(found.xy, plain.xy)
    np.testing.assert_array_equal(found.xy_error, plain.xy_error)


def test_too_few_stars():
    rng = np.random.default_rng(35)
    xy = np.array([[30.2, 30.4], [60.1, 31.0], [31.0, 60.6]])
    image, error = noisy(image_of(xy, np.full(3, 5e4), (90, 90), BANDS["ir"]), 150.0, rng)
    stamps = stamps_of(image, error, xy)
    assert fit_psf(stamps, xy - stamps.corner, np.full(3, 500.0), 0.33) is None


@pytest.mark.parametrize(
    ("n", "band", "obstruction", "resolution", "floor"),
    [
        (1, BANDS["ir"], 0.33, 0.935, 0.004),
        (3, BANDS["ir"], 0.33, 0.935, 0.004),
        # wavelength over 6.5 m: its hexagon is about a disc of less
        (1, Band(1.5, 0.32, 0.0656, 0.15, mirror=JWST), 0.15, 0.726, 0.004),
        (3, Band(0.9, 0.2, 0.0656, 0.15, mirror=JWST), 0.15, 0.435, 0.01),
    ],
)
def test_where_stars_are_few_the_optics_tell_the_psf(n, band, obstruction, resolution, floor):
    """Of a bright star or some, and of fainter ones by it; windowed centroids err by 0.02 pix."""
    pulls, windowed = ([], []), []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        xy, shape = lattice(4, 24, rng)
        flux = np.where(np.arange(len(xy)) < n, 5e4, 1.2e3)
        image, error = noisy(image_of(xy, flux, shape, band), 150.0, rng)
        # undersampled stars are as narrow as cosmic rays
        dq, settings = np.zeros(shape, int), DetectionSettings(obstruction=obstruction, sharpest=0.0)
        without, found = (detect_sources(image, error, dq, settings, one) for one in (np.nan, resolution))
        assert without.counts["fitted_as_stars"] == 0
        nearest = ((found.xy[:, None] - xy) ** 2).sum(axis=2).argmin(axis=1)
        off, error = found.xy - xy[nearest], np.hypot(found.xy_error, floor)
        bright, fitted = flux[nearest] > 4e4, (found.xy != without.xy).any(axis=1)
        assert fitted[bright].all()
        assert fitted.sum() > len(xy) // 2
        for some, number in ((bright, 0), (fitted & ~bright, 1)):
            pulls[number].extend((off[some] / error[some]).ravel())
        windowed.extend((without.xy - xy[nearest])[bright].ravel())
    for pull in pulls:
        # within three standard errors of its own
        assert np.sqrt(np.mean(np.square(pull))) < 1 + 3 / np.sqrt(2 * len(pull))
    assert np.sqrt(np.mean(np.square(windowed))) > 0.012


def test_one_star_of_little_light_leaves_the_psf_as_expected():
    """By itself it would tell the resolution to 0.06 pix."""
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        xy = np.array([[20.0, 20.0]]) + rng.uniform(-0.5, 0.5, (1, 2))
        image, error = noisy(image_of(xy, [2500.0], (41, 41), BANDS["ir"]), 150.0, rng)
        stamps = stamps_of(image, error, xy)
        found.append(fit_psf(stamps, xy - stamps.corner, np.ones(1), 0.33, 0.935).resolution)
    assert np.std(found) < 0.045
    assert np.mean(found) == pytest.approx(0.935, abs=0.03)


def test_stars_are_found_among_many_brighter_galaxies():
    rng = np.random.default_rng(36)
    xy, shape = lattice(9, 30, rng)
    star = rng.permutation(len(xy)) < 2
    shapes = [STAR if one else Shape(0.3, 0.8, 40.0, 0.5) for one in star]
    flux = np.where(star, 2e4, 4e5)
    image, error = noisy(image_of(xy, flux, shape, BANDS["ir"], shapes), 150.0, rng)
    settings = DetectionSettings(obstruction=0.33)
    found = detect_sources(image, error, np.zeros(shape, int), settings, 0.935)
    nearest = ((found.xy[:, None] - xy) ** 2).sum(axis=2).argmin(axis=1)
    assert found.counts["fitted_as_stars"] == 2
    assert (np.abs(found.xy - xy[nearest])[star[nearest]] < 0.03).all()


@pytest.mark.parametrize(("resolution", "is_fitted"), [(0.6, True), (0.72, True), (1.25, False)])
def test_a_wavelength_that_is_not_that_of_the_filter_does_no_harm(resolution, is_fitted):
    """The star has the last word on the PSF, or keeps its windowed centroid."""
    off = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        xy = np.array([[20.0, 20.0]]) + rng.uniform(-0.5, 0.5, (1, 2))
        image, error = noisy(image_of(xy, [5e4], (41, 41), BANDS["ir"]), 150.0, rng)
        settings = DetectionSettings(obstruction=0.33)
        found = detect_sources(image, error, np.zeros(image.shape, int), settings, resolution)
        assert found.counts["fitted_as_stars"] == is_fitted
        off.append(found.xy - xy)
    assert np.sqrt(np.square(off).mean()) < (0.006 if is_fitted else 0.02)


@pytest.mark.parametrize("resolution", [0.0, np.inf, -1.0])
def test_a_resolution_that_no_mirror_has_is_unknown(resolution):
    xy = np.array([[20.2, 20.4]])
    image, error = noisy(image_of(xy, [5e4], (41, 41), BANDS["ir"]), 150.0, np.random.default_rng(1))
    stamps = stamps_of(image, error, xy)
    assert fit_psf(stamps, xy - stamps.corner, np.ones(1), 0.33, resolution) is None


def test_nothing_there():
    stamps = stamps_of(np.zeros((40, 40)), np.ones((40, 40)), np.array([[20.0, 20.0]]))
    fit = fit_positions(stamps, telescope_psf(0.94, 0.25, 0.33), np.array([[9.0, 9.0]]))
    assert not fit.settled.any()
    assert np.isfinite(fit.xy).all()


def test_a_wide_gaussian_is_no_star():
    image = gaussian_sources(np.array([[20.0, 20.0]]), np.array([1e5]), 1.6, (41, 41))
    stamps = stamps_of(image, np.ones((41, 41)), np.array([[20.0, 20.0]]))
    fit = fit_positions(stamps, telescope_psf(0.94, 0.25, 0.33), np.array([[9.0, 9.0]]))
    assert fit.misfit[0] > 0.1
