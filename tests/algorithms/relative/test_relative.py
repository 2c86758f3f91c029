from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.errors import SettingsError
from grism_align.values.exposure import Chip
from grism_align.values.failure import (
    DisplacedVisits,
    NoneUsable,
    NoSources,
    ReferenceAlone,
    SeparateFrame,
    remark_entry,
)
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.chips import chip_wcs
from tests.support.exposures import DEC, PIXEL_NOISE, PLANE, RA, observe, offset, stars

MATCH = MatchSettings()
SETTINGS = RelativeSettings()
POINTING = PointingSettings()
KEYS = ("iaaa01d1q", "iaaa01d2q", "ibbb02d1q", "ibbb02d2q")
ERRORS = [
    LinearTransform.from_parameters(PLANE, shift, roll)
    for shift, roll in (
        ((0.3, -0.2), 0.01),
        ((0.33, -0.17), 0.01),
        ((-4.0, 6.0), -0.06),
        ((-4.1, 6.02), -0.06),
    )
]
POINTINGS = [(0.0, 0.0), (6.0, 3.0), (-4.0, 8.0), (2.0, -7.0)]
# of one axis: 20 mpx over sqrt(100) is 0.26 mas, of two exposures, and at a corner twice that
LIMIT = 4 * PIXEL_NOISE * 0.128 / np.sqrt(100) * np.sqrt(2) * 2


@pytest.fixture(scope="module")
def observed():
    """Four exposures of two visits, and their catalogs."""
    rng = np.random.default_rng(71)
    field = stars(rng)
    made = [
        observe(field, error, rng, key, start=1000.0 * i, at=at)
        for i, (key, error, at) in enumerate(zip(KEYS, ERRORS, POINTINGS, strict=True))
    ]
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}


def without(catalogs, key, rows=0, remark=None):
    """The catalogs, that of one exposure cut down."""
    kept = catalogs[key].selected(np.arange(rows))
    return {
        **catalogs,
        key: SourceCatalog.from_columns(
            {n: kept.table[n] for n in kept.table.colnames},
            {"remarks": [remark_entry(remark)] if remark else []},
        ),
    }


@pytest.mark.parametrize("geometry", ["rshift", "rscale"])
def test_all_are_brought_onto_the_first(observed, geometry):
    exposures, catalogs = observed
    result = align_relative(exposures, catalogs, RelativeSettings(fitgeometry=geometry), MATCH, POINTING)
    solution = result.solution
    assert list(solution.fits) == list(KEYS)
    assert solution.reference == KEYS[0]
    # which of two visits 7 arcsec apart is right nobody knows
    [remark] = result.remarks
    assert isinstance(remark, DisplacedVisits)
    assert remark.reference == KEYS[0]
    for frame, error in zip(exposures, ERRORS, strict=True):
        fit = solution[frame.key]
        assert np.abs(offset(frame, fit.transform, error, ERRORS[0])).max() < LIMIT
        assert fit.transform.plane is solution.plane
        assert fit.status is (FitStatus.REFERENCE if frame.key == KEYS[0] else FitStatus.ALIGNED)
        assert fit.rms == pytest.approx(1e3 * PIXEL_NOISE * 0.128, rel=0.3)
        assert fit.false_match_probability < 1e-9
        assert fit.n_used <= fit.n_matched <= len(catalogs[frame.key])
        # the same star has the same number in all exposures, whatever row it is in
        star = dict(zip(fit.residuals.matched, fit.residuals.source, strict=True))
        first = solution[KEYS[0]].residuals
        common = [star[m] == s for m, s in zip(first.matched, first.source, strict=True) if m in star]
        assert np.mean(common) > 0.99
    assert result.counts == {
        "flagged_fixed": 0,
        "brightest": MATCH.brightest,
        "sources": sum(map(len, catalogs.values())),
        "exposures_unusable": 0,
        "frames": 1,
        "common_sources": sum(s.n_exposures > 1 for s in result.sources),
    }


