from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute import align_absolute, select_reference
from grism_align.algorithms.positions import julian_year
from grism_align.algorithms.relative import align_relative
from grism_align.values.settings import MatchSettings, PointingSettings, ReferenceSettings, RelativeSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane

from .exposure_builders import PIXEL_NOISE, PLANE, observe, offset, sky_sources, stars

MATCH = MatchSettings()
SETTINGS = ReferenceSettings()
KEYS = ("iaaa01d1q", "iaaa01d2q")


def frame_exposures(rng, error, keys=KEYS, **options):
    """Exposures of a relative frame, all with one error, and the identity as their relative solution."""
    made = [observe(stars(rng), error, rng, key, start=1e3 * i, **options)[0] for i, key in enumerate(keys)]
    fits = {e.key: ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(e.plane), frame=0) for e in made}
    return made, AlignmentSolution(fits, keys[0])


def align(exposures, relative, sources, catalog, settings=SETTINGS, match=MATCH, *, catalogs=None):
    given = (settings, match, PointingSettings())
    return align_absolute(exposures, catalogs or {}, relative, sources, catalog, given)


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
    assert "0 matched sources" in result.solution[KEYS[0]].reason
    assert result.counts["reference_on_exposures"] == 0


def test_a_catalog_of_large_but_stated_errors_serves():
    rng = np.random.default_rng(88)
    field, identity = stars(rng), LinearTransform.identity(PLANE)
    exposures, relative = frame_exposures(rng, identity)
    result = align(exposures, relative, sky_sources(field, identity, rng), field.catalog(100.0, rng))
    fit = result.solution[KEYS[0]]
    assert fit.status is FitStatus.ALIGNED
    # 100 mas a star, and hundreds of stars
    assert np.hypot(*fit.transform.in_plane(PLANE).shift) < 4 * 0.1 * np.sqrt(2 / fit.n_used)


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
            one.key: ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(one.plane), frame=0),
            two.key: ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(two.plane), frame=1),
            lost.key: ExposureFit.failed("matches no other exposure"),
        }
    )
    sources = [
        *sky_sources(field, first, rng, component=0),
        *sky_sources(field, second, rng, component=1),
        *sky_sources(field, second, rng, component=2),
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


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, slice(0, 150)),
        ({"bright_limit": 20.0}, None),
        ({"faint_limit": 22.0}, None),
        ({"bright_limit": 19.0, "faint_limit": 21.0}, None),
        ({"max_sources": 10}, slice(0, 10)),
    ],
)
def test_magnitudes(limits, expected):
    rng = np.random.default_rng(92)
    exposures, _ = frame_exposures(rng, LinearTransform.identity(PLANE))
    catalog = stars(rng, side=80.0).catalog()
    rows, counts = select_reference(catalog, exposures, ReferenceSettings(**limits))
    low, high = limits.get("bright_limit", -np.inf), limits.get("faint_limit", np.inf)
    within = np.flatnonzero((catalog.mag >= low) & (catalog.mag <= high))
    np.testing.assert_array_equal(rows, within if expected is None else np.arange(150)[expected])
    assert counts["reference_in_catalog"] == counts["reference_on_exposures"] == 150
    assert counts["reference_within_magnitudes"] == len(within)
    assert counts["reference_brightest"] == len(rows)


def test_unknown_magnitudes_serve_where_there_is_no_limit():
    rng = np.random.default_rng(93)
    exposures, _ = frame_exposures(rng, LinearTransform.identity(PLANE))
    catalog = stars(rng, 20, 80.0).catalog()
    catalog = replace(catalog, mag=np.where(np.arange(20) < 5, np.nan, catalog.mag))
    assert len(select_reference(catalog, exposures, ReferenceSettings())[0]) == 20
    assert len(select_reference(catalog, exposures, ReferenceSettings(faint_limit=30.0))[0]) == 15
    assert len(select_reference(catalog, exposures, ReferenceSettings(bright_limit=1.0))[0]) == 15
    # and they come last
    np.testing.assert_array_equal(
        select_reference(catalog, exposures, ReferenceSettings(max_sources=15))[0], np.arange(5, 20)
    )


@pytest.mark.parametrize("margin", [0.0, 10.0, 60.0])
def test_the_footprint_and_its_margin(margin):
    rng = np.random.default_rng(94)
    exposures, _ = frame_exposures(rng, LinearTransform.identity(PLANE), KEYS[:1], angle=0.0)
    catalog = stars(rng, 3000, 500.0).catalog()
    rows, _ = select_reference(catalog, exposures, ReferenceSettings(margin=margin, max_sources=10000))
    corners = PLANE.to_plane(exposures[0].chips[0].wcs.footprint())
    xy = PLANE.to_plane(catalog.sky)
    low, high = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    # the chip is a rectangle along the axes but for 2" of distortion and skew
    surely = ((xy > low + 3) & (xy < high - 3)).all(axis=1)
    maybe = ((xy > low - 1) & (xy < high + 1)).all(axis=1)
    assert set(np.flatnonzero(surely)) <= set(rows) <= set(np.flatnonzero(maybe))
    pixel = exposures[0].chips[0].wcs.to_pixel(catalog.sky)
    with np.errstate(invalid="ignore"):
        on = ((pixel > 0) & (pixel < 1013)).all(axis=1)
    assert set(np.flatnonzero(on)) <= set(rows)


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
    assert julian_year(exposures[0].mid) < 2016
    fits = absolute.solution.fits.values()
    assert {fit.includes_earlier for fit in fits} == {solve == "joint"}
    assert {fit.geometry for fit in fits} == {"rshift"}
    for fit in fits:
        assert fit.n_used > 50
        assert fit.rms_axes == pytest.approx((fit.rms, fit.rms), rel=0.3)
        assert len(fit.residuals.error) == fit.n_matched


def test_claimed_errors_of_the_joint_solution_are_true():
    pulls = []
    for seed in range(12):
        rng = np.random.default_rng([96, seed])
        exposures, catalogs, relative, catalog = two_visits(rng, stars(rng))
        absolute = align(exposures, relative.solution, relative.sources, catalog, catalogs=catalogs).solution
        total = relative.solution.then(absolute)
        for frame, error in zip(exposures, np.repeat(TWO_ERRORS, 2), strict=True):
            transform = total[frame.key].transform
            left = transform.shift - error.inverted().in_plane(frame.plane).shift
            pulls.append(left / transform.shift_error)
    # 96 pulls, not all independent
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
        "ibbb02d2q": replace(lost, status=FitStatus.PRIOR_ONLY, residuals=None, reason="few sources"),
    }
    solution = AlignmentSolution(fits, relative.solution.reference)
    absolute = align(exposures, solution, relative.sources, catalog, catalogs=catalogs)
    total = solution.then(absolute.solution)
    assert total["ibbb02d2q"].status is FitStatus.PRIOR_ONLY
    assert total["ibbb02d2q"].reason == "few sources"
    assert np.abs(errors_left(exposures, solution, absolute.solution)).max() < 0.005


def test_a_tie_of_sources_that_one_exposure_saw_is_that_of_the_frame():
    """They are in no match of the relative solution, so there is nothing to solve anew."""
    rng = np.random.default_rng(100)
    exposures, catalogs, relative, catalog = two_visits(rng, stars(rng))
    once = [replace(source, number=source.number + 10000, n_exposures=1) for source in relative.sources]
    absolute = align(exposures, relative.solution, once, catalog, catalogs=catalogs)
    assert all(fit.is_aligned and not fit.includes_earlier for fit in absolute.solution.fits.values())


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
