from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.io.missions.hst.wcs import FitsWcs, corrected_linear_terms
from grism_align.values.pixel_sky import PixelSky
from grism_align.values.sphere import ARCSEC_PER_RADIAN
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.chips import chip_wcs

CHIPS = [("wfc3_ir", 0), ("wfc3_uvis", 0), ("wfc3_uvis", 1), ("acs_wfc", 0), ("acs_wfc", 1)]
MAS = 1e-3


def spread(wcs, n=9):
    """Pixels over the chip, corners included, off the grid on which corrections are found."""
    corner = wcs.grid().max(axis=0)
    x, y = np.meshgrid(np.linspace(0, 1, n) ** 1.1 * corner[0], np.linspace(0, 1, n) ** 1.1 * corner[1])
    return np.column_stack([x.ravel(), y.ravel()])


def offset(first, second):
    """Arcsec, east and north, from the first sky positions to the second."""
    plane = TangentPlane(*first[0])
    return plane.to_plane(second) - plane.to_plane(first)


@pytest.mark.parametrize("dec", [0.0, -65.0, -85.0])
@pytest.mark.parametrize(("name", "number"), CHIPS)
def test_correction_moves_the_sky(name, number, dec):
    pointing = (359.999, dec, 33.0)
    wcs = chip_wcs(name, pointing, number)
    plane = chip_wcs(name, pointing, 0).plane
    pixels = spread(wcs)
    before = wcs.to_sky(pixels)
    for angle in np.radians([0, 70, 200, 310]):
        shift = 15 * np.array([np.cos(angle), np.sin(angle)])
        for roll, scale in ((0.0, 1.0), (0.5, 1.0002), (-0.5, 1.0)):
            transform = LinearTransform.from_parameters(plane, shift, roll, scale)
            difference = offset(transform.apply_to_sky(before), wcs.corrected(transform).to_sky(pixels))
            assert np.hypot(*difference.T).max() < 0.01 * MAS


@pytest.mark.parametrize("name", ["wfc3_uvis", "acs_wfc"])
def test_chip_gap_is_kept(name):
    """The two chips are one rigid body: what lies across the gap stays across it, to 0.05 mas."""
    pointing = (150.1, -65.0, 120.0)
    chips = [chip_wcs(name, pointing, number, lookup=True) for number in (0, 1)]
    transform = LinearTransform.from_parameters(chips[0].plane, (9.0, -12.0), 0.5)
    corrected = [chip.corrected(transform) for chip in chips]
    nx = 4096
    lower = np.column_stack([np.linspace(0, nx - 1, 9), np.full(9, chips[0].grid()[:, 1].max())])
    upper = lower * [1, 0]
    gap = [offset(a.to_sky(lower), b.to_sky(upper)) for a, b in (chips, corrected)]
    assert 0.5 < np.hypot(*gap[0].T).min() < np.hypot(*gap[0].T).max() < 5  # they are neighbours
    # distances across are kept; so is the direction, but for the roll
    np.testing.assert_allclose(np.hypot(*gap[1].T), np.hypot(*gap[0].T), atol=0.05 * MAS)
    moved = [transform.apply_to_sky(c.to_sky(edge)) for c, edge in zip(chips, (lower, upper), strict=True)]
    np.testing.assert_allclose(gap[1], offset(*moved), atol=0.05 * MAS)


def test_a_correction_in_the_plane_of_another_exposure():
    """As a grism exposure takes it: the tangent point is that of the direct exposure, 90" off."""
    direct, grism = (chip_wcs("wfc3_ir", (53.0 + d, -65.0, 10.0)) for d in (0.0, 0.06))
    transform = LinearTransform.from_parameters(direct.plane, (3.0, -4.0), 0.05)
    pixels = spread(grism)
    difference = offset(
        transform.apply_to_sky(grism.to_sky(pixels)), grism.corrected(transform).to_sky(pixels)
    )
    assert np.hypot(*difference.T).max() < 0.01 * MAS


def wide_wcs(ra, dec, angle):
    """The WCS of a detector as wide as those of Roman, 7.5', with a little distortion."""
    turn = np.radians(angle)
    cd = 0.11 / 3600 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    cards = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": ra, "CRVAL2": dec}
    cards |= {"CRPIX1": 2044.5, "CRPIX2": 2044.5, "A_ORDER": 2, "A_2_0": 1e-6, "B_ORDER": 2, "B_1_1": 1e-6}
    cards |= {f"CD{i + 1}_{j + 1}": cd[i, j] for i in (0, 1) for j in (0, 1)}
    header = fits.Header(cards)
    return FitsWcs.from_header(header, fits.HDUList(), (4088, 4088))


@settings(max_examples=40)
@given(
    st.sampled_from(["wfc3_ir", "acs_wfc", "wide"]),
    st.tuples(st.floats(0, 359.9), st.floats(-85, 85), st.floats(0, 359.9)),
    st.tuples(st.floats(0, 600), st.floats(0, 6.3)),
    st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
    st.floats(-0.2, 0.2),
)
def test_a_correction_in_the_plane_of_a_frame(name, pointing, away, shift, roll):
    """Whose tangent point is up to 10' off: the WCS is where the map puts the sky, to second order."""
    wcs = wide_wcs(*pointing) if name == "wide" else chip_wcs(name, pointing)
    distance, direction = away
    place = wcs.plane.to_sky(distance * np.array([np.cos(direction), np.sin(direction)]))
    transform = LinearTransform.from_parameters(TangentPlane(*place.tolist()), shift, roll)
    pixels = spread(wcs)
    before = wcs.to_sky(pixels)
    expected = transform.apply_to_sky(before)
    difference = offset(expected, wcs.corrected(transform).to_sky(pixels))
    # what is left of a move by so much, so far from the reference point
    moved = np.hypot(*(wcs.plane.to_plane(expected) - wcs.plane.to_plane(before)).T).max()
    arm = np.hypot(*wcs.plane.to_plane(before).T).max() / ARCSEC_PER_RADIAN
    assert np.hypot(*difference.T).max() < 1.5 * moved * arm**2 + 1e-6 * MAS
    # the reference point itself is where the map puts it
    there = transform.at(wcs.plane)
    np.testing.assert_allclose(
        wcs.plane.to_plane(wcs.corrected(transform).crval), there.shift, rtol=0, atol=1e-6 * MAS
    )


