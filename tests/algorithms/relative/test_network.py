"""Rough frames of many exposures, and their joint alignment."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.relative import network as network_module
from grism_align.algorithms.relative.cluster import Cluster, merge_all
from grism_align.algorithms.relative.members import Footprint, NetworkInput, PointingSources
from grism_align.algorithms.relative.network import align_network
from grism_align.algorithms.relative.united import SeenSources, UnitedSources
from grism_align.values.failure import ChanceMatch, LargeRms, TooFewMatches, TooFewPossible
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.transform import LinearTransform
from tests.support.lists import NOISE, PLANE, field, plane_list, random_list, seen

MATCH = MatchSettings()
RELATIVE = RelativeSettings()
CORNERS = np.array([[-60.0, -60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, 60.0]])
PIXEL = 0.128
EVERYWHERE = (Footprint("ir", 20 * CORNERS),)


def error(shift=(0.0, 0.0), roll=0.0):
    return LinearTransform.from_parameters(PLANE, shift, roll)


def observed(errors, rng, centers=None, stars=None, **options):
    """Lists of one field, an exposure for each error."""
    stars = field(rng, 150, 160.0) if stars is None else stars
    centers = [(0.0, 0.0)] * len(errors) if centers is None else centers
    return [seen(stars, e, rng, center=c, **options)[0] for e, c in zip(errors, centers, strict=True)]


def network(lists, visits=None, groups=None, fixed=(0,), pixel=PIXEL):
    return NetworkInput(pointings(lists, visits, groups, fixed, pixel), PLANE, PointingSettings())


def pointings(lists, visits=None, groups=None, fixed=(0,), pixel=PIXEL):
    """Pointings of one exposure each, named by their numbers."""
    visits = ["v1"] * len(lists) if visits is None else visits
    groups = visits if groups is None else groups
    numbers = [sorted(set(groups)).index(group) for group in groups]
    return [
        PointingSources((str(i),), (own,), ("ir",), visit, group, pixel, i in fixed, visit, EVERYWHERE)
        for i, (own, visit, group) in enumerate(zip(lists, visits, numbers, strict=True))
    ]


def relative_truth(errors, number, reference=0):
    """What takes an exposure's a priori positions to those of the reference."""
    return errors[number].inverted().then(errors[reference])


FOUR = [error(), error((0.05, -0.02)), error((6.0, -7.0), 0.05), error((6.1, -7.05), 0.05)]
DITHERS = [(0.0, 0.0), (10.0, 5.0), (-8.0, 12.0), (4.0, -9.0)]


def test_all_exposures_are_merged():
    rng = np.random.default_rng(51)
    lists = observed(FOUR, rng, DITHERS, spurious=20)
    (cluster,), reasons = merge_all(network(lists, ["a", "a", "b", "b"]), MATCH)
    assert reasons == {}
    assert sorted(cluster.members) == [0, 1, 2, 3]
    first = cluster.members[0]
    for number in range(1, 4):
        expected = relative_truth(FOUR, number).then(first)
        # six refinements of single pairs: a noise over sqrt(50) of each, and more at the corners
        np.testing.assert_allclose(
            cluster.members[number].apply(CORNERS), expected.apply(CORNERS), atol=10 * NOISE
        )
    assert cluster.seen.count.max() == 4
    assert len(cluster.seen.count) == len(cluster.seen.positions)
    assert (cluster.seen.positions.error[cluster.seen.count > 1] < NOISE).all()


def test_what_overlaps_nothing_stays_alone():
    rng = np.random.default_rng(52)
    near, far = observed([error(), error()], rng), random_list(rng, 60).moved(error((1000.0, 0.0)))
    lists = [*near, far, plane_list(np.zeros((0, 2)), [])]
    clusters, reasons = merge_all(network(lists), MATCH)
    assert sorted(sorted(c.members) for c in clusters) == [[0, 1], [2], [3]]
    assert reasons == {}


