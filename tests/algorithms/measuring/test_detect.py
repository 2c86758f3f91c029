from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import maximum_filter

from grism_align.algorithms.measuring.detect import _find_peaks, detect_sources, mean_ellipticity
from grism_align.algorithms.measuring.matched_filter import matched_filter
from grism_align.values.catalog import SourceFlag
from grism_align.values.failure import NoSources, PixelsFlagged
from grism_align.values.settings import DetectionSettings
from tests.support.images import gaussian_sources, lattice, noisy

SETTINGS = DetectionSettings(good_bits=8768, saturation_bits=256)
SHAPE = (120, 130)


def detect(image, error=None, dq=None, **changes):
    error = np.ones(image.shape) if error is None else error
    dq = np.zeros(image.shape, np.int16) if dq is None else dq
    return detect_sources(image, error, dq, replace(SETTINGS, **changes))


def one_source(xy=(60.0, 50.0), flux=3000.0, sigma=1.0):
    image, error = noisy(
        gaussian_sources(np.array([xy]), np.array([flux]), sigma, SHAPE), 1.0, np.random.default_rng(4)
    )
    return image + 7.0, error


def the_one(found, xy=(60.0, 50.0)):
    """Flags of the only source near a place."""
    near = np.flatnonzero(np.hypot(*(found.xy - xy).T) < 2)
    assert len(near) == 1
    return SourceFlag(int(found.flags[near[0]]))


def test_sources_are_found_and_measured():
    rng = np.random.default_rng(5)
    xy, shape = lattice(10, 20, rng)
    flux = np.geomspace(400, 20000, len(xy))
    image, error = noisy(gaussian_sources(xy, flux, 1.1, shape), 9.0, rng)
    y, x = np.mgrid[: shape[0], : shape[1]]
    found = detect(image + 20 + 0.01 * x - 0.02 * y, error)
    order = np.argsort(((found.xy[:, None] - xy) ** 2).sum(axis=2).argmin(axis=1))
    assert len(order) == len(xy)  # all, and none besides
    assert not found.flags.any()
    pull = (found.xy[order] - xy) / found.xy_error[order]
    assert pull.std() == pytest.approx(1, abs=0.2)
    # 3 pixels hold 97.3 % of this source
    inside = 1 - np.exp(-0.5 * 9 / (1.1**2 + 1 / 12))
    flux_pull = (found.flux[order] / inside - flux) / np.hypot(found.flux_error[order], 0.01 * flux)
    assert abs(flux_pull.mean()) < 0.5
    assert 0.6 < flux_pull.std() < 1.3
    bright = order[50:]
    np.testing.assert_allclose(np.median(found.fwhm[bright]), 2.3548 * np.sqrt(1.1**2 + 1 / 12), rtol=0.05)
    assert np.abs(np.median(found.ellipticity[bright], axis=0)).max() < 0.02
    assert found.remark is None
    assert found.counts["peaks"] == 100
    assert found.counts["pixels"] == image.size


def test_faint_sources_stay_below_the_threshold():
    image, error = one_source(flux=15.0)
    found = detect(image, error)
    assert len(found.xy) == 0
    assert found.remark == NoSources(6.0)
    assert found.counts == {"pixels": image.size, "pixels_flagged": 0, "peaks": 0}
    # but pure noise above 3 sigma there is
    assert len(detect(image, error, threshold=3.0).xy) > 0


def test_the_matched_filter_is_in_sigma():
    """Noise of any weights exceeds 3 sigma as often as a normal variable does, per independent pixel."""
    rng = np.random.default_rng(6)
    error = rng.uniform(0.5, 3.0, (400, 400))
    found = detect(error * rng.normal(size=error.shape), error, threshold=4.0)
    # 1.6e5 pixels, 3.2e-5 each: 5 expected, local maxima of a smooth field somewhat more
    assert 1 <= len(found.xy) <= 25


@pytest.mark.parametrize(("xy", "edge"), [((2.8, 50.0), 5), ((60.0, 116.5), 5), ((20.0, 50.0), 25)])
def test_edge(xy, edge):
    assert the_one(detect(*one_source(xy), edge=edge), xy) & SourceFlag.EDGE


