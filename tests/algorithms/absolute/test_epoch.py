from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, get_body_barycentric
from astropy.time import Time
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.values.sphere import separation, sky_to_vector, tangent_axes, vector_to_sky
from tests.support.reference_catalogs import reference

MAS = 3.6e6  # in a degree
MAS_PER_RADIAN = np.degrees(1) * MAS
KM_PER_S = 4.740470446  # an astronomical unit a year

ras = st.floats(0, 360, exclude_max=True)
decs = st.floats(-89.99, 89.99)
velocities = st.tuples(st.floats(-400, 400), st.floats(-400, 400))
motions = st.tuples(st.floats(-1000, 1000), st.floats(-1000, 1000))


def seen_by_astropy(ra, dec, motion, parallax, velocity, year):
    """Where astropy has a star of J2016, seen from the Earth, deg."""
    star = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=motion[0] * u.mas / u.yr,
        pm_dec=motion[1] * u.mas / u.yr,
        distance=(parallax * u.mas).to(u.pc, u.parallax()),
        radial_velocity=velocity * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    then = Time(year, format="jyear", scale="tdb")
    place = star.apply_space_motion(new_obstime=then).cartesian.xyz - get_body_barycentric("earth", then).xyz
    return vector_to_sky(place.to_value(u.au))


@settings(max_examples=40, deadline=None)
@given(ras, decs, velocities, st.floats(1, 500), st.floats(-100, 100), st.floats(-30, 30))
@example(269.4520, 4.6934, (-6.947, 89.807), 546.976, -110.47, 9.0)  # Barnard's star
@example(0.0, 89.99, (400.0, 400.0), 10.0, 0.0, 25.0)
@example(360 - 1e-9, -10.0, (400.0, 0.0), 10.0, 0.0, 25.0)
def test_places_agree_with_astropy(ra, dec, across, parallax, velocity, years):
    motion, across = np.array(across) / KM_PER_S * parallax, np.hypot(*across)
    catalog = reference([ra, dec], motion=motion, parallax=parallax, radial_velocity=velocity)
    found = positions_at(catalog, 2016.0 + years)[0]
    expected = seen_by_astropy(ra, dec, motion, parallax, velocity, 2016.0 + years)
    # astropy lets light take its time: of the way, a share v/c of the changes of aspect is another,
    # and of the changes of distance too
    moved = np.hypot(*motion) * abs(years)
    changed = (across + abs(velocity)) * abs(years) / KM_PER_S * parallax / MAS_PER_RADIAN
    tolerance = 2 * moved * changed * (across + abs(velocity)) / 299792.458
    assert separation(found, expected) * MAS < 1e-5 + tolerance


@pytest.mark.parametrize("year", [2009.1, 2015.37, 2016.0, 2023.8])
def test_parallax_follows_the_sun(year):
    # Of the Sun, the ecliptic longitude to 0.02 deg and the distance to 1e-3 au (Astronomical Almanac).
    days = (year - 2000.0) * 365.25
    anomaly = np.radians(357.528 + 0.9856003 * days)
    sun = np.radians(280.460 + 0.9856474 * days) + np.radians(1.915) * np.sin(anomaly)
    distance = 1.00014 - 0.01671 * np.cos(anomaly)
    longitude, latitude = np.radians([77.0, 300.0, 200.0]), np.radians([10.0, -60.0, 85.0])
    ecliptic = {"frame": "barycentricmeanecliptic", "unit": "rad"}
    stars = SkyCoord(longitude, latitude, **ecliptic).icrs
    sky = np.column_stack([stars.ra.deg, stars.dec.deg])
    parallax = np.array([100.0, 200.0, 300.0])
    moved = SkyCoord(positions_at(reference(sky, parallax=parallax), year), unit="deg")
    there = moved.transform_to("barycentricmeanecliptic")
    east = (there.lon.rad - longitude) * np.cos(latitude) * MAS_PER_RADIAN
    north = (there.lat.rad - latitude) * MAS_PER_RADIAN
    # The barycentre is up to 0.01 au from the Sun.
    expected = parallax * distance * np.sin(sun - longitude)
    np.testing.assert_allclose(east, expected, atol=0.012 * parallax.max())
    expected = -parallax * distance * np.sin(latitude) * np.cos(sun - longitude)
    np.testing.assert_allclose(north, expected, atol=0.012 * parallax.max())


def test_parallax_grows_with_the_distance_of_the_observer():
    catalog = reference([[150.0, 2.2]], parallax=[200.0])
    seen = [positions_at(replace(catalog, observer=at), 2020.3)[0] for at in (0.0, 1.0, 1.01)]
    from_earth, from_l2 = (separation(seen[0], one) for one in seen[1:])
    assert from_l2 / from_earth == pytest.approx(1.01, rel=1e-6)
    np.testing.assert_allclose(seen[0], catalog.sky[0], atol=1e-12)


def test_a_fast_star_moves_an_arcsec_a_year():
    catalog = reference([[150.0, 2.2], [0.0001, 80.0]], motion=[[600.0, -800.0], [-800.0, 600.0]])
    moved = positions_at(catalog, np.array([2006.0, 2026.0]))
    # 10" are 5e-5 rad, whose tangent is larger by a share of 1e-9
    np.testing.assert_allclose(separation(catalog.sky, moved) * 3600, 10.0, rtol=2e-9)
    east, north, _ = np.moveaxis(tangent_axes(*catalog.sky.T), 1, 0)
    way = sky_to_vector(moved) - sky_to_vector(catalog.sky)
    way = np.column_stack([(way * east).sum(axis=1), (way * north).sum(axis=1)]) * MAS_PER_RADIAN
    np.testing.assert_allclose(way, [[-6000, 8000], [-8000, 6000]], rtol=1e-8)