def test_what_matches_nothing_has_a_reason():
    rng = np.random.default_rng(53)
    lists = [*observed([error()] * 2, rng), random_list(rng, 60)]
    clusters, reasons = merge_all(network(lists), MATCH)
    assert sorted(len(c.members) for c in clusters) == [1, 2]
    assert isinstance(reasons[2], TooFewMatches | TooFewPossible | ChanceMatch)
    assert merge_all(network([random_list(rng, 9)], ["a"]), MATCH)[1] == {}
    assert merge_all(network([]), MATCH) == ([], {})


def test_a_chain_is_tied_by_its_middle():
    """The ends don't overlap; the failure of their pair costs nothing."""
    rng = np.random.default_rng(54)
    errors = [error((1.0, 0.0)), error(), error((0.0, -2.0))]
    centers = [(-70.0, 0.0), (0.0, 0.0), (70.0, 0.0)]
    lists = observed(errors, rng, centers, stars=field(rng, 500, 280.0), side=100.0)
    clusters, _ = merge_all(network(lists, ["a", "b", "c"]), MATCH)
    assert [sorted(c.members) for c in clusters] == [[0, 1, 2]]


def joined(first, second, radius):
    out = UnitedSources(first)
    out.join(second, out.same(second.positions, radius))
    return out.seen()


def test_merged_sources():
    a = plane_list([[0.0, 0.0], [10.0, 0.0]], [20.0, np.nan], 0.01, 2010.0)
    b = plane_list([[10.0, 0.03], [50.0, 0.0]], [19.0, 18.0], 0.02, 2020.0)
    both = joined(SeenSources(a, np.array([1, 3])), SeenSources(b, np.array([2, 1])), 0.3)
    merged, count = both.positions, both.count
    np.testing.assert_allclose(merged.xy, [[0, 0], [10, 0.03 * 0.2], [50, 0]])
    np.testing.assert_allclose(merged.error, [0.01, (1e4 + 2500) ** -0.5, 0.02])
    np.testing.assert_allclose(merged.epoch, [2010, 2012, 2020])
    np.testing.assert_array_equal(merged.mag, [20, 19, 18])
    np.testing.assert_array_equal(count, [1, 5, 1])
    np.testing.assert_array_equal(a.xy, [[0, 0], [10, 0]])
    apart = joined(SeenSources.by_one(a), SeenSources.by_one(b), 0.01)
    assert len(apart.positions) == len(apart.count) == 4


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale"])
def test_a_network_is_aligned(geometry):
    rng = np.random.default_rng(55)
    errors = [e if geometry != "shift" else error(e.shift) for e in FOUR]
    field_input = network(observed(errors, rng, DITHERS, spurious=20), ["a", "a", "b", "b"])
    (frame,), reasons = align_network(field_input, RelativeSettings(fitgeometry=geometry), MATCH)
    assert reasons == {}
    assert (frame.fixed, frame.rejected) == ((0,), {})
    np.testing.assert_allclose(frame.members[0].transform.apply(CORNERS), CORNERS, atol=1e-9)
    for number, member in frame.members.items():
        difference = member.transform.apply(CORNERS) - relative_truth(errors, number).apply(CORNERS)
        at = np.stack([np.hstack([np.eye(2), np.kron(np.eye(2), c)]) for c in CORNERS])
        sigma = np.sqrt(np.diagonal(at @ member.transform.covariance @ at.swapaxes(1, 2), axis1=1, axis2=2))
        assert (np.abs(difference) < 4.5 * sigma + 1e-9).all()
        # 4 noises over sqrt(90), and twice that at a corner
        assert sigma.max() < 4 * NOISE / np.sqrt(60)
        assert member.probability < 1e-12
        assert member.n_used > 65
        assert member.rms == pytest.approx(NOISE, rel=0.3)
        # each residual is that of its row and its source
        expected = (
            member.transform.apply(field_input.pointings[number].sources.xy[member.rows])
            - frame.seen.positions.xy[member.sources]
        )
        np.testing.assert_allclose(member.residual, expected, atol=1e-4)
    assert frame.seen.count.max() == 4
    assert len(frame.seen.count) == len(frame.seen.positions)
    # sources seen four times are known to half the noise and what centroid_floor adds
    expected = np.hypot(NOISE, RELATIVE.centroid_floor * PIXEL) / 2
    assert np.median(frame.seen.positions.error[frame.seen.count == 4]) == pytest.approx(expected, rel=0.15)


