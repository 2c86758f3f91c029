"""Grism exposures without a direct one, or not where theirs puts them, found by the spectra of others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.combine import pixel_axes
from grism_align.simulation import PointingErrors, SceneSettings, case_a
from grism_align.values.failure import (
    BySpectra,
    FailureCode,
    FoundElsewhere,
    NoDirectExposure,
    NotFoundBySpectra,
    SpectraMissing,
    TracesElsewhere,
)
from grism_align.values.settings import GrismSettings, TraceSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.propagate import _by_spectra
from grism_align.workflows.traces.lost import find_by_spectra, was_found
from grism_align.workflows.traces.spectra import correct_by_spectra
from grism_align.workflows.traces.spectral_groups import lacks_spectra
from grism_align.workflows.traces.survey import Survey
from grism_align.workflows.traces.verify import verify_traces
from tests.support.executors import HERE
from tests.workflows.traces.test_verify import true_set

SCENE = SceneSettings(
    star_density=40.0, galaxy_density=30.0, star_magnitudes=(17.0, 22.0), galaxy_magnitudes=(19.0, 23.0)
)

FEW = TraceSettings(spectra_sources=24)

# Pixels along and across by which an exposure of two is off, whose traces are where they should be.
ALONG = (15.0, 0.0)


@pytest.fixture(scope="module")
def visit(tmp_path_factory):
    """One visit of three pairs."""
    simulation = case_a(size=(440, 560), n_pairs=3, n_visits=1, scene=SCENE)
    return true_set(simulation, tmp_path_factory.mktemp("visit"))[0]


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
    survey = Survey.of(field, field.grism, replace(FEW, **settings))
    return find_by_spectra(survey, verify_traces(survey, HERE).grisms, HERE)


def assert_found(field, key, fit):
    assert fit.status is FitStatus.ALIGNED
    error, claimed = off(field, key, fit)
    assert (np.abs(error) < 5 * claimed).all()
    assert (claimed < [0.15, 0.05]).all()
    there, here = (each.at(field[key].plane) for each in (field.grism[key].transform, fit.transform))
    assert abs(here.roll - there.roll) < 5 * np.degrees(np.sqrt(here.covariance[3, 3])) < 0.05
    assert fit.false_match_probability < 1e-6


def test_it_is_found_where_it_is(field):
    fits = found(without_directs(field))
    assert len(fits) == 2
    for key, fit in fits.items():
        assert any(isinstance(each, BySpectra) and 2.5 < each.shift < 3.6 for each in fit.remarks)
        assert_found(field, key, fit)


@pytest.mark.slow
def test_a_smaller_radius_finds_nothing_and_says_so(field):
    fits = found(without_directs(field), spectra_search_radius=1.0)
    assert {fit.status for fit in fits.values()} == {FitStatus.FAILED}
    codes = [[each.code for each in fit.remarks] for fit in fits.values()]
    assert codes == [[FailureCode.NO_DIRECT_EXPOSURE, FailureCode.NOT_FOUND_BY_SPECTRA]] * 2


def test_no_radius_looks_for_none(field):
    assert not found(without_directs(field), spectra_search_radius=0.0)


def put_off(field, key, pixels, error=0.03):
    """The survey with the correction of one exposure off by (along, across) pixels, and its claimed error.

    The others claim 0.03 pixels.
    """
    fits = {name: claiming(fit, field[name], 0.03) for name, fit in field.grism.fits.items()}
    true, exposure = field.grism[key], field[key]
    shift = -pixel_axes(exposure, true.transform) @ np.asarray(pixels)
    moved = true.transform.then(LinearTransform(np.eye(2), shift, true.transform.plane))
    fits[key] = claiming(replace(true, transform=moved), exposure, error)
    return Survey.of(field, AlignmentSolution(fits), FEW)


def claiming(fit, exposure, error):
    covariance = np.array(fit.transform.covariance)
    covariance[:2, :2] += np.eye(2) * (error * exposure.pixel_scale) ** 2
    return replace(fit, transform=replace(fit.transform, covariance=covariance))


def off(field, key, fit):
    """How far off an exposure is along and across, and what it claims, pixels."""
    exposure, true = field[key], field.grism[key].transform
    axes = np.linalg.inv(pixel_axes(exposure, true))
    there, here = (each.at(exposure.plane) for each in (true, fit.transform))
    claimed = np.sqrt(np.diag(axes @ here.covariance[:2, :2] @ axes.T))
    return axes @ (here.shift - there.shift), claimed


def corrected(survey):
    """What comes of comparing spectra, and the survey with that."""
    grisms = verify_traces(survey, HERE).grisms
    outcome = correct_by_spectra(survey, grisms, GrismSettings(), HERE)
    return outcome, replace(survey, solution=outcome.solution), grisms


@pytest.mark.parametrize(
    "pixels",
    [
        pytest.param((9.0, 7.0), marks=pytest.mark.slow),
        pytest.param((6.0, -14.0), marks=pytest.mark.slow),
        # Spectra that are moved along themselves are as bright as they were.
        (15.0, 0.0),
        pytest.param((25.0, 0.0), marks=pytest.mark.slow),
        pytest.param((-18.0, 0.0), marks=pytest.mark.slow),
    ],
)
def test_an_exposure_whose_spectra_are_elsewhere_is_found(visit, pixels):
    spoilt, *others = (each.key for each in visit.grisms)
    outcome, survey, grisms = corrected(put_off(visit, spoilt, pixels))
    assert lacks_spectra(outcome.solution[spoilt])
    assert not outcome.checks[spoilt].is_measured
    for key in others:
        # It leads no other astray
        assert outcome.checks[key].is_measured
        assert np.abs(outcome.checks[key].moved_px).max() < 0.1
    (key, fit), *more = find_by_spectra(survey, grisms, HERE).items()
    assert (key, more) == (spoilt, [])
    (remark,) = (each for each in fit.remarks if isinstance(each, FoundElsewhere))
    axes = pixel_axes(visit[spoilt], visit.grism[spoilt].transform)
    assert remark.shift == pytest.approx(np.hypot(*(axes @ pixels)), rel=0.02)
    assert fit.governed == visit.grism[spoilt].governed
    assert_found(visit, spoilt, fit)


def test_spectra_that_contradict_a_correction_replace_it(visit):
    """They are near enough to be compared, and farther off than any dither errs."""
    spoilt, *others = (each.key for each in visit.grisms)
    outcome, _, _ = corrected(put_off(visit, spoilt, (7.0, 0.0)))
    for key, fit in outcome.solution.fits.items():
        error, claimed = off(visit, key, fit)
        assert (np.abs(error) < 5 * claimed).all()
        assert (claimed < 0.1).all()
        assert any(isinstance(each, FoundElsewhere) for each in fit.remarks) == (key == spoilt)
    assert all(outcome.checks[key].is_measured for key in (spoilt, *others))


@pytest.mark.slow
def test_an_exposure_that_may_be_far_off_is_looked_for(visit):
    key = visit.grisms[-1].key
    outcome, survey, grisms = corrected(put_off(visit, key, (4.0, -3.0), error=3.0))
    assert key not in outcome.checks
    fits = find_by_spectra(survey, grisms, HERE)
    assert list(fits) == [key]
    assert was_found(fits[key])
    assert_found(visit, key, fits[key])


@pytest.mark.slow
def test_one_that_is_found_near_its_place_has_the_better_correction(visit):
    """As one has that was compared with another that is displaced."""
    key = visit.grisms[0].key
    survey = put_off(visit, key, (3.0, -2.5), error=1.2)
    unlike = survey.solution[key].noted(SpectraMissing(1.5))
    survey = replace(survey, solution=AlignmentSolution({**survey.solution.fits, key: unlike}))
    fit = find_by_spectra(survey, verify_traces(survey, HERE).grisms, HERE)[key]
    assert not lacks_spectra(fit)
    assert_found(visit, key, fit)


@pytest.mark.slow
def test_of_two_that_are_unlike_each_other_either_may_be_wrong(field):
    spoilt, beside, *others = (each.key for each in field.grisms)
    outcome, _, _ = corrected(put_off(field, spoilt, ALONG))
    assert [key for key, fit in outcome.solution.fits.items() if lacks_spectra(fit)] == [spoilt, beside]
    assert all(outcome.checks[key].is_measured for key in others)


def first_of(field, n):
    """The set with the first grism exposures alone."""
    grisms = field.grisms[:n]
    fits = AlignmentSolution({each.key: field.grism[each.key] for each in grisms})
    return replace(field, exposures=(*field.direct, *grisms), grism=fits)


@pytest.mark.parametrize(
    ("spoilt", "n"), [(0, 4), pytest.param(1, 4, marks=pytest.mark.slow), (0, 2), (1, 2)]
)
def test_of_traces_that_lie_apart_the_greater_part_is_believed(field, spoilt, n):
    """Whichever exposure tells first where traces lie; of two, either may be the displaced one."""
    part = first_of(field, n)
    spoilt, keys = part.grisms[spoilt].key, [each.key for each in part.grisms]
    outcome, _, _ = corrected(put_off(part, spoilt, (0.0, 9.0)))
    lacking = {key for key in keys if lacks_spectra(outcome.solution[key])}
    assert lacking == ({spoilt} if n == 4 else set(keys))
    assert not any(outcome.checks[key].is_measured for key in lacking)
    for key in keys[2:]:
        assert np.abs(outcome.checks[key].moved_px).max() < 0.1


def test_of_two_whose_traces_lie_apart_both_say_how_far(field):
    pair = first_of(field, 2)
    outcome = _by_spectra(put_off(pair, pair.grisms[0].key, (0.0, 9.0)), GrismSettings(), HERE)
    for exposure in pair.grisms:
        fit = outcome.solution[exposure.key]
        assert fit.status is FitStatus.PRIOR_ONLY
        (rows,) = (each.rows for each in fit.remarks if isinstance(each, TracesElsewhere))
        assert rows == pytest.approx(9.0, abs=2.0)
        assert fit.transform.at(exposure.plane).axis_error > rows * exposure.pixel_scale
        assert outcome.spectra[exposure.key].note == outcome.traces[exposure.key].note
        assert outcome.traces[exposure.key].note == "no trace within 4 px of where the others have it"


@pytest.mark.parametrize("spoilt", [0, 1])
def test_one_that_may_be_far_off_casts_no_doubt(field, spoilt):
    pair = first_of(field, 2)
    survey = put_off(pair, pair.grisms[spoilt].key, (0.0, 9.0), error=6.0)
    good = pair.grisms[1 - spoilt]
    outcome = _by_spectra(survey, GrismSettings(), HERE)
    assert outcome.solution[good.key] is survey.solution[good.key]


@pytest.mark.slow
def test_one_that_is_not_found_is_doubted(field):
    key = field.grisms[0].key
    survey = put_off(field, key, (20.0, 10.0))
    survey = replace(survey, settings=replace(FEW, spectra_search_radius=1.0))
    outcome = _by_spectra(survey, GrismSettings(), HERE)
    fit = outcome.solution[key]
    assert fit.status is FitStatus.PRIOR_ONLY
    codes = [each.code for each in fit.remarks]
    assert {FailureCode.TRACES_ELSEWHERE, FailureCode.NOT_FOUND_BY_SPECTRA} < set(codes)
    error, claimed = off(field, key, fit)
    assert (np.abs(error) < 5 * claimed).all()
    assert not outcome.spectra[key].is_measured


@pytest.mark.slow
def test_of_one_that_was_unlike_and_is_where_it_was_nothing_is_said(field, monkeypatch):
    """It was compared with another that is displaced."""
    spoilt, beside, *_ = (each.key for each in field.grisms)

    def found_there(survey, *_):
        fit = survey.solution[beside]
        kept = tuple(each for each in fit.remarks if not isinstance(each, SpectraMissing))
        missed = survey.solution[spoilt].noted(NotFoundBySpectra(10.0, "chance"))
        return {beside: replace(fit, remarks=kept), spoilt: missed}

    monkeypatch.setattr("grism_align.workflows.propagate.find_by_spectra", found_there)
    outcome = _by_spectra(put_off(field, spoilt, ALONG), GrismSettings(), HERE)
    assert outcome.solution[beside].status is FitStatus.ALIGNED
    assert beside not in outcome.spectra
    assert outcome.solution[spoilt].status is FitStatus.PRIOR_ONLY
    assert not outcome.spectra[spoilt].is_measured
