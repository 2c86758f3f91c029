from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.failure import NoSources, TooFewSources
from grism_align.values.field import ExposureSet
from grism_align.values.settings import (
    AbsoluteSettings,
    MatchSettings,
    PointingSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
    RelativeSettings,
)
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, agreement
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.exposures import PIXEL_NOISE, PLANE, Stars, observe, offset, sky_sources, stars

MATCH = MatchSettings()
SETTINGS = ReferenceSettings()
KEYS = ("iaaa01d1q", "iaaa01d2q")


def frame_exposures(rng, error, keys=KEYS, **options):
    """Exposures of a relative frame, all with one error, and the identity as their relative solution."""
    made = [observe(stars(rng), error, rng, key, start=1e3 * i, **options)[0] for i, key in enumerate(keys)]
    fits = {
        e.key: ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(PLANE), frame=0, geometry="rshift")
        for e in made
    }
    return made, AlignmentSolution(fits, keys[0])


def align(exposures, relative, sources, catalog, settings=SETTINGS, match=None, *, catalogs=None):
    known = ExposureSet(
        "field", tuple(exposures), catalogs=catalogs or {}, sources=tuple(sources), relative=relative
    )
    return align_absolute(known, catalog, AbsoluteSettings(settings, match=match or ReferenceMatchSettings()))


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
def test_the_sky_is_recovered(geometry):
    rng = np.random.default_rng(81)
    error = {
        "shift": LinearTransform.from_parameters(PLANE, (12.0, -17.0)),
        "rshift": LinearTransform.from_parameters(PLANE, (1.0, -2.0), 0.3),
        "rscale": LinearTransform.from_parameters(PLANE, (1.0, -2.0), 0.1, 1.0004),
        "general": LinearTransform([[1.0003, 0.0004], [0.0001, 0.9998]], [1.0, 2.0], PLANE),
    }[geometry]
    field = stars(rng)
    exposures, relative = frame_exposures(rng, error)
    result = align(
        exposures,
        relative,
        sky_sources(field, error, rng),
        field.catalog(0.5, rng),
        ReferenceSettings(fitgeometry=geometry),
    )
    assert result.solution.reference == "MADE"
    for frame in exposures:
        fit = result.solution[frame.key]
        # 1.1 mas over sqrt(150), and twice that at a corner
        assert np.abs(offset(frame, fit.transform, error)).max() < 4 * 0.0011 / np.sqrt(150) * 2.5
        assert (fit.status, fit.reference, fit.frame) == (FitStatus.ALIGNED, "MADE", 0)
        assert fit.rms == pytest.approx(1.1, rel=0.25)
        assert fit.false_match_probability < 1e-12
        assert fit.n_used == result.counts["reference_used_frame_1"] > 110
        sources, identifiers = fit.residuals.source, fit.residuals.matched
        assert [f"S{number}" for number in sources] == list(identifiers)
        assert np.abs(fit.residuals.offset).max() < 8
    assert result.warnings == ()


@pytest.mark.parametrize("roll", [0.0, 0.45])
def test_a_scale_that_is_none_is_not_fitted(roll):
    rng = np.random.default_rng(82)
    field, error = stars(rng), LinearTransform.from_parameters(PLANE, (1.0, 0.0), roll)
    exposures, relative = frame_exposures(rng, error)
    result = align(exposures, relative, sky_sources(field, error, rng), field.catalog(0.1, rng))
    transform = result.solution[KEYS[0]].transform
    assert transform.scale == pytest.approx(1, abs=2e-9)
    assert transform.roll == pytest.approx(-roll, abs=1e-3)


def test_a_scale_that_is_one_is_fitted():
    rng = np.random.default_rng(83)
    field, error = stars(rng), LinearTransform.from_parameters(PLANE, scale=1.0001)
    exposures, relative = frame_exposures(rng, error)
    result = align(exposures, relative, sky_sources(field, error, rng), field.catalog(0.1, rng))
    assert result.solution[KEYS[0]].transform.scale == pytest.approx(1 / 1.0001, abs=1e-5)


