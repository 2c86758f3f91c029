from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.source_list import frame_numbers, list_name, solved_sources
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SkySource
from grism_align.values.failure import NoSources
from grism_align.values.field import ExposureSet
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import DEC, PIXEL_NOISE, PLANE, RA, observe, stars

KEYS = ("iaaa01d1q", "iaaa01d2q", "ibbb02d1q", "ibbb02d2q")
SHIFTS = [(0.3, -0.2), (0.31, -0.21), (-2.0, 1.5), (-2.01, 1.52)]
ERRORS = [LinearTransform.from_parameters(PLANE, s, 0.01) for s in SHIFTS]
POINTINGS = [(0.0, 0.0), (40.0, 3.0), (-4.0, 48.0), (2.0, -47.0)]
NOISE = 1e3 * PIXEL_NOISE * 0.128
# mas, of a few hundred positions
LARGEST = 4.5 * NOISE
# A year between the visits.
STARTS = [0.0, 1000.0, 3.2e7, 3.2e7 + 1000.0]


def _solved(made, product="deep field"):
    """Exposures and catalogs with their relative solution."""
    exposures, catalogs = [e for e, _ in made], {e.key: catalog for e, catalog in made}
    result = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    return ExposureSet(
        product, tuple(exposures), catalogs=catalogs, sources=result.sources, relative=result.solution
    )


def _tied(exposures, undo, keys, error=0.0):
    """The set with an absolute solution that undoes the frame's error, known to `error` arcsec an axis."""
    covariance = np.diag([error**2, error**2, 0, 0, 0, 0])
    fits = {}
    for e in exposures.exposures:
        transform = replace(undo.at(exposures.relative.plane), covariance=covariance)
        fit = ExposureFit(FitStatus.ALIGNED, transform, "MADE", frame=exposures.relative[e.key].frame)
        fits[e.key] = fit if e.key in keys else ExposureFit.failed(NoSources(6.0))
    return replace(exposures, absolute=AlignmentSolution(fits, "MADE"))


@pytest.fixture(scope="module")
def field():
    return stars(np.random.default_rng(3), n=220, side=220.0)


@pytest.fixture(scope="module")
def relative(field):
    """Four exposures of two visits that overlap; the first fixes the frame."""
    rng = np.random.default_rng(4)
    return _solved(
        [
            observe(field, error, rng, key, start=start, at=at)
            for key, error, start, at in zip(KEYS, ERRORS, STARTS, POINTINGS, strict=True)
        ]
    )


def _star_of(field, sky, error=None):
    """The star nearest to each position, and the distance, east and north, in mas.

    Stars are where `error` moves them; none for the true sky.
    """
    xy, true = PLANE.to_plane(sky), PLANE.to_plane(error.apply_to_sky(field.sky) if error else field.sky)
    star = np.hypot(*(xy[:, None] - true).transpose(2, 0, 1)).argmin(axis=1)
    return star, 1e3 * (xy - true[star])


def _pulls(offset, covariance):
    return np.einsum("ni,nij,nj->n", offset, np.linalg.inv(covariance), offset) / 2


def test_sources_are_where_the_sky_has_them(field, relative):
    found = solved_sources(_tied(relative, ERRORS[0].inverted(), KEYS))
    assert (found.name, found.origin) == ("DEEPFIELD", "deep field")
    star, offset = _star_of(field, found.sky)
    assert len(set(star)) == len(found) > 150
    np.testing.assert_allclose(found.mag, field.mag[star])
    # The corrections' errors are common to the sources, so that the mean of the pulls scatters.
    assert 0.5 < np.median(_pulls(offset, found.covariance[:, :2, :2])) / np.log(2) < 1.6
    once = np.array([s.n_exposures == 1 for s in relative.sources])
    assert once.any()
    assert np.abs(offset).max() < LARGEST
    assert np.median(found.error[~once]) < np.median(found.error[once])
    assert np.median(found.error) == pytest.approx(NOISE / np.sqrt(2), rel=0.5)
    assert np.isnan(found.motion).all()
    assert not found.covariance[:, 2:].any()


