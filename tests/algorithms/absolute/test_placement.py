"""Detectors that stars of the catalog put in place, where no two of them saw the same sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.values.field import ExposureSet
from grism_align.values.settings import AbsoluteSettings
from tests.algorithms.relative.test_placement import SETTINGS, result_of, taken
from tests.support.exposures import stars, with_errors

# Apart from each other.
PLACES = ((0.0, 0.0), (200.0, 0.0), (0.0, 200.0), (200.0, 200.0))


def aligned(off, seed):
    """One pointing of four detectors, on a catalog of all its stars."""
    field = stars(np.random.default_rng(741), 2500, 700.0)
    rng = np.random.default_rng(seed)
    exposures, catalogs, _ = taken(rng, field, off, rolls=(0.0,), places=PLACES)
    result = result_of(exposures, catalogs)
    known = ExposureSet(
        "field", tuple(exposures), catalogs=catalogs, sources=result.sources, relative=result.solution
    )
    found = align_absolute(known, with_errors(field, rng), replace(AbsoluteSettings(), pointing=SETTINGS))
    return replace(known, absolute=found.solution), found.warnings


@pytest.mark.parametrize("size", [0.0, 0.02, 0.2])
def test_one_that_is_far_off_is_put_in_place(size):
    off = np.zeros((4, 2))
    off[3] = 0.8 * size, -0.6 * size
    found, warnings = aligned(off, 742)
    for exposure, true in zip(found.exposures, off, strict=True):
        at = found.total[exposure.key].transform.at(exposure.plane)
        assert at.axis_error < 2e-3
        assert np.abs((at.shift - true) / at.shift_error).max() < 4.5
    # of four detectors, one that is a little off turns and shifts the pointing, and all differ from that
    assert [warning.split(" is ")[0] for warning in warnings] == ["detector 4 of wfc3_ir"] * (size > 0.1)


def test_errors_are_true_where_all_are_a_little_off():
    pulls = []
    for seed in range(8):
        off = np.random.default_rng([743, seed]).normal(0, 0.005, (4, 2))
        found, _ = aligned(off, [744, seed])
        for exposure, true in zip(found.exposures, off, strict=True):
            at = found.total[exposure.key].transform.at(exposure.plane)
            pulls.append((at.shift - true) / at.shift_error)
    # 64 pulls
    assert 0.3 < np.sqrt(np.mean(np.square(pulls))) < 1.4


def test_what_is_on_record_is_what_the_correction_has():
    off = np.zeros((4, 2))
    off[3] = 0.2, 0.0
    found, _ = aligned(off, 745)
    first, last = (found.total[found.exposures[number].key] for number in (0, 3))
    assert found.relative[found.exposures[3].key].placement == (0.0, 0.0)
    between = np.subtract(last.placement, first.placement)
    np.testing.assert_allclose(1e3 * (last.transform.shift - first.transform.shift), between, atol=0.5)
    np.testing.assert_allclose(between, (200.0, 0.0), atol=4.5 * np.hypot(1, 1) * last.placement_error)
