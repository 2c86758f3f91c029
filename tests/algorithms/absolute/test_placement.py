"""Detectors that stars of the catalog put in place, where no two of them saw the same sources."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.absolute.placement import StarDifferences
from grism_align.algorithms.measuring.positions import source_positions
from grism_align.algorithms.relative.rough_placement import FarOff
from grism_align.values.catalog import SourceCatalog
from grism_align.values.field import ExposureSet
from grism_align.values.settings import AbsoluteSettings
from tests.algorithms.relative.test_placement import SETTINGS, result_of, taken
from tests.support.exposures import stars, with_errors

# Of two that see much of the same; and of four apart from each other.
OVERLAPPING = ((0.0, 0.0), (60.0, 60.0))
PLACES = ((0.0, 0.0), (200.0, 0.0), (0.0, 200.0), (200.0, 200.0))
SIGMA = SETTINGS.detector_error
FIELD = stars(np.random.default_rng(741), 2500, 700.0)


def aligned(off, seed, rolls=(0.0,), n_stars=None, error=0.3, *, places=PLACES, stray=(0.0, 0.0), warp=0.0):
    """Pointings of four detectors on a catalog of all stars, or of so many only that the last one sees.

    One of these may be elsewhere in the catalog. Quarters of detectors may be off by some pixels, `warp`.
    """
    rng = np.random.default_rng(seed)
    exposures, catalogs, _ = taken(rng, FIELD, off, rolls, places)
    if warp:
        catalogs = warped(exposures, catalogs, rng.normal(0, warp, (len(places), 2, 2, 2)))
    result = result_of(exposures, catalogs)
    known = ExposureSet(
        "field", tuple(exposures), catalogs=catalogs, sources=result.sources, relative=result.solution
    )
    reference = with_errors(FIELD, rng, error)
    if n_stars is not None:
        seen = np.unique(np.concatenate([catalogs[one.key].table["id"] for one in exposures[3::4]])) - 1000
        always = set.intersection(*(set(catalogs[one.key].table["id"]) for one in exposures[3::4]))
        kept = rng.choice(sorted(always), n_stars, replace=False) - 1000
        left_out = np.setdiff1d(seen, kept)
        sky = reference.sky.copy()
        sky[kept[-1:]] = FIELD.plane.to_sky(FIELD.plane.to_plane(sky[kept[-1:]]) + stray)
        reference = replace(reference, sky=sky)
        reference = reference[np.setdiff1d(np.arange(len(reference)), left_out)]
    settings = replace(AbsoluteSettings(), pointing=SETTINGS)
    found = align_absolute(known, reference, settings)
    return replace(known, absolute=found.solution), found.warnings


def warped(exposures, catalogs, quarters):
    """Move the sources of each quarter of a detector, the same way in all exposures."""
    out = {}
    for number, exposure in enumerate(exposures):
        table = catalogs[exposure.key].table.copy()
        right, up = (np.array(table[name] > 507, dtype=int) for name in "xy")
        moved = quarters[number % len(quarters), right, up]
        table["x"], table["y"] = table["x"] + moved[:, 0], table["y"] + moved[:, 1]
        out[exposure.key] = SourceCatalog(table)
    return out


def pulls_of(found, off, exposures=slice(None)):
    """Errors of the corrections of exposures of roll 0, in units of those claimed."""
    number = np.arange(len(found.exposures))[exposures]
    out = []
    for exposure, true in zip(np.array(found.exposures)[number], off[number % 4], strict=True):
        at = found.total[exposure.key].transform.at(exposure.plane)
        out.append((at.shift - true) / at.shift_error)
    return np.array(out)


def corner_errors(found, off):
    """Errors of the corrections at the corners of exposures of roll 0, in units of those claimed."""
    out = []
    for exposure, true in zip(found.exposures[: len(off)], off, strict=True):
        transform = found.total[exposure.key].transform
        for corner in transform.plane.to_plane(exposure.chips[0].wcs.footprint()):
            arm = np.kron(np.eye(2), corner)
            at_corner = np.column_stack([np.eye(2), arm])
            error = transform.apply(corner[None])[0] - corner - true
            out.append(error / np.sqrt(np.diag(at_corner @ transform.covariance @ at_corner.T)))
    return np.array(out)


@pytest.mark.parametrize("size", [0.0, 0.02, pytest.param(0.2, marks=pytest.mark.slow), 1.0])
def test_one_that_is_far_off_is_put_in_place_and_named(size):
    off = np.zeros((4, 2))
    off[3] = 0.8 * size, -0.6 * size
    found, warnings = aligned(off, 742)
    assert np.abs(pulls_of(found, off)).max() < 4.5
    for exposure in found.exposures:
        assert found.total[exposure.key].transform.at(exposure.plane).axis_error < 2e-3
    assert [warning.split(" is ")[0] for warning in warnings] == ["detector 4 of wfc3_ir"] * (size > 0)


@pytest.mark.parametrize(
    ("n_stars", "size"),
    [
        (0, 0.0),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in [(1, 0.0), (2, 0.0), (5, 0.02), (5, 0.5), (None, 0.02), (2, 0.5)]
        ),
    ],
)
def test_claims_are_true_however_few_stars_tell(n_stars, size):
    """From the prior alone to what many stars tell; what is far off takes two stars to be told."""
    pulls, claims = [], []
    for seed in range(10):
        off = np.random.default_rng([743, seed]).normal(0, SIGMA, (4, 2))
        off[3] += 0.8 * size, -0.6 * size
        found, _ = aligned(off, [744, seed], n_stars=n_stars)
        pulls.append(pulls_of(found, off, slice(3, 4)))
        last = found.exposures[3]
        claims.append(found.total[last.key].transform.at(last.plane).axis_error)
    # 20 pulls
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.45
    assert np.abs(pulls).max() < 5.0
    # 2.6 mas of a star, half a mas of all others together; how far out one may lie three others tell poorly
    expected = {None: 0.0005, 0: 1.5 * SIGMA, 1: 0.0023, 2: 0.0018, 5: 0.0012}[n_stars]
    assert np.median(claims) == pytest.approx(expected, rel=0.4)


@pytest.mark.parametrize("rolls", [(0.0,), pytest.param((0.0, 0.0, 40.0, 40.0), marks=pytest.mark.slow)])
def test_claims_cover_what_quarters_of_a_detector_share(rolls):
    """A distortion that is wrong by 2.6 mas, four times what noise makes of a place."""
    pulls, claims = [], []
    for seed in range(4):
        found, _ = aligned(np.zeros((4, 2)), [752, seed], rolls, warp=0.02)
        pulls.append(pulls_of(found, np.zeros((4, 2)), slice(0, 4)))
        first = found.exposures[0]
        claims.append(found.total[first.key].transform.at(first.plane).axis_error)
    # 32 pulls; how large the errors are eight of each field tell, less what places take
    assert 0.7 < np.sqrt(np.mean(np.square(pulls))) < 1.5
    assert np.median(claims) == pytest.approx(0.5 * 2.6e-3, rel=0.35)


@pytest.mark.slow
def test_a_star_that_was_seen_often_is_one():
    """Three stars with large errors in many dithers tell no more than their errors allow."""
    pulls = []
    for seed in range(8):
        off = np.random.default_rng([745, seed]).normal(0, SIGMA, (4, 2))
        found, _ = aligned(off, [746, seed], (0.0,) * 6, n_stars=3, error=2.0)
        at = found.total[found.exposures[3].key].transform.at(found.exposures[3].plane)
        assert 0.5 * 2e-3 / np.sqrt(3) < at.axis_error < 2.5e-3
        pulls.append((at.shift - off[3]) / at.shift_error)
    # 16 pulls
    assert 0.55 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_what_is_on_record_is_what_the_correction_has():
    off = np.zeros((4, 2))
    off[3] = 0.2, 0.0
    found, _ = aligned(off, 747)
    first, last = (found.total[found.exposures[number].key] for number in (0, 3))
    assert found.relative[found.exposures[3].key].placement == (0.0, 0.0)
    between = np.subtract(last.placement, first.placement)
    np.testing.assert_allclose(1e3 * (last.transform.shift - first.transform.shift), between, atol=0.5)
    np.testing.assert_allclose(
        between, (200.0, 0.0), atol=4.5 * np.hypot(first.placement_error, last.placement_error)
    )


@pytest.mark.parametrize("size", [0.04, pytest.param(0.1, marks=pytest.mark.slow), 1.0])
def test_offsets_of_two_are_no_scale(size):
    """As the tie of the frame takes them for; at the corners of exposures as well."""
    off = np.zeros((4, 2))
    off[2:] = 0.8 * size, -0.6 * size
    found, warnings = aligned(off, 742)
    assert np.abs(pulls_of(found, off)).max() < 4.5
    assert np.abs(corner_errors(found, off)).max() < 3.0
    # that they lie apart is told; which two are off, nothing tells
    assert warnings


@pytest.mark.parametrize("size", [pytest.param(0.1, marks=pytest.mark.slow), 1.0])
def test_one_of_two_that_see_the_same_stars_may_be_off(size):
    """Both are put on the catalog: sources lie where corrections put them."""
    off = np.array([[size, 0.0], [0.0, 0.0]])
    found, _ = aligned(off, 748, (0.0, 0.0, 40.0, 40.0), places=OVERLAPPING)
    plane = found.relative.plane
    places = plane.to_plane(np.array([(source.ra, source.dec) for source in found.sources]))
    for exposure in found.exposures:
        fit = found.relative[exposure.key]
        there = fit.transform.apply(
            plane.to_plane(source_positions(exposure, found.catalogs[exposure.key])[0])
        )
        apart = there - places[cKDTree(places).query(there)[1]]
        np.testing.assert_allclose(np.median(apart, axis=0), 0.0, atol=1e-3)
    for exposure, true in zip(found.exposures[:2], off, strict=True):
        at = found.total[exposure.key].transform.at(exposure.plane)
        assert at.axis_error < 2e-3
        np.testing.assert_array_less(np.abs(at.shift - true), 4.5 * at.shift_error)


@pytest.mark.parametrize("others", [0.0, pytest.param(SIGMA, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("n_stars", "size", "stray"), [(1, 0.1, (0.0, 0.0)), (3, 0.1, (0.5, 0.7))])
def test_what_few_stars_cannot_tell_is_not_claimed(n_stars, size, stray, others):
    """A single star beyond what is matched; or two there that agree, and one that has moved.

    However well all other detectors are in place.
    """
    pulls = []
    for seed in range(3):
        off = np.random.default_rng([749, seed]).normal(0, 1, (4, 2)) * others
        off[3] += 0.8 * size, -0.6 * size
        found, warnings = aligned(off, [750, seed], n_stars=n_stars, stray=stray)
        pulls.append(pulls_of(found, off, slice(3, 4)))
        assert any(f"{n_stars} stars of" in warning for warning in warnings)
        assert np.abs(pulls_of(found, off, slice(0, 3))).max() < 4.5
        last = found.exposures[3]
        claim = found.total[last.key].transform.at(last.plane).axis_error
        assert claim == pytest.approx(np.sqrt(0.5) * size, rel=0.3)
    assert np.abs(pulls).max() < 3.0


def test_one_that_cannot_be_put_in_place_claims_no_more(monkeypatch):
    """Stars agree that it is far off, and still do when it was moved there."""
    far = FarOff.none(4)
    far.offset[3], far.n[3] = (0.08, -0.06), 7
    monkeypatch.setattr(StarDifferences, "farther_off", lambda *_: far)
    found, warnings = aligned(np.zeros((4, 2)), 751)
    assert [warning for warning in warnings if "7 stars of" in warning and "100 mas" in warning]
    claims = [found.total[e.key].transform.at(e.plane).axis_error for e in found.exposures]
    assert max(claims[:3]) < 2e-3
    assert claims[3] == pytest.approx(0.1 * np.sqrt(0.5), rel=0.01)