def test_epochs_are_those_of_the_measurements(relative):
    found = solved_sources(relative)
    first, last = (relative.exposures[n].epoch for n in (0, -1))
    assert found.epoch.min() == pytest.approx(first, abs=1e-4)
    assert found.epoch.max() == pytest.approx(last, abs=1e-4)
    expected = {s.number: s.epoch for s in relative.sources}
    number = [int(name.split("-")[-1]) for name in found.identifier]
    # In the relative frame a source's epoch has the weights of the errors alone, not those of residuals: an
    # outlier at one epoch counts there.
    near = np.abs(found.epoch - [expected[n] for n in number]) < 0.3
    assert near.mean() > 0.98


def test_without_a_catalog_it_is_the_relative_frame(field, relative):
    found = solved_sources(relative)
    _, offset = _star_of(field, found.sky, ERRORS[0])
    assert np.abs(offset).max() < LARGEST
    assert set(frame_numbers(found)) == {0}


def test_the_frames_own_error_is_in_every_source(relative):
    loose = solved_sources(_tied(relative, ERRORS[0].inverted(), KEYS, error=0.010))
    exact = solved_sources(_tied(relative, ERRORS[0].inverted(), KEYS))
    added = loose.covariance - exact.covariance
    np.testing.assert_allclose(added[:, 0, 0], 100.0, rtol=1e-5)
    np.testing.assert_allclose(added[:, 1, 1], 100.0, rtol=1e-5)
    np.testing.assert_allclose(added[:, 0, 1], 0.0, atol=1e-3)


def test_a_covariance_that_is_the_totals_is_not_added_to(relative):
    tied = _tied(relative, ERRORS[0].inverted(), KEYS, error=0.010)
    fits = {key: replace(fit, includes_earlier=True) for key, fit in tied.absolute.fits.items()}
    found = solved_sources(replace(tied, absolute=AlignmentSolution(fits, "MADE")))
    part = found.covariance[:, 0, 0] - 100.0
    measured = np.array([s.error**2 for s in relative.sources])
    assert (part >= measured * (1 - 1e-4)).all()
    assert np.median(part / measured) < 1.5


def test_without_measurements_the_frame_is_moved(field, relative):
    """As for a record whose catalogs are gone."""
    tied = _tied(relative, ERRORS[0].inverted(), KEYS, error=0.001)
    found = solved_sources(replace(tied, catalogs={}))
    _, offset = _star_of(field, found.sky)
    assert len(found) == len(relative.sources)
    assert np.abs(offset).max() < LARGEST
    np.testing.assert_allclose(found.epoch, [s.epoch for s in relative.sources])
    assert (found.error.mean(axis=1) >= [s.error for s in relative.sources]).all()
    np.testing.assert_allclose(found.sky, solved_sources(tied).sky, atol=2 * PIXEL_NOISE * 0.128 / 3600)


def test_exposures_that_are_not_tied_do_not_count(field, relative):
    """The others of their frame are, and know where its sources are."""
    tied = _tied(relative, ERRORS[0].inverted(), KEYS[:2])
    found = solved_sources(tied)
    _, offset = _star_of(field, found.sky)
    assert len(found) == len(relative.sources)
    assert np.abs(offset).max() < LARGEST


def test_clipped_sources_are_left_out(relative):
    gone = relative.sources[int(relative.relative[KEYS[0]].residuals.matched[3])].number
    fits = {}
    for key, fit in relative.relative.fits.items():
        weight = np.where(fit.residuals.matched == gone, 0.0, fit.residuals.weight)
        fits[key] = replace(fit, residuals=replace(fit.residuals, weight=weight))
    clipped = replace(relative, relative=AlignmentSolution(fits))
    names = set(solved_sources(relative).identifier)
    assert names - set(solved_sources(clipped).identifier) == {f"DEEPFIELD-0-{gone}"}


