from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.propagate import propagate
from grism_align.values.settings import PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

from ..io.asn_builders import exposure
from ..wcs.chip_builders import chip_wcs

SETTINGS = PropagationSettings()
PIXELS = np.array([[0.0, 0.0], [1013.0, 0.0], [500.0, 500.0], [0.0, 1013.0], [1013.0, 1013.0]])


def aligned(direct, shift=(1.0, -2.0), roll=0.05, **changes):
    transform = LinearTransform.from_parameters(direct.plane, shift, roll)
    return ExposureFit(FitStatus.REFERENCE, transform, "GAIA", 2, 50, 45, 3.0, 1e-9, **changes)


def test_the_paired_exposure_lends_its_correction():
    grism, direct = exposure("iaaa01g1q", 300, grism=True, east=3.0), exposure("iaaa01d1q", 0)
    fit = aligned(direct, reason="x")
    found = propagate([grism], [direct], AlignmentSolution({direct.key: fit}, "GAIA"), SETTINGS)
    assert found.reference == "GAIA"
    got = found[grism.key]
    np.testing.assert_array_equal(got.transform.matrix, fit.transform.matrix)
    np.testing.assert_array_equal(got.transform.shift, fit.transform.shift)
    assert (got.status, got.governed_by, got.rule) == (FitStatus.ALIGNED, (direct.key,), "paired, -100 s")
    assert (got.frame, got.n_matched, got.rms, got.reference, got.reason) == (
        2,
        50,
        3.0,
        "GAIA",
        "iaaa01d1q: x",
    )
    assert got.residuals is None


@pytest.mark.parametrize("state", ["failed", "unknown"])
def test_the_next_best_takes_over(state):
    grism = exposure("iaaa01g1q", 700, grism=True)
    first, second = exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 400)
    fits = {first.key: aligned(first)}
    if state == "failed":
        fits[second.key] = ExposureFit.failed("no sources")
    got = propagate([grism], [first, second], AlignmentSolution(fits), SETTINGS)[grism.key]
    assert got.governed_by == (first.key,)
    assert got.rule == "previous, -500 s"
    assert got.reason == "instead of iaaa01d2q (not aligned)"
    # both dithers are in its error
    extra = got.transform.covariance - fits[first.key].transform.covariance
    np.testing.assert_allclose(np.diag(extra), [8e-4, 8e-4, 0, 0, 0, 0], atol=1e-12)


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
    assert got.governed_by == ("ibbb01d1q",)
    assert got.rule.startswith("association, +")


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
    correction = fitted.inverted().in_plane(direct.plane)
    fit = ExposureFit(FitStatus.ALIGNED, correction)
    return grism, direct, true, AlignmentSolution({direct.key: fit})


@pytest.mark.parametrize("where", ["in_direct", "in_grism"])
def test_a_common_start_is_found_among_the_alternates(where):
    grism, direct, true, solution = a_posteriori_field(**{where: True})
    got = propagate([grism], [direct], solution, SETTINGS)[grism.key]
    assert "from its WCS " in got.rule
    difference = true.plane.to_plane(grism.chips[0].wcs.corrected(got.transform).to_sky(PIXELS))
    difference -= true.plane.to_plane(true.to_sky(PIXELS))
    # shifts of arcsec over a chip, to second order, twice: 0.02 mas
    assert np.hypot(*difference.T).max() < 2e-5


def test_without_a_common_start_there_is_no_correction():
    grism, direct, _, solution = a_posteriori_field()
    got = propagate([grism], [direct], solution, SETTINGS)[grism.key]
    assert got.status is FitStatus.FAILED
    assert "have no common start" in got.reason
