"""What is on record of exposures, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.values.exposure import Chip
from grism_align.values.failure import NoDirectExposure
from grism_align.values.record import ChipPositions, Displacement, InputWCS
from grism_align.values.solution import ExposureFit
from grism_align.values.transform import LinearTransform
from tests.support.associations import FlatSky, exposure
from tests.support.reports import PLANE, field, record

WIDE = Chip(2, (11, 21), FlatSky(PLANE.ra, PLANE.dec))


@pytest.fixture(scope="module")
def whole():
    return record(field(n_visits=1))


def _entry(whole, *, is_direct):
    return next(one for one in whole.exposures.values() if one.is_direct is is_direct)


def test_pixels_of_a_chip():
    """From corner to corner, x running fastest."""
    found = ChipPositions.of(WIDE)
    assert (found.number, found.shape) == (2, (11, 21))
    expected = [[x, y] for y in (0, 5, 10) for x in (0, 10, 20)]
    np.testing.assert_allclose(found.sky, WIDE.wcs.to_sky(np.array(expected, dtype=float)))


def test_pixels_of_all_chips():
    one = exposure("a", 0.0, chips=(replace(WIDE, number=1), WIDE), taken_names=("IDC", "OWN"))
    found = InputWCS.of(one)
    assert found.names == ("IDC", "OWN")
    assert [chip.number for chip in found.chips] == [1, 2]


def test_the_total_of_a_direct_exposure(whole):
    """Both steps, one after the other; residuals are on record with the step."""
    entry = _entry(whole, is_direct=True)
    total = entry.total
    assert total.residuals is None
    expected = entry.relative.transform.then(entry.absolute.transform)
    np.testing.assert_allclose(total.transform.shift, expected.shift)
    alone = replace(entry, absolute=None)
    np.testing.assert_allclose(alone.total.transform.shift, entry.relative.transform.shift)


def test_the_total_of_a_grism_exposure(whole):
    entry = _entry(whole, is_direct=False)
    assert entry.total.transform is entry.grism.transform
    assert entry.total.governors == entry.grism.governors


@pytest.mark.parametrize("fit", [None, ExposureFit.failed(NoDirectExposure("visit"))])
def test_without_a_correction_nothing_is_displaced(whole, fit):
    entry = replace(_entry(whole, is_direct=False), grism=fit)
    assert (entry.total is None) is (fit is None)
    assert entry.displacement is None


def test_the_displacement_is_that_at_the_own_reference_point(whole):
    entry = _entry(whole, is_direct=True)
    at = entry.plane
    found, there = entry.displacement, entry.total.transform.at(at)
    moved = at.to_plane(entry.total.transform.apply_to_sky([at.ra, at.dec]))
    np.testing.assert_allclose(found.shift, 1e3 * np.ravel(moved), atol=1e-6)
    assert (found.roll, found.scale, found.skew) == (there.roll, there.scale, there.skew)
    assert found.error == pytest.approx(1e3 * there.axis_error)


def test_the_error_of_a_displacement_may_be_unknown():
    assert np.isnan(Displacement.of(LinearTransform.from_parameters(PLANE, (1.0, 2.0)), PLANE).error)


def test_what_is_on_record_of_a_step(whole):
    assert whole.activity("relative_align").outcome == "done"
    assert whole.activity("visit_mosaic") is None
