from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.propagation.propagate import propagate, shift_error, with_error_retold
from grism_align.values.failure import (
    FailureCode,
    InsteadOf,
    NoSources,
    OtherDither,
    OtherTarget,
    ShiftError,
    TooFewMatches,
)
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.associations import exposure
from tests.support.chips import chip_wcs

DRIFT = PropagationSettings(drift_error=0.01)
SETTINGS = GrismSettings(DRIFT)

NOTED = TooFewMatches(3, 6)


def drifted(hours):
    """Variance of 10 mas of drift over a time, arcsec^2."""
    return 2e-4 * (1 - np.exp(-0.5 * (hours / 0.6) ** 2))


PIXELS = np.array([[0.0, 0.0], [1013.0, 0.0], [500.0, 500.0], [0.0, 1013.0], [1013.0, 1013.0]])


def aligned(direct, shift=(1.0, -2.0), roll=0.05, **changes):
    transform = LinearTransform.from_parameters(direct.plane, shift, roll)
    return ExposureFit(FitStatus.REFERENCE, transform, "GAIA", 2, 50, 45, 3.0, 1e-9, **changes)


def test_the_paired_exposure_lends_its_correction():
    grism, direct = exposure("iaaa01g1q", 300, grism=True, dither_offset=(8.8, 0)), exposure("iaaa01d1q", 0)
    fit = aligned(direct, remarks=(NOTED,))
    found = propagate([grism], [direct], AlignmentSolution({direct.key: fit}, "GAIA"), SETTINGS)
    assert found.reference == "GAIA"
    got = found[grism.key]
    np.testing.assert_array_equal(got.transform.matrix, fit.transform.matrix)
    np.testing.assert_array_equal(got.transform.shift, fit.transform.shift)
    assert (got.governed.weights, got.governed.idle_times) == ((1.0,), pytest.approx((-100.0,), abs=1e-3))
    # 300 s between the middles of the two
    expected = drifted(300 / 3600)
    assert got.governed.propagation_error == pytest.approx(1e3 * np.sqrt(expected))
    np.testing.assert_allclose(np.diag(got.transform.covariance)[:3], [expected, expected, 0], rtol=1e-6)
    assert (got.status, got.governors, str(got.governed)) == (
        FitStatus.ALIGNED,
        (direct.key,),
        "paired, -100 s",
    )
    assert (got.frame, got.n_matched, got.rms, got.reference, got.reason) == (
        2,
        50,
        3.0,
        "GAIA",
        f"iaaa01d1q: {NOTED}",
    )
    assert got.residuals is None


def offset_error(found, hours):
    """What is in the error of a correction beyond drift, arcsec^2."""
    return (1e-3 * found.governed.propagation_error) ** 2 - drifted(hours)


@pytest.mark.parametrize("state", ["failed", "unknown"])
@pytest.mark.parametrize(("east", "rule", "extra"), [(0.0, "paired", 0.0), (20.0, "previous", 8e-4)])
def test_the_next_best_takes_over(state, east, rule, extra):
    grism = exposure("iaaa01g1q", 700, grism=True)
    first = exposure("iaaa01d1q", 0, east=east, dither_offset=(east, 0))
    second = exposure("iaaa01d2q", 400)
    fits = {first.key: aligned(first)}
    if state == "failed":
        fits[second.key] = ExposureFit.failed(NoSources(6.0))
    got = propagate([grism], [first, second], AlignmentSolution(fits), SETTINGS)[grism.key]
    assert got.governors == (first.key,)
    assert str(got.governed) == f"{rule}, -500 s"
    told = [FailureCode.INSTEAD_OF]
    if rule != "paired":
        told += [FailureCode.OTHER_DITHER, FailureCode.SHIFT_ERROR]
    assert [remark.code for remark in got.remarks] == told
    # both dithers are in its error, where it is of another one
    assert offset_error(got, 700 / 3600) == pytest.approx(extra, abs=1e-9)
    covariance = got.transform.covariance - fits[first.key].transform.covariance
    np.testing.assert_allclose(np.diag(covariance)[:2], (1e-3 * got.governed.propagation_error) ** 2)


