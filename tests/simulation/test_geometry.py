"""Rotations of the sky and the chips' WCSs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.simulation.hst.chips import ChipWcs, linear_wcs, wcs_header
from grism_align.simulation.hst.instruments import INSTRUMENTS
from grism_align.simulation.hst.lookup import lookup_tables
from grism_align.simulation.rotations import frame_at, linearised, pointing_rotation
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from grism_align.values.transform import LinearTransform, TangentPlane

MAS = 3.6e6
POINTING = (150.11, 2.22, 35.0)
angles = st.floats(0, 360)
declinations = st.floats(-89, 89)


def chip_of(name: str, number: int, pointing=POINTING, rotation=None, grism=False) -> ChipWcs:
    camera = INSTRUMENTS[name]
    optics = (camera.grism if grism else camera.direct)[number]
    tables = lookup_tables(len(camera.direct), [(0, 0)] * 2) if camera.has_lookup_tables else []
    linear = linear_wcs(optics, pointing, 1.00002)
    if rotation is not None:
        linear = linear.rotated(rotation)
    return ChipWcs(wcs_header(linear, optics, number + 1 if tables else None), tables, camera.shape)


def chips():
    return [(name, n) for name, camera in INSTRUMENTS.items() for n in range(len(camera.direct))]


def grid(chip: ChipWcs, n: int = 5):
    ny, nx = chip.shape
    return np.stack(np.meshgrid(np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)), -1).reshape(-1, 2)


def distance(first, second):
    """Angles between sky positions, mas."""
    return np.linalg.norm(sky_to_vector(first) - sky_to_vector(second), axis=-1) * np.degrees(1) * MAS


@given(ra=angles, dec=declinations, roll=st.floats(-1, 1), east=st.floats(-20, 20), north=st.floats(-20, 20))
def test_pointing_rotation_is_a_rotation_that_moves_its_point_as_asked(ra, dec, roll, east, north):
    rotation = pointing_rotation(ra, dec, np.array([east, north]), roll)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    moved = vector_to_sky(rotation @ sky_to_vector([ra, dec]))
    np.testing.assert_allclose(TangentPlane(ra, dec).to_plane(moved), [east, north], atol=1e-6)
    matrix, shift = linearised(rotation, ra, dec)
    transform = LinearTransform(matrix, shift, TangentPlane(ra, dec))
    # the tangent plane's linear terms take in cos(shift), 5e-9 at 20"
    assert transform.roll == pytest.approx(roll, abs=1e-7)
    assert transform.scale == pytest.approx(1.0, abs=2e-8)


@given(ra=angles, dec=declinations, angle=angles)
def test_frame_at_points_where_it_says(ra, dec, angle):
    frame = frame_at(ra, dec, angle)
    np.testing.assert_allclose(frame @ [1, 0, 0], sky_to_vector([ra, dec]), atol=1e-14)
    step = vector_to_sky(frame @ sky_to_vector([0.0, 0.001]))
    east, north = TangentPlane(ra, dec).to_plane(step)
    turn = np.degrees(np.arctan2(east, north)) - angle
    assert (turn + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("name", "number"), chips())
@pytest.mark.parametrize("dec", [2.22, -85.0])
def test_a_rotated_wcs_is_the_rotated_sky(name, number, dec):
    rotation = pointing_rotation(150.1, dec, np.array([12.0, -8.0]), 0.3)
    pointing = (150.11, dec, 35.0)
    true, written = chip_of(name, number, pointing), chip_of(name, number, pointing, rotation)
    xy = grid(true)
    expected = vector_to_sky(sky_to_vector(true.to_sky(xy)) @ rotation.T)
    assert distance(written.to_sky(xy), expected).max() < 1e-4


@pytest.mark.parametrize(("name", "number"), chips())
def test_to_pixel_inverts_to_sky_also_off_the_chip(name, number):
    chip = chip_of(name, number)
    xy = grid(chip) * 1.2 - 100
    np.testing.assert_allclose(chip.to_pixel(chip.to_sky(xy)), xy, atol=1e-6)


@pytest.mark.parametrize(("name", "number"), chips())
def test_distortion_and_orientation_are_those_of_the_detector(name, number):
    chip = chip_of(name, number)
    assert chip.pixel_scale == pytest.approx(INSTRUMENTS[name].pixel, rel=0.03)
    assert chip.header["ORIENTAT"] == pytest.approx(POINTING[2], abs=0.5)
    linear = chip.wcs.wcs_pix2world(grid(chip), 0)
    moved = distance(linear, chip.to_sky(grid(chip))) / 1e3 / chip.pixel_scale
    assert 3 < moved.max() < 120  # pixels, at the corners


@pytest.mark.parametrize("name", ["wfc3_uvis", "acs_wfc"])
def test_the_gap_between_two_chips_is_rigid(name):
    """No pointing changes the distances between pixels of the two chips."""
    gaps = []
    for pointing in [POINTING, (5.6, -72.0, 154.5), (0.0, 89.5, 300.0)]:
        rotation = pointing_rotation(*pointing[:2], np.array([3.0, 1.0]), 0.05)
        lower, upper = (chip_of(name, number, pointing, rotation) for number in (0, 1))
        columns = np.linspace(0, 4095, 5)
        below = lower.to_sky(np.column_stack([columns, np.full(5, lower.shape[0] - 1)]))
        above = upper.to_sky(np.column_stack([columns, np.zeros(5)]))
        gaps.append(distance(below, above))
    np.testing.assert_allclose(gaps[1:], [gaps[0]] * 2, atol=2e-4)
    # 31 and 50 rows or so
    assert 1.0 < gaps[0].mean() / 1e3 < 3.0


def test_a_grism_of_wfc3_ir_has_its_reference_pixel_elsewhere_and_sees_the_same_sky():
    direct, grism = chip_of("wfc3_ir", 0), chip_of("wfc3_ir", 0, grism=True)
    assert direct.wcs.wcs.crpix[0] - grism.wcs.wcs.crpix[0] == 65
    difference = grism.to_pixel(direct.to_sky(grid(direct))) - grid(direct)
    assert np.abs(difference).max() < 0.1


@pytest.mark.parametrize("name", ["wfc3_uvis", "acs_wfc"])
def test_lookup_tables_reach_the_positions(name):
    chip = chip_of(name, 0)
    bare = wcs_header(
        linear_wcs(INSTRUMENTS[name].direct[0], POINTING, 1.00002), INSTRUMENTS[name].direct[0], None
    )
    without = ChipWcs(bare, [], chip.shape).to_sky(grid(chip))
    moved = distance(without, chip.to_sky(grid(chip))) / 1e3 / chip.pixel_scale
    assert 0.01 < np.sqrt(np.mean(moved**2)) < 0.1
