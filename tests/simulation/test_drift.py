from __future__ import annotations

import numpy as np
import pytest

from grism_align.simulation import (
    PointingErrors,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    interleaved,
    small_dithers,
)
from grism_align.simulation.instruments import INSTRUMENTS
from grism_align.simulation.rotations import linearised
from grism_align.simulation.schedule import planned_exposures
from grism_align.values.transform import LinearTransform, TangentPlane

PIXEL = INSTRUMENTS["wfc3_ir"].pixel
# no roll, so that the visit's error is one shift all over the field
STILL = {"roll": (0.0, 0.0)}


def shifts(simulation, seed=1):
    """Where the written WCSs of a visit's exposures are, beyond those of the first one, pixels."""
    planned = planned_exposures(simulation, np.random.default_rng(seed))
    planned = [each for each in planned if each.visit == planned[0].visit]
    ra, dec = simulation.ra, simulation.dec
    found = np.array([linearised(each.rotation, ra, dec)[1] for each in planned])
    return (found - found[0]) / PIXEL, 24 * np.array([each.mid - planned[0].mid for each in planned]), planned


def test_direct_and_grism_exposures_drift_alike():
    moved, hours, _ = shifts(interleaved(errors=PointingErrors(drift=0.2, **STILL)))
    np.testing.assert_allclose(np.hypot(*moved.T), 0.2 * hours, rtol=1e-3, atol=1e-9)
    along = moved[-1] / np.hypot(*moved[-1])
    np.testing.assert_allclose(moved @ along, 0.2 * hours, rtol=1e-3, atol=1e-9)


def test_a_drift_that_changes():
    errors = PointingErrors(drift=0.3, drift_change=-0.3, **STILL)
    moved, hours, planned = shifts(interleaved(errors=errors))
    first = planned[0].plan.exposure_time / 2 / 3600
    since = hours + first
    expected = 0.3 * since - 0.15 * since**2 - (0.3 * first - 0.15 * first**2)
    np.testing.assert_allclose(np.hypot(*moved.T), expected, rtol=1e-3, atol=1e-9)


def test_a_roll_that_changes():
    """In proportion to time, and alike for direct and grism exposures."""
    errors = PointingErrors(roll_drift=0.004, jitter=0.0, drift=0.0, **STILL)
    simulation = interleaved(errors=errors)
    _, hours, planned = shifts(simulation)
    plane = TangentPlane(simulation.ra, simulation.dec)
    rolls = [LinearTransform(*linearised(each.rotation, plane.ra, plane.dec), plane).roll for each in planned]
    np.testing.assert_allclose(np.subtract(rolls, rolls[0]), 0.004 * hours, rtol=1e-3, atol=1e-9)
    # the headers have the roll as commanded
    written = [each.written_aim.angle for each in planned]
    np.testing.assert_allclose(written, written[0], atol=1e-5)


def test_an_offset_has_an_error_and_staying_has_none():
    dithers = [("F140W", 0), ("G141", 0), ("F140W", 0), ("F140W", 5), ("G141", 5), ("F140W", 0)]
    exposures = tuple(SimulatedExposure(element, 100.0, (place, 0.0)) for element, place in dithers)
    field = Simulation("wfc3_ir", (SimulatedVisit("01", exposures),), errors=PointingErrors(**STILL))
    moved, _, _ = shifts(field)
    np.testing.assert_allclose(moved[[1, 2]], 0, atol=1e-4)
    np.testing.assert_allclose(moved[4], moved[3], atol=1e-4)
    assert np.hypot(*moved[3]) > 0.01
    assert np.hypot(*moved[5]) > 0.01
    # 0.15 pixel at both ends of an offset
    many = np.array([shifts(field, seed)[0][3] for seed in range(200)])
    assert np.sqrt(np.mean(many**2)) == pytest.approx(0.15 * np.sqrt(2), rel=4 / np.sqrt(800))


def test_interleaved_exposures():
    [first, second] = interleaved("acs_wfc", n_grisms=3).visits
    assert [each.element for each in first.exposures] == [*["F814W", "G800L"] * 3, "F814W"]
    assert {each.dither for each in (*first.exposures, *second.exposures)} == {(0.0, 0.0)}


@pytest.mark.parametrize("own", [False, True])
def test_a_dither_of_a_grism_exposure_has_an_error_of_its_own(own):
    dithers = [("F140W", 0), ("G141", 0.6), ("F140W", 0.6), ("G141", 1.2)]
    exposures = tuple(SimulatedExposure(element, 100.0, (place, 0.0)) for element, place in dithers)
    errors = PointingErrors(jitter_of_grisms=own, **STILL)
    moved, _, _ = shifts(Simulation("wfc3_ir", (SimulatedVisit("01", exposures),), errors=errors))
    same = np.hypot(*(moved - moved[[0, 0, 1, 2]]).T) < 1e-4
    # else it shares that of the direct exposure before it
    assert same.tolist() == ([True, False, True, False] if own else [True, True, False, True])


def test_small_dithers():
    [first, second] = small_dithers("acs_wfc").visits
    assert [each.element for each in first.exposures] == [*["F814W", "G800L"] * 3, "F814W"]
    assert [each.element for each in second.exposures] == ["F814W", *["G800L"] * 3, "F814W"]
    assert len({each.dither for each in second.exposures}) == 4