def test_several_fixed_exposures_keep_their_mean():
    rng = np.random.default_rng(56)
    errors = [error((0.2, 0.0)), error((-0.2, 0.1)), error((3.0, 3.0), 0.1)]
    (frame,), _ = align_network(
        network(observed(errors, rng), ["a", "a", "b"], fixed=(0, 1)), RELATIVE, MATCH
    )
    assert frame.fixed == (0, 1)
    mean = np.mean([frame.members[n].transform.apply(CORNERS) for n in (0, 1)], axis=0)
    np.testing.assert_allclose(mean, CORNERS, atol=5e-3)


def test_frames_apart_are_solved_apart():
    """That of the fixed exposure comes first, then the larger ones."""
    rng = np.random.default_rng(57)
    away, farther = (400.0, 0.0), (0.0, 800.0)
    errors = [error()] * 7
    centers = [farther] * 2 + [away] * 3 + [(0.0, 0.0)] * 2
    fields = [field(rng, 100) for _ in range(3)]
    places = {farther: 0, away: 1, (0.0, 0.0): 2}
    lists = []
    for e, center in zip(errors, centers, strict=True):
        xy, mag = fields[places[center]]
        lists += observed([e], rng, [center], stars=(xy + center, mag))
    frames, reasons = align_network(network(lists, fixed=(5,)), RELATIVE, MATCH)
    assert [sorted(f.members) for f in frames] == [[5, 6], [2, 3, 4], [0, 1]]
    assert [f.fixed for f in frames] == [(5,), (2,), (0,)]
    assert reasons == {}


def test_a_lone_exposure_is_its_own_frame():
    rng = np.random.default_rng(58)
    lists = [*observed([error(), error()], rng), random_list(rng, 60)]
    frames, reasons = align_network(network(lists), RELATIVE, MATCH)
    assert [sorted(f.members) for f in frames] == [[0, 1], [2]]
    assert list(reasons) == [2]
    lone = frames[1].members[2]
    np.testing.assert_array_equal(lone.transform.matrix, np.eye(2))
    assert np.isnan(lone.probability)
    assert (lone.n_used, lone.rms) == (60, 0)
    np.testing.assert_array_equal(frames[1].seen.positions.xy, lists[2].xy)


def blurred(own, rng, noise=0.1):
    """A list whose positions are twenty times worse than it says: it matches, but does not fit."""
    return plane_list(own.xy + noise * rng.normal(size=own.xy.shape), own.mag)


def test_an_exposure_that_does_not_fit_is_rejected():
    rng = np.random.default_rng(59)
    lists = observed([error()] * 4, rng)
    lists[2] = blurred(lists[2], rng)
    assert len(merge_all(network(lists, ["a"] * 4), MATCH)[0]) == 1
    (frame,), _ = align_network(network(lists), RELATIVE, MatchSettings(max_rms=0.1))
    assert sorted(frame.members) == [0, 1, 3]
    assert list(frame.rejected) == [2]
    # what is left is as good as if it had not been there
    alone, _ = align_network(network([lists[n] for n in (0, 1, 3)]), RELATIVE, MATCH)
    assert frame.members[3].rms == pytest.approx(alone[0].members[2].rms, rel=0.05)


def test_of_two_that_contradict_each_other_one_is_left():
    rng = np.random.default_rng(60)
    lists = observed([error()] * 2, rng)
    lists[1] = blurred(lists[1], rng)
    (frame,), reasons = align_network(network(lists), RELATIVE, MatchSettings(max_rms=0.1))
    assert len(frame.members) == len(frame.rejected) == 1
    assert reasons == {}
    (remark,) = frame.rejected.values()
    assert isinstance(remark, LargeRms)
    assert 0.1 == remark.limit < remark.rms < 1.0


