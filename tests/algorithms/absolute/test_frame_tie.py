from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.frame_tie import (
    FrameSources,
    MeasurementTimes,
    match_frame,
    refine_tie,
    require_right_epoch,
)
from grism_align.values.errors import AlignmentError, TooFewMatchesError, UnreliableMatchError
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import (
    AbsoluteSettings,
    PointingSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
)
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, stars, with_errors

SETTINGS = AbsoluteSettings()
ERROR = LinearTransform.from_parameters(PLANE, (0.8, -0.5), 0.05)
NOISE = 0.002  # arcsec


def sources(field, rng, year=2006.0, *, first=0, error=ERROR):
    """The stars of a field as measured in a year, on a frame with an error."""
    xy = error.apply(PLANE.to_plane(field.at(year))) + NOISE * rng.normal(size=field.sky.shape)
    n = len(xy)
    positions = PlaneList(xy, np.full(n, NOISE), field.mag, np.full(n, year))
    return FrameSources(positions, first + np.arange(n), PLANE, 0.128)


def both(one: FrameSources, other: FrameSources) -> FrameSources:
    names = ("xy", "error", "mag", "epoch")
    columns = (np.concatenate([getattr(one.positions, n), getattr(other.positions, n)]) for n in names)
    return replace(one, positions=PlaneList(*columns), number=np.concatenate([one.number, other.number]))


def worst(transform):
    """Largest error at the corners of the field, arcsec."""
    corners = 60.0 * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    return np.abs(transform.apply(ERROR.apply(corners)) - corners).max()


def test_sources_are_tied():
    rng = np.random.default_rng(301)
    field = stars(rng, 60, 120.0, 5.0)
    tie = match_frame(sources(field, rng), with_errors(field, rng), SETTINGS)
    assert worst(tie.transform) < 4 * 2.5 * NOISE / np.sqrt(60)
    np.testing.assert_array_equal(*tie.pairs.T)
    assert len(tie.pairs) == 60
    assert tie.probability < 1e-20
    np.testing.assert_array_equal(tie.own_error, NOISE)
    # 0.3 mas, and 0.05 mas/yr for ten years
    assert tie.error == pytest.approx(np.hypot(NOISE, 1e-3 * np.hypot(0.3, 0.5)))


def test_what_is_searched_at_one_epoch_is_tied_where_all_epochs_together_are_not():
    """Four stars that the frame has twice each, years apart, among galaxies."""
    rng = np.random.default_rng(302)
    field = stars(rng, 4, 100.0)
    field = replace(field, motion=np.array([[9.0, 3.0], [-4.0, 8.0], [-8.0, -6.0], [5.0, -7.0]]))
    galaxies = sources(stars(rng, 100), rng, first=100)
    old, new = sources(field, rng, 2006.0), sources(field, rng, 2016.0, first=10)
    own, catalog = both(both(old, new), galaxies), with_errors(field, rng)
    with pytest.raises(UnreliableMatchError):
        match_frame(own, catalog, SETTINGS)
    tie = match_frame(own, catalog, SETTINGS, [both(old, galaxies)])
    assert worst(tie.transform) < 4 * 2.5 * NOISE / np.sqrt(4)
    assert tie.probability < 1e-6
    assert set(tie.pairs[:, 0]) <= {0, 1, 2, 3, 10, 11, 12, 13}
    # With one more look, which is one more chance.
    again = match_frame(own, catalog, SETTINGS, [both(old, galaxies)] * 3)
    assert again.probability == pytest.approx(2 * tie.probability)


def test_a_mean_of_seasons_is_compared_with_the_mean():
    rng = np.random.default_rng(303)
    field = replace(stars(rng, 40, 120.0), parallax=30.0)
    spring, autumn = (sources(field, np.random.default_rng(303), year) for year in (2010.1, 2010.6))
    mean = replace(
        spring.positions,
        xy=0.5 * (spring.positions.xy + autumn.positions.xy),
        epoch=np.full(40, 2010.35),
    )
    seen = MeasurementTimes(np.array([2010.1, 2010.6]), np.full((40, 2), 0.5))
    told, untold = replace(spring, positions=mean, seen=seen), replace(spring, positions=mean)
    least = 4 * 2.5 * NOISE / np.sqrt(40)
    assert worst(match_frame(told, with_errors(field, rng), SETTINGS).transform) < least
    assert worst(match_frame(untold, with_errors(field, rng), SETTINGS).transform) > 0.02
    assert told.rows(np.arange(3)).seen.shares.shape == (3, 2)


