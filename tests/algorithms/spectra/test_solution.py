"""One offset for each exposure from what spectra say, and how well it is known."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.spectra.shifts import ExpectedStretch
from grism_align.algorithms.spectra.solution import solve
from grism_align.algorithms.spectra.template import TemplateFit

STRETCH = ExpectedStretch(np.zeros(2), 1e-6 * np.eye(2))
# That of the second of two exposures less that of the first, along and across.
CONTRAST = np.array([[-1.0, 0.0, 1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 1.0, 0.0, 0.0]])


def said(offset, error):
    """A spectrum in two exposures that has these offsets, (2,) along and across, to an error in pixels."""
    variance = CONTRAST.T @ CONTRAST / error**2
    gradient = CONTRAST.T @ np.asarray(offset, float) / error**2
    return TemplateFit(gradient, variance, None, (), np.zeros((1, 1)))


def solved(fits):
    """By how much the second exposure lies from the first along, and the claimed error of that."""
    found = solve(fits, [None] * len(fits), np.zeros(2), STRETCH)
    difference = CONTRAST[0, :4]
    return CONTRAST[0] @ found.step, np.sqrt(difference @ found.covariance @ difference)


def test_one_spectrum_that_decides_and_is_wrong_is_in_the_error():
    fits = [said((0.3, 0.0), 0.02), *(said((0.0, 0.0), 0.2) for _ in range(8))]
    offset, error = solved(fits)
    assert offset > 0.2
    # it moves by that much without this spectrum
    assert error > 0.8 * offset


@pytest.mark.parametrize("n", [10, 40])
def test_claimed_errors_of_offsets_are_true(n):
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(150):
        errors = rng.uniform(0.03, 0.1, n)
        # spectra scatter by 0.01 px in each exposure, and all of one by as much
        common = rng.normal(0.0, np.sqrt(2) * 0.01, 2)
        scatter = np.sqrt(errors**2 + 2 * 0.01**2)
        fits = [
            said(common + rng.normal(0.0, own, 2), error) for own, error in zip(scatter, errors, strict=True)
        ]
        offset, error = solved(fits)
        pulls.append(offset / error)
    # three errors of an rms of 150 pulls
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.0, abs=3 / np.sqrt(2 * 150))
