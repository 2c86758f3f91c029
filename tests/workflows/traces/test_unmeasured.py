"""Grism exposures of direct exposures that were not measured themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.simulation import SceneSettings, case_a
from grism_align.values.failure import InsteadOf, LentByAcquisition
from grism_align.values.settings import MotionSettings, PointingSettings, PropagationSettings, TraceSettings
from grism_align.values.solution import AlignmentSolution, FitStatus
from grism_align.workflows.propagate import PropagationChoices, propagate_corrections
from tests.support.executors import HERE
from tests.workflows.traces.test_verify import true_set

SCENE = SceneSettings(
    star_density=40.0, galaxy_density=30.0, star_magnitudes=(17.0, 22.0), galaxy_magnitudes=(19.0, 23.0)
)
MEASURED = 0.0003  # arcsec, of one axis
OFF = np.array([0.016, -0.012])  # arcsec
CHOICES = PropagationChoices(
    PropagationSettings(), PointingSettings(), TraceSettings(spectra_sources=24), MotionSettings()
)


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """One visit of three pairs, with true corrections."""
    simulation = case_a(size=(460, 560), n_pairs=3, n_visits=1, scene=SCENE)
    return true_set(simulation, tmp_path_factory.mktemp("unmeasured"))[0]


def propagated(visit, unmeasured, error):
    """Hand corrections on where some direct exposures are off and claim an error, arcsec of one axis."""
    fits = {}
    for direct in visit.direct:
        fit = visit.relative[direct.key]
        is_off = direct.key in unmeasured
        covariance = np.zeros((6, 6))
        covariance[[0, 1], [0, 1]] = (error if is_off else MEASURED) ** 2
        shift = fit.transform.shift + is_off * OFF
        fits[direct.key] = replace(
            fit,
            status=FitStatus.PRIOR_ONLY if is_off else FitStatus.ALIGNED,
            transform=replace(fit.transform, shift=shift, covariance=covariance),
        )
    field = replace(visit, relative=AlignmentSolution(fits))
    return field, propagate_corrections(field, CHOICES, HERE).solution


def assert_found(visit, field, key, fit, largest):
    """Off from the truth by what is claimed, which is little."""
    exposure = field[key]
    there, here = (each.at(exposure.plane) for each in (visit.grism[key].transform, fit.transform))
    axes = np.linalg.inv(pixel_axes(exposure, fit.transform))
    error = axes @ (here.shift - there.shift)
    claimed = np.sqrt(np.diag(axes @ here.covariance[:2, :2] @ axes.T))
    assert (np.abs(error) < 4 * claimed).all()
    assert (claimed < largest).all()


@pytest.mark.parametrize(("error", "is_kept"), [(0.015, True), (0.04, False)])
def test_its_spectra_tell_as_if_it_was_another_dither(visit, error, is_kept):
    """It governs where no other claims less; either way its grism is measured against the others."""
    second = visit.direct[1]
    field, solution = propagated(visit, [second.key], error)
    grism = visit.grisms[1].key
    fit = solution[grism]
    assert (second.key in fit.governors) is is_kept
    assert fit.says(InsteadOf) is not is_kept
    assert not fit.says(LentByAcquisition)
    assert fit.status is FitStatus.ALIGNED
    # of the 0.12 and 0.3 px that the direct exposures left open
    assert_found(visit, field, grism, fit, (0.06, 0.02))


@pytest.mark.slow
def test_where_no_direct_exposure_was_measured_spectra_tell_no_place(visit):
    field, solution = propagated(visit, [each.key for each in visit.direct], 0.015)
    for grism, direct in zip(visit.grisms, visit.direct, strict=True):
        fit = solution[grism.key]
        assert (fit.status, fit.governors) == (FitStatus.PRIOR_ONLY, (direct.key,))
        assert fit.says(LentByAcquisition)
        # the three are independent, and have their mean
        claimed = fit.transform.at(field[grism.key].plane).axis_error
        assert 0.8 * 0.015 / np.sqrt(3) < claimed < 0.015
