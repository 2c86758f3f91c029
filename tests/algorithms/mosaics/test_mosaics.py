"""Mosaics: grids, maps, cosmic rays, drizzling, sources; each with a known truth."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from grism_align.algorithms.mosaics.catalog import FindSettings, _Field, _segments, measure_mosaic
from grism_align.algorithms.mosaics.cosmic_rays import (
    Median,
    Model,
    blotted_median,
    combined_median,
    cosmic_rays_against_median,
    half_gap,
    laplacian_cosmic_rays,
)
from grism_align.algorithms.mosaics.drizzle import (
    DrizzleInput,
    DrizzleKernel,
    TileSum,
    noise_correlation,
)
from grism_align.algorithms.mosaics.grid import frame_note, grid_around, plan_mosaics
from grism_align.algorithms.mosaics.map import PixelMap, PlaneMap
from grism_align.values.errors import SettingsError
from grism_align.values.exposure import Chip
from grism_align.values.mosaic import Tile
from grism_align.values.settings import MosaicSettings
from tests.support.exposures import exposure

SIDE = 120
FIND = FindSettings(sigma=1.5, threshold=3.0, area=5, contrast=0.05, aperture=6.0, box=64)
DROP = DrizzleKernel("square", 0.8, is_variance=True)


class Plain:
    """A chip without distortion, turned by an angle, whose pixels are 0.1 arcsec."""

    pixel_scale = 0.1

    def __init__(self, grid, angle=0.0, offset=(0.0, 0.0), ripple=0.0):
        self._grid, self._offset, self._ripple = grid, np.array(offset), ripple
        turn = np.radians(angle)
        self._turn = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

    def to_sky(self, xy):
        xy = np.asarray(xy, float) - (SIDE - 1) / 2
        xy = xy + self._ripple * np.sin(xy[:, ::-1] / 9)
        place = xy @ self._turn.T * 0.1 / self._grid.scale + self._grid.origin + self._offset
        return self._grid.to_sky(place)

    def footprint(self):
        return self.to_sky([[0, 0], [SIDE - 1, 0], [SIDE - 1, SIDE - 1], [0, SIDE - 1]])


class Wide(Plain):
    """A chip of two arcminutes."""

    def footprint(self):
        center = self.to_sky([[(SIDE - 1) / 2, (SIDE - 1) / 2]])
        return center + 10 * (super().footprint() - center)


@pytest.fixture
def grid():
    ra, dec = 150.0, 2.0
    half = 0.1 * SIDE / 2 / 3600
    corners = [[ra + i * half, dec + j * half] for i in (-1, 1) for j in (-1, 1)]
    return grid_around(corners, 0.06, 30.0)


def _chip(image, grid, weight=1.0, **place):
    to_plane = PlaneMap(Plain(grid, **place), image.shape, grid.plane)
    return DrizzleInput(
        image.astype(np.float32), np.full(image.shape, weight, np.float32), PixelMap(to_plane, grid), 0.1
    )


def _mosaic(chips, grid, drop=DROP, side=4096):
    image, weight = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for tile in grid.tiles(side):
        total = TileSum(tile, drop, whole=side > max(grid.shape))
        for chip in chips:
            total.add(chip)
        image[tile.slices], weight[tile.slices] = total.image, total.weight
    return image, weight


def _gaussian(x, y, flux=1000.0, sigma=1.2, shape=(SIDE, SIDE)):
    rows, columns = np.indices(shape)
    return flux / (2 * np.pi * sigma**2) * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))


# --- grids and maps ---


@given(ra=st.floats(0, 360), dec=st.floats(-89, 89), angle=st.floats(-180, 180), scale=st.floats(0.02, 0.2))
def test_a_grid_holds_what_it_was_made_for(ra, dec, angle, scale):
    offsets = np.array([[-20.0, -10.0], [15.0, 3.0], [0.0, 12.0]]) / 3600
    sky = np.column_stack([ra + offsets[:, 0] / np.cos(np.radians(dec)), dec + offsets[:, 1]])
    found = grid_around(sky, scale, angle)
    xy = found.to_pixel(sky)
    assert (xy > 0).all()
    assert (xy < np.array(found.shape[::-1]) - 1).all()
    assert np.allclose(found.to_pixel(found.to_sky(xy)), xy, atol=1e-6)
    assert found.scale == pytest.approx(scale)
    north = found.to_pixel([found.plane.ra, found.plane.dec + 1 / 3600]) - found.origin
    assert np.degrees(np.arctan2(north[0], north[1])) == pytest.approx(angle, abs=1e-3) or abs(angle) > 179.9


def test_other_pixels_of_the_same_place(grid):
    coarse = grid.coarser(0.1)
    corner = [[-0.5, -0.5]]
    assert np.allclose(coarse.to_sky(corner), grid.to_sky(corner), atol=1e-10)
    part = coarse.around(coarse.to_sky([[40, 50], [60, 80]]), 2)
    assert np.allclose(part.to_sky([[2, 2]]), coarse.to_sky([[40, 50]]), atol=1e-9)


@pytest.mark.parametrize("side", [7, 64, 1000])
def test_tiles_cover_a_grid_once(grid, side):
    seen = np.zeros(grid.shape, int)
    for tile in grid.tiles(side):
        seen[tile.slices] += 1
    assert (seen == 1).all()


def test_the_map_is_exact_and_finer_where_it_must_be(grid):
    for ripple, step in ((0.0, 32), (0.05, 4)):
        wcs = Plain(grid, 12.0, (3.0, -2.0), ripple)
        to_plane = PlaneMap(wcs, (SIDE, SIDE), grid.plane)
        assert to_plane.step <= step
        xy = np.random.default_rng(2).integers(0, SIDE, (50, 2))
        found = PixelMap(to_plane, grid).whole()[xy[:, 1], xy[:, 0]]
        assert np.abs(found - grid.to_pixel(wcs.to_sky(xy))).max() < 1e-3 * (ripple > 0) + 1e-6


@pytest.mark.parametrize("side", [64, 100])
def test_chips_that_reach_far_beyond_a_tile(grid, monkeypatch, side):
    """They are cut up until what falls on it lies within its margin; nothing is lost or counted twice."""
    monkeypatch.setattr("grism_align.algorithms.mosaics.drizzle._MARGIN", 48)
    rng = np.random.default_rng(8)
    chips = [
        _chip(rng.normal(10, 1, (SIDE, SIDE)), grid, angle=angle, offset=(3.0 * angle / 20, 2.0), ripple=0.05)
        for angle in (20.0, -70.0)
    ]
    whole, parts = _mosaic(chips, grid), _mosaic(chips, grid, side=side)
    for one, other in zip(whole, parts, strict=True):
        assert np.allclose(one, other, rtol=2e-5, atol=1e-5)


def test_whether_a_chip_lies_on_a_tile(grid):
    to_grid = PixelMap(PlaneMap(Plain(grid, 20.0), (SIDE, SIDE), grid.plane), grid)
    whole = to_grid.whole()
    low, high = np.floor(whole.min(axis=(0, 1))).astype(int), np.ceil(whole.max(axis=(0, 1))).astype(int)
    for margin, wanted in ((8, True), (1, False), (-5, False)):
        tile = Tile(low[1] - margin, high[1] + margin, low[0] - margin, high[0] + margin)
        assert to_grid.lies_within(tile) is wanted


def test_a_part_of_a_chip_holds_all_that_falls_on_a_tile(grid):
    to_grid = PixelMap(PlaneMap(Plain(grid, 20.0), (SIDE, SIDE), grid.plane), grid)
    whole = to_grid.whole()
    tile = Tile(40, 90, 100, 160)
    inside = (whole >= tile.corner - 1).all(axis=-1) & (whole <= tile.corner + np.array([61, 51])).all(
        axis=-1
    )
    part = to_grid.part_on(tile)
    seen = np.zeros(inside.shape, bool)
    seen[part.slices] = True
    assert seen[inside].all()
    assert not seen.all()
    assert to_grid.part_on(Tile(0, 4, 0, 4)) is None


def test_plans_by_visit_and_filter(grid):
    chips = (Chip(1, (SIDE, SIDE), Plain(grid)),)
    names = [(f"e{i}", 57000.0 + i, f"v{i // 2}") for i in range(4)]
    members = [exposure(key, time, visit=visit, filter="F140W", chips=chips) for key, time, visit in names]
    names = {
        extent: [plan.name for plan in plan_mosaics(members, "field", MosaicSettings(extent=extent))]
        for extent in ("visit", "field", "both")
    }
    assert names["visit"] == ["v0-f140w", "v1-f140w"]
    assert names["field"] == ["field-f140w"]
    assert names["both"] == names["visit"] + names["field"]


# --- the sky ---


def test_a_frame_is_told_and_an_absurd_one_refused(grid):
    members = [exposure("a", 57000.0, chips=(Chip(1, (SIDE, SIDE), Plain(grid)),))]
    plan = plan_mosaics(members, "field", MosaicSettings(scale=0.1))[0]
    ny, nx = plan.grid.shape
    assert f"{nx} x {ny} pixels of 0.1 arcsec" in frame_note(plan, MosaicSettings())
    assert "1 tile, 1 exposures" in frame_note(plan, MosaicSettings())
    with pytest.raises(SettingsError, match=r"scale=0\.001.* pixels"):
        plan_mosaics(
            [exposure("a", 57000.0, chips=(Chip(1, (SIDE, SIDE), Wide(grid)),))],
            "field",
            MosaicSettings(scale=0.001),
        )


# --- drizzling ---


def test_flux_noise_and_tiles(grid):
    rng = np.random.default_rng(4)
    source = _gaussian(58.3, 61.8)
    places = [{"angle": a, "offset": o} for a, o in ((10, (0, 0)), (10, (0.7, 0.4)), (12, (0.3, 1.1)))]
    image, weight = _mosaic([_chip(source, grid, **place) for place in places], grid)
    assert image.sum() == pytest.approx(1000, rel=2e-3)
    parts = _mosaic([_chip(source, grid, **place) for place in places], grid, side=50)
    assert np.allclose(parts[0], image, atol=1e-5)
    assert np.allclose(parts[1], weight, rtol=1e-5)
    # variances of pixels add up to that of a sum over many, as weights promise
    sums = []
    inner = (slice(90, 130), slice(90, 130))
    for _ in range(60):
        chips = [_chip(rng.normal(0, 2, (SIDE, SIDE)), grid, 0.25, **place) for place in places]
        noise, own = _mosaic(chips, grid)
        sums.append(noise[inner].sum())
    expected = np.sqrt((1 / own[inner]).sum())
    assert np.std(sums) == pytest.approx(expected, rel=4 / np.sqrt(2 * 60))
    # single pixels scatter less, by the correlation of their noise
    ratio = np.sqrt(np.mean(1 / own[inner])) / noise[inner].std()
    assert ratio == pytest.approx(noise_correlation(0.8, 0.6), rel=0.15)
    assert noise_correlation(0.3, 0.6) == pytest.approx(1.2)


@pytest.mark.parametrize("kernel", ["square", "turbo", "point", "gaussian", "lanczos3"])
@pytest.mark.parametrize("is_variance", [True, False])
def test_weights_are_per_pixel_of_the_mosaic_with_any_kernel(grid, kernel, is_variance):
    """Times stay times; inverse variances grow as pixels get smaller. Fluxes of wide sources stay."""
    chip = _chip(_gaussian(58.3, 61.8, sigma=3.0), grid, 4.0, angle=10)
    image, weight = _mosaic([chip], grid, DrizzleKernel(kernel, 0.8, is_variance=is_variance))
    middle = tuple(slice(side // 2 - 20, side // 2 + 20) for side in grid.shape)
    expected = 4.0 * ((0.1 / grid.scale) ** 2 if is_variance else 1.0)
    assert weight[middle].mean() == pytest.approx(expected, rel=0.01)
    if kernel != "point":
        # points leave pixels without data
        assert image.sum() == pytest.approx(1000, rel=2e-3)


_KERNELS = ("square", "turbo", "gaussian", "lanczos3", "point")


def test_drops_that_count():
    sides = {kernel: MosaicSettings(kernel=kernel, pixfrac=0.8).drop_side for kernel in _KERNELS}
    assert sides == {"square": 0.8, "turbo": 0.8, "gaussian": 0.8, "lanczos3": 1.0, "point": 0.0}
    assert noise_correlation(sides["point"], 0.6) == 1.0


# --- cosmic rays ---


def test_the_median_of_few():
    stack = np.full((4, 1, 5), np.nan, np.float32)
    for column, values in enumerate(([1, 2, 3, 9], [1, 5, 9], [2, 8], [4], [])):
        stack[: len(values), 0, column] = values
    median, number = combined_median(stack)
    assert combined_median(np.ones((256, 1, 1), np.float32))[1] == 256
    assert number[0].tolist() == [4, 3, 2, 1, 0]
    assert median[0, :4].tolist() == [2.5, 5, 2, 4]
    assert np.isnan(median[0, 4])


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_the_median_is_that_of_numpy(n):
    """But of two the lower."""
    rng = np.random.default_rng(n)
    stack = rng.normal(size=(n, 20, 30)).astype(np.float32)
    stack[rng.random(stack.shape) < 0.3] = np.nan
    median, number = combined_median(stack)
    assert np.array_equal(number, np.isfinite(stack).sum(axis=0))
    some = number > 0
    wanted = np.where(number == 2, np.nanmin(stack[:, :, :], axis=0, initial=9), 0)
    wanted[some & (number != 2)] = np.nanmedian(stack[:, some & (number != 2)], axis=0)
    assert np.allclose(median[some], wanted[some], atol=1e-6)
    assert np.isnan(median[~some]).all()


def test_the_middle_of_two_skies_is_theirs():
    """The lower value lies 0.56 scatters under them, the mean at their level."""
    stack = np.random.default_rng(2).normal(0, 1, (3, 200, 200)).astype(np.float32)
    stack[2] = np.nan
    stack[0, :20] = np.nan
    median, number = combined_median(stack)
    gap = half_gap(stack, number)
    assert (gap[:20] == 0).all()
    sky = median[20:] + gap[20:].astype(float)
    # five standard errors of the mean of two
    assert abs(sky.mean()) < 5 / np.sqrt(2 * sky.size)
    assert abs(np.median(sky)) < 1.25 * 5 / np.sqrt(2 * sky.size)
    assert median[20:].mean() < -0.5


def test_a_ray_between_flagged_pixels_is_compared_with_the_other_exposure(grid):
    """One pixel between eight flagged ones: the exposure shows nothing there, but the other one does."""
    coarse = grid.coarser(0.1)
    to_grid = PixelMap(PlaneMap(Plain(coarse, 5.0, (0.3, 0.2)), (SIDE, SIDE), coarse.plane), coarse)
    rng = np.random.default_rng(4)
    image = rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32)
    flagged = np.zeros(image.shape, bool)
    for row, column in ((60, 60), (80, 40)):
        flagged[row - 1 : row + 2, column - 1 : column + 2] = True
        flagged[row, column] = False
    image[60, 60] = 900
    other = rng.normal(0, 0.1, coarse.shape).astype(np.float32)
    own = other.copy()
    places = np.rint(to_grid.whole()).astype(int)
    for row, column in ((60, 60), (80, 40)):
        x, y = places[row, column]
        own[y - 2 : y + 3, x - 2 : x + 3] = np.nan
    # a ray of the other exposure, where this one has a clean pixel
    x, y = places[80, 40]
    other[y, x] = 500
    median = Median.of(*combined_median(np.stack([own, other])))
    limits = MosaicSettings(cr_snr=4.0, cr_snr_beside=3.0, cr_scale=1.2, cr_scale_beside=0.7)
    arguments = ~flagged, np.ones_like(image), limits
    without = cosmic_rays_against_median(
        image, arguments[0], blotted_median(median, to_grid, 1.0), *arguments[1:]
    )
    assert not without[60, 60]
    model = blotted_median(median, to_grid, 1.0, median.by_others(np.isfinite(own)))
    found = cosmic_rays_against_median(image, arguments[0], model, *arguments[1:])
    assert found[60, 60]
    assert not found[80, 40]
    assert not found[flagged].any()


def test_cosmic_rays_are_found_and_stars_kept(grid):
    """A scene with stars, three dithers, rays in one of them."""
    rng = np.random.default_rng(5)
    stars = rng.uniform(20, 100, (12, 2))
    coarse = grid.coarser(0.1)
    places = [(0.0, 0.0), (2.3, 1.2), (-1.6, 2.7)]
    chips, images, maps = [], [], []
    for place in places:
        wcs = Plain(coarse, 5.0, place)
        maps.append(PixelMap(PlaneMap(wcs, (SIDE, SIDE), coarse.plane), coarse))
        turned = Plain(coarse, 5.0)
        # where the stars of the first exposure fall in this one
        sky = turned.to_sky(stars)
        linear = maps[-1].whole()[0, 0], maps[-1].whole()[0, 1] - maps[-1].whole()[0, 0]
        step = np.column_stack([linear[1], maps[-1].whole()[1, 0] - linear[0]])
        xy = (coarse.to_pixel(sky) - linear[0]) @ np.linalg.inv(step).T
        image = sum(_gaussian(x, y, 3000, 0.8) for x, y in xy) + rng.normal(0, 1, (SIDE, SIDE))
        images.append(image.astype(np.float32))
    rays = np.zeros((SIDE, SIDE), bool)
    for x, y in rng.integers(15, 105, (30, 2)):
        rays[y, x : x + 3] = True
    images[0][rays] += 40
    good = np.ones((SIDE, SIDE), bool)
    stack = []
    for image, to_grid in zip(images, maps, strict=True):
        chips = TileSum(
            Tile(0, coarse.shape[0], 0, coarse.shape[1]), DrizzleKernel("square", 1.0, is_variance=False)
        )
        chips.add(DrizzleInput(image, good.astype(np.float32), to_grid, 0.1))
        stack.append(np.where(chips.weight > 0, chips.image, np.nan))
    median, number = combined_median(np.stack(stack))
    model = blotted_median(Median.of(median, number), maps[0], 1.0)
    noise = np.sqrt(1 + np.clip(model.image, 0, None) * 0)
    found = cosmic_rays_against_median(images[0], good, model, noise, MosaicSettings())
    seen = rays & model.known
    assert found[seen].mean() > 0.9
    assert (found & ~rays).mean() < 2e-3
    cores = np.rint(stars).astype(int)
    assert (found & ~rays)[cores[:, 1], cores[:, 0]].sum() <= 1


def test_a_laplacian_finds_rays_of_one_exposure():
    pytest.importorskip("astroscrappy")
    rng = np.random.default_rng(7)
    stars = rng.uniform(15, 105, (15, 2))
    image = rng.normal(0, 1, (SIDE, SIDE)) + sum(_gaussian(x, y, 800, 1.1) for x, y in stars)
    noise = np.sqrt(1 + 0.02 * np.clip(image, 0, None))
    rays = np.zeros((SIDE, SIDE), bool)
    for x, y in rng.integers(10, 110, (25, 2)):
        rays[y, x : x + 2] = True
    distance = np.min([np.hypot(*(np.indices(rays.shape)[::-1] - s[:, None, None])) for s in stars], axis=0)
    rays &= distance > 6
    image[rays] += 60
    good = rng.random((SIDE, SIDE)) > 0.01
    found = laplacian_cosmic_rays(image.astype(np.float32), good, noise.astype(np.float32))
    beside = binary_dilation(~good, np.ones((3, 3)))
    assert found[rays & ~beside].mean() > 0.9
    assert (found & ~rays & (distance < 4)).sum() <= 2
    assert (found & ~rays).mean() < 5e-3
    assert not found[~good].any()


def test_nothing_is_marked_where_nothing_is_known():
    image = np.zeros((20, 20), np.float32)
    image[5, 5] = 100
    unknown = Model(np.zeros_like(image), np.zeros_like(image), np.zeros(image.shape, bool))
    found = cosmic_rays_against_median(
        image, np.ones(image.shape, bool), unknown, np.ones_like(image), MosaicSettings()
    )
    assert not found.any()


# --- sources ---


def test_blends_are_parted_and_noise_is_not():
    image = _gaussian(40, 40, 3e4, 3) + _gaussian(52, 40, 2e4, 3)
    found = measure_mosaic(image, np.ones(image.shape), 0.0, FIND)
    assert np.allclose(found.xy[np.argsort(found.xy[:, 0])], [[40, 40], [52, 40]], atol=1)
    assert found.segments[40, 38] != found.segments[40, 55]
    assert set(np.unique(found.segments)) == {0, 1, 2}
    together = measure_mosaic(image, np.ones(image.shape), 0.0, replace(FIND, contrast=0.9)).segments
    assert together.max() == 1
    assert np.array_equal(together > 0, found.segments > 0)
    speck = np.zeros((9, 9))
    speck[4, 4] = 20
    assert (
        measure_mosaic(speck, np.ones(speck.shape), 0.0, replace(FIND, sigma=0.7, area=9)).segments.max() == 0
    )


def test_one_blend_of_all_pixels_and_a_thousand_sources():
    """More than sep has room for unless it is told."""
    places = 8.0 * (np.indices((36, 36)).reshape(2, -1).T + 1)
    image = np.full((304, 304), 100.0)
    rows, columns = np.indices((13, 13)) - 6
    for x, y in places.astype(int):
        image[y - 6 : y + 7, x - 6 : x + 7] += 500 * np.exp(-(rows**2 + columns**2) / 4.5)
    good = np.ones(image.shape, bool)
    field = _Field(image.astype(np.float32), np.ones(image.shape, np.float32), good, image.astype(np.float32))
    assert _segments(field, replace(FIND, contrast=1e-5))[1].max() == len(places)


def test_parts_list_together_what_the_whole_does():
    """Each source once, by the part that its centre lies on, with what is measured on the whole."""
    rng = np.random.default_rng(12)
    image = rng.normal(0, 1, (120, 200))
    for x, y in rng.uniform(8, (192, 112), (30, 2)):
        image += _gaussian(x, y, 2000, 2, image.shape)
    weight = np.ones(image.shape)
    whole = measure_mosaic(image, weight, 0.0, FIND)
    parts = [measure_mosaic(image, weight, 0.0, FIND, Tile(0, 120, x, x + 50)) for x in range(0, 200, 50)]
    joined = {name: np.concatenate([one.columns[name] for one in parts]) for name in whole.columns}
    assert len(whole.xy) > 20
    order = np.argsort(joined["segment"])
    for name, values in whole.columns.items():
        np.testing.assert_array_equal(joined[name][order], values)
    nowhere = measure_mosaic(image, weight, 0.0, FIND, Tile(0, 1, 0, 1))
    assert {name: values.shape for name, values in nowhere.columns.items()} == dict.fromkeys(joined, (0,))
    assert np.array_equal(nowhere.segments, whole.segments)


@pytest.mark.parametrize("cut", [0, 3])
def test_apertures_beyond_the_edge_are_made_up_for_and_flagged(cut):
    """A star on the edge has its flux where it is cut in the middle, as its other half shows."""
    rng = np.random.default_rng(11)
    image = rng.normal(0, 0.1, (80, 80)) + _gaussian(40 + 0.5 * (cut == 0), 40, 2000, 2, (80, 80))
    whole = measure_mosaic(image, np.full(image.shape, 100.0), 0.0, FIND)
    start = 41 - cut
    part = measure_mosaic(image[:, start:], np.full(image[:, start:].shape, 100.0), 0.0, FIND)
    brightest = int(np.argmax(whole.columns["aperture_flux"]))
    assert whole.columns["flags"][brightest] & 2 == 0
    flux = part.columns["aperture_flux"]
    brightest = int(np.argmax(flux))
    assert part.columns["flags"][brightest] & 2
    inside = image[:, start:][34:47].sum() / 2000
    if cut == 0:
        assert inside < 0.55
        assert flux[brightest] > 1.4 * 2000 * inside
    assert flux[brightest] == pytest.approx(2000, rel=0.3)


def test_positions_magnitudes_and_errors():
    """Stars of known place and flux; errors that hold."""
    rng = np.random.default_rng(7)
    pulls, fluxes, krons = [], [], []
    for _ in range(12):
        xy = np.array([[30 + 45 * i, 30 + 45 * j] for i in range(4) for j in range(4)]) + rng.uniform(
            0, 1, (16, 2)
        )
        image = rng.normal(0, 1, (200, 200)) + sum(_gaussian(x, y, 400, 2, (200, 200)) for x, y in xy)
        found = measure_mosaic(image, np.ones(image.shape), 0.0, FIND)
        nearest = [np.argmin(np.hypot(*(found.xy - place).T)) for place in xy]
        columns = {name: values[nearest] for name, values in found.columns.items()}
        pulls.append((found.xy[nearest] - xy) / np.column_stack([columns["x_error"], columns["y_error"]]))
        fluxes.append(np.column_stack([columns["aperture_flux"], columns["aperture_flux_err"]]))
        krons.append(columns["kron_flux"])
    pulls, fluxes, krons = (np.concatenate(one) for one in (pulls, fluxes, krons))
    n = len(pulls)
    assert np.abs(pulls.mean(axis=0)).max() < 4 / np.sqrt(n)
    assert np.std(pulls) == pytest.approx(1, abs=4 / np.sqrt(2 * 2 * n) + 0.05)
    inside = 400 * (1 - np.exp(-(6.0**2) / (2 * 2**2)))
    assert fluxes[:, 0].mean() == pytest.approx(inside, rel=0.03)
    assert fluxes[:, 0].std() == pytest.approx(fluxes[:, 1].mean(), rel=0.25)
    assert np.median(krons) == pytest.approx(400, rel=0.08)


def test_shapes_and_flags():
    rows, columns = np.indices((100, 100))
    angle = np.radians(30)
    u = (columns - 50) * np.cos(angle) + (rows - 50) * np.sin(angle)
    v = (rows - 50) * np.cos(angle) - (columns - 50) * np.sin(angle)
    image = 300 * np.exp(-(u**2 / 50 + v**2 / 12.5))
    weight = np.full(image.shape, 25.0)
    weight[:, 64:] = 0
    found = measure_mosaic(image, weight, 0.0, FIND)
    columns = found.columns
    assert len(found.xy) == 1
    assert columns["semimajor_sigma"][0] / columns["semiminor_sigma"][0] == pytest.approx(2, rel=0.15)
    assert columns["orientation"][0] == pytest.approx(30, abs=3)
    assert columns["flags"][0] == 2
    assert columns["isophotal_flux"][0] == pytest.approx(image[:, :64].sum(), rel=0.1)


def test_few_arrays_of_a_mosaic_are_in_memory_at_a_time():
    """Each is 4 bytes a pixel, and these are most of what a run has in memory."""
    side = 700
    image = _gaussian(300, 400, 3e4, 3, (side, side)).astype(np.float32)
    measure_mosaic(image[200:500, 200:500], np.ones((300, 300), np.float32), 0.1, FIND)  # imports
    tracemalloc.start()
    try:
        found = measure_mosaic(image.copy(), np.ones(image.shape, np.float32), 0.1, FIND)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.segments.max() == 1
    assert peak < 8 * 4 * side**2


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_an_empty_mosaic(weight):
    """Of nothing but zeros, and without any data."""
    empty = measure_mosaic(np.zeros((50, 50)), np.full((50, 50), weight), 0.0, FIND)
    assert empty.xy.shape == (0, 2)
    assert not empty.segments.any()
    full = measure_mosaic(100 * _gaussian(60, 60), np.ones((SIDE, SIDE)), 0.0, FIND)
    assert {name: values.shape for name, values in empty.columns.items()} == dict.fromkeys(full.columns, (0,))
