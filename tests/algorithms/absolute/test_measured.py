from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.measured import measured_sources, only_saturated
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import AlignmentSolution, FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PIXEL_NOISE, PLANE, observe, stars

KEYS = ("iaaa01d1q", "iaaa01d2q")
ERRORS = [LinearTransform.from_parameters(PLANE, shift, 0.02) for shift in ((0.2, 0.1), (0.21, 0.1))]


@pytest.fixture
def seen():
    """Two exposures that share most of their stars: exposures, catalogs, fits, sources and the stars."""
    rng = np.random.default_rng(321)
    field = stars(rng, 150, 200.0)
    made = [
        observe(field, error, rng, key, start=1e3 * i, at=(20.0 * i, 0.0), angle=0.0)
        for i, (key, error) in enumerate(zip(KEYS, ERRORS, strict=True))
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    result = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    return exposures, catalogs, result.solution.fits, result.sources, field


def measured(exposures, catalogs, fits, sources):
    return measured_sources(exposures, catalogs, AlignmentSolution(fits), sources)


def test_all_that_was_measured_is_on_the_frame(seen):
    exposures, catalogs, fits, sources, _ = seen
    found = measured(exposures, catalogs, fits, sources)
    plane = fits[KEYS[0]].transform.plane
    sky = {source.number: plane.to_plane([source.ra, source.dec]) for source in sources}
    for one, exposure in zip(found, exposures, strict=True):
        assert len(one) == len(catalogs[exposure.key])
        assert one.time == exposure.epoch
        assert one.matched.sum() == fits[exposure.key].n_matched
        assert not one.saturated.any()
        # Each has its number, whether the other exposure saw it or not.
        assert (one.number >= 0).all()
        at = np.array([sky[number] for number in one.number.tolist()])
        noise = PIXEL_NOISE * exposure.pixel_scale
        assert np.abs(one.xy - at)[one.matched].max() < 5 * noise
        np.testing.assert_allclose(one.xy[~one.matched], at[~one.matched], atol=1e-6)
        assert one.error == pytest.approx(noise, rel=0.5)
        assert one.transform is fits[exposure.key].transform
    shared = np.intersect1d(*(one.number for one in found))
    np.testing.assert_array_equal(shared, np.sort(found[0].number[found[0].matched]))


def test_catalogs_that_are_not_those_that_were_matched(seen):
    exposures, catalogs, fits, sources, _ = seen
    assert measured(exposures, {KEYS[0]: catalogs[KEYS[0]]}, fits, sources) is None
    table = catalogs[KEYS[1]].table.copy()
    table["id"] += 10000
    for other in (SourceCatalog(table), SourceCatalog.empty()):
        assert measured(exposures, {**catalogs, KEYS[1]: other}, fits, sources) is None


def test_an_exposure_without_matches(seen):
    """It has what it saw, unless that doesn't tell its correction."""
    exposures, catalogs, fits, sources, _ = seen
    alone = replace(fits[KEYS[1]], residuals=None)
    _, one = measured(exposures, catalogs, {**fits, KEYS[1]: alone}, sources)
    assert len(one) == len(catalogs[KEYS[1]])
    assert not one.matched.any()
    # the floor of a centroid without matches
    floor = np.hypot(PIXEL_NOISE, 0.005) * exposures[1].pixel_scale
    assert one.error == pytest.approx(floor, rel=1e-3)
    lost = replace(alone, status=FitStatus.PRIOR_ONLY)
    assert len(measured(exposures, catalogs, {**fits, KEYS[1]: lost}, sources)[1]) == 0


@pytest.mark.parametrize("flag", [SourceFlag.EDGE, SourceFlag.SATURATED, SourceFlag.COSMIC_RAY])
def test_doubtful_sources_that_one_exposure_saw_are_left_out(seen, flag):
    exposures, catalogs, fits, sources, _ = seen
    before = measured(exposures, catalogs, fits, sources)
    flagged = {}
    for key, catalog in catalogs.items():
        table = catalog.table.copy()
        table["flags"] = int(flag)
        flagged[key] = SourceCatalog(table)
    found = measured(exposures, flagged, fits, sources)
    for one, was in zip(found, before, strict=True):
        assert one.matched.all()
        assert len(one) == was.matched.sum()
        assert one.saturated.all() == (flag is SourceFlag.SATURATED)


def test_saturated_wherever_they_were_seen(seen):
    exposures, catalogs, fits, sources, _ = seen
    one, other = measured(exposures, catalogs, fits, sources)
    shared = np.intersect1d(one.number[one.matched], other.number[other.matched])
    burnt, half = shared[:3], shared[3:5]
    one = replace(one, saturated=np.isin(one.number, np.concatenate([burnt, half])))
    other = replace(other, saturated=np.isin(other.number, burnt))
    assert only_saturated([one, other]) == set(burnt.tolist())
    assert only_saturated([]) == set()