def test_too_few_sources_are_refused():
    rng = np.random.default_rng(304)
    field = stars(rng, 20, 100.0)
    own, start = sources(field, rng), ERROR.inverted()
    for n in (0, 3):
        with pytest.raises(TooFewMatchesError, match=f"{n} matched sources, 4 required"):
            refine_tie(own.rows(np.arange(n)), field.catalog(), start, SETTINGS)
    assert np.isnan(refine_tie(own, field.catalog(), start, SETTINGS).probability)


def test_a_fit_that_tells_less_than_the_pointing_is_refused():
    rng = np.random.default_rng(305)
    field = stars(rng, 5, 100.0)
    settings = replace(SETTINGS, pointing=PointingSettings(visit_error=0.001, roll_error=1e-5))
    with pytest.raises(
        AlignmentError, match=r"a corner is left uncertain by 0\.0\d arcsec, and was by 0\.00"
    ):
        refine_tie(sources(field, rng), with_errors(field, rng, 5.0), ERROR.inverted(), settings)


def test_a_scatter_that_errors_do_not_explain_is_refused():
    rng = np.random.default_rng(306)
    field = stars(rng, 60, 120.0)
    own = sources(field, rng)
    xy = own.positions.xy + 0.08 * rng.normal(size=(60, 2))
    settings = replace(SETTINGS, match=ReferenceMatchSettings(max_rms=0.2))
    with pytest.raises(AlignmentError, match=r"rms residual \d\d mas, limit 26"):
        refine_tie(
            replace(own, positions=replace(own.positions, xy=xy)),
            field.catalog(),
            ERROR.inverted(),
            settings,
        )


@pytest.mark.parametrize(("scale", "fitted"), [(1.0, "rshift"), (1.0002, "rscale")])
def test_a_scale_is_fitted_where_it_is_told(scale, fitted):
    rng = np.random.default_rng(307)
    field = stars(rng, 60, 120.0)
    error = LinearTransform.from_parameters(PLANE, (0.1, 0.0), scale=scale)
    tie = refine_tie(
        sources(field, rng, error=error), field.catalog(), LinearTransform.identity(PLANE), SETTINGS
    )
    assert tie.fit.geometry == fitted
    assert tie.transform.scale == pytest.approx(1 / scale, abs=2e-5 if fitted == "rscale" else 1e-12)
    general = replace(SETTINGS, reference=ReferenceSettings(fitgeometry="general"))
    own = sources(field, rng, error=error)
    assert refine_tie(own, field.catalog(), error.inverted(), general).fit.geometry == "general"


def test_stars_that_match_where_they_stand_have_a_wrong_epoch():
    rng = np.random.default_rng(308)
    field = stars(rng, 40, 120.0, 8.0)
    own = sources(field, rng, 2016.0)
    wrong = replace(with_errors(field, rng), epoch=np.full(40, 1916.0))
    with pytest.raises(AlignmentError, match=r"match where they stand, and not where they were in 2016\.0"):
        match_frame(own, wrong, SETTINGS)
    other = replace(stars(rng, 40, 120.0, 8.0).catalog(), epoch=np.full(40, 1916.0))
    with pytest.raises(AlignmentError, match=r"could be chance|matched sources"):
        match_frame(own, other, SETTINGS)


def residuals_of(years, n, rng, motion=5.0):
    """Residuals of a catalog whose epoch is that many years late, their weights, and the catalog."""
    field = stars(rng, n, 100.0, motion)
    catalog = with_errors(field, rng)
    late = PLANE.to_plane(field.at(2016.0 + years)) - PLANE.to_plane(field.at(2016.0))
    residual = late + NOISE * rng.normal(size=(n, 2))
    return residual - residual.mean(axis=0), catalog, np.full(n, NOISE**-2.0), PLANE


def test_an_epoch_is_told_by_five_stars():
    rng = np.random.default_rng(309)
    with pytest.raises(
        AlignmentError, match=r"the positions are those of 201[01]\.\d .*, and the catalog says 2016"
    ):
        require_right_epoch(*residuals_of(5.0, 5, rng))
    require_right_epoch(*residuals_of(5.0, 4, rng))
    # a year, and what is uncertain by years
    require_right_epoch(*residuals_of(0.8, 50, rng))
    require_right_epoch(*residuals_of(5.0, 6, rng, motion=0.3))


def test_a_right_epoch_passes():
    """The residuals of five stars may be small by chance, and then say little of how sure an epoch is."""
    refused = []
    for seed in range(1250, 1300):
        rng = np.random.default_rng([310, seed])
        try:
            require_right_epoch(*residuals_of(0.0, 5, rng, motion=0.7))
        except AlignmentError:
            refused.append(seed)
    assert refused == []