def test_saturated():
    image, error = one_source()
    dq = np.zeros(SHAPE, np.int16)
    dq[50, 61] = 256
    found = detect(image, error, dq)
    assert the_one(found) == SourceFlag.SATURATED
    assert found.counts["flagged_saturated"] == 1
    assert found.counts["pixels_flagged"] == 0


def test_masked_core():
    image, error = one_source()
    dq = np.zeros(SHAPE, np.int16)
    dq[51, 60] = 16
    assert the_one(detect(image, error, dq)) == SourceFlag.MASKED_CORE


def test_no_centroid_where_the_window_is_masked():
    image, error = one_source()
    dq = np.zeros(SHAPE, np.int16)
    dq[51:56, 55:66] = 16
    assert the_one(detect(image, error, dq)) & SourceFlag.NO_CENTROID


def test_cosmic_ray():
    image, error = one_source()
    image[20, 30] += 500
    found = detect(image, error)
    assert the_one(found, (30, 20)) == SourceFlag.COSMIC_RAY
    assert the_one(found) == SourceFlag(0)


def test_good_bits_are_usable():
    image, error = one_source()
    dq = np.full(SHAPE, 8192 + 512, np.int16)
    assert the_one(detect(image, error, dq)) == SourceFlag(0)
    found = detect(image, error, dq, good_bits=0)
    assert found.remark == PixelsFlagged(image.size, image.size)


def test_the_sign_bit_of_dq_is_a_bit():
    image, error = one_source()
    dq = np.zeros(SHAPE, np.int16)
    dq[50, 60] = -32768
    assert the_one(detect(image, error, dq)) & SourceFlag.MASKED_CORE


def test_not_finite_pixels_are_left_out():
    image, error = one_source()
    image[:10], image[10:15, :] = np.nan, np.inf
    error[100:], error[95:100] = np.nan, 0.0
    found = detect(image, error)
    assert found.counts["pixels_flagged"] == 40 * SHAPE[1]
    assert the_one(found) == SourceFlag(0)
    assert np.isfinite(found.xy).all()


@pytest.mark.parametrize("usable", [0.0, 0.07, 0.1, 0.17, 0.3])
@pytest.mark.parametrize("shape", [(150, 150), (64, 70), (30, 200)])
def test_few_usable_pixels(usable, shape):
    """However few there are, the answer is an empty or a doubtful list, never an error."""
    rng = np.random.default_rng(7)
    dq = np.where(rng.uniform(size=shape) < usable, 0, 4)
    found = detect(rng.normal(size=shape), None, dq)
    assert (found.flags != 0).all()
    assert isinstance(found.remark, PixelsFlagged) == (usable < 0.15)
    assert found.xy.shape == found.xy_error.shape == found.ellipticity.shape == (len(found.flags), 2)


def test_settings_of_the_background_box_larger_than_the_chip():
    assert the_one(detect(*one_source(), background_box=500)) == SourceFlag(0)


@pytest.mark.parametrize("separation", [1, 2, 4])
def test_peaks_are_the_highest_pixels_around_at_edges_too(separation):
    """Those of a maximum filter, which takes ten times as long."""
    rng = np.random.default_rng(1)
    # nearly all pixels are above the threshold
    image, good = rng.integers(0, 6, (41, 57)).astype(np.float32), np.ones((41, 57), bool)
    settings = replace(SETTINGS, separation=separation, threshold=1.0)
    ratio = matched_filter(image, np.ones_like(image), good, settings.kernel_sigma)
    highest = maximum_filter(ratio, size=2 * separation - 1) == ratio
    y, x = np.nonzero(highest & (ratio > settings.threshold))
    found = _find_peaks(image, np.ones_like(image), good, settings)
    np.testing.assert_array_equal(found, np.column_stack([x, y]))


def test_mean_ellipticity():
    rng = np.random.default_rng(8)
    round_ones = rng.normal(0, 0.1, (400, 2))
    length, error = mean_ellipticity(round_ones)
    assert error == pytest.approx(0.1 / 20, rel=0.1)
    assert length < 4 * error
    length, error = mean_ellipticity(round_ones + np.array([0.12, -0.16]))
    assert length == pytest.approx(0.2, abs=4 * error)
    assert mean_ellipticity(round_ones[:1]) == (0.0, 1.0)
    assert mean_ellipticity(np.zeros((0, 2))) == (0.0, 1.0)
