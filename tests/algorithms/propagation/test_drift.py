from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.propagation.drift import FACTORS, learnt_errors, posterior, with_sizes
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.tracking import Guiding, Tracking
from grism_align.values.transform import LinearTransform
from tests.support.associations import exposure

GIVEN = GrismSettings(PropagationSettings(drift_error=0.01), PointingSettings(dither_error=0.02))
NOISE = 2e-4  # arcsec


def field(rng, drift=0.0, dither=0.0, visits=2, places=(0, 1, 2, 3), noise=NOISE):
    """Visits of a direct and a grism exposure at each place, and what was found of the direct ones.

    Drift is a sinusoid of an orbit's period, with the slope of a process of so many arcsec.
    """
    exposures, fits = [], {}
    for visit in (f"iaaa0{number + 1}" for number in range(visits)):
        common, phase = rng.normal(0, 0.5, 2), rng.uniform(0, 2 * np.pi, 2)
        own, last = np.zeros(2), None
        for number, place in enumerate(places):
            if place != last:
                own, last = dither * rng.normal(size=2), place
            start = {"east": 20.0 * place, "dither_offset": (place, 0.0), "visit": visit}
            direct = exposure(f"{visit}d{number}q", 900 * number, **start)
            exposures += [direct, exposure(f"{visit}g{number}q", 900 * number + 300, grism=True, **start)]
            hours = 24 * (direct.mid - exposures[0].mid)
            moved = np.sqrt(2) * drift * np.sin(2 * np.pi * hours / 1.6 + phase) * (1.6 / (2 * np.pi * 0.6))
            covariance = np.diag([noise**2, noise**2, 0, 0, 0, 0])
            shift = common + own + moved + noise * rng.normal(size=2)
            # one visit's error is a shift on the sky
            plane = exposures[0].plane
            there = LinearTransform(np.eye(2), shift, plane).at(direct.plane)
            fits[direct.key] = ExposureFit(FitStatus.ALIGNED, replace(there, covariance=covariance))
    return exposures, AlignmentSolution(fits)


def learnt(exposures, solution, given=GIVEN):
    found = learnt_errors(exposures, solution, given)
    return found.propagation.drift_error, found.pointing.dither_error


def mean_learnt(fields=20, **changes):
    """Geometric means over many fields."""
    rng = np.random.default_rng(4)
    found = [learnt(*field(rng, **changes)) for _ in range(fields)]
    return np.exp(np.mean(np.log(found), axis=0))


def test_dithers_that_err():
    drift, dither = mean_learnt(dither=0.05)
    assert dither == pytest.approx(0.05, rel=0.15)
    assert drift < 0.02


def test_drift_alone():
    drift, dither = mean_learnt(drift=0.02)
    assert drift == pytest.approx(0.02, rel=0.5)
    assert dither < 0.004


def test_nothing_moves():
    drift, dither = mean_learnt()
    assert drift < 5 * NOISE
    assert dither < 5 * NOISE


def test_one_pointing_tells_drift_alone():
    drift, dither = mean_learnt(drift=0.005, places=(0, 0, 0))
    assert drift == pytest.approx(0.005, rel=0.5)
    # as given
    assert dither == pytest.approx(0.02)


def test_what_nothing_tells_stays_as_given():
    rng = np.random.default_rng(1)
    exposures, solution = field(rng, dither=0.1, places=(0,))
    assert learnt_errors(exposures, solution, GIVEN) == GIVEN
    assert learnt_errors([], AlignmentSolution(), GIVEN) == GIVEN
    exposures, solution = field(rng, dither=0.1)
    without_drift = replace(GIVEN, propagation=replace(GIVEN.propagation, drift_error=0.0))
    assert learnt_errors(exposures, solution, without_drift) == without_drift


@pytest.mark.parametrize("why", ["prior", "frame", "fitted", "failed"])
def test_what_does_not_tell_pointings(why):
    exposures, solution = field(np.random.default_rng(1), dither=0.1, visits=1, places=(0, 1))
    fits = dict(solution.fits)
    key = "iaaa01d1q"
    if why == "fitted":
        exposures = [replace(e, wcs_solution="FIT_REL_X") if e.key == key else e for e in exposures]
    changes = {
        "prior": {"status": FitStatus.PRIOR_ONLY},
        "frame": {"frame": 1},
        "failed": {"transform": None},
    }
    fits[key] = replace(fits[key], **changes.get(why, {}))
    assert learnt_errors(exposures, AlignmentSolution(fits), GIVEN) == GIVEN


