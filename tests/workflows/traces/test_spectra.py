"""Exposures of NIRISS measured by their spectra, which run along columns and along rows."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.simulation import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
)
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings, TraceSettings
from grism_align.values.solution import AlignmentSolution
from grism_align.values.transform import LinearTransform
from grism_align.workflows.traces.spectra import correct_by_spectra
from grism_align.workflows.traces.survey import Survey
from grism_align.workflows.traces.verify import verify_traces
from tests.support.executors import HERE
from tests.workflows.traces.test_verify import true_set

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(importlib.util.find_spec(name) for name in ("stdatamodels", "gwcs")),
        reason="they write and read the files of JWST",
    ),
]

SCENE = SceneSettings(
    star_density=250.0, galaxy_density=30.0, star_magnitudes=(18.0, 22.5), galaxy_magnitudes=(20.0, 24.0)
)
ALONG_COLUMNS = {"GR150R": True, "GR150C": False}
OFF = np.array([[0.0, 0.0], [0.21, -0.16], [-0.14, 0.24]])  # pixels, along and across, of each dither


@pytest.fixture(scope="module")
def surveyed(tmp_path_factory):
    """A visit with an image and three dithers of both grisms, whose dithers seem to have erred."""
    dithers = ((0.0, 0.0), (1.9, 2.6), (-2.3, 1.7))
    spectra = [SimulatedExposure(grism, 1300.0, dither) for dither in dithers for grism in ALONG_COLUMNS]
    image = SimulatedExposure("F150W", 430.0, dithers[0])
    errors = PointingErrors(shift=(0.0, 0.01), roll=(0.0, 0.0), jitter=0.0)
    visit = SimulatedVisit("01", (image, *spectra), start=59800.2)
    simulation = Simulation("niriss", (visit,), size=500, scene=SCENE, errors=errors)
    exposures, _ = true_set(simulation, tmp_path_factory.mktemp("niriss"))
    return exposures, Survey.of(exposures, displaced(exposures), TraceSettings())


def displaced(exposures):
    """The grisms' solution as if dithers had erred: spectra lie `OFF` from where it predicts them."""
    fits = dict(exposures.grism.fits)
    for number, grism in enumerate(exposures.grisms):
        fit = fits[grism.key]
        shift = pixel_axes(grism, fit.transform) @ OFF[number // 2]
        off = fit.transform.then(LinearTransform(np.eye(2), shift, fit.transform.plane))
        fits[grism.key] = replace(fit, transform=off)
    return AlignmentSolution(fits)


def test_grisms_run_the_way_that_their_wcs_says(surveyed):
    exposures, _ = surveyed
    for grism in exposures.grisms:
        assert grism.chips[0].along_columns is ALONG_COLUMNS[grism.filter]
    for direct in exposures.direct:
        assert direct.chips[0].trace is None


def test_dithers_that_erred_are_put_right_along_and_across(surveyed):
    exposures, survey = surveyed
    found = verify_traces(survey, HERE)
    assert len(found.grisms) == 2
    settings = GrismSettings(PropagationSettings(drift_error=0.0), PointingSettings(dither_error=20.0))
    outcome = correct_by_spectra(survey, found.grisms, settings, HERE)
    for number, grism in enumerate(exposures.grisms):
        check = found.checks[grism.key]
        # against the mean of the two others
        expected = 1.5 * (OFF - OFF.mean(axis=0))[number // 2, 1]
        assert abs(check.after_px - expected) < 4 * np.hypot(check.after_error, 0.01)
        spectra = outcome.checks[grism.key]
        moved, error = np.array(spectra.moved_px), np.array(spectra.moved_error)
        assert (np.abs(moved - OFF[number // 2]) < 4 * np.hypot(error, 0.002)).all()
        if number // 2:
            assert (error < (0.1, 0.03)).all()
            assert spectra.n_sources > 5
