"""Detectors that are too far off to be matched with the others."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.matching.apart import detectors_apart
from grism_align.values.settings import PointingSettings
from tests.algorithms.relative.test_placement import OFF, result_of, taken
from tests.support.exposures import stars

SETTINGS = PointingSettings(detector_error=0.005)


def apart(off, seed=802):
    field = stars(np.random.default_rng(801), 500, 300.0)
    exposures, catalogs, _ = taken(np.random.default_rng(seed), field, off)
    result = result_of(exposures, catalogs, SETTINGS)
    return detectors_apart(exposures, catalogs, result.solution, SETTINGS), result


def test_both_are_named_by_how_far_they_are_from_each_other():
    off = 12.0 * OFF
    found, result = apart(off)
    assert {one.detector for one in found} == {1, 2}
    for one in found:
        assert one.offset == pytest.approx(1e3 * np.hypot(*(off[0] - off[1])), abs=2.0)
        assert "not corrected for that" in str(one)
    # nothing was fitted away
    for fit in result.solution.fits.values():
        assert np.hypot(*fit.placement) < 1.0


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_those_that_are_put_in_place_are_not(scale):
    assert not apart(scale * OFF)[0]