def test_what_is_claimed_is_honest_in_the_mean():
    """Rms over fields of errors by what is learnt, where the true sizes scatter as the prior has it."""
    rng = np.random.default_rng(3)
    ratios = []
    for _ in range(150):
        true = 0.02 * np.exp(np.log(3) * rng.normal())
        _, dither = learnt(*field(rng, dither=true, visits=1, places=(0, 1, 2)))
        ratios.append(true / dither)
    # of a heavy tail
    assert np.sqrt(np.mean(np.square(ratios))) == pytest.approx(1, rel=0.35)


def test_common_errors_do_not_hide_drift():
    rng = np.random.default_rng(6)
    exposures, solution = field(rng, drift=0.005, places=(0, 0, 0))
    n = 40
    told = Residuals(
        np.arange(n), np.arange(n), 1.2 * rng.normal(size=(n, 2)), np.ones(n), np.full(n, 1e3 * NOISE * 6)
    )

    def with_common(fit, own):
        covariance = fit.transform.covariance + np.diag([4e-4, 4e-4, 0, 0, 0, 0])
        return replace(
            fit, transform=replace(fit.transform, covariance=covariance), residuals=told if own else None
        )

    expected = learnt(exposures, solution)
    found = [
        learnt(exposures, AlignmentSolution({k: with_common(f, own) for k, f in solution.fits.items()}))
        for own in (True, False)
    ]
    assert found[0] == pytest.approx(expected, rel=0.05)
    assert found[1][0] > 1.3 * expected[0]


def test_the_order_and_the_common_pointing_are_irrelevant():
    rng = np.random.default_rng(2)
    exposures, solution = field(rng, dither=0.01, drift=0.01)
    moved = AlignmentSolution(
        {
            key: replace(
                fit, transform=replace(fit.transform, shift=fit.transform.shift + np.array([0.3, -0.2]))
            )
            for key, fit in solution.fits.items()
        }
    )
    found = learnt(exposures, solution)
    assert learnt(exposures[::-1], solution) == found
    assert learnt(exposures, moved) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("rate", [0.5, 2.5, 10.0])
def test_the_rate_on_gyros_is_learnt_from_them_alone(rate):
    rng = np.random.default_rng(9)
    given = replace(GIVEN, pointing=replace(GIVEN.pointing, gyro_drift=5.0))
    rates = []
    for _ in range(10):
        exposures, solution = field(rng, visits=4)
        fits = dict(solution.fits)
        taken = [replace(each, tracking=Tracking(Guiding.GYROS)) for each in exposures]
        for visit in {each.visit for each in taken}:
            drift = rate * rng.normal(size=2)
            for each in (e for e in taken if e.visit == visit and e.is_direct):
                before = fits[each.key].transform
                shift = before.shift + drift * 24 * (each.mid - taken[0].mid)
                fits[each.key] = replace(fits[each.key], transform=replace(before, shift=shift))
        found = learnt_errors(taken, AlignmentSolution(fits), given)
        assert found.propagation == given.propagation
        assert found.pointing.dither_error == given.pointing.dither_error
        rates.append(found.pointing.gyro_drift)
    # of eight rates a standard deviation is good to a fourth of itself; the prior is three times as wide
    assert np.exp(np.mean(np.log(rates))) == pytest.approx(rate, rel=0.35)


@pytest.mark.parametrize("dither", [1e-4, 0.02, 99.0])
def test_sizes_stay_within_the_bounds_of_the_parameters(dither):
    given = replace(GIVEN, pointing=replace(GIVEN.pointing, dither_error=dither))
    for factor in (FACTORS[0], FACTORS[-1]):
        found = with_sizes(given, factor, min(factor, 1.0))
        assert 1e-4 <= found.pointing.dither_error <= 100
        assert 0 <= found.propagation.drift_error <= 10


def test_sizes_that_nothing_tells_are_as_likely_as_they_were_given():
    weights = posterior(np.zeros((len(FACTORS), len(FACTORS))))
    assert weights.sum() == pytest.approx(1.0)
    i, j = np.unravel_index(weights.argmax(), weights.shape)
    assert FACTORS[i] == FACTORS[j] == pytest.approx(1.0)


def test_sizes_that_are_far_smaller_than_given_are_believed_sooner_than_far_larger_ones():
    """A size that is too large has offsets scatter by what is measured; a small one forbids them to."""
    alone = posterior(np.zeros((len(FACTORS), len(FACTORS)))).sum(axis=0)
    assert alone[0] > 10 * alone[-1]
