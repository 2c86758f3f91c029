from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grism_align.values.sphere import (
    mean_direction,
    project,
    separation,
    sky_to_vector,
    tangent_axes,
    unproject,
    vector_to_sky,
)
from grism_align.values.transform import TangentPlane

ras = st.floats(0, 360, exclude_max=True)
decs = st.floats(-90, 90)
# to 6 deg from the tangent point, where an arcsec of the plane is an arcsec of the sky to 1 %
offsets = st.tuples(st.floats(-20000, 20000), st.floats(-20000, 20000))


@given(ras, decs, offsets)
@example(0.0, 90.0, (100.0, -50.0))
@example(123.0, -90.0, (-0.5, 0.0))
@example(0.0, 10.0, (-30.0, 4.0))
@example(359.999999, -30.0, (30.0, 4.0))
def test_plane_round_trip(ra, dec, xy):
    plane = TangentPlane(ra, dec)
    sky = plane.to_sky(xy)
    assert 0 <= sky[0] < 360
    # a unit vector holds 1e-16 rad, 5e-11"
    np.testing.assert_allclose(plane.to_plane(sky), xy, rtol=1e-11, atol=1e-9)


@settings(max_examples=30)
@given(ras, decs, offsets)
@example(0.0, 90.0, (100.0, -50.0))
def test_plane_agrees_with_astropy(ra, dec, xy):
    center, there = SkyCoord(ra, dec, unit="deg"), SkyCoord(*unproject(xy, ra, dec), unit="deg")
    assert center.separation(there).arcsec == pytest.approx(
        np.degrees(np.arctan(np.hypot(*xy) / 206264.80624709636)) * 3600, abs=1e-8
    )
    if abs(dec) < 89.9999 and np.hypot(*xy) > 1:
        angle = center.position_angle(there).to_value(u.deg)
        difference = angle - np.degrees(np.arctan2(xy[0], xy[1]))
        assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=1e-5)


@given(ras, decs)
def test_vector_round_trip_and_axes(ra, dec):
    vector = sky_to_vector([ra, dec])
    np.testing.assert_allclose(sky_to_vector(vector_to_sky(3.7 * vector)), vector, atol=1e-15)
    axes = tangent_axes(ra, dec)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(axes[2], vector, atol=1e-15)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_the_other_hemisphere_has_no_place_on_the_plane():
    far = project([[10.0, 20.0], [190.0, 20.0], [10.0, -70.001], [10.0, -69.0]], 10.0, 20.0)
    assert np.isnan(far[1:3]).all()
    assert np.isfinite(far[[0, 3]]).all()


def test_shapes_are_kept():
    plane = TangentPlane(10, 20)
    assert plane.to_sky(np.zeros((3, 4, 2))).shape == (3, 4, 2)
    assert plane.to_plane(np.zeros((0, 2))).shape == (0, 2)


def test_right_ascension_stays_below_360():
    assert vector_to_sky([1.0, -1e-20, 0.0])[0] == 0
    assert np.isnan(vector_to_sky([np.nan, 0.0, 0.0])).all()


def test_mean_direction_across_the_meridian_and_the_pole():
    assert mean_direction([[359.0, 0.0], [1.0, 0.0]]) == pytest.approx((0, 0), abs=1e-12)
    ring = [[ra, -89.0] for ra in (0, 90, 180, 270)]
    assert mean_direction(ring)[1] == pytest.approx(-90)


@pytest.mark.parametrize(
    ("ra", "expected"), [(10 + 360, True), (10 + 1e-7 / 3600, True), (10 + 1e-5 / 3600, False), (190, False)]
)
def test_planes_coincide_within_a_microarcsecond(ra, expected):
    assert TangentPlane(10.0, 0.0).coincides(TangentPlane(ra, 0.0)) is expected


@settings(max_examples=50)
@given(ras, decs, ras, decs)
@example(0.0, 90.0, 180.0, -90.0)
@example(10.0, 20.0, 10.0, 20.0)
@example(0.0, 0.0, 180.0, 1e-9)
def test_separation_agrees_with_astropy(ra, dec, other_ra, other_dec):
    expected = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(other_ra, other_dec, unit="deg"))
    found = separation([ra, dec], [other_ra, other_dec])
    # a unit vector holds 1e-16 rad, and astropy's angles in deg no better
    assert found == pytest.approx(expected.deg, abs=1e-13)
    assert separation([other_ra, other_dec], [ra, dec]) == found


@given(ras, decs, st.floats(-9, 1), st.floats(0, 360))
def test_separation_of_a_small_step(ra, dec, size, angle):
    step = 10**size * np.array([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    there = unproject(step, ra, dec)
    # of an angle of 360 deg a double leaves 6e-14
    expected = np.degrees(np.arctan(10**size / 206264.80624709636))
    assert separation([ra, dec], there) == pytest.approx(expected, abs=2e-13)


def test_separations_of_many():
    sky = np.array([[0.0, 0.0], [90.0, 0.0], [0.0, -90.0]])
    np.testing.assert_allclose(separation(sky[:, None], sky), 90 * (1 - np.eye(3)), atol=1e-13)
    assert separation(sky[0], np.zeros((0, 2))).shape == (0,)