@pytest.mark.parametrize(("share", "is_told"), [(0.4, False), (0.8, True)])
def test_the_claimed_error_is_told_as_it_is_after_a_change(share, is_told):
    grism = exposure("iaaa01g1q", 300, grism=True)
    direct = exposure("iaaa01d1q", 0, east=20, dither_offset=(20, 0))
    got = propagate([grism], [direct], AlignmentSolution({direct.key: aligned(direct)}), SETTINGS)[grism.key]
    # spectra make it better than the 0.22 pixel that it was
    better = replace(got.transform, covariance=share**2 * got.transform.covariance)
    found = with_error_retold(replace(got, transform=better), grism)
    assert found.remarks == ((shift_error(grism, better),) if is_told else ())
    assert found.transform is better


def test_another_pointing_has_the_errors_of_two_dithers():
    grism = exposure("iaaa01g1q", 300, grism=True)
    direct = exposure("iaaa01d1q", 0, east=20, dither_offset=(20, 0))
    solution = AlignmentSolution({direct.key: aligned(direct)})
    got = propagate([grism], [direct], solution, SETTINGS)[grism.key]
    assert (str(got.governed), got.status) == ("previous, -100 s", FitStatus.ALIGNED)
    # beyond a tenth of a pixel it is told
    error = got.transform.at(grism.plane).axis_error
    assert got.remarks == (
        OtherDither(direct.key, 20.0),
        ShiftError(1e3 * error, error / grism.pixel_scale),
    )
    assert error == pytest.approx(1e-3 * got.governed.propagation_error)
    assert offset_error(got, 300 / 3600) == pytest.approx(2 * 0.02**2)
    tight = propagate(
        [grism], [direct], solution, GrismSettings(DRIFT, pointing=PointingSettings(dither_error=0.001))
    )[grism.key]
    assert offset_error(tight, 300 / 3600) == pytest.approx(2e-6)
    assert tight.remarks == ()


def test_a_small_dither_has_the_errors_of_two():
    grism, direct = (
        exposure("iaaa01g1q", 300, grism=True, east=0.6, dither_offset=(0.6, 0)),
        exposure("iaaa01d1q", 0),
    )
    got = propagate([grism], [direct], AlignmentSolution({direct.key: aligned(direct)}), SETTINGS)[grism.key]
    assert (str(got.governed), got.status) == ("paired, -100 s", FitStatus.ALIGNED)
    assert offset_error(got, 300 / 3600) == pytest.approx(2 * 0.02**2)


@pytest.mark.parametrize(("angle", "is_lent"), [(30.0, True), (30.1, True), (30.3, False), (30.9, False)])
def test_another_roll_in_a_visit(angle, is_lent):
    def rolled(made, roll):
        return replace(made, chips=(replace(made.chips[0], wcs=chip_wcs("wfc3_ir", (53.0, -27.8, roll))),))

    direct = rolled(exposure("iaaa01d1q", 0), 30.0)
    grism = rolled(exposure("iaaa01g1q", 300, grism=True), angle)
    got = propagate([grism], [direct], AlignmentSolution({direct.key: aligned(direct)}), SETTINGS)[grism.key]
    assert (got.transform is not None) == is_lent
    if not is_lent:
        assert got.reason == (
            "no direct exposure in its guide-star acquisition (iaaa01) at its roll: iaaa01d1q at another"
        )


