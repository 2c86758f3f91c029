"""Detectors of a camera that are not quite where they should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.relative import relative, rough_placement
from grism_align.algorithms.relative.placement import Places
from grism_align.algorithms.relative.relative import align_relative
from grism_align.algorithms.relative.rough_placement import FarOff
from grism_align.values.detector import DetectorWindow
from grism_align.values.failure import OutOfPlace, PlaceUnknown
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.attitudes import attitude
from tests.support.exposures import PLANE, observe, stars

FIELD = (80.0, -490.0)
# Where detectors look, arcsec: the second one sees part of what the first does.
PLACES = ((0.0, 0.0), (60.0, 60.0))
OFF = np.array([[0.006, -0.003], [-0.006, 0.003]])
SETTINGS = PointingSettings(detector_error=0.005)


def taken(rng, field, off, rolls=(0.0, 0.0, 40.0, 40.0), places=PLACES):
    """Exposures of some detectors at a time, off by `off`, arcsec along V2, V3; errors of pointings."""
    made, errors = [], []
    for number, roll in enumerate(rolls):
        angle = np.radians(roll)
        axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        error = rng.normal(0, 0.02, 2) if number else np.zeros(2)
        errors.append(error)
        for detector, place in enumerate(places):
            # by what the WCS is wrong
            wrong = LinearTransform.from_parameters(PLANE, error - axes @ off[detector])
            exposure, catalog = observe(
                field,
                wrong,
                rng,
                f"iaaa01d{number}{detector}q",
                start=1e3 * number,
                at=tuple(axes @ place + [3.0 * number, -2.0 * number]),
                angle=roll,
                pointing=f"p{number}",
                group=f"g{roll:.0f}",
                visit=f"v{roll:.0f}",
            )
            chip = replace(exposure.chips[0], window=DetectorWindow(detector + 1))
            there = exposure.plane
            pointed = attitude(np.add(FIELD, place), there.ra, there.dec, roll)
            made.append((replace(exposure, chips=(chip,), attitude=pointed), catalog))
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}, errors


def result_of(exposures, catalogs, settings=SETTINGS):
    fitted = RelativeSettings(fitgeometry="rshift")
    return align_relative(exposures, catalogs, fitted, MatchSettings(), settings)


def align(exposures, catalogs, settings=SETTINGS):
    return result_of(exposures, catalogs, settings).solution


@pytest.fixture(scope="module")
def field():
    return stars(np.random.default_rng(801), 500, 300.0)


@pytest.mark.parametrize(
    "scale", [1.0, 6.0, 24.0, 80.0, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (2.0, 3.0))]
)
def test_they_are_found(field, scale):
    """However far they are off: by so much that their sources are not recognised as the same, too."""
    exposures, catalogs, _ = taken(np.random.default_rng(802), field, scale * OFF)
    solution = align(exposures, catalogs)
    for exposure in exposures:
        fit = solution[exposure.key]
        expected = 1e3 * scale * OFF[exposure.chips[0].window.chip - 1]
        assert 0.0 < fit.placement_error < 1.0
        np.testing.assert_allclose(fit.placement, expected, atol=4.5 * fit.placement_error)


@pytest.mark.parametrize("expected", [0.05, *(pytest.param(e, marks=pytest.mark.slow) for e in (0.02, 0.5))])
@pytest.mark.parametrize(
    "scale", [8.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (4.0, 10.0, 14.0))]
)
def test_they_are_found_however_poorly_places_are_known(field, scale, expected):
    """Also those that are off by less than is expected, but by more than is recognised as the same."""
    exposures, catalogs, _ = taken(np.random.default_rng(809), field, scale * OFF)
    solution = align(exposures, catalogs, replace(SETTINGS, detector_error=expected))
    first, second = (solution[exposure.key] for exposure in exposures[:2])
    apart = np.subtract(second.placement, first.placement)
    error = np.hypot(first.placement_error, second.placement_error)
    assert error < 2.0
    np.testing.assert_allclose(apart, 1e3 * scale * (OFF[1] - OFF[0]), atol=4.5 * error)


@pytest.mark.parametrize(("scale", "told"), [(1.0, set()), (2.0, {1, 2}), (12.0, {1, 2})])
def test_those_that_are_far_off_are_named(field, scale, told):
    exposures, catalogs, _ = taken(np.random.default_rng(802), field, scale * OFF)
    found = result_of(exposures, catalogs, PointingSettings(detector_error=0.004))
    remarks = [one for one in found.remarks if isinstance(one, OutOfPlace)]
    assert {one.detector for one in remarks} == told
    for one in remarks:
        assert one.offset == pytest.approx(1e3 * scale * np.hypot(*OFF[0]), abs=4 * one.error)


@pytest.mark.parametrize(
    "scale", [0.0, *(pytest.param(scale, marks=pytest.mark.slow) for scale in (1.0, 3.0)), 24.0]
)
def test_corrections_are_as_good_as_they_claim(field, scale):
    """Those of exposures, among them what is not known of the place of their detector."""
    pulls = []
    for seed in range(5):
        off = scale * OFF
        exposures, catalogs, errors = taken(np.random.default_rng([806, seed]), field, off)
        solution = align(exposures, catalogs)
        # what all have in common fixes the frame: nothing tells it
        common = np.mean([solution[one.key].transform.at(one.plane).shift for one in exposures[:2]], axis=0)
        for exposure, number in zip(exposures[1:], np.repeat(np.arange(4), 2)[1:], strict=True):
            at = solution[exposure.key].transform.at(exposure.plane)
            angle = np.radians((0.0, 0.0, 40.0, 40.0)[number])
            axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            true = axes @ off[exposure.chips[0].window.chip - 1] - errors[number]
            pulls.append((at.shift - common - true) / at.shift_error)
    # 70 pulls, of which some 5 of each field are independent
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.3
    assert np.abs(pulls).max() < 5.0


def test_exposures_of_a_pointing_differ_by_it_alone(field):
    exposures, catalogs, _ = taken(np.random.default_rng(803), field, OFF)
    solution = align(exposures, catalogs)
    for first, second in zip(exposures[::2], exposures[1::2], strict=True):
        one, other = (solution[each.key].transform for each in (first, second))
        apart = one.shift - other.shift
        assert np.hypot(*apart) == pytest.approx(
            1e-3 * np.hypot(*np.subtract(solution[first.key].placement, solution[second.key].placement)),
            abs=1e-4,
        )


def test_places_that_are_known_are_not_asked_for(field):
    exposures, catalogs, _ = taken(np.random.default_rng(804), field, 0 * OFF)
    known = align(exposures, catalogs, replace(SETTINGS, detector_error=0.0))
    assert all(np.isnan(fit.placement_error) for fit in known.fits.values())
    asked = align(exposures, catalogs)
    for key, fit in asked.fits.items():
        assert np.isfinite(fit.placement_error)
        np.testing.assert_allclose(fit.transform.shift, known[key].transform.shift, atol=2e-3)


def test_of_a_lone_pointing_places_are_as_uncertain_as_before(field):
    """And its corrections: what two detectors share is the pointing's."""
    exposures, catalogs, _ = taken(np.random.default_rng(807), field, OFF, rolls=(0.0,))
    for fit in align(exposures, catalogs).fits.values():
        assert fit.placement == (0.0, 0.0)
        for error in (1e-3 * fit.placement_error, fit.transform.axis_error):
            assert error == pytest.approx(SETTINGS.detector_error * np.sqrt(0.5))


