"""Exposures that one telescope took at the same instant: several files, one unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.failure import FailureCode
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, observe, offset, stars
from tests.support.pointings import DITHERS, key_of, pointings

MATCH = MatchSettings()
POINTING = PointingSettings()
SHIFT = RelativeSettings(fitgeometry="shift")
ERRORS = [
    LinearTransform.identity(PLANE),
    LinearTransform.from_parameters(PLANE, (0.3, -0.2)),
    LinearTransform.from_parameters(PLANE, (-0.25, 0.4)),
]


@pytest.fixture(scope="module")
def field():
    return stars(np.random.default_rng(701), 400, 330.0)


def align(exposures, catalogs, relative=SHIFT):
    return align_relative(exposures, catalogs, relative, MATCH, POINTING)


def cut(catalogs, key, rows=0):
    """The catalogs, that of one exposure with its first rows alone."""
    return {**catalogs, key: catalogs[key].selected(np.arange(rows))}


@pytest.mark.slow
def test_all_exposures_tell_the_one_shift(field):
    """It is known root four times as well as by one detector, and errors are those that are claimed."""
    pulls, claimed = [], []
    for seed in range(12):
        rng = np.random.default_rng([702, seed])
        for detectors in (range(4), range(1)):
            exposures, catalogs = pointings(rng, field, ERRORS, detectors=detectors)
            solution = align(exposures, catalogs).solution
            for number in (1, 2):
                fits = [solution[key_of(number, detector)] for detector in detectors]
                first = fits[0].transform
                assert all(fit.transform is first for fit in fits)
                true = ERRORS[number].inverted().at(first.plane)
                claimed.append(first.axis_error)
                pulls.append((first.shift - true.shift) / first.shift_error)
    # two a seed by four detectors, then two by one; 20 measurements each are good to a tenth
    four, one = np.reshape(claimed, (-1, 2, 2)).mean(axis=(0, 2))
    assert one / four == pytest.approx(2.0, rel=0.1)
    for half in np.moveaxis(np.reshape(pulls, (-1, 2, 2, 2)), 1, 0):
        # 48 pulls, of which those of one seed share the error of the frame
        assert np.sqrt(np.mean(half**2)) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("rows", [0, 3])
def test_an_exposure_without_sources_has_the_correction_of_its_pointing(field, rows):
    exposures, catalogs = pointings(np.random.default_rng(703), field, ERRORS)
    lost = key_of(1, 2)
    table = cut(catalogs, lost, rows)[lost].table
    table["flags"] = int(SourceFlag.EDGE)
    result = align(exposures, {**catalogs, lost: SourceCatalog(table)})
    fit, other = result.solution[lost], result.solution[key_of(1, 0)]
    assert (fit.status, fit.n_matched, fit.n_used) == (FitStatus.ALIGNED, 0, 0)
    assert fit.transform is other.transform
    assert fit.false_match_probability == other.false_match_probability
    (remark,) = fit.remarks
    assert remark.code is FailureCode.BY_POINTING
    assert remark.exposures == tuple(key_of(1, detector) for detector in (0, 1, 3))
    assert other.remarks == ()
    assert result.counts["exposures_unusable"] == 0
    assert np.abs(offset(exposures[6], fit.transform, ERRORS[1], ERRORS[0])).max() < 0.01


def test_few_sources_of_each_are_enough_together(field):
    """No detector has as many as are required."""
    exposures, catalogs = pointings(np.random.default_rng(704), field, ERRORS)
    few = {key: catalog.selected(np.arange(6)) for key, catalog in catalogs.items()}
    solution = align(exposures, few).solution
    assert {fit.status for fit in solution.fits.values()} == {FitStatus.REFERENCE, FitStatus.ALIGNED}
    assert sum(solution[key_of(1, detector)].n_used for detector in range(4)) >= MATCH.min_matches


@settings(max_examples=8)
@given(st.integers(0, 2**16), st.sampled_from(["shift", "rshift", "rscale", "general"]))
def test_parts_of_one_exposure_tell_what_it_tells(field, seed, geometry):
    rng = np.random.default_rng(seed)
    made = [
        observe(field, error, rng, f"iaaa01d{n}q", start=1e3 * n, at=dither)
        for n, (error, dither) in enumerate(zip(ERRORS, DITHERS, strict=False))
    ]
    parts, of_parts = [], {}
    for exposure, catalog in made:
        part = rng.integers(0, 3, len(catalog))
        for number in range(3):
            key = f"{exposure.key}{number}"
            parts.append(replace(exposure, key=key, pointing=exposure.key))
            of_parts[key] = catalog.selected(part == number)
    relative = RelativeSettings(fitgeometry=geometry)
    whole = align([e for e, _ in made], {e.key: catalog for e, catalog in made}, relative).solution
    found = align(parts, of_parts, relative).solution
    for exposure, _ in made:
        expected, own = whole[exposure.key], [found[f"{exposure.key}{number}"] for number in range(3)]
        for fit in own:
            np.testing.assert_allclose(fit.transform.shift, expected.transform.shift, atol=1e-6)
            np.testing.assert_allclose(fit.transform.matrix, expected.transform.matrix, atol=1e-8)
            np.testing.assert_allclose(
                fit.transform.shift_error, expected.transform.shift_error, rtol=1e-3, atol=1e-9
            )
            assert fit.leverage == pytest.approx(expected.leverage, rel=1e-3)
            assert fit.status is expected.status
        assert sum(fit.n_used for fit in own) == expected.n_used
        ids = np.concatenate([fit.residuals.source for fit in own])
        np.testing.assert_array_equal(np.sort(ids), np.sort(expected.residuals.source))


@settings(max_examples=5)
@given(st.permutations([f"any name {n}" for n in range(4)]))
def test_names_of_pointings_of_one_exposure_each_do_not_matter(field, names):
    rng = np.random.default_rng(705)
    made = [
        observe(field, ERRORS[n % 3], rng, f"iaaa01d{n}q", start=1e3 * n, at=DITHERS[n % 3]) for n in range(4)
    ]
    catalogs = {e.key: catalog for e, catalog in made}
    expected = align([e for e, _ in made], catalogs).solution
    found = align([replace(e, pointing=name) for (e, _), name in zip(made, names, strict=True)], catalogs)
    for key, fit in found.solution.fits.items():
        np.testing.assert_array_equal(fit.transform.shift, expected[key].transform.shift)
        np.testing.assert_array_equal(fit.transform.covariance, expected[key].transform.covariance)
        same = {**vars(expected[key]), **{name: getattr(fit, name) for name in ("transform", "residuals")}}
        np.testing.assert_equal(vars(fit), same)


def test_the_reference_is_a_pointing(field):
    exposures, catalogs = pointings(np.random.default_rng(706), field, ERRORS)
    solution = align(exposures, catalogs, replace(SHIFT, reference=key_of(1, 3))).solution
    assert solution.reference == ",".join(key_of(1, detector) for detector in range(4))
    for key, fit in solution.fits.items():
        is_fixed = key.startswith("iaaa01d1")
        assert fit.status is (FitStatus.REFERENCE if is_fixed else FitStatus.ALIGNED)
    np.testing.assert_allclose(solution[key_of(1, 0)].transform.shift, 0, atol=1e-9)


def test_two_detectors_that_see_the_same_sky(field):
    """As in two wavelengths: what only they saw is seen by one pointing, and ties nothing."""
    rng = np.random.default_rng(707)
    made = [
        observe(
            field, error, rng, key_of(number, detector), start=1e3 * number, at=dither, pointing=f"p{number}"
        )
        for number, (error, dither) in enumerate(zip(ERRORS, DITHERS, strict=False))
        for detector in (0, 1)
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: catalog for e, catalog in made}
    one = align(exposures[:2], catalogs)
    assert [fit.status for fit in one.solution.fits.values()] == [FitStatus.REFERENCE] * 2
    assert [fit.n_matched for fit in one.solution.fits.values()] == [0, 0]
    assert {source.n_exposures for source in one.sources} == {2}
    result = align(exposures, catalogs)
    assert max(source.n_exposures for source in result.sources) == 6
    for exposure in exposures:
        fit = result.solution[exposure.key]
        error = ERRORS[int(exposure.pointing[1])]
        assert np.abs(offset(exposure, fit.transform, error, ERRORS[0])).max() < 0.01
        assert fit.rms == pytest.approx(2.6, rel=0.3)


@pytest.mark.parametrize("code", [FailureCode.CORRECTED_LIKE, FailureCode.NOT_AT_POINTING])
def test_a_pointing_that_failed_is_corrected_as_one(field, code):
    """Like the others of its acquisition, each of which counts once; or not, if its sources are elsewhere."""
    exposures, catalogs = pointings(np.random.default_rng(708), field, ERRORS, detectors=range(3))
    mine = [key_of(2, detector) for detector in range(3)]
    for key in mine:
        if code is FailureCode.CORRECTED_LIKE:
            catalogs = cut(catalogs, key)
        else:
            table = catalogs[key].table.copy()
            table["x"] = np.random.default_rng(709).permutation(table["x"])
            catalogs = {**catalogs, key: SourceCatalog(table)}
    solution = align(exposures, catalogs).solution
    fits = [solution[key] for key in mine]
    assert [fit.remarks[-1].code for fit in fits] == [code] * 3
    if code is FailureCode.NOT_AT_POINTING:
        assert [fit.status for fit in fits] == [FitStatus.FAILED] * 3
        return
    assert [fit.status for fit in fits] == [FitStatus.PRIOR_ONLY] * 3
    assert fits[0].remarks[-1].exposures == (key_of(0, 0), key_of(1, 0))
    assert all(fit.transform is fits[0].transform for fit in fits)
    # the scatter of two pointings, not of six exposures
    error = fits[0].transform.at(exposures[6].plane).shift_error.max()
    apart = np.abs(np.subtract((0.3, -0.2), (0.0, 0.0))).max() / np.sqrt(2)
    assert error == pytest.approx(apart * np.sqrt(1.5), rel=0.05)


def test_a_pointing_with_a_trailed_exposure_is_none(field):
    exposures, catalogs = pointings(np.random.default_rng(710), field, ERRORS)
    table = catalogs[key_of(2, 1)].table.copy()
    table["flags"] = int(SourceFlag.TRAILED)
    trailed = SourceCatalog.from_columns(
        {name: table[name] for name in table.colnames},
        {"remarks": [{"code": "TRAILED", "n": 40, "ellipticity": 0.5, "limit": 0.3}]},
    )
    solution = align(exposures, {**catalogs, key_of(2, 1): trailed}).solution
    for detector in range(4):
        fit = solution[key_of(2, detector)]
        assert fit.status is FitStatus.FAILED
        codes = [one.code for remark in fit.remarks for one in remark.with_causes()]
        assert FailureCode.TRAILED in codes
        assert (FailureCode.OF_DIRECT in codes) is (detector != 1)


def test_detectors_of_several_orientations_share_the_roll():
    """However they are mounted; and not where WCSs were fitted pointing by pointing."""
    field = stars(np.random.default_rng(711), 30)
    rng = np.random.default_rng(712)

    def made(number, turn):
        return [
            observe(
                field,
                LinearTransform.from_parameters(PLANE, roll=turn),
                rng,
                key_of(number, detector),
                angle=angle,
                pointing=f"p{number}",
                group="g",
            )[0]
            for detector, angle in enumerate((30.0, 75.0, 210.0))
        ]

    assert roll_groups([*made(0, 0.0), *made(1, 0.0)], PLANE) == [0] * 6
    assert roll_groups([*made(0, 0.0), *made(1, 0.01)], PLANE) == [0] * 3 + [1] * 3
    alone = [replace(e, pointing=e.key) for e in made(0, 0.0)]
    assert roll_groups(alone, PLANE) == [0, 1, 2]
