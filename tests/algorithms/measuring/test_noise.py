"""The noise of an image that comes without errors."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.measuring.noise import has_errors, with_errors
from grism_align.values.mission import ChipPixels
from tests.support.associations import exposure

SHAPE = (200, 150)


@pytest.fixture
def rng():
    return np.random.default_rng(12)


def image(err, rng, sky=0.05, seconds=200.0, star=500.0):
    """A sloping sky in electrons a second with one bright star, and some flagged pixels."""
    y, x = np.indices(SHAPE)
    flux = 1.0 + 0.002 * x + star * np.exp(-0.5 * ((x - 70) ** 2 + (y - 90) ** 2) / 4.0)
    sci = flux + rng.normal(0, sky, SHAPE) + rng.normal(size=SHAPE) * np.sqrt(flux / seconds)
    dq = np.zeros(SHAPE, np.int16)
    dq[::7, ::11] = 4
    sci[dq > 0] = 1e5
    return ChipPixels(sci.astype("f4"), np.full(SHAPE, err, "f4"), dq), np.sqrt(sky**2 + flux / seconds)


@pytest.mark.parametrize("err", [0.0, np.nan, -1.0, np.inf])
def test_the_noise_is_the_images_own(err, rng):
    pixels, true = image(err, rng)
    assert not has_errors(pixels)
    found = with_errors(exposure("iaaa01d1q", 0, rate_unit="ELECTRONS/S", is_rate=True), pixels).err
    good = pixels.dq == 0
    # a median absolute deviation of 30,000 steps is good to one per cent, and the sky slopes by a quarter
    assert np.median(found[good] / true[good]) == pytest.approx(1.0, abs=0.05)
    assert found[90, 70] / true[90, 70] == pytest.approx(1.0, abs=0.05)
    assert (found > 0).all()


def test_known_errors_stay(rng):
    pixels, _ = image(0.1, rng)
    pixels.err[:80] = 0.0
    assert has_errors(pixels)
    assert with_errors(exposure("iaaa01d1q", 0), pixels) is pixels


@pytest.mark.parametrize("sci", [0.0, 3.0, np.nan])
def test_an_image_without_noise_has_positive_errors(sci):
    pixels = ChipPixels(np.full(SHAPE, sci), np.zeros(SHAPE), np.zeros(SHAPE, np.int16))
    found = with_errors(exposure("iaaa01d1q", 0), pixels).err
    assert np.isfinite(found).all()


def test_what_a_unit_tells(rng):
    """Only where pixels hold electrons is it known what the light of a source adds."""
    pixels, true = image(0.0, rng)
    found = with_errors(exposure("iaaa01d1q", 0, rate_unit="MJy/sr", is_rate=True), pixels).err
    assert found[90, 70] == pytest.approx(np.median(true), rel=0.05)
