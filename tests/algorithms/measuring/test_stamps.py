from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.measuring.stamps import StampGrid, light_offset, sampled, stacked
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.chips import chip_wcs

GRID = StampGrid(41, 0.065)
SHAPE = (1014, 1014)


def _image(xy, sigma=1.5, flux=1.0, sky=0.0):
    """A Gaussian star."""
    y, x = np.indices(SHAPE)
    star = np.exp(-0.5 * ((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / sigma**2)
    return sky + flux * star / (2 * np.pi * sigma**2)


def test_grid_has_north_up_and_east_left():
    east, north = np.moveaxis(GRID.offsets(), -1, 0)
    assert north[-1, 0] == pytest.approx(GRID.half) == pytest.approx(1.3)
    assert east[0, 0] == pytest.approx(GRID.half)
    assert GRID.offsets()[20, 20] == pytest.approx([0, 0])


@pytest.mark.parametrize("angle", [0.0, 37.0, 200.0])
def test_star_is_in_the_middle_where_the_wcs_is_right_and_off_where_not(angle):
    wcs = chip_wcs("wfc3_ir", (150.0, 2.2, angle))
    place = (412.3, 655.8)
    sky = wcs.to_sky([place])[0]
    image, good = _image(place), np.ones(SHAPE, dtype=bool)
    right = sampled(image, good, wcs, sky, GRID)
    # of a bilinear picture: the middle of the light is kept to a tenth of a grid point
    assert light_offset(right) < 0.1
    # a WCS that is 0.4" east shows the star 0.4" to the west of where it should be
    wrong = wcs.corrected(LinearTransform.from_parameters(TangentPlane(*sky), (0.4, 0.0)))
    moved = sampled(image, good, wrong, sky, GRID)
    row, column = np.unravel_index(np.nanargmax(moved), moved.shape)
    assert abs(row - 20) <= 1
    assert column == pytest.approx(20 - 0.4 / GRID.scale, abs=1.1)
    assert light_offset(moved) * GRID.scale == pytest.approx(0.4, abs=0.02)


def test_masked_pixels_and_those_off_the_chip_are_unknown():
    wcs = chip_wcs("wfc3_ir", (150.0, 2.2, 0.0))
    image, good = np.ones(SHAPE), np.ones(SHAPE, dtype=bool)
    good[480:521, 480:521] = False
    assert np.isnan(sampled(image, good, wcs, wcs.to_sky([[500, 500]])[0], GRID)).all()
    edge = sampled(image, good, wcs, wcs.to_sky([[0, 500]])[0], GRID)
    assert 0.4 < np.isfinite(edge).mean() < 0.6
    assert np.nanmax(np.abs(edge - 1)) < 1e-5
    assert np.isnan(sampled(image, good, wcs, wcs.to_sky([[-300, 500]])[0], GRID)).all()
    assert np.isnan(sampled(image, good, wcs, [10.0, 80.0], GRID)).all()


def _blob(dx=0.0, dy=0.0, flux=1.0, level=0.0):
    y, x = np.indices((41, 41)) - 20
    return level + flux * np.exp(-0.5 * ((x - dx) ** 2 + (y - dy) ** 2) / 3.0**2)


def test_stack_is_of_stars_of_one_flux_without_sky():
    fluxes, levels = (1.0, 8.0, 0.3), (0.0, 5.0, -1.0)
    shifts = (6.0, -6.0, 0.0)
    after = np.array([_blob(0, 0, f, s) for f, s in zip(fluxes, levels, strict=True)])
    before = np.array([_blob(d, 0, f, s) for f, s, d in zip(fluxes, levels, shifts, strict=True)])
    first, second = stacked(before, after, GRID)
    one = _blob() / stacked(_blob()[None], _blob()[None], GRID)[1].max()
    assert second / second.max() == pytest.approx(one / one.max(), abs=2e-3)
    # three stars side by side have the light of one
    assert first.sum() == pytest.approx(second.sum(), rel=0.02)
    assert first.max() < 0.6 * second.max()


def test_stack_leaves_out_cosmic_rays_and_stars_that_are_cut():
    after = np.array([_blob(), _blob(), np.full((41, 41), np.nan), -_blob()])
    after[1, 5, 5] = 50.0
    first, second = stacked(after, after, GRID)
    expected = stacked(_blob()[None], _blob()[None], GRID)[1]
    assert second == pytest.approx(expected, abs=1e-9)
    assert first == pytest.approx(second)


def test_stack_of_nothing_is_unknown():
    nothing = np.full((2, 41, 41), np.nan)
    assert all(np.isnan(one).all() for one in stacked(nothing, nothing, GRID))
    assert np.isnan(light_offset(nothing[0]))
    assert np.isnan(light_offset(np.zeros((41, 41))))


def test_neighbours_are_not_the_stars_light():
    star, neighbour = _blob(1.0, 0.0), _blob(14.0, 9.0, flux=0.9)
    assert light_offset(star + neighbour) > 4
    assert light_offset(star + neighbour, radius=8.0) == pytest.approx(1.0, abs=0.05)
    # one that is off stays off
    assert light_offset(_blob(9.0, 0.0), radius=8.0) == pytest.approx(9.0, abs=0.05)
