from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.propagation.pair import DirectCandidate, Relation
from grism_align.algorithms.propagation.propagation_error import (
    drift_correlation,
    mean_transform,
    own_variances,
    propagation_covariance,
    weights_of,
    with_propagation_error,
)
from grism_align.values.failure import NoSources
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.tracking import Guiding
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.associations import exposure

PLANE = TangentPlane(53.0, -27.8)
POINTING = PointingSettings(dither_error=0.02, visit_error=0.5, roll_error=0.02, scale_error=1e-4)
SETTINGS = GrismSettings(PropagationSettings(drift_error=0.01), POINTING)


def at(number, hours, relation=Relation.SAME_POINTING, place=0, visit="iaaa01", sigma=0.0):
    made = exposure(
        f"{visit}d{number}q", 3600 * hours, east=20.0 * place, dither_offset=(place, 0), visit=visit
    )
    stay = f"{visit}{place}"
    return DirectCandidate(made, relation, 3600 * hours, hours, 0.0, stay, visit, variance=sigma**2)


def fitted(sigma=0.0, shift=(1.0, -2.0), roll=0.05, plane=PLANE):
    made = LinearTransform.from_parameters(plane, shift, roll)
    covariance = np.diag([sigma**2, sigma**2, 0, 0, 0, 0])
    return LinearTransform(made.matrix, made.shift, plane, covariance)


def weights(candidates, rule="interpolated", pointing=POINTING):
    return weights_of(rule, candidates, replace(SETTINGS, pointing=pointing))


def test_without_errors_weights_are_linear_in_time():
    found = weights([at(1, -0.03), at(2, 0.01)])
    np.testing.assert_allclose(found, [0.25, 0.75], atol=2e-3)


def test_errors_count_as_well_as_time():
    # large ones alone, where drift is nothing
    found = weights([at(1, -0.001, sigma=0.03), at(2, 0.002, sigma=0.04)])
    np.testing.assert_allclose(found, [0.64, 0.36], atol=1e-3)


def test_a_dither_counts_too():
    # 20 mas at both ends of an offset, against 10 mas of a fit
    found = weights([at(1, -0.001, sigma=0.01), at(2, 0.001, Relation.OFFSET, place=1)])
    np.testing.assert_allclose(found, [8 / 9, 1 / 9], atol=1e-3)


def test_weights_of_a_visit_do_not_depend_on_time():
    found = weights([at(1, -0.1), at(2, 3.0), at(3, 4.0, sigma=0.02)], "visit")
    np.testing.assert_allclose(found, [0.4, 0.4, 0.2], rtol=1e-6)


def test_interpolation_is_the_best_linear_unbiased_estimate():
    rng = np.random.default_rng(5)
    hours, noise = np.array([-0.2, 0.5, 0.0]), np.array([0.002, 0.005])
    candidates = [
        at(i, time, sigma=sigma) for i, (time, sigma) in enumerate(zip(hours[:2], noise, strict=True))
    ]
    found = weights(candidates)
    propagated = propagation_covariance(candidates, SETTINGS)
    total = propagated + np.diag(noise**2)
    variance = found @ total @ found
    for other in np.linspace(-0.5, 1.5, 41):
        w = np.array([other, 1 - other])
        assert w @ total @ w >= variance * (1 - 1e-9)
    # and as large as a smooth process really makes it
    process = 1e-4 * drift_correlation(hours[:, None] - hours, 0.6)
    drift = rng.multivariate_normal(np.zeros(3), process, size=40000, method="eigh")
    errors = (drift[:, :2] - drift[:, 2:] + noise * rng.normal(size=(40000, 2))) @ found
    assert errors.var() == pytest.approx(variance, rel=4 * np.sqrt(2 / 40000))


def test_drift_on_one_side_is_shared():
    found = propagation_covariance([at(1, -0.02), at(2, -0.05), at(3, 0.03)], SETTINGS)
    # so soon it is linear in time: 10 mas in 0.6 h
    np.testing.assert_allclose(found * 0.36e4, np.outer([-2, -5, 3], [-2, -5, 3]) * 1e-4, rtol=0.02)