def drifting(places=(0, 0, 0), drift=(0.02, -0.01), **changes):
    """Two direct exposures around a grism exposure; the pointing drifts by so many arcsec in an hour."""
    made = [
        exposure(
            f"iaaa01{name}q",
            start,
            grism=name == "g1",
            length=length,
            east=20.0 * place,
            dither_offset=(place, 0),
        )
        for (name, start, length), place in zip(
            (("d1", 0, 200), ("g1", 300, 1000), ("d2", 1400, 200)), places, strict=True
        )
    ]
    shifts = [np.array([1.0, -2.0]) + 24 * (each.mid - made[0].mid) * np.array(drift) for each in made]
    fits = {each.key: aligned(each, shift, 0.0, **changes) for each, shift in zip(made, shifts, strict=True)}
    true = fits.pop(made[1].key).transform
    return made[1], (made[0], made[2]), AlignmentSolution(fits), true


def test_interpolation_takes_drift_out():
    grism, directs, solution, true = drifting()
    got = propagate([grism], directs, solution, SETTINGS)[grism.key]
    np.testing.assert_allclose(got.transform.at(true.plane).shift, true.shift, atol=1e-6)
    assert got.governors == ("iaaa01d1q", "iaaa01d2q")
    assert str(got.governed) == "interpolated, -100 s (0.50), +100 s (0.50)"
    assert got.governed.weights == pytest.approx((0.5, 0.5))
    assert got.governed.idle_times == pytest.approx((-100, 100), abs=1e-3)
    assert (got.status, got.reason) == (FitStatus.ALIGNED, "")
    # what is left is curvature: nearly its second derivative, of variance 3, by half the square of the time
    assert got.governed.propagation_error == pytest.approx(
        10 * np.sqrt(3) / 2 * (700 / 3600 / 0.6) ** 2, rel=0.1
    )
    previous = propagate([grism], directs, solution, GrismSettings(PropagationSettings(method="previous")))[
        grism.key
    ]
    off = np.hypot(*(previous.transform.shift - true.shift))
    assert off == pytest.approx(np.hypot(0.02, 0.01) * 700 / 3600, rel=1e-6)
    assert str(previous.governed) == "previous, -100 s"


def test_without_drift_errors_alone_weigh():
    grism, directs, solution, _ = drifting(drift=(0, 0))
    first = solution["iaaa01d1q"]
    covariance = np.diag([4e-6, 4e-6, 0, 0, 0, 0])
    worse = replace(first, transform=replace(first.transform, covariance=covariance))
    fits = AlignmentSolution({**solution.fits, "iaaa01d1q": worse})
    got = propagate([grism], directs, fits, GrismSettings(PropagationSettings(drift_error=0.0)))[grism.key]
    assert got.governed.weights[0] < 1e-5
    assert got.governed.propagation_error == 0.0


def test_one_side_failed():
    grism, directs, solution, _ = drifting()
    fits = AlignmentSolution({**solution.fits, "iaaa01d2q": ExposureFit.failed(NoSources(6.0))})
    got = propagate([grism], directs, fits, SETTINGS)[grism.key]
    assert (got.governors, got.governed.weights) == (("iaaa01d1q",), (1.0,))
    assert got.reason == "instead of iaaa01d2q (not aligned)"


@pytest.mark.parametrize("method", ["auto", "interpolate"])
def test_one_side_has_a_correction_of_its_acquisition_only(method):
    grism, directs, solution, _ = drifting()
    prior = replace(solution["iaaa01d1q"], status=FitStatus.PRIOR_ONLY)
    fits = AlignmentSolution({**solution.fits, "iaaa01d1q": prior})
    got = propagate([grism], directs, fits, GrismSettings(PropagationSettings(method=method)))[grism.key]
    assert (got.governors, got.status) == (("iaaa01d2q",), FitStatus.ALIGNED)
    assert got.reason == "instead of iaaa01d1q (not aligned by its own sources)"
    both = AlignmentSolution({**fits.fits, "iaaa01d2q": replace(prior, status=FitStatus.PRIOR_ONLY)})
    got = propagate([grism], directs, both, GrismSettings(PropagationSettings(method=method)))[grism.key]
    assert (got.governors, got.status) == (("iaaa01d1q",), FitStatus.PRIOR_ONLY)
    assert "iaaa01d1q has the correction of its guide-star acquisition" in got.reason


