"""Which sources of merged pointings are matched, and which matches the pointing does not allow."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from grism_align.algorithms.relative import cluster as cluster_module
from grism_align.algorithms.relative.cluster import Merging, merge_all
from grism_align.algorithms.relative.members import Footprint, NetworkInput, PointingSources
from grism_align.values.failure import FarFromDither, SamePixels
from grism_align.values.settings import MatchSettings, PointingSettings
from grism_align.values.transform import LinearTransform
from tests.support.lists import NOISE, PLANE, field, plane_list, seen

MATCH = MatchSettings()
SIDE = 120.0
SQUARE = 0.5 * SIDE * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


def error(shift=(0.0, 0.0), roll=0.0):
    return LinearTransform.from_parameters(PLANE, shift, roll)


def pointing(number, own, visit, center, wrong):
    """A pointing of one exposure whose a priori WCS puts its chip where `wrong` moves it."""
    footprint = Footprint("chip", wrong.apply(SQUARE + center))
    return PointingSources(
        (f"e{number}",), (own,), ("ir",), visit, number, 0.128, number == 0, visit, (footprint,)
    )


def mosaic(rng, tiles, overlap, *, spurious, dither=7.0):
    """Two dithered exposures of each tile of a mosaic, of which neighbours share a strip; and their errors.

    What only one of the two exposures of a tile looked at is part of the strips.
    """
    step = SIDE + dither - overlap
    centers = [np.array([x, y]) * step for x in range(tiles[0]) for y in range(tiles[1])]
    stars = field(rng, int(0.03 * (tiles[0] * step + SIDE) * (tiles[1] * step + SIDE)), 1000.0)
    stars = (
        rng.uniform(-SIDE, [tiles[0] * step + SIDE, tiles[1] * step + SIDE], (len(stars[0]), 2)),
        stars[1],
    )
    made, errors = [], []
    for visit, center in enumerate(centers):
        wrong = rng.normal(0, 1.0, 2)
        for at in (center - 0.5 * dither, center + 0.5 * dither):
            errors.append(error(wrong + rng.normal(0, 0.01, 2), 0.0))
            own, _ = seen(stars, errors[-1], rng, center=at, side=SIDE, spurious=spurious)
            made.append(pointing(len(made), own, f"v{visit}", at, errors[-1]))
    return NetworkInput(made, PLANE, PointingSettings()), errors


@pytest.mark.parametrize("overlap", [6.0, 12.0])
@pytest.mark.parametrize("tiles", [(2, 1), (1, 2), (2, 2), (3, 1)])
def test_tiles_of_a_mosaic_are_tied(tiles, overlap):
    """Those that only one of a tile's exposures saw in the strip tie it to its neighbour."""
    pointings, errors = mosaic(np.random.default_rng(21), tiles, overlap, spurious=150)
    (cluster,), _ = merge_all(pointings, MatchSettings(brightest=1000))
    for number, transform in cluster.members.items():
        at = pointings.pointings[number].center
        expected = errors[number].inverted().then(errors[0]).then(cluster.members[0]).apply(at)
        # from a strip of some ten stars at one end of the tile
        np.testing.assert_allclose(transform.apply(at), expected, atol=0.1)


def test_what_others_looked_for_and_did_not_see_is_left_out():
    rng = np.random.default_rng(22)
    pointings, _ = mosaic(rng, (1, 1), 0.0, spurious=100)
    settings = MatchSettings(brightest=1000)
    (cluster,), _ = merge_all(pointings, settings)
    first, second = (Merging(n, pointings, settings.tolerance) for n in (0, 1))
    first.take(second, cluster.members[1].then(cluster.members[0].inverted()), 10)
    kept = first.confirmed(np.arange(len(first.sources)))
    twice = int((cluster.seen.count == 2).sum())
    # 7" on two sides of each of the two, and 1" within the edges
    margin = 2 * (1 - ((SIDE - 9.0) / SIDE) ** 2)
    assert twice < len(kept) < twice + 1.5 * margin * len(pointings.pointings[0].sources)
    assert len(kept) < len(cluster.seen.count)


class Elsewhere:
    """An executor whose work is sent away, and what comes of it sent back."""

    def __init__(self):
        self.names = []

    def map(self, function, items, label):
        self.names += list(items)
        for item in items.values():
            yield pickle.loads(pickle.dumps(function(pickle.loads(pickle.dumps(item)))))


def test_visits_may_be_merged_elsewhere(monkeypatch):
    pointings, _ = mosaic(np.random.default_rng(27), (2, 2), 12.0, spurious=20)
    # one that matches nothing, in the middle of the numbers
    alone = field(np.random.default_rng(28), 30, SIDE)
    far = pointing(8, plane_list(alone[0] + 5e3, alone[1]), "v1", np.full(2, 5e3), error())
    made = [*pointings.pointings[:3], far, *pointings.pointings[3:]]
    whole = NetworkInput(made, PLANE, PointingSettings())
    here, why = merge_all(whole, MATCH)
    elsewhere = Elsewhere()
    assert merge_all(whole, MATCH, elsewhere)[1] == why
    assert elsewhere.names == []  # few are matched more quickly than sent
    monkeypatch.setattr(cluster_module, "_MANY", 1)
    there, reasons = merge_all(whole, MATCH, elsewhere)
    assert elsewhere.names == ["v0", "v1", "v2", "v3"]
    assert reasons == why
    assert sorted(sorted(one.members) for one in there) == [[0, 1, 2, 4, 5, 6, 7, 8], [3]]
    for one, same in zip(there, here, strict=True):
        for number, transform in one.members.items():
            np.testing.assert_array_equal(transform.matrix, same.members[number].matrix)
            np.testing.assert_array_equal(transform.shift, same.members[number].shift)
        np.testing.assert_array_equal(one.seen.positions.xy, same.seen.positions.xy)