def test_a_match_that_chance_could_make_is_refused():
    rng = np.random.default_rng(61)
    lists = observed([error()] * 3, rng)
    field_input = network(lists)
    frames, reasons = align_network(field_input, RELATIVE, MatchSettings(max_false_match=0.0))
    assert [len(frame.members) for frame in frames] == [1, 1, 1]
    assert all(remark.limit == 0.0 for remark in reasons.values())


def chain(rng):
    """Two pairs of exposures that don't overlap, and a blurred one in between, number 2."""
    stars = field(rng, 600, 300.0)
    centers = [(-60.0, 0.0), (-60.0, 0.0), (0.0, 0.0), (60.0, 0.0), (60.0, 0.0)]
    lists = observed([error()] * 5, rng, centers, stars=stars, side=100.0)
    lists[2] = blurred(lists[2], rng, 0.2)
    return lists


def tied(monkeypatch, lists):
    """The network of lists that the rough matching has tied to one cluster."""
    cluster = Cluster({n: error() for n in range(len(lists))}, SeenSources.by_one(lists[0]))
    monkeypatch.setattr(network_module, "merge_all", lambda *_: ([cluster], {}))
    return network(lists)


def test_pairs_behind_a_rejected_bridge_are_no_longer_one_frame(monkeypatch):
    field_input = tied(monkeypatch, chain(np.random.default_rng(63)))
    frames, _ = align_network(field_input, RELATIVE, MatchSettings(max_rms=0.1))
    assert [sorted(frame.members) for frame in frames] == [[0, 1], [3, 4]]
    assert [frame.fixed for frame in frames] == [(0,), (3,)]
    assert [list(frame.rejected) for frame in frames] == [[2], []]


def test_a_single_behind_a_rejected_bridge(monkeypatch):
    lists = chain(np.random.default_rng(64))
    frames, _ = align_network(tied(monkeypatch, lists[:4]), RELATIVE, MatchSettings(max_rms=0.1))
    assert sorted(frames[0].members) == [0, 1]
    members = [n for frame in frames for n in (*frame.members, *frame.rejected)]
    assert sorted(members) == [0, 1, 2, 3]


def test_frames_that_only_chance_ties_are_apart(monkeypatch):
    """Two fields, and between them no common source: no exposure may come out tied to the other field."""
    rng = np.random.default_rng(64)
    centers = [(-60.0, 0.0), (-60.0, 0.0), (60.0, 0.0), (60.0, 0.0)]
    lists = observed([error()] * 4, rng, centers, stars=field(rng, 600, 300.0), side=100.0)
    frames, _ = align_network(tied(monkeypatch, lists), RELATIVE, MATCH)
    assert [sorted(frame.members) for frame in frames] == [[0, 1], [2, 3]]


def test_a_blurred_bridge_goes_before_its_good_neighbours(monkeypatch):
    """In a chain of single exposures the neighbours of a bad one look bad too; they are kept."""
    stars = field(np.random.default_rng(65), 900, 400.0)
    centers = [(-100.0, 0.0), (-60.0, 0.0), (-20.0, 0.0), (20.0, 0.0), (60.0, 0.0)]
    for seed in range(3):
        rng = np.random.default_rng([66, seed])
        lists = observed([error()] * 5, rng, centers, stars=stars, side=100.0)
        lists[2] = blurred(lists[2], rng, 0.1)
        (frame,), _ = align_network(tied(monkeypatch, lists), RELATIVE, MatchSettings(max_rms=0.1))
        assert list(frame.rejected) == [2]
        assert sorted(frame.members) == [0, 1, 3, 4]


