"""Exposures that are off by several pixels."""

import numpy as np
import pytest

from grism_align.algorithms.spectra.offsets import measure_offsets
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


def test_an_exposure_off_by_pixels_is_measured_like_the_others():
    rng = np.random.default_rng(5)
    true = np.array(FAR)
    found = measure_offsets(spectra(rng, true, lines=1.0), 4, rng)
    errors = np.sqrt(np.diag(found.covariance)).reshape(-1, 2)
    assert (np.abs(found.offset - true + true.mean(axis=0)) < 5 * errors).all()
    assert (errors < 0.05).all()


def test_an_exposure_farther_off_is_told_by_its_strength():
    rng = np.random.default_rng(6)
    found = measure_offsets(spectra(rng, [[0, 0], [0, 0.1], [0.1, 0], [9.0, 7.0]]), 4, rng)
    assert not 0.7 < found.strength[3] < 1.4
