from __future__ import annotations

import pickle

import numpy as np
import pytest
from astropy.modeling.models import Mapping, Polynomial2D, Scale, Shift, Tabular1D
from hypothesis import given
from hypothesis import strategies as st

from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine
from grism_align.io.gwcs.lean import FieldAffine, FieldRotation, mapped, shared
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform, TangentPlane

pytest.importorskip("jwst", reason="needs jwst")
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.sky import GwcsSky
from tests.support import jwst_models as jm

FILTERS = {"image": ("CLEAR", "F150W"), "dispersed": ("GR150C", "F150W")}
IDENTITY = PlaneAffine()


@pytest.fixture(scope="module", params=FILTERS)
def sky(request):
    true = jm.attitude(jm.NIS.place, *jm.CENTER, 33.0)
    model = jm.model_of(jm.NIS, jm.Shot(1, 1, true, true, {"NIS": FILTERS[request.param]}))
    info = model.meta.wcsinfo
    plane = AttitudePlane(info.v2_ref, info.v3_ref, info.roll_ref)
    return GwcsSky(parts_of(model.meta.wcs, "model"), plane, None, model.shape)


def model_at(roll, kind="image"):
    true = jm.attitude(jm.NIS.place, *jm.CENTER, roll)
    return jm.model_of(jm.NIS, jm.Shot(1, 1, true, true, {"NIS": FILTERS[kind]}))


@pytest.mark.parametrize("kind", FILTERS)
def test_in_little_room_as_the_gwcs_has_it(kind):
    """Each detector's distortion is held once; what turns and stretches is a matrix, to 1e-6 mas."""
    skies = []
    for roll in (33.0, 170.0):
        wcs = model_at(roll, kind).meta.wcs
        parts = parts_of(wcs, "model")
        xy = np.array([[3.0, 5.0], [1000.0, 7.0], [2040.0, 2000.0]])
        found = mapped(parts.to_sky, mapped(parts.to_field[1], mapped(parts.to_field[0], xy)))
        first = next(name for name in ("detector", wcs.available_frames[0]) if name in wcs.available_frames)
        expected = mapped(wcs.get_transform(first, "world"), xy)
        assert mas(found, expected) < 1e-6
        assert isinstance(parts.to_sky, FieldRotation)
        assert isinstance(parts.to_field[1], FieldAffine)
        skies.append(parts)
    one, other = skies
    assert one.to_field[0] is other.to_field[0]
    assert one.from_field[-1] is other.from_field[-1]


def test_only_what_is_the_same_is_shared():
    def both(one, other, order=(0, 1)):
        return Mapping(order) | Shift(one) & Shift(other)

    known = shared(both(1.0, 2.0))
    assert shared(both(1.0, 2.0)) is known
    for other in (both(2.0, 1.0), both(1.0, 2.0, (1, 0)), Mapping((0, 1)) | Scale(1.0) & Scale(2.0)):
        assert shared(other) is not known
    first = shared(Polynomial2D(2, c0_1=1.0))
    Polynomial2D(5)
    assert shared(Polynomial2D(2, c0_1=1.0)) is first
    assert shared(Polynomial2D(2, c0_1=2.0)) is not first
    tables = [shared(Tabular1D(lookup_table=np.arange(4.0))) for _ in range(2)]
    assert tables[0] is not tables[1]


def mas(one, other):
    return 3.6e6 * separation(one, other).max()


def test_the_reference_point(sky):
    assert mas([[sky.plane.ra, sky.plane.dec]], [jm.CENTER]) < 0.01
    assert sky.pixel_scale == pytest.approx(jm.NIS.scale, rel=1e-4)


def test_inverse_is_polished(sky):
    """The polynomials that come with the WCS miss by a tenth of a pixel."""
    xy = sky.grid()
    raw = sky.to_field(xy)
    for step in sky.parts.from_field:
        raw = mapped(step, raw)
    assert np.abs(raw - xy).max() > 0.05
    np.testing.assert_allclose(sky.to_pixel(sky.to_sky(xy)), xy, atol=1e-6)


def test_far_from_the_array_there_is_no_pixel(sky):
    places = np.array(
        [[sky.plane.ra, sky.plane.dec + 0.02], [sky.plane.ra + 180.0, -sky.plane.dec], [0.0, 90.0]]
    )
    assert np.isnan(sky.to_pixel(places)).all()
    assert sky.to_pixel(np.zeros((0, 2))).shape == (0, 2)


def test_a_correction_in_any_plane(sky):
    """A move by arcseconds about a far point is one affine map of the exposure's own plane."""
    far = TangentPlane(sky.plane.ra + 0.03, sky.plane.dec - 0.02)
    transform = LinearTransform.from_parameters(far, (1.7, -0.8), roll=0.03, scale=1 + 2e-5)
    corrected, xy = sky.corrected(transform), sky.grid()
    # second order: shift times the square of the array's size
    assert mas(corrected.to_sky(xy), transform.apply_to_sky(sky.to_sky(xy))) < 1e-3
    np.testing.assert_allclose(corrected.to_pixel(corrected.to_sky(xy)), xy, atol=1e-6)
    back = corrected.corrected(transform.inverted())
    assert mas(back.to_sky(xy), sky.to_sky(xy)) < 1e-3


def test_the_attitude_is_that_of_the_headers(sky):
    expected = jm.attitude(jm.NIS.place, *jm.CENTER, 33.0)
    np.testing.assert_allclose(sky.attitude, expected, atol=1e-11)
    moved = sky.corrected(LinearTransform.from_parameters(sky.plane, (0.5, 0.5)))
    np.testing.assert_array_equal(moved.attitude, sky.attitude)


def test_pickled_and_back(sky):
    again = pickle.loads(pickle.dumps(sky))
    np.testing.assert_array_equal(again.to_sky(sky.grid()), sky.to_sky(sky.grid()))
    np.testing.assert_array_equal(again.to_pixel(sky.footprint()), sky.to_pixel(sky.footprint()))


ANGLES = st.floats(-1000.0, 1000.0)


@given(
    v2=ANGLES, v3=ANGLES, roll=st.floats(-360.0, 360.0), x=st.floats(-60.0, 60.0), y=st.floats(-60.0, 60.0)
)
def test_the_plane_of_the_attitude(v2, v3, roll, x, y):
    plane, field = AttitudePlane(v2, v3, roll), np.array([[v2 + x, v3 + y]])
    there = plane.to_plane(field)
    assert np.hypot(*there[0]) == pytest.approx(
        np.radians(separation([[v2 / 3600, v3 / 3600]], field / 3600)[0]), abs=1e-9
    )
    np.testing.assert_allclose(plane.to_v2v3(there), field, atol=1e-7)
    np.testing.assert_allclose(plane.corrected(field, IDENTITY), field, atol=1e-7)


@given(
    terms=st.tuples(*[st.floats(-0.01, 0.01)] * 4),
    shift=st.tuples(*[st.floats(-1e-4, 1e-4)] * 2),
)
def test_an_affine_map_and_back(terms, shift):
    affine = PlaneAffine.of(np.eye(2) + np.reshape(terms, (2, 2)), shift)
    xy = np.array([[1e-4, -2e-4], [0.0, 0.0]])
    np.testing.assert_allclose(affine.undo(affine.apply(xy)), xy, atol=1e-15)