def test_a_failed_match_tries_all_sources():
    """The confirmed ones of one pair lie where the other pair has none that are confirmed."""
    rng = np.random.default_rng(23)
    stars = field(rng, 160, SIDE)
    halves = stars[0][:, 0] > 0
    lists = []
    for once, turn in ((halves, 0), (halves, 1), (~halves, 0), (~halves, 1)):
        # of one half every exposure sees all stars, of the other one each sees another part
        sees = once | (np.arange(160) % 2 == turn)
        xy = stars[0][sees] + NOISE * rng.normal(size=(sees.sum(), 2))
        lists.append(plane_list(xy, stars[1][sees]))
    zero = error()
    made = [
        pointing(n, own, visit, np.zeros(2), zero)
        for n, (own, visit) in enumerate(zip(lists, "aabb", strict=True))
    ]
    (cluster,), _ = merge_all(NetworkInput(made, PLANE, PointingSettings()), MATCH)
    assert sorted(cluster.members) == [0, 1, 2, 3]


def dithered(rng, visits, shift, dither=(8.0, 5.0), n=60):
    """Two exposures, the second of them off by a shift."""
    stars = field(rng, n, 160.0)
    errors = [error(), error(shift)]
    made = [
        pointing(k, seen(stars, wrong, rng, center=at, side=SIDE)[0], visit, np.array(at), wrong)
        for k, (wrong, at, visit) in enumerate(zip(errors, [(0.0, 0.0), dither], visits, strict=True))
    ]
    return NetworkInput(made, PLANE, PointingSettings())


@pytest.mark.parametrize(
    ("visits", "shift", "believed"),
    [("aa", 0.5, True), ("aa", 2.5, True), ("aa", 3.5, False), ("aa", 40.0, False), ("ab", 40.0, True)],
)
def test_a_shift_within_an_acquisition_is_believed_up_to_many_errors_of_a_dither(visits, shift, believed):
    pointings = dithered(np.random.default_rng(24), visits, (0.0, shift))
    clusters, remarks = merge_all(pointings, MATCH)
    assert (len(clusters) == 1) is believed
    if not believed:
        assert isinstance(remarks[1], FarFromDither)
        assert remarks[1].shift == pytest.approx(shift, abs=0.05)
        assert remarks[1].limit == pytest.approx(3.0)


def test_who_knows_dithers_worse_believes_more():
    settings = PointingSettings(dither_error=1.0)
    pointings = dithered(np.random.default_rng(25), "aa", (0.0, 40.0))
    (cluster,), _ = merge_all(NetworkInput(pointings.pointings, PLANE, settings), MATCH)
    assert len(cluster.members) == 2


@pytest.mark.parametrize("visits", ["aa", "ab"])
@pytest.mark.parametrize("dither", [(1.5, 1.0), (8.0, 5.0), (30.0, -20.0)])
def test_what_keeps_its_pixels_is_no_match(visits, dither):
    """Two exposures of which nothing is left but what is fixed to the detector."""
    rng = np.random.default_rng(26)
    place, mag = field(rng, 60, SIDE)
    made = [
        pointing(
            k,
            plane_list(place + at + NOISE * rng.normal(size=place.shape), mag),
            visit,
            np.array(at),
            error(),
        )
        for k, (at, visit) in enumerate(zip([(0.0, 0.0), dither], visits, strict=True))
    ]
    clusters, remarks = merge_all(NetworkInput(made, PLANE, PointingSettings()), MATCH)
    far = np.hypot(*dither)
    if visits == "ab" and far < 3.5:
        # pointings of acquisitions err by as much
        assert len(clusters) == 1
        return
    assert len(clusters) == 2
    assert isinstance(remarks[1], FarFromDither if visits == "aa" and far > 3 else SamePixels)


def test_visits_whose_pointing_errs_by_their_dither_are_matched():
    """What two exposures of either visit saw at different pixels is of the sky, wherever it lies."""
    rng = np.random.default_rng(27)
    stars = field(rng, 60, 160.0)
    made = []
    for visit, wrong in (("a", error()), ("b", error((9.0, -4.0)))):
        for at in ((0.0, 0.0), (8.0, 5.0)):
            own, _ = seen(stars, wrong, rng, center=at, side=SIDE)
            made.append(pointing(len(made), own, visit, np.array(at), wrong))
    (cluster,), _ = merge_all(NetworkInput(made, PLANE, PointingSettings()), MATCH)
    assert sorted(cluster.members) == [0, 1, 2, 3]


def test_a_footprint_holds_what_is_inside():
    xy = np.array([[0.0, 0.0], [59.5, 0.0], [58.0, 58.0], [61.0, 0.0], [0.0, -70.0]])
    for corners in (SQUARE, SQUARE[::-1]):
        np.testing.assert_array_equal(
            Footprint("chip", corners).holds(xy, 1.0), [True, False, True, False, False]
        )
    turned = Footprint("chip", SQUARE).moved(error((100.0, 0.0), 45.0))
    np.testing.assert_array_equal(turned.holds(np.array([[180.0, 0.0], [155.0, 55.0]]), 0.0), [True, False])