def test_each_reference_star_is_at_its_partners_epoch():
    """Exposures of 2003 and of 2014, stars that move by 5 mas/yr: at one epoch 27 mas of scatter."""
    rng = np.random.default_rng(84)
    field = stars(rng, motion=5.0)
    identity = LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    half = len(field.sky) // 2
    old, new = (sky_sources(field, identity, rng, year=year) for year in (2003.0, 2014.0))
    result = align(exposures, relative, (*old[:half], *new[half:]), field.catalog(0.1, rng))
    fit = result.solution[KEYS[0]]
    # the reference has 0.05 mas/yr over 13 years
    assert fit.rms == pytest.approx(1.0, rel=0.3)
    assert fit.n_used > 0.7 * len(field.sky)  # some are off the chip
    assert np.abs(offset(exposures[0], fit.transform, identity)).max() < 1e-3
    np.testing.assert_array_equal(result.reference.epoch, 2016)


def test_an_unrelated_catalog_is_refused():
    rng = np.random.default_rng(85)
    exposures, relative = frame_exposures(rng, LinearTransform.identity(PLANE))
    for seed in range(5):
        other = stars(np.random.default_rng([85, seed]))
        result = align(
            exposures,
            relative,
            sky_sources(stars(rng), LinearTransform.identity(PLANE), rng),
            other.catalog(),
        )
        assert not any(fit.is_aligned for fit in result.solution.fits.values())
        assert result.solution[KEYS[0]].reason.startswith("not tied to MADE: ")
        assert result.warnings[0].startswith("iaaa01d1q, iaaa01d2q not tied to MADE: ")


def test_a_catalog_elsewhere_is_refused():
    rng = np.random.default_rng(86)
    exposures, relative = frame_exposures(rng, LinearTransform.identity(PLANE))
    field = stars(rng)
    result = align(
        exposures,
        relative,
        sky_sources(field, LinearTransform.identity(PLANE), rng),
        stars(rng, east=5000.0).catalog(),
    )
    assert "its nearest source is 1.4 deg from the exposures" in result.solution[KEYS[0]].reason
    assert result.counts["reference_on_exposures"] == 0


def test_a_catalog_of_large_but_stated_errors_serves():
    rng = np.random.default_rng(88)
    field, identity = stars(rng), LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    result = align(exposures, relative, sky_sources(field, identity, rng), field.catalog(100.0, rng))
    fit = result.solution[KEYS[0]]
    assert fit.status is FitStatus.ALIGNED
    # 100 mas a star, and hundreds of stars
    assert np.hypot(*fit.transform.at(PLANE).shift) < 4 * 0.1 * np.sqrt(2 / fit.n_used)


@pytest.mark.parametrize(
    ("noise", "match", "reason"),
    [
        (60.0, MatchSettings(max_rms=0.2), r"rms residual \d\d mas, limit \d\d"),
        (1.0, MatchSettings(min_matches=160), "matched sources.*160 required"),
    ],
)
def test_fits_that_are_not_acceptable(noise, match, reason):
    rng = np.random.default_rng(87)
    field, identity = stars(rng), LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    measured = sky_sources(field, identity, rng, noise=noise)
    understated = tuple(replace(source, error=1.0) for source in measured)
    result = align(exposures, relative, understated, field.catalog(), match=match)
    fit = result.solution[KEYS[0]]
    assert fit.status is FitStatus.FAILED
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(fit.reason)


def test_few_sources():
    rng = np.random.default_rng(88)
    field, identity = stars(rng, 7, 100.0), LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    sources = sky_sources(field, identity, rng, noise=1.0)
    result = align(exposures, relative, sources, field.catalog(), match=MatchSettings(min_matches=7))
    assert result.solution[KEYS[0]].n_used == 7
    refused = align(exposures, relative, sources, field.catalog(), match=MatchSettings(min_matches=8))
    assert "7 matched sources possible in the common field, 8 required" in refused.solution[KEYS[0]].reason


def test_no_sources_no_fit():
    rng = np.random.default_rng(89)
    exposures, relative = frame_exposures(rng, LinearTransform.identity(PLANE))
    result = align(exposures, relative, (), stars(rng).catalog())
    assert result.solution.fits == {}
    assert result.warnings == ()