def claiming(direct, error, status):
    """A fit that claims an error, arcsec of one axis."""
    fit = aligned(direct)
    covariance = np.diag([error**2, error**2, 0, 0, 0, 0])
    return replace(fit, status=status, transform=replace(fit.transform, covariance=covariance))


@pytest.mark.parametrize("names_it", [False, True])
@pytest.mark.parametrize(("error", "chosen"), [(0.01, "iaaa01d2q"), (0.1, "iaaa01d1q")])
@pytest.mark.parametrize("method", ["auto", "previous", "nearest", "interpolate"])
def test_one_that_was_not_measured_governs_where_no_other_claims_less(method, error, chosen, names_it):
    first = exposure("iaaa01d1q", 0, east=20.0, dither_offset=(20.0, 0.0))
    second = exposure("iaaa01d2q", 300)
    names = (second.key,) if names_it else ()
    grism = exposure("iaaa01g1q", 600, grism=True, governors=names)
    fits = AlignmentSolution(
        {
            first.key: claiming(first, 0.0003, FitStatus.ALIGNED),
            second.key: claiming(second, error, FitStatus.PRIOR_ONLY),
        }
    )
    settings = GrismSettings(PropagationSettings(method=method))
    got = propagate([grism], [first, second], fits, settings)[grism.key]
    assert got.governors == (chosen,)
    if chosen == second.key:
        assert got.status is FitStatus.PRIOR_ONLY
        assert not got.says(InsteadOf)
    else:
        assert got.status is FitStatus.ALIGNED
        assert got.reason.startswith("instead of iaaa01d2q (not aligned by its own sources)")


def test_the_next_that_the_association_names_governs_for_one_that_was_not_measured():
    directs = [
        exposure(f"iaaa01d{i}q", 300 * i, east=20.0 * i, dither_offset=(20.0 * i, 0)) for i in range(3)
    ]
    grism = exposure(
        "iaaa01g1q", 900, grism=True, east=90, dither_offset=(90, 0), governors=("iaaa01d2q", "iaaa01d0q")
    )
    unmeasured = claiming(directs[2], 0.1, FitStatus.PRIOR_ONLY)
    others = {each.key: claiming(each, 0.0003, FitStatus.ALIGNED) for each in directs[:2]}
    # the one that the rule has instead is measured as well, but no better
    others[directs[1].key] = claiming(directs[1], 0.03, FitStatus.ALIGNED)
    fits = AlignmentSolution({**others, directs[2].key: unmeasured})
    got = propagate([grism], directs, fits, SETTINGS)[grism.key]
    assert (got.governors, got.governed.rule) == (("iaaa01d0q",), "association")
    assert got.reason.startswith("instead of iaaa01d2q (not aligned by its own sources)")


def test_the_first_measured_one_that_the_association_names_governs_though_another_claims_less():
    directs = [
        exposure(f"iaaa01d{i}q", 300 * i, east=20.0 * i, dither_offset=(20.0 * i, 0)) for i in range(3)
    ]
    names = ("iaaa01d2q", "iaaa01d0q", "iaaa01d1q")
    grism = exposure("iaaa01g1q", 900, grism=True, east=90, dither_offset=(90, 0), governors=names)
    fits = AlignmentSolution(
        {
            directs[0].key: claiming(directs[0], 0.01, FitStatus.ALIGNED),
            directs[1].key: claiming(directs[1], 0.0003, FitStatus.ALIGNED),
            directs[2].key: claiming(directs[2], 0.1, FitStatus.PRIOR_ONLY),
        }
    )
    got = propagate([grism], directs, fits, SETTINGS)[grism.key]
    assert (got.governors, got.governed.rule) == (("iaaa01d0q",), "association")
    assert got.reason.startswith("instead of iaaa01d2q (not aligned by its own sources)")
    assert "another frame" not in got.reason