@given(ras, st.floats(-80, 80), motions, st.floats(-10, 10), st.floats(-10, 10))
def test_two_steps_make_one(ra, dec, motion, first, second):
    catalog = reference([ra, dec], motion=motion)
    between = positions_at(catalog, 2016.0 + first)
    there = positions_at(reference(between, motion=motion, epoch=2016.0 + first), 2016.0 + first + second)
    speed = np.hypot(*motion) / MAS_PER_RADIAN
    # Between the steps north turns by so much, and the second step with it; the arc of a tangent is shorter.
    turned = speed * abs(first) * np.tan(np.radians(abs(dec)) + speed * abs(first))
    tolerance = speed * abs(second) * turned * 1.01 + (speed * (abs(first) + abs(second))) ** 3
    direct = positions_at(catalog, 2016.0 + first + second)
    assert np.radians(separation(there, direct)[0]) <= tolerance + 1e-15


@given(ras, decs, st.floats(-50, 50))
def test_unknown_motions_and_epochs_stand_still(ra, dec, years):
    motion = [[np.nan, np.nan], [500.0, 500.0]]
    catalog = reference([[ra, dec]] * 2, motion=motion, epoch=[2016.0, np.nan], motion_error=[0.0])
    moved = positions_at(catalog, 2016.0 + years)
    assert (separation(moved, catalog.sky) * MAS < 1e-6).all()
    np.testing.assert_allclose(errors_at(catalog, 2016.0 + years), 0.3)


def correlated(rng, n, scale=(1.0, 2.0, 1.5, 0.5, 0.3)):
    factor = rng.normal(size=(n, 5, 6))
    covariance = factor @ factor.swapaxes(1, 2)
    return covariance * np.outer(scale, scale) / 6


def test_errors_are_those_of_many_draws():
    rng = np.random.default_rng(8)
    n, covariance = 20000, correlated(rng, 1)[0]
    draws = rng.multivariate_normal(np.zeros(5), covariance, n)
    sky, motion = np.array([210.0, -35.0]), np.array([30.0, -40.0])
    offset = draws[:, :2] / MAS / [np.cos(np.radians(sky[1])), 1.0]
    many = reference(sky + offset, motion=motion + draws[:, 3:], parallax=20.0 + draws[:, 2])
    one = reference(sky, motion=motion, parallax=20.0, covariance=covariance)
    for year in (2004.3, 2016.0, 2029.8):
        away = positions_at(many, year) - positions_at(one, year)
        east, north = (away * MAS * [np.cos(np.radians(sky[1])), 1.0]).T
        rms = np.sqrt(0.5 * (east.var() + north.var()))
        # the rms of n draws, if the two axes told the same, is right to 1 in sqrt(2 n)
        assert errors_at(one, year)[0] == pytest.approx(rms, rel=4 / np.sqrt(2 * n))


@settings(max_examples=20)
@given(ras, st.floats(-85, 85), motions, st.floats(0.1, 100), st.floats(-20, 20), st.integers(0, 2**32 - 1))
def test_errors_follow_the_derivatives_of_places(ra, dec, motion, parallax, years, seed):
    covariance = correlated(np.random.default_rng(seed), 1)[0]
    one = reference([ra, dec], motion=motion, parallax=parallax, covariance=covariance)
    plus, minus = (
        reference(
            vector_to_sky(sky_to_vector([ra, dec]) + side * step[:, :2] @ tangent_axes(ra, dec)[:2]),
            motion=np.asarray(motion) + side * step[:, 3:] * MAS_PER_RADIAN,
            parallax=parallax + side * step[:, 2] * MAS_PER_RADIAN,
        )
        for step in [1e-6 * np.eye(5)]
        for side in (1, -1)
    )
    difference = sky_to_vector(positions_at(plus, 2016 + years)) - sky_to_vector(
        positions_at(minus, 2016 + years)
    )
    jacobian = difference @ tangent_axes(*positions_at(one, 2016 + years)[0])[:2].T / 2e-6
    variance = np.trace(jacobian.T @ covariance @ jacobian) / 2
    largest = np.trace(np.abs(jacobian).T @ np.abs(covariance) @ np.abs(jacobian)) / 2
    # along the way the axes turn, and the tangent plane tilts; 1e-16 of a position is 1e-10 of a step
    way = np.hypot(*motion) * abs(years) / MAS_PER_RADIAN * (1 + np.tan(np.radians(abs(dec))))
    assert abs(errors_at(one, 2016 + years)[0] ** 2 - variance) < (1e-6 + 4 * way) * largest


def test_errors_grow_with_the_years():
    catalog = reference([[10, 20], [350, -89.9]], motion=(3.0, 4.0))
    np.testing.assert_allclose(errors_at(catalog, np.array([2016.0, 2026.0])), [0.3, np.hypot(0.3, 1.0)])


def test_of_no_source_there_is_no_place():
    empty = reference(np.zeros((0, 2)))
    assert positions_at(empty, 2020.0).shape == (0, 2)
    assert errors_at(empty, np.zeros(0)).shape == (0,)