def test_drift_ends_with_the_orbit():
    found = propagation_covariance([at(1, -48.0), at(2, 20.0)], SETTINGS)
    # nothing in common but the grism exposure's own
    np.testing.assert_allclose(1e4 * found, [[2, 1], [1, 2]], atol=1e-9)


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        (Relation.SAME_POINTING, 0.0),
        (Relation.OFFSET, 2 * 0.02**2),
        (Relation.OCCULTED, 4 * 0.02**2),
        (Relation.REACQUIRED, 4 * 0.02**2),
        (Relation.OTHER, 2 * 0.02**2 + 2 * 0.5**2),
    ],
)
def test_each_move_of_the_telescope_has_an_error_at_both_ends(relation, expected):
    [[found]] = propagation_covariance([at(1, 0.0, relation)], SETTINGS)
    assert found == pytest.approx(expected)


def test_offsets_of_several():
    moved = [at(i, 0.0, Relation.OFFSET, place) for i, place in ((1, 0), (2, 0), (3, 1))]
    found = propagation_covariance([*moved, at(4, 0.0)], SETTINGS) / 0.02**2
    # its own offset in all; that of the first two is one
    np.testing.assert_allclose(found, [[2, 2, 1, 0], [2, 2, 1, 0], [1, 1, 2, 0], [0, 0, 0, 0]], atol=1e-12)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_back_at_a_place_is_another_pointing():
    moved = [replace(at(i, 0.0, Relation.OFFSET), stay=f"stay {i}") for i in (1, 2)]
    found = propagation_covariance(moved, SETTINGS) / 0.02**2
    np.testing.assert_allclose(found, [[2, 1], [1, 2]], atol=1e-12)


def residuals(rng, error, n=40):
    """Sources of errors in mas, one of them clipped."""
    errors = error * rng.uniform(0.5, 2.0, n)
    weight = np.ones(n)
    weight[0] = 0.0
    offset = errors[:, None] * rng.normal(size=(n, 2)) + 1e3 * (1 - weight[:, None])
    return Residuals(np.arange(n), np.arange(n), offset, weight, errors)


def variance_of(fit):
    """Variance of a pointing of one exposure."""
    return own_variances([exposure("d", 0.0)], AlignmentSolution({"d": fit}))["d"]


def test_what_an_acquisition_has_in_common_is_no_error_of_its_own():
    rng = np.random.default_rng(8)
    told = [residuals(rng, 2.0) for _ in range(50)]
    fits = [ExposureFit(FitStatus.ALIGNED, fitted(0.02), residuals=each) for each in told]
    found = [1e6 * variance_of(fit) for fit in fits]
    expected = [1 / (each.weight / each.error**2).sum() for each in told]
    # a variance of some 20 effective sources on two axes is good to 0.22
    assert np.mean(np.divide(found, expected)) == pytest.approx(1, rel=4 * 0.22 / np.sqrt(50))


def test_without_residuals_the_whole_error_is_its_own():
    alone = ExposureFit(FitStatus.ALIGNED, fitted(0.02))
    assert variance_of(alone) == pytest.approx(4e-4)
    few = residuals(np.random.default_rng(8), 2.0, 5)
    assert variance_of(replace(alone, residuals=few)) == pytest.approx(4e-4)
    unknown = residuals(np.random.default_rng(8), np.nan)
    assert variance_of(replace(alone, residuals=unknown)) == pytest.approx(4e-4)
    assert variance_of(ExposureFit.failed(NoSources(6.0))) == 0


def test_what_the_measured_ones_of_its_acquisition_have_too_is_no_error_of_its_own():
    directs = [exposure(f"iaaa01d{i}q", 1000 * i) for i in range(2)]
    other = exposure("ibbb01d1q", 0)
    measured = ExposureFit(
        FitStatus.ALIGNED, fitted(0.003), residuals=residuals(np.random.default_rng(8), 2.0)
    )
    unmeasured = ExposureFit(FitStatus.PRIOR_ONLY, fitted(0.005))
    fits = {directs[0].key: measured, directs[1].key: unmeasured, other.key: unmeasured}
    found = own_variances([*directs, other], AlignmentSolution(fits))
    own = found[directs[0].key]
    assert found[directs[1].key] == pytest.approx(0.004**2 + own)
    assert found[other.key] == pytest.approx(0.005**2)


