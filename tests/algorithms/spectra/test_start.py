"""Exposures that are off by several pixels."""

import numpy as np
import pytest

from grism_align.algorithms.spectra.start import first_offsets
from tests.support.spectra import spectra

FAR = [[0.0, 0.0], [0.1, -0.1], [0.0, 0.1], [3.3, -2.2]]


def cutouts(seen):
    return [each.cutouts for each in seen]


@pytest.mark.parametrize("far", [FAR, [[0.0, 0.0], [-2.7, 1.4], [1.6, -1.5]]])
def test_offsets_of_several_pixels_are_found_to_half_a_pixel(far):
    true = np.array(far)
    found = first_offsets(cutouts(spectra(np.random.default_rng(2), true, lines=1.0)), len(true))
    assert found == pytest.approx(true - np.median(true, axis=0), abs=0.6)


def test_small_offsets_are_left_to_the_solution():
    small = np.array([[0.1, 0.1], [-0.2, 0.0], [0.1, -0.1]])
    found = first_offsets(cutouts(spectra(np.random.default_rng(3), small)), 3)
    assert (found == 0.0).all()