def test_the_reference_keeps_its_wcs_exactly(observed):
    exposures, catalogs = observed
    for key in (None, *KEYS):
        result = align_relative(exposures, catalogs, RelativeSettings(reference=key), MATCH, POINTING)
        fit = result.solution[key or KEYS[0]]
        np.testing.assert_allclose(fit.transform.matrix, np.eye(2), atol=1e-12)
        np.testing.assert_allclose(fit.transform.shift, 0, atol=1e-9)
        assert fit.status is FitStatus.REFERENCE
        assert {f.reference for f in result.solution.fits.values()} == {key or KEYS[0]}


def test_a_visit_as_reference_keeps_its_mean(observed):
    exposures, catalogs = observed
    result = align_relative(exposures, catalogs, RelativeSettings(reference="IBBB02"), MATCH, POINTING)
    assert result.solution.reference == "ibbb02d1q,ibbb02d2q"
    # each of them moves: only their mean stays
    assert {f.status for f in result.solution.fits.values()} == {FitStatus.ALIGNED}
    shifts = [result.solution[key].transform.shift for key in KEYS[2:]]
    np.testing.assert_allclose(np.mean(shifts, axis=0), 0, atol=2e-3)
    # the two of the visit differed by (0.1, 0.02)
    np.testing.assert_allclose(shifts[1] - shifts[0], [0.1, -0.02], atol=5e-3)


def test_frame_sources_are_where_the_reference_sees_them(observed):
    exposures, catalogs = observed
    result = align_relative(exposures, catalogs, SETTINGS, MATCH, POINTING)
    sources = [s for s in result.sources if s.n_exposures == 4]
    assert [s.number for s in result.sources] == list(range(len(result.sources)))
    fit = result.solution[KEYS[1]]
    row = {number: i for i, number in enumerate(fit.residuals.matched)}
    ids = np.array([fit.residuals.source[row[s.number]] for s in sources if s.number in row]) - 1000
    true = stars(np.random.default_rng(71)).sky[ids]
    found = np.array([(s.ra, s.dec) for s in sources if s.number in row])
    difference = PLANE.to_plane(found) - PLANE.to_plane(ERRORS[0].apply_to_sky(true))
    error = 1e-3 * np.array([s.error for s in sources if s.number in row])
    # centroid_floor is in the errors, and this noise is not
    assert 0.6 < np.std((difference - difference.mean(axis=0)) / error[:, None]) < 1.2
    assert sources[0].epoch == pytest.approx(exposures[0].epoch, abs=1e-3)


@pytest.mark.parametrize("name", ["iaaa01d9q", "ICCC03"])
def test_an_unknown_reference(observed, name):
    with pytest.raises(SettingsError, match="names no direct exposure or visit; there are iaaa01, iaaa01d1q"):
        align_relative(*observed, RelativeSettings(reference=name), MATCH, POINTING)


def test_an_unusable_reference(observed):
    exposures, catalogs = observed
    few = without(catalogs, KEYS[0], 3)
    with pytest.raises(SettingsError, match=r"can't fix the frame.*usable sources: 3 of 3, 6 required"):
        align_relative(exposures, few, RelativeSettings(reference=KEYS[0]), MATCH, POINTING)
    # of a visit the other one does
    result = align_relative(exposures, few, RelativeSettings(reference="iaaa01"), MATCH, POINTING)
    assert result.solution.reference == KEYS[1]


def test_unusable_exposures_fail_with_a_reason(observed):
    exposures, catalogs = observed
    catalogs = without(without(catalogs, KEYS[0], 0, NoSources(6.0)), KEYS[2], 4)
    result = align_relative(exposures, catalogs, SETTINGS, MATCH, POINTING)
    fits = result.solution.fits
    # the others of their guide-star acquisitions tell where they pointed
    assert [f.status.value for f in fits.values()] == ["PRIOR_ONLY", "REFERENCE", "PRIOR_ONLY", "ALIGNED"]
    assert fits[KEYS[0]].reason.startswith("no source above 6 sigma; corrected like iaaa01")
    assert fits[KEYS[2]].reason.startswith("usable sources: 4 of 4, 6 required; corrected like ibbb02")
    assert result.solution.reference == KEYS[1]
    assert result.counts["exposures_unusable"] == 2
    assert np.abs(offset(exposures[3], fits[KEYS[3]].transform, ERRORS[3], ERRORS[1])).max() < LIMIT