@pytest.mark.parametrize("per_source", [2.0, 10.0, 20.0])
def test_of_no_error_of_its_own_is_said_to_be_less_than_of_the_measured_ones(per_source):
    """Whose claims hold much of their own scatter, where sources are few."""
    directs = [exposure(f"iaaa01d{i}q", 1000 * i) for i in range(2)]
    few = residuals(np.random.default_rng(8), per_source, 6)
    own = variance_of(ExposureFit(FitStatus.ALIGNED, fitted(0.02), residuals=few))
    measured = ExposureFit(FitStatus.ALIGNED, fitted(np.sqrt(0.001**2 + own)), residuals=few)
    unmeasured = ExposureFit(FitStatus.PRIOR_ONLY, fitted(0.0035))
    fits = dict(zip([each.key for each in directs], [measured, unmeasured], strict=True))
    found = own_variances(directs, AlignmentSolution(fits))[directs[1].key]
    assert found == pytest.approx(max(0.0035**2 - 0.001**2, own))


def test_all_exposures_of_a_pointing_tell_its_variance():
    rng = np.random.default_rng(9)
    parts = [residuals(rng, 2.0, n) for n in (40, 3)]
    both = Residuals(
        *(np.concatenate(columns) for columns in zip(*(vars(p).values() for p in parts), strict=True))
    )
    fits = [ExposureFit(FitStatus.ALIGNED, fitted(0.02), residuals=part) for part in parts]
    directs = [exposure(f"d{n}", 0.0, pointing="one") for n in range(3)]
    fits.append(replace(fits[0], residuals=None))
    solution = AlignmentSolution(dict(zip(["d0", "d1", "d2"], fits, strict=True)))
    found = own_variances(directs, solution)
    assert len(set(found.values())) == 1
    assert found["d2"] == pytest.approx(variance_of(replace(fits[0], residuals=both)))


def test_two_acquisitions_of_the_same_guide_stars():
    moved = [
        at(i, 0.0, Relation.REACQUIRED, i, visit=f"iaaa0{visit}") for i, visit in ((1, 2), (2, 2), (3, 3))
    ]
    found = propagation_covariance(moved, SETTINGS) / 0.02**2
    # the grism's offset and acquisition in all, the others' acquisition in two, each one's own offset
    np.testing.assert_allclose(found, [[4, 3, 2], [3, 4, 2], [2, 2, 4]], atol=1e-12)


def test_other_guide_stars_have_another_roll_and_scale():
    found = with_propagation_error(fitted(0.003), 0.25, Relation.OTHER, POINTING, PLANE).covariance
    assert found[0, 0] == found[1, 1] == pytest.approx(0.25 + 9e-6)
    roll = np.array([0, 0, 0, 0.5, -0.5, 0])
    scale = np.array([0, 0, 0.5, 0, 0, 0.5])
    assert np.sqrt(roll @ found @ roll) == pytest.approx(np.sqrt(2) * np.radians(0.02))
    assert np.sqrt(scale @ found @ scale) == pytest.approx(np.sqrt(2) * 1e-4)
    near = with_propagation_error(fitted(0.003), 0.25, Relation.REACQUIRED, POINTING, PLANE).covariance
    np.testing.assert_array_equal(near[2:, 2:], 0)
    # a roll that changes is that of the direct exposures but for one such change
    turned = with_propagation_error(
        fitted(0.003), 0.25, Relation.SAME_POINTING, POINTING, PLANE, turns=True
    ).covariance
    assert np.sqrt(roll @ turned @ roll) == pytest.approx(np.radians(POINTING.dither_roll_error))
    assert scale @ turned @ scale == pytest.approx(0, abs=1e-20)


NEIGHBOURS = st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 20.0), st.floats(0.0, 0.5))


