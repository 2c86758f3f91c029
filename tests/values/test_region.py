from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from grism_align.values.region import Cone
from grism_align.values.sphere import separation, unproject

ras = st.floats(0, 360, exclude_max=True)
decs = st.floats(-90, 90)
radii = st.floats(1e-4, 2.0)
turn = np.linspace(0, 2 * np.pi, 721)


@given(ras, decs, radii, radii, st.floats(0, 2), st.floats(0, 2 * np.pi))
def test_a_cone_within_another(ra, dec, radius, other_radius, distance, angle):
    step = 3600 * np.degrees(np.tan(np.radians(distance)))
    other_ra, other_dec = unproject(step * np.array([np.sin(angle), np.cos(angle)]), ra, dec)
    one, other = Cone(ra, dec, radius), Cone(float(other_ra), float(other_dec), other_radius)
    room = radius - other_radius - distance
    assume(abs(room) > 1e-5)
    rim = 3600 * np.degrees(np.tan(np.radians(other_radius)))
    ring = unproject(rim * np.column_stack([np.sin(turn), np.cos(turn)]), other.ra, other.dec)
    # of a ring of 720 points one is within 0.25 deg of the farthest, short of it by a share of 1e-5
    inside = bool((separation([ra, dec], ring) <= radius + 1e-5 * other_radius).all())
    assert one.contains(other) is (room > 0)
    if room > 0:
        assert inside
    elif room < -3e-5 * other_radius - 1e-5:
        assert not inside


@given(ras, decs, radii)
def test_a_cone_holds_itself(ra, dec, radius):
    cone = Cone(ra, dec, radius)
    assert cone.contains(cone)
    assert cone.contains(Cone((ra + 360.0) % 360.0, dec, 0.9 * radius))
    assert not cone.contains(Cone(ra, dec, 1.001 * radius))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Cone(359.9, 0.0, 0.1), True),
        (Cone(0.1, 0.0, 0.1), True),
        (Cone(0.15, 0.0, 0.1), False),
        (Cone(180.0, 0.0, 0.01), False),
    ],
)
def test_across_the_meridian(other, expected):
    assert Cone(0.0, 0.0, 0.2001).contains(other) is expected


def test_at_the_pole_right_ascension_says_nothing():
    assert Cone(10.0, 90.0, 0.2).contains(Cone(190.0, 90.0, 0.2))
    assert Cone(10.0, 89.95, 0.2).contains(Cone(190.0, 89.95, 0.0999))
    assert not Cone(10.0, 89.95, 0.2).contains(Cone(190.0, 89.95, 0.1001))