def test_frames_that_are_not_tied_are_not_averaged():
    grism, directs, solution, _ = drifting()
    other = replace(solution["iaaa01d2q"], frame=3)
    fits = AlignmentSolution({**solution.fits, "iaaa01d2q": other})
    got = propagate([grism], directs, fits, SETTINGS)[grism.key]
    assert got.governors == ("iaaa01d1q",)
    assert got.reason == "instead of iaaa01d2q (in another frame)"


def test_the_mean_of_a_visit():
    grism, directs, solution, true = drifting((0, 1, 2))
    got = propagate([grism], directs, solution, GrismSettings(PropagationSettings(method="visit")))[grism.key]
    assert str(got.governed) == "visit, -100 s (0.50), +100 s (0.50)"
    # the direct exposures are 10" and 20" off: their planes are the sky's only to second order
    np.testing.assert_allclose(got.transform.at(true.plane).shift, true.shift, atol=1e-5)
    # its own dither, and the mean of two; drift hardly counts
    assert got.governed.propagation_error == pytest.approx(20 * np.sqrt(1.5), rel=0.01)


def test_two_acquisitions_in_a_visit_and_two_instruments():
    grism, directs, solution, _ = drifting()
    second = replace(directs[1], group="iaaa01:OTHER")
    got = propagate([grism], (directs[0], second), solution, SETTINGS)[grism.key]
    assert got.governors == ("iaaa01d1q",)
    second = replace(directs[1], instrument="acs_wfc")
    got = propagate([grism], (directs[0], second), solution, SETTINGS)[grism.key]
    assert got.governors == ("iaaa01d1q",)


@pytest.mark.parametrize("failed", [False, True])
def test_a_visit_without_direct_exposures_takes_one_of_the_same_guide_stars(failed):
    grism = exposure("iaaa01g1q", 0, grism=True, guide_star="S1")
    directs = [
        exposure(f"iaaa02d{i}q", 86400 + 600 * i, guide_star="S1", east=20 * i, dither_offset=(i, 0))
        for i in (1, 2)
    ]
    solution = AlignmentSolution({each.key: aligned(each, roll=0.0) for each in directs})
    own = [exposure("iaaa01d1q", 300, guide_star="S1")] if failed else []
    got = propagate([grism], [*own, *directs], solution, SETTINGS)[grism.key]
    assert (got.status, got.governors) == (FitStatus.PRIOR_ONLY, ("iaaa02d1q", "iaaa02d2q"))
    assert str(got.governed).startswith("visit, +")
    assert "of another guide-star acquisition (iaaa02; the same guide stars)" in got.reason
    assert ("instead of iaaa01d1q (not aligned)" in got.reason) == failed
    # drift of another day, own offset and acquisition, theirs, and the mean of two offsets
    assert (1e-3 * got.governed.propagation_error) ** 2 == pytest.approx(2e-4 + 3.5 * 0.02**2, rel=0.02)
    assert f"error {1e3 * got.transform.shift_error.max():.0f} mas" in got.reason
    np.testing.assert_allclose(got.transform.shift, [1.0, -2.0], atol=5e-4)


@pytest.mark.parametrize("method", ["auto", "previous", "nearest", "visit"])
def test_an_occultation_is_told(method):
    grism, direct = exposure("iaaa01g1q", 3000, grism=True), exposure("iaaa01d1q", 0)
    solution = AlignmentSolution({direct.key: aligned(direct)})
    got = propagate([grism], [direct], solution, GrismSettings(replace(DRIFT, method=method)))[grism.key]
    assert (got.status, got.governors) == (FitStatus.ALIGNED, (direct.key,))
    assert got.reason.startswith("iaaa01d1q was taken under an earlier or later acquisition")
    # as of another visit of the same guide stars
    assert offset_error(got, 3000 / 3600) == pytest.approx(4 * 0.02**2)