def test_no_usable_exposure(observed):
    exposures, catalogs = observed
    for key in KEYS:
        catalogs = without(catalogs, key)
    result = align_relative(exposures, catalogs, SETTINGS, MATCH, POINTING)
    assert not any(f.is_aligned for f in result.solution.fits.values())
    assert result.sources == ()
    assert result.remarks == (NoneUsable(),)


def test_flagged_sources_are_left_out(observed):
    exposures, catalogs = observed
    table = catalogs[KEYS[1]].table.copy()
    table["flags"][::2] = int(SourceFlag.COSMIC_RAY)
    table["x"][::2] += 300.0
    result = align_relative(exposures, {**catalogs, KEYS[1]: SourceCatalog(table)}, SETTINGS, MATCH, POINTING)
    fit = result.solution[KEYS[1]]
    assert fit.n_matched <= len(table) // 2
    assert np.abs(offset(exposures[1], fit.transform, ERRORS[1], ERRORS[0])).max() < 1.5 * LIMIT


@pytest.mark.parametrize(("saturated_error", "used"), [(0.0, False), (0.2, True)])
def test_saturated_sources_have_an_error_of_their_own(observed, saturated_error, used):
    exposures, catalogs = observed
    table = catalogs[KEYS[1]].table.copy()
    table["flags"][:20] = int(SourceFlag.SATURATED)
    settings = RelativeSettings(saturated_error=saturated_error)
    result = align_relative(exposures, {**catalogs, KEYS[1]: SourceCatalog(table)}, settings, MATCH, POINTING)
    matched = set(result.solution[KEYS[1]].residuals.source)
    assert bool(matched & set(table["id"][:20])) is used


def test_one_exposure_is_its_own_frame(observed):
    exposures, catalogs = observed
    result = align_relative(exposures[2:3], catalogs, SETTINGS, MATCH, POINTING)
    fit = result.solution[KEYS[2]]
    assert (fit.status, fit.n_matched, fit.n_used, fit.residuals) == (FitStatus.REFERENCE, 0, 0, None)
    assert np.isnan(fit.rms)
    np.testing.assert_allclose(fit.transform.matrix, np.eye(2), atol=1e-12)
    assert len(result.sources) == len(catalogs[KEYS[2]])
    assert result.remarks == ()


def far_apart(rng, n_far=2):
    """Two exposures of one field, and some of another 600" east."""
    near, far = stars(rng), stars(rng, east=600.0)
    identity = LinearTransform.identity(PLANE)
    made = [observe(near, identity, rng, key, start=1e3 * i) for i, key in enumerate(KEYS[:2])]
    made += [
        observe(far, identity, rng, key, start=1e4 + 1e3 * i, at=(600.0, 0.0))
        for i, key in enumerate(KEYS[2 : 2 + n_far])
    ]
    return [e for e, _ in made], {e.key: c for e, c in made}


def test_groups_that_do_not_overlap_are_frames_of_their_own():
    result = align_relative(*far_apart(np.random.default_rng(72)), SETTINGS, MATCH, POINTING)
    fits = result.solution.fits
    assert [f.frame for f in fits.values()] == [0, 0, 1, 1]
    assert [f.reference for f in fits.values()] == [KEYS[0]] * 2 + [KEYS[2]] * 2
    assert result.remarks == (SeparateFrame(KEYS[0], KEYS[2:]),)
    assert fits[KEYS[3]].remarks == result.remarks
    assert {s.frame for s in result.sources} == {0, 1}
    assert result.counts["frames"] == 2


def test_a_lone_exposure_elsewhere_keeps_its_wcs():
    result = align_relative(*far_apart(np.random.default_rng(73), 1), SETTINGS, MATCH, POINTING)
    fit = result.solution[KEYS[2]]
    assert (fit.status, fit.frame) == (FitStatus.REFERENCE, 1)
    assert [type(remark) for remark in fit.remarks] == [SeparateFrame]


