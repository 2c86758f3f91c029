from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.measuring.centroid import cut_stamps
from grism_align.algorithms.measuring.contrast import peak_contrast
from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.values.settings import DetectionSettings
from tests.support.images import gaussian_sources, lattice

SETTINGS = DetectionSettings(good_bits=8768, saturation_bits=256)
SHAPE = (160, 160)
DQ = np.zeros(SHAPE, np.int16)


def smooth_light(peak):
    """A galaxy so large that its light is smooth, which fills the image."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return peak * np.exp(-0.5 * ((x - 80.0) ** 2 + (y - 80.0) ** 2) / 25.0**2)


def stamps(image, error, peaks):
    good = np.ones(image.shape, bool)
    return cut_stamps(image, error, good, np.asarray(peaks), 7)


@pytest.mark.parametrize("level", [0.0, 5.0, 200.0])
@pytest.mark.parametrize("error", [0.5, 3.0])
def test_contrast_is_the_significance_above_any_level(level, error):
    flux = 60.0
    image = gaussian_sources(np.array([[20.0, 20.0]]), np.array([flux]), 1.0, (41, 41)) + level
    errors = np.full(image.shape, error)
    [found] = peak_contrast(stamps(image, errors, [[20, 20]]), 1.0)
    # the peak of a Gaussian of unit width times the error of its height, which the level makes a tenth larger
    expected = flux / (2 * np.pi) * np.sqrt(np.pi) / error
    assert found == pytest.approx(expected, rel=0.15)
    assert found < expected


def test_noise_on_a_level_has_the_contrast_of_noise():
    rng = np.random.default_rng(3)
    centers = [[x, y] for x in range(10, 390, 15) for y in range(10, 390, 15)]
    image = 50.0 + 2.0 * rng.standard_normal((400, 400))
    found = peak_contrast(stamps(image, np.full(image.shape, 2.0), centers), 1.0)
    assert found.mean() == pytest.approx(0, abs=3 / np.sqrt(len(found)))
    assert found.std() == pytest.approx(1, abs=4 / np.sqrt(2 * len(found)))


def test_where_nothing_is_good_there_is_no_contrast():
    image = np.full((41, 41), 9.0)
    nothing = cut_stamps(image, np.ones_like(image), np.zeros(image.shape, bool), np.array([[20, 20]]), 7)
    assert peak_contrast(nothing, 1.0).tolist() == [0.0]


@pytest.mark.parametrize("peak", [5.0, 30.0])
def test_noise_on_a_large_galaxy_is_no_source_and_stars_on_it_are(peak):
    rng = np.random.default_rng(8)
    xy = np.array([[60.0, 75.0], [95.0, 60.0], [100.0, 100.0]])
    sky = smooth_light(peak) + gaussian_sources(xy, np.full(3, 400.0), 1.0, SHAPE)
    error = np.sqrt(1.0 + 0.02 * sky)
    image = sky + error * rng.standard_normal(SHAPE)
    without = detect_sources(image, error, DQ, SETTINGS)
    found = detect_sources(image, error, DQ, replace(SETTINGS, contrast=4.0))
    assert without.counts["peaks"] > 12
    assert found.counts["peaks"] - found.counts["peaks_on_smooth_light"] == len(found.xy)
    apart = np.hypot(*(found.xy[:, None] - xy).transpose(2, 0, 1))
    assert (apart.min(axis=0) < 1).all()
    # the galaxy's own middle may be one too
    assert len(found.xy) <= 5


def test_all_sources_away_from_others_stay():
    rng = np.random.default_rng(5)
    xy, shape = lattice(8, 20, rng)
    image = gaussian_sources(xy, np.geomspace(40, 4000, len(xy)), 1.0, shape)
    image += rng.standard_normal(shape)
    error, dq = np.ones(shape), np.zeros(shape, np.int16)
    before = detect_sources(image, error, dq, SETTINGS)
    after = detect_sources(image, error, dq, replace(SETTINGS, contrast=4.0))
    np.testing.assert_array_equal(before.xy, after.xy)