def test_errors_of_the_catalog_do_not_weigh():
    """Direct exposures have the catalog's error in common."""
    grism, directs, solution, _ = drifting()
    common = np.diag([1e-4, 1e-4, 0, 0, 0, 0])
    absolute = AlignmentSolution(
        {
            key: replace(fit, transform=replace(fit.transform, covariance=common))
            for key, fit in solution.fits.items()
        }
    )
    late = replace(grism, start=grism.start + 200 / 86400, end=grism.end + 200 / 86400)
    weights = [
        propagate([late], directs, absolute, SETTINGS, relative)[grism.key].governed.weights
        for relative in (solution, None)
    ]
    assert weights[0][1] == pytest.approx(900 / 1400, abs=0.01)
    assert abs(weights[1][1] - 0.5) < 0.05
    got = propagate([late], directs, absolute, SETTINGS, solution)[grism.key]
    assert got.transform.shift_error[0] > 0.01


def test_another_target_of_the_same_acquisition_is_told():
    grism = exposure("iaaa01g1q", 600, grism=True)
    direct = exposure("iaaa01d1q", 0, target="OTHER", east=30.0)
    got = propagate([grism], [direct], AlignmentSolution({direct.key: aligned(direct)}), SETTINGS)[grism.key]
    assert (str(got.governed), got.remarks[0]) == ("previous, -400 s", OtherTarget("iaaa01d1q", "OTHER"))
    assert offset_error(got, 600 / 3600) == pytest.approx(2 * 0.02**2)


def test_another_target_of_the_same_guide_stars_is_told():
    grism = exposure("iaaa01g1q", 0, grism=True, guide_star="S1")
    direct = exposure("iaaa02d1q", 600, guide_star="S1", target="OTHER")
    got = propagate([grism], [direct], AlignmentSolution({direct.key: aligned(direct)}), SETTINGS)[grism.key]
    assert "iaaa02d1q is of another target (OTHER)" in got.reason