def test_an_exposure_that_matches_no_other_fails(observed):
    exposures, catalogs = observed
    rng = np.random.default_rng(74)
    other, catalog = observe(stars(rng), LinearTransform.identity(PLANE), rng, "iccc03d1q", start=9e3)
    result = align_relative([*exposures, other], {**catalogs, other.key: catalog}, SETTINGS, MATCH, POINTING)
    fit = result.solution[other.key]
    assert not fit.is_aligned
    assert fit.reason.startswith("matches no other exposure: ")
    assert "matched sources" in fit.reason
    assert not any(other.key in str(remark) for remark in result.remarks)
    assert all(result.solution[key].is_aligned for key in KEYS)


def test_an_exposure_that_does_not_fit_fails_with_its_reason(observed):
    exposures, catalogs = observed
    table = catalogs[KEYS[3]].table.copy()
    noise = np.random.default_rng(75).normal(size=(2, len(table)))
    table["x"] += 0.8 * noise[0]
    table["y"] += 0.8 * noise[1]
    result = align_relative(
        exposures, {**catalogs, KEYS[3]: SourceCatalog(table)}, SETTINGS, MatchSettings(max_rms=0.1), POINTING
    )
    fit = result.solution[KEYS[3]]
    assert fit.status is FitStatus.PRIOR_ONLY
    assert "required" in fit.reason or "limit" in fit.reason
    assert all(result.solution[key].is_aligned for key in KEYS[:3])


def test_positions_of_both_chips():
    chips = tuple(
        Chip(number + 1, (2051, 4096), chip_wcs("wfc3_uvis", (RA, DEC, 0.0), number)) for number in (0, 1)
    )
    frame, catalog = observe(
        stars(np.random.default_rng(76)), LinearTransform.identity(PLANE), np.random.default_rng(1), KEYS[0]
    )
    frame = replace(frame, chips=chips)
    table = catalog.table.copy()
    table["chip"] = np.where(np.arange(len(table)) % 2, 1, 2)
    sky, error = source_positions(frame, SourceCatalog(table))
    for number, chip in enumerate(chips):
        rows = table["chip"] == number + 1
        np.testing.assert_allclose(sky[rows], chip.wcs.to_sky(catalog.xy[rows]))
        np.testing.assert_allclose(error[rows], PIXEL_NOISE * chip.wcs.pixel_scale)


def test_a_reference_that_does_not_fit_is_named(observed):
    exposures, catalogs = observed
    table = catalogs[KEYS[1]].table.copy()
    noise = np.random.default_rng(78).normal(size=(2, len(table)))
    table["x"] += 2.5 * noise[0]
    table["y"] += 2.5 * noise[1]
    settings = RelativeSettings(reference=KEYS[1])
    result = align_relative(exposures, {**catalogs, KEYS[1]: SourceCatalog(table)}, settings, MATCH, POINTING)
    assert result.solution.reference != KEYS[1]
    assert KEYS[1] in [one.named for one in result.remarks if isinstance(one, ReferenceAlone)]


@pytest.mark.parametrize(("east", "brightest"), [(124.0, 300), (300.0, 60)])
def test_a_narrow_overlap_is_tied_by_more_sources(east, brightest):
    """Of the 60 brightest of an exposure a tenth lies in the overlap; of fields apart nothing is asked."""
    rng = np.random.default_rng(79)
    field = stars(rng, 1200, 400.0)
    errors = [LinearTransform.from_parameters(PLANE, shift, 0.0) for shift in ((0.0, 0.0), (0.7, -0.4))]
    made = [
        observe(field, error, rng, key, start=1e3 * i, at=(i * east - 60.0, 0.0), angle=0.0)
        for i, (key, error) in enumerate(zip(KEYS[1:3], errors, strict=True))
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: catalog for e, catalog in made}
    result = align_relative(exposures, catalogs, SETTINGS, MatchSettings(brightest=60), POINTING)
    assert result.counts["brightest"] == brightest
    assert result.counts["frames"] == (1 if brightest == 300 else 2)
    if brightest == 300:
        transform = result.solution[KEYS[2]].transform
        # known at the near edge, and from there on by the roll
        assert np.abs(offset(exposures[1], transform, errors[1], errors[0])).max() < 0.05