def test_one_source_does_not_carry_the_fit():
    rng = np.random.default_rng(67)
    lists = observed([error()] * 3, rng)
    errors = np.full(len(lists[2]), 100 * NOISE)
    heavy = int(np.argmin(np.hypot(*lists[2].xy.T)))
    errors[heavy] = NOISE
    lists[2] = PlaneList(lists[2].xy, errors, lists[2].mag, lists[2].epoch)
    leverage = {}
    for most in (0.5, 0.7, 1.0):
        (frame,), _ = align_network(network(lists), RELATIVE, MatchSettings(max_leverage=most))
        assert sorted(frame.members) == [0, 1, 2]
        leverage[most] = frame.members[2].leverage
    # its 10 000 times the weight of each other is held down to the share allowed; clipping changes it a bit
    assert leverage[1.0] > 0.98
    assert leverage[0.7] == pytest.approx(0.7, abs=0.05)
    assert leverage[0.5] == pytest.approx(0.5, abs=0.05)


def hard_field(rng):
    """A few exposures of few sources, some of them cosmic rays or mismeasured, in one or two visits."""
    n, n_visits = int(rng.integers(2, 6)), int(rng.integers(1, 3))
    visit = np.sort(rng.integers(0, n_visits, n))
    visit_error = rng.normal(0, [[0.5], [3.0]], (2, 2))
    roll = rng.normal(0, 0.02, 2)
    errors = [error(visit_error[v] + rng.normal(0, 0.02, 2), roll[v]) for v in visit]
    stars = field(rng, int(rng.integers(8, 30)), 150.0)
    centers = [tuple(rng.uniform(-15, 15, 2)) for _ in range(n)]
    options = {"spurious": int(rng.integers(0, 12)), "found": rng.uniform(0.6, 1.0)}
    lists = observed(errors, rng, centers, stars, **options)
    for own in lists:
        bad = rng.uniform(size=len(own)) < rng.uniform(0, 0.2)
        own.xy[bad] += rng.choice([-1, 1], (bad.sum(), 2)) * rng.uniform(0.03, 0.3, (bad.sum(), 2))
    return lists, errors, [f"v{v}" for v in visit]


@pytest.mark.slow
def test_no_exposure_is_aligned_and_wrong():
    """It may fail; what is aligned is within five of its errors, of each axis, at its own sources."""
    aligned, pulls = 0, []
    for seed in range(50):
        lists, errors, visits = hard_field(np.random.default_rng([68, seed]))
        frames, _ = align_network(network(lists, visits), RELATIVE, MATCH)
        for frame in frames:
            if len(frame.fixed) > 1 or len(frame.members) < 2:
                continue
            (fixed,) = frame.fixed
            for number in set(frame.members) - {fixed}:
                transform = frame.members[number].transform
                at = lists[number].xy.mean(axis=0)
                away = transform.apply(at) - relative_truth(errors, number, fixed).apply(at)
                arm = np.hstack([np.eye(2), np.kron(np.eye(2), at)])
                sigma = np.sqrt(np.diag(arm @ transform.covariance @ arm.T))
                pulls.append((seed, number, float(np.abs(away / sigma).max())))
                aligned += 1
    assert [pull for pull in pulls if pull[2] > 5] == []
    # most do come out
    assert aligned > 50


def test_exposures_without_a_common_source_are_apart(monkeypatch):
    """The rough matching may err; what is left then is the exposure that fixes the frame."""
    rng = np.random.default_rng(66)
    lists = [random_list(rng, 30), random_list(rng, 30).moved(error((500.0, 0.0)))]
    (frame,), _ = align_network(tied(monkeypatch, lists), RELATIVE, MATCH)
    assert (sorted(frame.members), list(frame.rejected)) == ([0], [1])
    assert frame.rejected[1] == TooFewMatches(0, MATCH.min_matches)


def test_rolls_on_both_sides_of_half_a_turn():
    rng = np.random.default_rng(67)
    errors = [error(), error(), error((1.0, 2.0), 179.9995), error((1.0, 2.0), -179.9995)]
    lists = observed(errors, rng, DITHERS)
    (frame,), _ = align_network(network(lists, ["a", "a", "b", "b"]), RELATIVE, MATCH)
    assert sorted(frame.members) == [0, 1, 2, 3]
    assert abs(frame.members[2].transform.roll) == pytest.approx(180, abs=0.004)
