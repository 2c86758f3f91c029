"""Exposures that don't show the spectra of the others."""

import numpy as np
import pytest

from grism_align.algorithms.spectra.offsets import SpectralOffsets
from grism_align.workflows.traces.spectral_comparison import MeasuredGroup


def measured(strength, n_bright, is_settled):
    n = len(strength)
    offsets = SpectralOffsets(
        np.zeros((n, 2)),
        np.eye(2 * n),
        np.full(n, 20),
        np.array(strength),
        np.ones(n),
        np.array(n_bright),
        unrest=np.where(is_settled, 0.1, 4.0),
    )
    return MeasuredGroup(offsets, np.zeros((n, 2)), [()] * n)


@pytest.mark.parametrize("strength", [1.0, np.nan])
@pytest.mark.parametrize("n_bright", [0, 3, 30])
def test_an_exposure_whose_offset_is_not_found_shows_no_spectra_whatever_their_strength(strength, n_bright):
    group = measured([1.0, 1.0, 1.0, strength], [30, 30, 30, n_bright], [True, True, True, False])
    assert group.is_told[3]
    np.testing.assert_array_equal(group.is_usable, [True, True, True, False])
    assert group.oddness[3] > 1.5 * group.oddness[:3].max()


def test_too_few_bright_spectra_tell_nothing():
    group = measured([1.0, 1.0, 3.0], [30, 30, 3], [True, True, True])
    np.testing.assert_array_equal(group.is_told, [True, True, False])