def test_each_frame_is_fitted_as_a_whole():
    """And a frame all of whose exposures failed is nobody's."""
    rng = np.random.default_rng(90)
    first, second = (
        LinearTransform.from_parameters(PLANE, (1.0, 0.0)),
        LinearTransform.from_parameters(PLANE, (-2.0, 1.0)),
    )
    field = stars(rng)
    (one,), _ = frame_exposures(rng, first, KEYS[:1])
    (two,), _ = frame_exposures(rng, second, KEYS[1:])
    (lost,), _ = frame_exposures(rng, second, ("iccc03d1q",))
    relative = AlignmentSolution(
        {
            one.key: ExposureFit(
                FitStatus.REFERENCE, LinearTransform.identity(PLANE), frame=0, geometry="rshift"
            ),
            two.key: ExposureFit(
                FitStatus.REFERENCE, LinearTransform.identity(PLANE), frame=1, geometry="rshift"
            ),
            lost.key: ExposureFit.failed(NoSources(6.0)),
        }
    )
    sources = [
        *sky_sources(field, first, rng, frame=0),
        *sky_sources(field, second, rng, frame=1),
        *sky_sources(field, second, rng, frame=2),
    ]
    result = align([one, two, lost], relative, sources, field.catalog())
    assert list(result.solution.fits) == [one.key, two.key]
    assert [fit.frame for fit in result.solution.fits.values()] == [0, 1]
    np.testing.assert_allclose(result.solution[one.key].transform.shift, [-1, 0], atol=2e-3)
    np.testing.assert_allclose(result.solution[two.key].transform.shift, [2, -1], atol=2e-3)
    assert result.warnings == ()


def test_sources_seen_once_are_left_out_where_there_are_enough():
    rng = np.random.default_rng(91)
    field, identity = stars(rng), LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    sources = [replace(s, n_exposures=1 + (s.number % 2)) for s in sky_sources(field, identity, rng)]
    result = align(exposures, relative, sources, field.catalog())
    assert (result.solution[KEYS[0]].residuals.source % 2 == 1).all()
    few = [replace(s, n_exposures=1 + (s.number % 10 == 0)) for s in sources]
    assert align(exposures, relative, few, field.catalog()).solution[KEYS[0]].n_matched > 110


TWO_ERRORS = [
    LinearTransform.from_parameters(PLANE, (0.4, -0.3), 0.02),
    LinearTransform.from_parameters(PLANE, (-3.0, 5.0), -0.1),
]