@given(st.lists(NEIGHBOURS, min_size=1, max_size=6), st.sampled_from(["interpolated", "visit"]))
def test_laws(drawn, rule):
    candidates = [
        at(i, hours if i % 2 else -hours, Relation(i % 4), i // 2, sigma=sigma)
        for i, (hours, _, sigma) in enumerate(drawn)
    ]
    transforms = [fitted(sigma) for _, _, sigma in drawn]
    found = weights(candidates, rule)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    propagated = propagation_covariance(candidates, SETTINGS)
    np.testing.assert_allclose(propagated, propagated.T, atol=1e-18)
    assert np.linalg.eigvalsh(propagated).min() > -1e-9
    # equal corrections interpolate to themselves, with no smaller an error than the best one
    mean = mean_transform(transforms, found)
    np.testing.assert_allclose(mean.matrix, transforms[0].matrix, atol=1e-14)
    np.testing.assert_allclose(mean.shift, transforms[0].shift, atol=1e-13)
    assert mean.shift_error[0] >= min(sigma for _, _, sigma in drawn) - 1e-9


@pytest.mark.parametrize(
    ("shift", "roll"), [((0.4, -0.3), 0.01), ((12.0, -9.0), 0.3), ((-30.0, 30.0), 20.0), ((0.5, 0.2), 179.0)]
)
def test_equal_corrections_in_planes_of_their_own(shift, roll):
    """One map of the sky, fitted in three exposures' planes, comes out as itself to 0.01 mas."""
    sky = LinearTransform.from_parameters(PLANE, shift, roll)
    places = [PLANE.to_sky(xy) for xy in ([8.8, -3.0], [-6.0, 4.0], [2.0, 11.0])]
    planes = [TangentPlane(*(float(value) for value in place)) for place in places]
    moved = [sky.at(plane) for plane in planes[:2]]
    mean = mean_transform(moved, np.array([0.3, 0.7]))
    side = np.linspace(-60, 60, 5)
    grid = planes[2].to_sky(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2))
    expected = sky.apply_to_sky(grid)
    difference = PLANE.to_plane(mean.apply_to_sky(grid)) - PLANE.to_plane(expected)
    assert 1e3 * np.abs(difference).max() < 0.01
    one = mean_transform(moved[:1], np.ones(1))
    assert one is moved[0]


def test_interpolated_shift_and_roll_are_those_of_the_time():
    """A linear drift of shift and roll, met half-way and at a third."""
    first, last = fitted(shift=(1.0, -2.0), roll=0.02), fitted(shift=(1.02, -1.97), roll=0.03)
    mean = mean_transform([first, last], np.array([2 / 3, 1 / 3]))
    np.testing.assert_allclose(mean.shift, [1.0 + 0.02 / 3, -2.0 + 0.03 / 3], atol=1e-12)
    assert mean.roll == pytest.approx(0.02 + 0.01 / 3, abs=1e-9)
    assert mean.scale == pytest.approx(1.0, abs=1e-8)


def test_on_gyros_the_error_grows_with_time():
    settings = replace(SETTINGS, pointing=replace(SETTINGS.pointing, gyro_drift=5.0))
    on_gyros = [replace(at(i, hours), drift_share=1.0) for i, hours in ((1, -0.2), (2, 0.3), (3, -0.4))]
    found = propagation_covariance(on_gyros, settings) - propagation_covariance(
        [replace(each, drift_share=0.0) for each in on_gyros], settings
    )
    # at a rate that is known to a fifth of itself by what is on the other side
    moved, changed = np.array([-1.0, 1.5, -2.0]), 0.2
    nearer = np.array([[1.0, 0, 1.0], [0, 1.5, 0], [1.0, 0, 2.0]])
    np.testing.assert_allclose(found, np.outer(moved, moved) + (changed * nearer) ** 2, rtol=1e-9)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_about_one_guide_star_only_the_roll_drifts():
    lone = replace(at(1, 1.0), drift_share=Guiding.ONE_GUIDE_STAR.drift_share)
    with_it, without = (
        propagation_covariance([replace(lone, drift_share=share)], SETTINGS)[0, 0]
        for share in (lone.drift_share, 0.0)
    )
    # 5 arcsec of roll, seen from 15 arcmin
    expected = np.radians(5 / 3600) * 900
    assert np.sqrt(with_it - without) == pytest.approx(expected, rel=0.05)
