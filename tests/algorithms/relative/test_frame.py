"""The joint frame: what it says of each exposure, and that tweakwcs agrees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.relative.frame import joint_frame, single_frame
from grism_align.algorithms.relative.members import NetworkInput, PointingSources
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.transform import LinearTransform
from tests.support.lists import NOISE, PLANE, field, seen

MATCH = MatchSettings()
RELATIVE = RelativeSettings()
CORNERS = np.array([[-60.0, -60.0], [60.0, -60.0], [60.0, 60.0], [-60.0, 60.0]])
ERRORS = [
    LinearTransform.identity(PLANE),
    LinearTransform.from_parameters(PLANE, (0.02, 0.03)),
    LinearTransform.from_parameters(PLANE, (0.5, -0.4), 0.01),
    LinearTransform.from_parameters(PLANE, (0.53, -0.41), 0.01),
]
ROUGH = dict(enumerate(error.inverted() for error in ERRORS))


def network(lists, groups=("a", "a", "b", "b"), kinds=("ir",) * 4):
    n = len(lists)
    pointing = PointingSettings()
    fixed = [number == 0 for number in range(n)]
    numbers = ["ab".index(group) for group in groups]
    made = [
        PointingSources((str(i),), (own,), (kinds[i],), groups[i], numbers[i], 0.128, fixed[i], groups[i])
        for i, own in enumerate(lists)
    ]
    return NetworkInput(made, PLANE, pointing)


def observed(rng, noise=NOISE):
    stars = field(rng, 150, 150.0)
    return [seen(stars, error, rng, noise=noise)[0] for error in ERRORS]


def with_error(own, error):
    """The list that claims other errors."""
    return replace(own, error=np.broadcast_to(error, len(own)).copy())


@pytest.mark.parametrize("geometry", ["rshift", "rscale", "general"])
def test_tweakwcs_agrees(geometry):
    """On the same matches its fit of each exposure alone is that of the joint solution."""
    linearfit = pytest.importorskip("tweakwcs.linearfit")
    lists = observed(np.random.default_rng(101))
    frame = joint_frame(network(lists), ROUGH, [0], RelativeSettings(fitgeometry=geometry), MATCH)
    for number in (1, 2, 3):
        member = frame.members[number]
        own, target = lists[number].rows(member.rows), frame.seen.positions.rows(member.sources)
        found = linearfit.iter_linear_fit(
            target.xy, own.xy, wuv=own.error**-2.0, fitgeom=geometry, nclip=3, sigma=(MATCH.clip, "rmse")
        )
        theirs = (CORNERS - found["center"]) @ found["matrix"].T + found["shift"] + found["center"]
        # each exposure has terms of its own: a noise over sqrt(80), and up to three times that at a corner
        assert np.abs(theirs - member.transform.apply(CORNERS)).max() < 4 * 3 * NOISE / np.sqrt(80)
        assert found["rmse"] / np.sqrt(2) == pytest.approx(member.rms, rel=0.15)
        truth = ERRORS[number].inverted().apply(CORNERS)
        assert np.abs(theirs - truth).max() < 5 * 3 * NOISE / np.sqrt(40)
    # what fixes the frame stays
    np.testing.assert_allclose(frame.members[0].transform.matrix, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(frame.members[0].transform.shift, 0, atol=1e-9)


def test_leverage_is_the_share_of_the_heaviest_source():
    """With errors above the noise nothing is added to them, and weights are their inverse squares."""
    lists = [with_error(own, 4 * NOISE) for own in observed(np.random.default_rng(102))]
    error = lists[2].error
    error[5] = 0.8 * NOISE
    lists[2] = with_error(lists[2], error)
    frame = joint_frame(network(lists), ROUGH, [0], RELATIVE, MATCH)
    for number, member in frame.members.items():
        np.testing.assert_array_equal(member.error, lists[number].error[member.rows])
        inverse = member.weight / member.error**2
        assert member.leverage == pytest.approx(inverse.max() / inverse.sum(), rel=0.02)
    # 25 sources' worth, and the source is in it, of some 85
    assert frame.members[2].leverage == pytest.approx(25 / (25 + 85), abs=0.05)
    assert frame.members[1].leverage < 0.02


@pytest.mark.parametrize("claimed", [0.5, 1.0, 2.0])
def test_reduced_chi2_is_of_the_given_errors(claimed):
    """One where errors are true, whatever scatter is added to make them so."""
    values = []
    for seed in range(5):
        lists = [with_error(own, claimed * NOISE) for own in observed(np.random.default_rng([103, seed]))]
        frame = joint_frame(network(lists), ROUGH, [0], RELATIVE, MATCH)
        values += [member.reduced_chi2 for member in frame.members.values()]
    # 20 of some 160 residuals each, less what clipping takes
    assert np.mean(values) == pytest.approx(claimed**-2, rel=0.1)


def test_each_axis_has_a_reduced_chi2():
    """Errors that are right to the east and half of what they are to the north."""
    rng = np.random.default_rng(107)
    lists = [
        replace(own, xy=own.xy + rng.normal(0, np.sqrt(3) * NOISE, (len(own), 1)) * [0, 1])
        for own in observed(rng)
    ]
    frame = joint_frame(network(lists), ROUGH, [0], RELATIVE, MATCH)
    east, north = np.mean([one.reduced_chi2_axes for one in frame.members.values()], axis=0)
    assert (east, north) == pytest.approx((1.0, 4.0), rel=0.3)
    for one in frame.members.values():
        assert one.reduced_chi2 == pytest.approx(np.mean(one.reduced_chi2_axes))


def test_each_instrument_has_its_own_scatter():
    """The errors of the one are half of what they are: its exposures get larger errors, not the others'."""
    lists = observed(np.random.default_rng(104))
    lists = [with_error(own, NOISE * (0.25 if n > 1 else 1)) for n, own in enumerate(lists)]
    frame = joint_frame(network(lists, kinds=("ir", "ir", "uvis", "uvis")), ROUGH, [0], RELATIVE, MATCH)
    chi2 = [frame.members[n].reduced_chi2 for n in range(4)]
    assert max(chi2[:2]) < 1.6
    assert min(chi2[2:]) > 8


def test_pulls_have_unit_width():
    pulls = []
    for seed in range(10):
        rng = np.random.default_rng([105, seed])
        frame = joint_frame(network(observed(rng)), ROUGH, [0], RELATIVE, MATCH)
        for number in (1, 2, 3):
            transform = frame.members[number].transform
            found = transform.apply([0.0, 0.0]) - ERRORS[number].inverted().apply([0.0, 0.0])
            pulls.append(found / transform.shift_error)
    # 60 pulls that share the error of the frame in threes: two errors of their rms
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.25)


def test_a_single_frame():
    own = observed(np.random.default_rng(106))[2]
    frame = single_frame(network([own]), 0, RelativeSettings())
    assert (frame.fixed, list(frame.members), frame.rejected) == ((0,), [0], {})
    np.testing.assert_array_equal(frame.seen.positions.xy, own.xy)
    assert frame.members[0].n_used == len(own)
    assert np.isnan([frame.members[0].leverage, frame.members[0].reduced_chi2]).all()