def test_one_detector_has_no_place_among_others(field):
    exposures, catalogs, _ = taken(np.random.default_rng(805), field, OFF)
    solution = align(exposures[::2], catalogs)
    assert all(fit.placement == (0.0, 0.0) for fit in solution.fits.values())


def test_one_that_cannot_be_put_in_place_claims_no_more(field, monkeypatch):
    """Sources agree that it is far off, and still do when it was moved there."""
    far = FarOff.none(2)
    far.offset[1], far.n[1] = (0.08, -0.06), 40
    monkeypatch.setattr(relative, "farther_off", lambda *_: far)
    exposures, catalogs, _ = taken(np.random.default_rng(808), field, OFF)
    found = result_of(exposures, catalogs)
    assert [one for one in found.remarks if isinstance(one, PlaceUnknown)] == [
        PlaceUnknown("wfc3_ir", 2, 40, "sources of other detectors", pytest.approx(100.0))
    ]
    for exposure in exposures:
        error = found.solution[exposure.key].transform.at(exposure.plane).axis_error
        is_lost = exposure.chips[0].window.chip == 2
        assert error == pytest.approx(0.1 * np.sqrt(0.5), rel=0.05) if is_lost else error < 0.04


def test_pairs_grow_as_exposures_do_however_many_rolls():
    """And are enough to put a detector in place."""
    sparse, n = stars(np.random.default_rng(809), 120, 300.0), []
    for rolls in (40, 120):
        angles = tuple(np.linspace(0.0, 300.0, rolls))
        exposures, catalogs, _ = taken(np.random.default_rng(810), sparse, 24.0 * OFF, angles)
        places = Places.nominal(exposures, SETTINGS)
        fits = {
            each.key: ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(PLANE)) for each in exposures
        }
        solution = AlignmentSolution(fits)
        pairs = rough_placement._pairs(exposures, catalogs, solution, places)
        n.append(len(pairs.apart))
        found = rough_placement.farther_off(exposures, catalogs, solution, places)
        between = found.offset[0] - found.offset[1]
        # of pointings by 20 mas
        np.testing.assert_allclose(between, 48.0 * OFF[0], atol=0.03)
    # nine times as many without a limit
    assert n[1] < 3.5 * n[0]


@pytest.mark.parametrize("which", [0, 1])
def test_of_two_that_see_nothing_but_each_other_neither_is_believed(which):
    """Nothing tells which of them is off against the others of the camera."""
    places = (*PLACES, (200.0, -150.0), (-200.0, 150.0))
    off = np.zeros((4, 2))
    off[which] = 0.1, 0.0
    wide = stars(np.random.default_rng(811), 2500, 700.0)
    exposures, catalogs, _ = taken(np.random.default_rng(812), wide, off, (0.0,) * 3, places)
    found = result_of(exposures, catalogs)
    lost = [one for one in found.remarks if isinstance(one, PlaceUnknown)]
    assert {one.detector for one in lost} == {1, 2}
    assert not [one for one in found.remarks if isinstance(one, OutOfPlace)]
    for exposure, number in zip(exposures, np.tile(np.arange(4), 3), strict=True):
        fit = found.solution[exposure.key]
        error = np.hypot(*(1e-3 * np.array(fit.placement) - off[number]))
        assert error < 4.5e-3 * fit.placement_error