@given(st.permutations(range(5)), st.sampled_from(["auto", "previous", "nearest", "interpolate", "visit"]))
def test_the_order_of_exposures_is_irrelevant(order, method):
    directs = [
        exposure(f"iaaa01d{i}q", 700 * i, east=20.0 * (i // 2), dither_offset=(i // 2, 0)) for i in range(5)
    ]
    grism = exposure("iaaa01g1q", 950, grism=True)
    solution = AlignmentSolution({d.key: aligned(d, (1.0 + 0.01 * i, 0)) for i, d in enumerate(directs)})
    settings = GrismSettings(PropagationSettings(method=method))
    found = propagate([grism], directs, solution, settings)[grism.key]
    again = propagate([grism], [directs[i] for i in order], solution, settings)[grism.key]
    assert (again.governors, again.governed.weights, str(again.governed)) == (
        found.governors,
        found.governed.weights,
        str(found.governed),
    )
    np.testing.assert_array_equal(again.transform.shift, found.transform.shift)


def test_failures_say_why():
    grism, direct = exposure("iaaa01g1q", 300, grism=True), exposure("iaaa01d1q", 0)
    other = exposure("ibbb01d1q", 0)
    alone = propagate([grism], [other], AlignmentSolution({other.key: aligned(other)}), SETTINGS)[grism.key]
    assert alone.reason == "no direct exposure in its guide-star acquisition (iaaa01)"
    failed = propagate([grism], [direct], AlignmentSolution(), SETTINGS)[grism.key]
    assert failed.status is FitStatus.FAILED
    assert failed.reason == "no direct exposure can lend its correction: iaaa01d1q (not aligned)"
    assert propagate([], [direct], AlignmentSolution(), SETTINGS).fits == {}


def test_the_association_decides():
    grism = exposure("iaaa01g1q", 300, grism=True, governors=("ibbb01d1q",))
    near, named = exposure("iaaa01d1q", 0), exposure("ibbb01d1q", 5000)
    fits = {near.key: aligned(near), named.key: aligned(named, (5.0, 5.0))}
    got = propagate([grism], [near, named], AlignmentSolution(fits), SETTINGS)[grism.key]
    assert got.governors == ("ibbb01d1q",)
    assert str(got.governed).startswith("association, +")
    # with a warning and the errors of two visits, roll too
    assert "ibbb01d1q is of another guide-star acquisition (ibbb01; others or another roll)" in got.reason
    assert got.governed.propagation_error == pytest.approx(1e3 * np.sqrt(2 * 0.5**2 + 2 * 0.02**2), rel=1e-3)
    assert got.transform.covariance[3, 3] == pytest.approx(2 * np.radians(0.02) ** 2)
    named_failed = propagate([grism], [near, named], AlignmentSolution({near.key: aligned(near)}), SETTINGS)
    assert named_failed[grism.key].governors == (near.key,)
    assert named_failed[grism.key].reason == "instead of ibbb01d1q (not aligned)"


POINTING = (53.0, -65.0, 20.0)


def a_posteriori_field(in_grism=False, in_direct=False):
    """A direct exposure on an a posteriori WCS, a grism exposure on the a priori one.

    Returns the two, the true WCS of the grism exposure, and the correction of the direct one.
    """
    true = chip_wcs("wfc3_ir", POINTING)
    error = LinearTransform.from_parameters(true.plane, (1.5, -0.7), 0.02)
    fitted = LinearTransform.from_parameters(true.plane, (0.02, 0.05), -0.003, 1.00002)
    first, posterior = true.corrected(error), true.corrected(fitted)
    chip = exposure("iaaa01d1q", 0).chips[0]
    direct = exposure(
        "iaaa01d1q",
        0,
        chips=(replace(chip, wcs=posterior),),
        wcs_solution="FIT_REL_GAIAeDR3",
        alternates={"IDC": posterior, "GSC240": first} if in_direct else {},
    )
    grism = exposure(
        "iaaa01g1q",
        300,
        grism=True,
        chips=(replace(chip, wcs=first),),
        wcs_solution="GSC240",
        alternates={"IDC": first, "FIT_REL_GAIAeDR3": posterior} if in_grism else {},
    )
    correction = fitted.inverted().at(direct.plane)
    fit = ExposureFit(FitStatus.ALIGNED, correction)
    return grism, direct, true, AlignmentSolution({direct.key: fit})


@pytest.mark.parametrize("where", ["in_direct", "in_grism"])
def test_a_common_start_is_found_among_the_alternates(where):
    grism, direct, true, solution = a_posteriori_field(**{where: True})
    got = propagate([grism], [direct], solution, SETTINGS)[grism.key]
    assert "from its WCS " in str(got.governed)
    difference = true.plane.to_plane(grism.chips[0].wcs.corrected(got.transform).to_sky(PIXELS))
    difference -= true.plane.to_plane(true.to_sky(PIXELS))
    # shifts of arcsec over a chip, to second order, twice: 0.02 mas
    assert np.hypot(*difference.T).max() < 2e-5


def test_without_a_common_start_there_is_no_correction():
    grism, direct, _, solution = a_posteriori_field()
    got = propagate([grism], [direct], solution, SETTINGS)[grism.key]
    assert got.status is FitStatus.FAILED
    assert "have no common start" in got.reason


def test_a_lone_exposure_aligns_nothing():
    grism, direct = exposure("iaaa01g1q", 300, grism=True), exposure("iaaa01d1q", 0)
    alone = ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(direct.plane))
    got = propagate([grism], [direct], AlignmentSolution({direct.key: alone}), SETTINGS)[grism.key]
    assert got.status is FitStatus.REFERENCE
