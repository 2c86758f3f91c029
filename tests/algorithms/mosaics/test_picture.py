"""Mosaics as small pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.mosaics.picture import LONGEST, binned, picture_side, stretched


@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 2**16))
def test_bins_are_means_of_what_has_weight(rows, columns, seed):
    rng = np.random.default_rng(seed)
    side = 3
    shape = (side * rows * 10, side * (LONGEST - side) * columns // columns)
    image, weight = rng.normal(size=shape), rng.integers(0, 2, shape).astype(float)
    factor = picture_side(shape)
    found = binned(image, weight, factor)
    assert found.shape == tuple(size // factor for size in shape)
    block = slice(0, factor), slice(0, factor)
    good = weight[block] > 0
    expected = image[block][good].mean() if good.any() else np.nan
    np.testing.assert_allclose(found[0, 0], expected)


def test_where_nothing_was_seen_nothing_is_shown():
    weight = np.ones((1000, 900))
    weight[:, :450] = 0
    found = binned(np.ones((1000, 900)), weight, picture_side((1000, 900)))
    assert max(found.shape) <= LONGEST
    assert np.isnan(found[:, :140]).all()
    assert (found[:, 160:] == 1).all()


def test_bands_are_parts_of_the_picture():
    rng = np.random.default_rng(6)
    image, weight = rng.normal(size=(64, 50)), rng.integers(0, 2, (64, 50))
    bands = [binned(image[top : top + 7], weight[top : top + 7], 7) for top in range(0, 63, 7)]
    np.testing.assert_array_equal(np.concatenate(bands), binned(image, weight, 7))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_grey_does_not_depend_on_units_and_grows_with_light(scale):
    rng = np.random.default_rng(5)
    image = rng.normal(size=(60, 50))
    image[30, 20:23] = 20.0, 100.0, np.nan
    shades = stretched(scale * image)
    assert shades.dtype == np.uint8
    # sky is dark, yet not black; what is bright is white, what is unknown black
    assert 10 < np.median(shades) < 90
    assert shades[30, 20] > 150
    assert (shades[30, 21], shades[30, 22]) == (255, 0)
    order = np.argsort(image[:30].ravel())
    assert (np.diff(shades[:30].ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_an_even_image_has_a_picture_too(value):
    assert np.ptp(stretched(np.full((4, 5), value))) == 0
