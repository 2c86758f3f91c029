"""Exposures that get the correction of their guide-star acquisition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.relative.pointing import RelativeFrames, prior_only
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.failure import NoSources, NotAtPointing, TooFewMatches, remark_entry
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MatchSettings, PointingSettings
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, observe, offset, stars

MATCH = MatchSettings()
POINTING = PointingSettings()
DITHER = POINTING.dither_error
KEYS = ("iaaa01d1q", "iaaa01d2q", "iaaa01d3q", "iaaa01d4q")
VISIT = (0.4, -0.3)
AT = [(0.0, 0.0), (6.0, 3.0), (-4.0, 8.0), (2.0, -7.0)]


def acquisition(rng, dither=DITHER, n_stars=80):
    """Four exposures of one acquisition, their catalogs, and the true corrections."""
    field = stars(rng, n_stars)
    errors = [
        LinearTransform.from_parameters(PLANE, np.array(VISIT) + dither * rng.normal(size=2), 0.01)
        for _ in KEYS
    ]
    made = [
        observe(field, error, rng, key, start=1e3 * i, at=at)
        for i, (key, error, at) in enumerate(zip(KEYS, errors, AT, strict=True))
    ]
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}, errors


def fitted(exposures, errors, failed=(3,), frames=(0, 0, 0, 0)):
    """The true fits, with an error of 1 mas, and the failed ones."""
    covariance = np.zeros((6, 6))
    covariance[[0, 1], [0, 1]] = 1e-6
    fits = {}
    for number, (exposure, error) in enumerate(zip(exposures, errors, strict=True)):
        transform = replace(error.inverted(), covariance=covariance)
        fits[exposure.key] = ExposureFit(
            FitStatus.ALIGNED, transform, reference=KEYS[0], frame=frames[number], geometry="rshift"
        )
        if number in failed:
            fits[exposure.key] = ExposureFit.failed(TooFewMatches(3, 6))
    return fits


def found(exposures, catalogs, fits, labels=None, sources=None):
    """What `prior_only` says; the frame has the sources of the first exposure."""
    labels = {e.key: "g" for e in exposures} if labels is None else labels
    if sources is None:
        sky, error = source_positions(exposures[0], catalogs[KEYS[0]])
        own = fits[KEYS[0]].transform or LinearTransform.identity(PLANE)
        xy = own.apply(PLANE.to_plane(sky))
        sources = PlaneList(xy, error, np.full(len(xy), 20.0), np.full(len(xy), 2016.0))
    places = [sources] * (1 + max(fit.frame for fit in fits.values()))
    return prior_only(exposures, catalogs, RelativeFrames(fits, places, labels), POINTING, MATCH)


def emptied(catalogs, key, rows=0, remark=None):
    cut = catalogs[key].selected(np.arange(rows)).table
    columns = {name: cut[name] for name in cut.colnames}
    return {
        **catalogs,
        key: SourceCatalog.from_columns(columns, {"remarks": [remark_entry(remark or NoSources(6.0))]}),
    }


@pytest.mark.parametrize("rows", [0, 4, None])
def test_an_exposure_without_sources_of_its_own(rows):
    """None, too few, or enough where the acquisition puts them: it gets the mean correction."""
    exposures, catalogs, errors = acquisition(np.random.default_rng(111))
    catalogs = catalogs if rows is None else emptied(catalogs, KEYS[3], rows)
    new = found(exposures, catalogs, fitted(exposures, errors))
    assert list(new) == [KEYS[3]]
    fit = new[KEYS[3]]
    assert (fit.status, fit.frame, fit.reference, fit.geometry) == (
        FitStatus.PRIOR_ONLY,
        0,
        KEYS[0],
        "rshift",
    )
    assert fit.is_aligned
    assert fit.reason.startswith(
        f"3 matched sources, 6 required; corrected like {', '.join(KEYS[:3])}, error "
    )
    error = fit.transform.at(exposures[3].plane).shift_error
    assert (error >= DITHER).all()
    assert np.abs(offset(exposures[3], fit.transform, errors[3])).max() < 4 * error.max()
    # what the reason says is the error
    assert f"{1e3 * error.max():.0f} mas" in fit.reason


@pytest.mark.parametrize("n_others", [1, 3])
def test_errors_are_true(n_others):
    """Dithers as good as the settings say: the width of the pulls is one, or less where few tell."""
    pulls = []
    failed = tuple(range(n_others, 4))
    rng = np.random.default_rng(112)
    exposures, catalogs, _ = acquisition(rng)
    for key in KEYS:
        catalogs = emptied(catalogs, key)
    nowhere = PlaneList(np.zeros((0, 2)), *np.zeros((3, 0)))
    for _ in range(60):
        errors = [
            LinearTransform.from_parameters(PLANE, np.array(VISIT) + DITHER * rng.normal(size=2))
            for _ in KEYS
        ]
        new = found(exposures, catalogs, fitted(exposures, errors, failed), sources=nowhere)
        assert set(new) == set(KEYS[n_others:])
        transform = new[KEYS[3]].transform.at(exposures[3].plane)
        true = errors[3].inverted().at(exposures[3].plane)
        pulls.append((transform.shift - true.shift) / transform.shift_error)
    # 120 pulls: 7 % of their width; a scatter that looks large by chance makes errors larger
    width = np.sqrt(np.mean(np.square(pulls)))
    assert (0.8 if n_others == 1 else 0.65) < width < 1.2


def test_a_poor_acquisition_has_a_larger_error():
    exposures, catalogs, errors = acquisition(np.random.default_rng(113), dither=10 * DITHER)
    new = found(exposures, emptied(catalogs, KEYS[3]), fitted(exposures, errors))
    assert (new[KEYS[3]].transform.shift_error > 4 * DITHER).all()


@pytest.mark.parametrize("away", [(2.0, -3.0), (0.5, 0.4), (30.0, 0.0)])
def test_one_whose_sources_are_elsewhere_stays_failed(away):
    exposures, catalogs, errors = acquisition(np.random.default_rng(114))
    table = catalogs[KEYS[3]].table.copy()
    table["x"] += away[0] / 0.128
    table["y"] += away[1] / 0.128
    new = found(exposures, {**catalogs, KEYS[3]: SourceCatalog(table)}, fitted(exposures, errors))
    fit = new[KEYS[3]]
    assert (fit.status, fit.transform) == (FitStatus.FAILED, None)
    assert fit.remarks == (TooFewMatches(3, 6), NotAtPointing())


def test_a_trailed_exposure_stays_as_it_is():
    exposures, catalogs, errors = acquisition(np.random.default_rng(115))
    table = catalogs[KEYS[3]].table.copy()
    table["flags"] = int(SourceFlag.TRAILED)
    assert found(exposures, {**catalogs, KEYS[3]: SourceCatalog(table)}, fitted(exposures, errors)) == {}


def test_an_acquisition_without_an_aligned_exposure_stays_failed():
    exposures, catalogs, errors = acquisition(np.random.default_rng(116))
    labels = dict(zip(KEYS, "ggHH", strict=True))
    fits = fitted(exposures, errors, failed=(2, 3))
    assert found(exposures, catalogs, fits, labels) == {}
    labels[KEYS[3]] = "g"
    assert list(found(exposures, catalogs, fits, labels)) == [KEYS[3]]


def test_of_two_frames_the_first_is_followed():
    exposures, catalogs, errors = acquisition(np.random.default_rng(117))
    moved = [errors[0].then(LinearTransform.from_parameters(PLANE, (3.0, 0.0))), *errors[1:]]
    fits = fitted(exposures, moved, frames=(1, 0, 0, 0))
    fit = found(exposures, emptied(catalogs, KEYS[3]), fits)[KEYS[3]]
    assert fit.frame == 0
    assert f"corrected like {KEYS[1]}, {KEYS[2]}, error" in fit.reason
    assert np.abs(offset(exposures[3], fit.transform, errors[3])).max() < 6 * DITHER


def test_where_nothing_failed_nothing_is_new():
    exposures, catalogs, errors = acquisition(np.random.default_rng(118))
    assert found(exposures, catalogs, fitted(exposures, errors, failed=())) == {}


@pytest.mark.parametrize("shared", [True, False])
def test_corrections_that_start_from_another_wcs_are_not_mixed(shared):
    """The archive fitted the good exposures' WCSs, which the poor one's lacks."""
    exposures, catalogs, errors = acquisition(np.random.default_rng(57))
    fits = fitted(exposures, errors)
    moved = LinearTransform.from_parameters(PLANE, (1.4, -0.7))
    mixed = [
        replace(
            e,
            wcs_solution="IDC" if e.key == KEYS[3] else "FIT_REL_GAIADR2",
            alternates={"IDC": e.chips[0].wcs} if shared and e.key != KEYS[3] else {},
            chips=e.chips
            if e.key == KEYS[3]
            else tuple(replace(chip, wcs=chip.wcs.corrected(moved)) for chip in e.chips),
        )
        for e in exposures
    ]
    # what is left to correct once the archive's fit is applied
    for e in mixed[:3]:
        fits[e.key] = replace(fits[e.key], transform=moved.inverted().then(fits[e.key].transform))
    got = found(mixed, emptied(catalogs, KEYS[3]), fits).get(KEYS[3])
    if not shared:
        assert got is None
        return
    assert got.status is FitStatus.PRIOR_ONLY
    found_there, true = (t.at(exposures[3].plane) for t in (got.transform, errors[3].inverted()))
    assert (np.abs(found_there.shift - true.shift) < 5 * found_there.shift_error).all()
