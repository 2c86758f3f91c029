"""Light of other sources in a spectrum, and what the detector's response does to it."""

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.neighbours import OtherLight
from grism_align.algorithms.spectra.offsets import measure_offsets
from tests.support.spectra import FIRST, LENGTH, UNCALIBRATED, spectra

ZEROTH = (-200.0, -180.0)


def others(apart, brightness, zeroth=ZEROTH):
    """The source at the origin in all exposures, and one other by its places there."""
    places = np.stack([np.zeros((len(apart), 2)), np.array(apart, dtype=float)], axis=1)
    return OtherLight(places, np.array([1.0, brightness]), (FIRST, FIRST + LENGTH), zeroth)


@pytest.mark.parametrize(
    ("apart", "brightness", "zeroth", "columns"),
    [
        ([(200, 0), (200.2, 0)], 1.0, ZEROTH, (0, 20)),  # a zeroth order in the spectrum
        ([(20, 1), (20.2, 1)], 10.0, None, (12, 100)),  # another spectrum over it
        ([(200, 0), (200.2, 0)], 1.0, None, None),  # no zeroth order is known
        ([(200, 0), (200, 0)], 1.0, ZEROTH, None),  # it moves along
        ([(200, 0), (200.2, 0)], 1e-6, ZEROTH, None),  # too faint
        ([(200, 40), (200.2, 40)], 1.0, ZEROTH, None),  # far above
        ([(np.nan, 0), (200.2, 0)], 1.0, ZEROTH, None),  # not on the chip
    ],
)
def test_pixels_count_less_where_light_of_others_moves(apart, brightness, zeroth, columns):
    [spectrum] = spectra(np.random.default_rng(1), np.zeros((2, 2)), n=1)
    found = others(apart, brightness, zeroth).lessened(spectrum.cutouts, 0)
    for before, after in zip(spectrum.cutouts, found, strict=True):
        core = np.abs(before.across) < 1.0
        kept = after.weight[core] / before.weight[core]
        along = np.broadcast_to(before.along, before.across.shape)[core]
        inside = (
            np.zeros(along.shape, bool) if columns is None else (along > columns[0]) & (along < columns[1])
        )
        assert (kept[inside] < 0.7).all()
        assert kept[~inside] == pytest.approx(np.ones((~inside).sum()), abs=1e-3)


def test_a_response_that_changes_over_the_detector_moves_nothing():
    rng = np.random.default_rng(4)
    seen = [
        replace(
            each,
            cutouts=tuple(
                replace(cutout, data=cutout.data * (1.0 + 0.02 * sign * np.sin(cutout.along / 25.0)))
                for cutout, sign in zip(each.cutouts, (1.0, -1.0, 0.0), strict=True)
            ),
        )
        for each in spectra(rng, np.zeros((3, 2)), lines=1.0)
    ]
    found = measure_offsets(seen, np.zeros((3, 2)), UNCALIBRATED, rng)
    errors = np.sqrt(np.diag(found.covariance)).reshape(-1, 2)
    assert (np.abs(found.offset) < 4 * errors).all()
    assert (errors < [0.03, 0.01]).all()