def test_correction_leaves_the_original_alone():
    wcs = chip_wcs("wfc3_ir", (10.0, 20.0, 0.0))
    crval, cd = wcs.crval, wcs.cd
    moved = wcs.corrected(LinearTransform.from_parameters(wcs.plane, (5.0, 0.0), 0.3))
    np.testing.assert_array_equal(wcs.crval, crval)
    np.testing.assert_array_equal(wcs.cd, cd)
    # where the reference point goes is exact, and so are turn and scale there
    assert offset(crval[None], moved.crval[None])[0] == pytest.approx([5, 0], abs=1e-9)
    assert moved.pixel_scale == pytest.approx(wcs.pixel_scale, rel=1e-8)
    back = moved.corrected(LinearTransform.from_parameters(wcs.plane, (5.0, 0.0), 0.3).inverted())
    np.testing.assert_allclose(offset(wcs.to_sky(spread(wcs)), back.to_sky(spread(wcs))), 0, atol=1e-5)


def test_identity_changes_nothing():
    wcs = chip_wcs("acs_wfc", (10.0, -85.0, 0.0), lookup=True)
    crval, cd = corrected_linear_terms(wcs, LinearTransform.identity(wcs.plane))
    np.testing.assert_allclose(crval, wcs.crval, atol=1e-13)
    np.testing.assert_allclose(cd, wcs.cd, rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("lookup", [False, True])
@pytest.mark.parametrize(("name", "number"), CHIPS)
def test_pixels_and_back(name, number, lookup):
    wcs = chip_wcs(name, (0.001, 60.0, 200.0), number, lookup=lookup and name != "wfc3_ir")
    np.testing.assert_allclose(wcs.to_pixel(wcs.to_sky(spread(wcs))), spread(wcs), atol=2e-5)


@settings(max_examples=40)
@given(
    st.floats(0, 360, exclude_max=True),
    st.floats(-89.5, 89.5),
    st.floats(0, 360),
    st.tuples(st.floats(-200, 1213), st.floats(-200, 1213)),
)
def test_pixels_and_back_anywhere(ra, dec, angle, pixel):
    wcs = chip_wcs("wfc3_ir", (ra, dec, angle))
    np.testing.assert_allclose(wcs.to_pixel(wcs.to_sky([pixel])), [pixel], atol=2e-5)


def test_no_pixel_far_away():
    wcs = chip_wcs("wfc3_ir", (0.0, -30.0, 0.0))
    sky = wcs.plane.to_sky([[0.0, 0.0], [300.0, 0.0], [0.0, 4000.0], [0.0, 1e7]])
    antipode = [[wcs.plane.ra + 180, 30.0], [wcs.plane.ra + 91, 0.0]]
    pixels = wcs.to_pixel(np.concatenate([sky, antipode]))
    np.testing.assert_allclose(pixels[0], wcs.to_pixel(wcs.crval)[0])
    assert np.isnan(pixels[1:]).all()


def test_no_pixel_where_nothing_is_near():
    wcs = chip_wcs("wfc3_ir", (0.0, -30.0, 0.0))
    assert np.isnan(wcs.to_pixel([[90.0, 80.0], [91.0, 80.0]])).all()


def test_it_does_what_every_wcs_can():
    wanted = [name for name in vars(PixelSky) if not name.startswith("_")]
    assert {"plane", "pixel_scale", "to_sky", "to_pixel", "corrected", "footprint"} <= set(wanted)
    assert all(hasattr(FitsWcs, name) for name in wanted)


def test_no_positions():
    wcs = chip_wcs("wfc3_ir", (0.0, -30.0, 0.0))
    assert wcs.to_sky(np.zeros((0, 2))).shape == (0, 2)
    assert wcs.to_pixel(np.zeros((0, 2))).shape == (0, 2)


def test_footprint_is_the_outer_rim():
    wcs = chip_wcs("wfc3_ir", (0.0, 89.99, 0.0))
    corners = wcs.footprint()
    np.testing.assert_allclose(
        wcs.to_pixel(corners), [[-0.5, -0.5], [1013.5, -0.5], [1013.5, 1013.5], [-0.5, 1013.5]], atol=1e-5
    )
    separation = SkyCoord(corners, unit="deg").separation(SkyCoord(*wcs.crval, unit="deg"))
    # 136" by 123", as the handbook has it
    assert (separation < 0.5 * np.hypot(137, 124) * u.arcsec * 1.02).all()


@pytest.mark.parametrize(("name", "scale"), [("wfc3_ir", 0.128), ("wfc3_uvis", 0.0398), ("acs_wfc", 0.05)])
def test_scale_and_plane(name, scale):
    wcs = chip_wcs(name, (200.0, 5.0, 0.0))
    assert wcs.pixel_scale == pytest.approx(scale, rel=0.02)
    assert wcs.plane.coincides(TangentPlane(*wcs.crval))