def test_frames_that_are_not_tied_to_each_other():
    """Each of its own error; one of them is tied to a catalog."""
    rng = np.random.default_rng(5)
    near, far = stars(rng), stars(rng, east=1500.0)
    made = [
        observe(sky, ERRORS[n], rng, key, start=STARTS[n], at=(east + 3.0 * n, 2.0 * n))
        for n, (key, sky, east) in enumerate(
            zip(KEYS, (near, near, far, far), (0.0, 0.0, 1500.0, 1500.0), strict=True)
        )
    ]
    both = _solved(made)
    assert {fit.frame for fit in both.relative.fits.values()} == {0, 1}
    found = solved_sources(_tied(both, ERRORS[0].inverted(), KEYS[:2]))
    frame = frame_numbers(found)
    for number, sky, error in ((0, near, None), (1, far, ERRORS[2])):
        star, offset = _star_of(sky, found.sky[frame == number], error)
        assert len(set(star)) == len(star) > 100
        assert np.abs(offset).max() < LARGEST


def test_one_exposure_alone(field):
    rng = np.random.default_rng(6)
    alone = _solved([observe(field, ERRORS[0], rng, KEYS[0])])
    found = solved_sources(_tied(alone, ERRORS[0].inverted(), KEYS))
    _, offset = _star_of(field, found.sky)
    assert np.abs(offset).max() < LARGEST


def test_at_the_pole_and_across_zero_hours():
    """The same list wherever on the sky it is: means are of directions, not of angles."""
    for ra, dec in ((0.0, 30.0), (123.0, 89.98), (0.0, -90.0)):
        rng = np.random.default_rng(8)
        turned = _on_sky(ra, dec, rng)
        found = solved_sources(turned)
        xy = _plane(ra, dec).to_plane(found.sky)
        expected = _plane(ra, dec).to_plane([(s.ra, s.dec) for s in turned.sources])
        np.testing.assert_allclose(xy, expected, atol=0.004)


def _plane(ra, dec):
    return replace(PLANE, ra=ra, dec=dec)


def _on_sky(ra, dec, rng):
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Chip
    from tests.support.associations import exposure
    from tests.support.chips import chip_wcs
    from tests.support.exposures import REST, SHAPE

    made, true = [], chip_wcs("wfc3_ir", (ra, dec, 30.0))
    xy = rng.uniform(20, 990, (60, 2))
    for n, key in enumerate(KEYS[:2]):
        noisy = xy + 0.01 * rng.normal(size=xy.shape)
        columns = {
            **{name: np.full(60, value) for name, value in REST.items()},
            "id": np.arange(60),
            "chip": np.ones(60),
            "x": noisy[:, 0],
            "y": noisy[:, 1],
            "x_error": np.full(60, 0.01),
            "y_error": np.full(60, 0.01),
            "flags": np.zeros(60),
            "flux": np.linspace(100, 50, 60),
            "mag": np.linspace(20, 21, 60),
        }
        frame = exposure(key, 1000.0 * n, chips=(Chip(1, SHAPE, true),))
        made.append((frame, SourceCatalog.from_columns(columns)))
    return _solved(made)


def test_nothing_to_list(relative):
    assert solved_sources(ExposureSet("p", relative.exposures)) is None
    failed = AlignmentSolution({key: ExposureFit.failed(NoSources(6.0)) for key in KEYS})
    assert solved_sources(replace(relative, relative=failed)) is None
    unknown = tuple(SkySource(n, RA, DEC, np.nan, 20.0, 2016.0, 0, 2) for n in range(3))
    assert solved_sources(replace(relative, sources=unknown, catalogs={})) is None


def test_names_that_headers_can_hold():
    assert list_name("uds-f140w_v2.0") == "UDSF140WV20"
    assert list_name("Überfeld") == "BERFELD"
    assert list_name("---") == "FIELD"
    assert len(list_name("a" * 90)) == 16