def two_visits(rng, field, years_apart=0.0, catalog_error=0.3):
    """Two visits with their own errors, their relative solution, and the true catalog."""
    made = [
        observe(
            field,
            error,
            rng,
            key,
            start=1e3 * (i % 2) + 365.25 * 86400 * years_apart * (i // 2),
            at=(3.0 * i, 5.0 * i),
            angle=30 + 40.0 * (i // 2),
        )
        for i, (error, key) in enumerate(
            zip(np.repeat(TWO_ERRORS, 2), ("iaaa01d1q", "iaaa01d2q", "ibbb02d1q", "ibbb02d2q"), strict=True)
        )
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MATCH, PointingSettings())
    return exposures, catalogs, relative, field.catalog(catalog_error, rng)


def errors_left(exposures, relative, absolute):
    total = relative.then(absolute)
    return np.array(
        [
            offset(e, total[e.key].transform, error)
            for e, error in zip(exposures, np.repeat(TWO_ERRORS, 2), strict=True)
        ]
    )


@pytest.mark.parametrize("solve", ["joint", "frame"])
def test_relative_and_absolute_together(solve):
    """Two visits with their own errors, measured in pixels, end up on the true sky."""
    rng = np.random.default_rng(95)
    exposures, catalogs, relative, catalog = two_visits(rng, stars(rng, motion=5.0))
    settings = ReferenceSettings(solve=solve)
    absolute = align(exposures, relative.solution, relative.sources, catalog, settings, catalogs=catalogs)
    left = errors_left(exposures, relative.solution, absolute.solution)
    assert np.abs(left).max() < 4 * PIXEL_NOISE * 0.128 / np.sqrt(100) * 2.5
    assert exposures[0].epoch < 2016
    fits = absolute.solution.fits.values()
    assert {fit.includes_earlier for fit in fits} == {solve == "joint"}
    assert {fit.geometry for fit in fits} == {"rshift"}
    for fit in fits:
        assert fit.n_used > 50
        assert fit.rms_axes == pytest.approx((fit.rms, fit.rms), rel=0.3)
        assert len(fit.residuals.error) == fit.n_matched


def test_claimed_errors_of_the_joint_solution_are_true():
    pulls = []
    for seed in range(8):
        rng = np.random.default_rng([96, seed])
        exposures, catalogs, relative, catalog = two_visits(rng, stars(rng))
        absolute = align(exposures, relative.solution, relative.sources, catalog, catalogs=catalogs).solution
        total = relative.solution.then(absolute)
        for frame, error in zip(exposures, np.repeat(TWO_ERRORS, 2), strict=True):
            transform = total[frame.key].transform.at(frame.plane)
            left = transform.shift - error.inverted().at(frame.plane).shift
            pulls.append(left / transform.shift_error)
    # 64 pulls, half of them independent: two errors of their rms
    assert np.std(pulls) == pytest.approx(1, abs=0.25)


def test_the_joint_solution_takes_proper_motions_to_each_exposure():
    """Visits ten years apart of stars that move by up to 0.05 arcsec between them, most one way."""
    rng = np.random.default_rng(97)
    field = stars(rng, motion=5.0)
    exposures, catalogs, relative, catalog = two_visits(rng, field, years_apart=10.0)
    absolute = align(exposures, relative.solution, relative.sources, catalog, catalogs=catalogs)
    left = errors_left(exposures, relative.solution, absolute.solution)
    assert np.abs(left).max() < 4 * PIXEL_NOISE * 0.128 / np.sqrt(100) * 2.5


def test_without_source_catalogs_the_frame_moves_as_a_whole():
    rng = np.random.default_rng(98)
    exposures, _, relative, catalog = two_visits(rng, stars(rng))
    absolute = align(exposures, relative.solution, relative.sources, catalog)
    assert not any(fit.includes_earlier for fit in absolute.solution.fits.values())


def test_an_exposure_without_matches_moves_with_its_acquisition():
    rng = np.random.default_rng(99)
    exposures, catalogs, relative, catalog = two_visits(rng, stars(rng))
    lost = relative.solution.fits["ibbb02d2q"]
    fits = {
        **relative.solution.fits,
        "ibbb02d2q": replace(
            lost, status=FitStatus.PRIOR_ONLY, residuals=None, remarks=(TooFewSources(3, 9, 6),)
        ),
    }
    solution = AlignmentSolution(fits, relative.solution.reference)
    absolute = align(exposures, solution, relative.sources, catalog, catalogs=catalogs)
    total = solution.then(absolute.solution)
    assert total["ibbb02d2q"].status is FitStatus.PRIOR_ONLY
    assert total["ibbb02d2q"].remarks == (TooFewSources(3, 9, 6),)
    assert np.abs(errors_left(exposures, solution, absolute.solution)).max() < 0.005


def test_sources_that_one_exposure_saw_tie_it_to_the_catalog():
    """Two exposures that share a strip: most of what ties either to the catalog it saw alone."""
    rng = np.random.default_rng(100)
    field = stars(rng, 600, 400.0)
    identity = LinearTransform.identity(PLANE)
    made = [
        observe(field, identity, rng, key, start=1e3 * i, at=(115.0 * i, 0.0), angle=0.0)
        for i, key in enumerate(KEYS)
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MATCH, PointingSettings())
    matched = relative.solution[KEYS[1]].n_matched
    absolute = align(
        exposures, relative.solution, relative.sources, field.catalog(0.3, rng), catalogs=catalogs
    )
    fits = [absolute.solution[key] for key in KEYS]
    assert matched < 30
    assert min(fit.n_used for fit in fits) > matched
    assert agreement(fits).n_used > 100
    total = relative.solution.then(absolute.solution)
    # a roll known from the strip alone would leave 3 mas at the far side
    for frame in exposures:
        left = offset(frame, total[frame.key].transform, identity)
        assert np.abs(left).max() < 4 * PIXEL_NOISE * 0.128 / np.sqrt(80) * 2.5


def test_an_exposure_alone_is_tied_by_what_it_saw():
    rng = np.random.default_rng(102)
    field = stars(rng)
    frame, seen = observe(field, TWO_ERRORS[1], rng, KEYS[0])
    relative = align_relative([frame], {frame.key: seen}, RelativeSettings(), MATCH, PointingSettings())
    absolute = align(
        [frame], relative.solution, relative.sources, field.catalog(0.3, rng), catalogs={frame.key: seen}
    )
    fit = absolute.solution[frame.key]
    assert fit.includes_earlier
    left = offset(frame, fit.transform, TWO_ERRORS[1])
    assert np.abs(left).max() < 4 * PIXEL_NOISE * 0.128 / np.sqrt(80) * 2.5


def moving_field(rng, n_galaxies, n_stars, side):
    """Galaxies, which stay and are in no catalog, and stars, which move, most of them one way."""
    galaxies, moving = stars(rng, n_galaxies, side), stars(rng, n_stars, side, motion=5.0)
    moving = replace(moving, motion=moving.motion + np.array([-3.0, -5.0]))
    both = Stars(
        *(np.concatenate([getattr(moving, n), getattr(galaxies, n)]) for n in ("sky", "mag", "motion"))
    )
    return both, moving


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
def test_a_mosaic_of_two_epochs_has_no_seams(seed):
    """Six pointings 2 arcmin apart, every other one ten years later, tied to moving stars."""
    rng = np.random.default_rng([103, seed])
    field, moving = moving_field(rng, 600, 150, 560.0)
    catalog = moving.catalog(0.5, rng)
    made, errors = [], {}
    for pointing in range(6):
        column, row = pointing % 3, pointing // 3
        late = (column + row) % 2
        error = LinearTransform.from_parameters(PLANE, rng.normal(0, 0.3, 2), rng.normal(0, 0.01))
        for dither in range(2):
            made.append(
                observe(
                    field,
                    error,
                    rng,
                    f"iaa{pointing}0{late}d{dither}q",
                    start=1e3 * dither + 1e4 * pointing + 365.25 * 86400 * 10 * late,
                    at=(120.0 * (column - 1) + 3.0 * dither, 120.0 * (row - 0.5) + 5.0 * dither),
                    angle=0.0,
                    noise=0.01,
                    visit=f"iaa{pointing}0{late}",
                    group=f"iaa{pointing}0{late}",
                )
            )
            errors[made[-1][0].key] = error
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MATCH, PointingSettings())
    absolute = align(exposures, relative.solution, relative.sources, catalog, catalogs=catalogs)
    total = relative.solution.then(absolute.solution)
    left = {e.key: offset(e, total[e.key].transform, errors[e.key]) for e in exposures}
    assert all(total[key].is_aligned for key in left)
    # edges of the chip, 5 x 5 points, against the edges of the neighbours
    steps = [np.abs(left[a] - left[b]).max() for a in left for b in left]
    assert np.sqrt(np.mean(np.square(list(left.values())))) < 1e-3
    assert max(steps) < 3e-3


def test_the_joint_covariance_has_the_scale_of_the_frame():
    rng = np.random.default_rng(101)
    field = stars(rng)
    exposures, catalogs, relative, _ = two_visits(rng, field)
    true = field.catalog(0.3, rng)
    plane = TangentPlane(*true.sky.mean(axis=0))
    larger = replace(true, sky=plane.to_sky(1.0004 * plane.to_plane(true.sky)))
    fits = align(exposures, relative.solution, relative.sources, larger, catalogs=catalogs).solution.fits
    for fit in fits.values():
        assert fit.geometry == "rscale"
        assert fit.transform.scale == pytest.approx(1.0004, abs=3e-5)
        assert 1e-7 < np.sqrt(fit.transform.covariance[2, 2]) < 3e-5
