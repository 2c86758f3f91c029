"""Grism exposures without a direct one, found by the spectra of another visit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.simulation import PointingErrors, SceneSettings, case_a
from grism_align.values.failure import BySpectra, FailureCode, NoDirectExposure
from grism_align.values.settings import TraceSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.workflows.traces.grism_only import find_by_spectra
from grism_align.workflows.traces.verify import Survey, verify_traces
from tests.support.executors import HERE
from tests.workflows.traces.test_verify import true_set

pytestmark = pytest.mark.slow

SCENE = SceneSettings(
    star_density=40.0, galaxy_density=30.0, star_magnitudes=(17.0, 22.0), galaxy_magnitudes=(19.0, 23.0)
)


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits of two pairs each, off by 3 arcsec and some hundredths of a degree."""
    errors = PointingErrors(shift=(3.0, 3.1), roll=(0.02, 0.03))
    simulation = case_a(size=(560, 660), n_pairs=2, n_visits=2, errors=errors, scene=SCENE)
    return true_set(simulation, tmp_path_factory.mktemp("grism_only"))[0]


def without_directs(field, start=1):
    """The set without the direct exposures of visits from `start` on, whose grisms nothing governs."""
    visits = list(dict.fromkeys(each.visit for each in field.exposures))
    gone = visits[start:]
    exposures = tuple(e for e in field.exposures if not (e.is_direct and e.visit in gone))
    keys = {e.key for e in exposures}
    failed = ExposureFit.failed(NoDirectExposure("a visit of its own"))
    fits = {e.key: failed if e.visit in gone else field.grism[e.key] for e in exposures if not e.is_direct}
    return replace(
        field,
        exposures=exposures,
        catalogs={key: each for key, each in field.catalogs.items() if key in keys},
        relative=AlignmentSolution({k: fit for k, fit in field.relative.fits.items() if k in keys}),
        grism=AlignmentSolution(fits),
    )


def found(field, **settings):
    survey = Survey.of(field, field.grism, TraceSettings(**settings))
    return find_by_spectra(survey, verify_traces(survey, HERE).grisms, HERE)


def test_it_is_found_where_it_is(field):
    fits = found(without_directs(field))
    assert len(fits) == 2
    for key, fit in fits.items():
        exposure = field[key]
        assert fit.status is FitStatus.ALIGNED
        assert any(isinstance(each, BySpectra) and 2.5 < each.shift < 3.6 for each in fit.remarks)
        true = field.grism[key].transform
        axes = np.linalg.inv(pixel_axes(exposure, true))
        there, here = (each.at(exposure.plane) for each in (true, fit.transform))
        off = axes @ (here.shift - there.shift)
        error = np.sqrt(np.diag(axes @ here.covariance[:2, :2] @ axes.T))
        assert (np.abs(off) < 5 * error).all()
        assert (error < [0.15, 0.05]).all()
        assert abs(here.roll - there.roll) < 5 * np.degrees(np.sqrt(here.covariance[3, 3])) < 0.05
        assert fit.false_match_probability < 1e-6


def test_a_smaller_radius_finds_nothing_and_says_so(field):
    fits = found(without_directs(field), spectra_search_radius=1.0)
    assert {fit.status for fit in fits.values()} == {FitStatus.FAILED}
    codes = [[each.code for each in fit.remarks] for fit in fits.values()]
    assert codes == [[FailureCode.NO_DIRECT_EXPOSURE, FailureCode.NOT_FOUND_BY_SPECTRA]] * 2


def test_no_radius_looks_for_none(field):
    assert not found(without_directs(field), spectra_search_radius=0.0)
