"""What is fitted, chosen by the evidence: rolls that change, scales and shears that differ, or none."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from grism_align.algorithms.fitting.prior import GENERATORS
from grism_align.algorithms.relative.frame import joint_frame
from grism_align.algorithms.relative.members import NetworkInput, PointingSources
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.transform import LinearTransform
from tests.support.lists import PLANE

HALF, NOISE = 80.0, 0.002
CORNERS = np.array([[0.0, 0.0], [-60.0, 60.0], [60.0, 60.0]])
USUAL = RelativeSettings()
#: The user's choice that fits what was injected and no more.
SIMPLE = RelativeSettings(fitgeometry="rshift", roll="acquisition")


@dataclass(frozen=True, eq=False)
class Network:
    """Two visits of four dithers with known corrections."""

    made: NetworkInput
    truth: list[LinearTransform] = field(repr=False)

    def aligned(self, relative=USUAL):
        """Its joint solution, from what a rough match knows: shifts and rolls."""
        rough = {n: true.then(self.truth[0].inverted()) for n, true in enumerate(self.truth)}
        rough = {n: LinearTransform.from_parameters(PLANE, t.shift, t.roll) for n, t in rough.items()}
        return joint_frame(self.made, rough, [0], relative, MatchSettings())

    def errors(self, frame, number):
        """Errors at the corners, flat, and the claimed ones, arcsec."""
        true = self.truth[number].then(self.truth[0].inverted())
        found = frame.members[number].transform
        jacobian = np.concatenate([np.hstack([np.eye(2), np.kron(np.eye(2), c)]) for c in CORNERS])
        claimed = np.sqrt(np.diag(jacobian @ found.covariance @ jacobian.T))
        return (found.apply(CORNERS) - true.apply(CORNERS)).ravel(), claimed


def network(rng, terms, roll=0.0, n_stars=150, years=0.0, motion=0.0):
    """Make one whose second visit differs by scale and shears, and its dithers by a roll of so many deg.

    It may be years later, and half of the stars move, arcsec/yr.
    """
    moved = (
        years * motion * rng.normal(size=(n_stars, 2)) * (np.arange(n_stars) % 2)[:, None] if motion else 0.0
    )
    stars, mag = rng.uniform(-1.2 * HALF, 1.2 * HALF, (n_stars, 2)), rng.uniform(18, 25, n_stars)
    error = NOISE * rng.uniform(0.5, 2.0, n_stars)
    pointings, truth = [], []
    for number in range(8):
        visit, dither = divmod(number, 4)
        mine = np.array([np.radians(0.01 * visit + roll * visit * dither / 3), *visit * np.asarray(terms)])
        matrix = np.eye(2) + np.einsum("k,kij->ij", mine, GENERATORS)
        true = LinearTransform(matrix, rng.normal((0.2 * visit, -0.1 * visit), 0.01), PLANE)
        center = rng.normal((6.0 * visit, -4.0 * visit), 3.0)
        then = stars + visit * moved
        own = np.flatnonzero((np.abs(then - center) < HALF).all(axis=1))
        seen = true.inverted().apply(then[own]) + error[own, None] * rng.normal(size=(len(own), 2))
        listed = PlaneList(seen, error[own], mag[own], np.full(len(own), 2016.0 + years * visit))
        pointings.append(
            PointingSources(
                keys=(str(number),),
                lists=(listed,),
                instruments=("ir",),
                visit=f"v{visit}",
                acquisition=f"v{visit}",
                roll_group=visit,
                pixel_scale=0.04,
                is_fixed=number == 0,
            )
        )
        truth.append(true)
    return Network(NetworkInput(pointings, PLANE, PointingSettings()), truth)


NOTHING = (0.0, 0.0, 0.0)
KINDS = {
    "none": (NOTHING, 0.0, "rshift", frozenset()),
    "roll": (NOTHING, 0.002, "rshift", frozenset({1})),
    "scale": ((2e-5, 0.0, 0.0), 0.0, "rscale", frozenset()),
    "shear": ((1e-5, 2e-5, -3e-5), 0.0, "general", frozenset()),
    "roll and shear": ((0.0, 2e-5, -3e-5), 0.002, "general", frozenset({1})),
}


@pytest.mark.parametrize(
    "kind",
    [
        "none",
        "scale",
        "roll and shear",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("roll", "shear")),
    ],
)
def test_what_changes_is_found_and_claimed_errors_are_true(kind):
    terms, roll, geometry, turning = KINDS[kind]
    pulls = []
    for seed in range(5):
        made = network(np.random.default_rng([811, seed]), terms, roll)
        frame = made.aligned()
        assert (frame.model.geometry, frame.model.turning) == (geometry, turning)
        pulls += [np.divide(*made.errors(frame, number)) for number in range(4, 8)]
    # errors of the visit's roll and shift are common to its dithers: 5 fields of some 5 numbers
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1, abs=0.35)
    simple, last = made.aligned(SIMPLE), range(4, 8)
    errors, theirs = (np.array([made.errors(one, n)[0] for n in last]) for one in (frame, simple))
    if kind == "none":
        # nothing is lost where nothing changes
        np.testing.assert_array_equal(errors, theirs)
    else:
        assert np.sqrt(np.mean(theirs**2)) > 1.7 * np.sqrt(np.mean(errors**2))


@pytest.mark.parametrize("motion", [pytest.param(0.001, marks=pytest.mark.slow), 0.003])
def test_stars_that_move_are_no_scale(motion):
    """Eight years between the visits: the dithers of the second are as good against each other as alone."""
    off = []
    for seed in range(5):
        made = network(np.random.default_rng([815, seed]), NOTHING, years=8.0, motion=motion)
        frame = made.aligned()
        assert (frame.model.geometry, frame.model.turning) == ("rshift", frozenset())
        errors = np.array([made.errors(frame, number)[0] for number in range(4, 8)])
        off.append(errors - errors.mean(axis=0))
    # some 60 stars of 2.5 mas
    assert np.sqrt(np.mean(np.square(off))) < 1.3 * 1.25 * NOISE / np.sqrt(60)


def test_a_roll_that_changes_is_a_matter_of_its_acquisition():
    """Its visit has rolls that differ as those injected do; the other one has one roll."""
    made = network(np.random.default_rng(812), NOTHING, roll=0.004)
    frame = made.aligned()
    assert frame.model.roll_evidence[1] > 50
    assert frame.model.roll_evidence[0] < 0
    rolls = [frame.members[number].transform.roll for number in range(8)]
    np.testing.assert_allclose(rolls[:4], 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(rolls[4:]), 0.004 / 3, atol=5e-4)


def test_the_user_s_choice_is_kept():
    made = network(np.random.default_rng(813), (1e-5, 2e-5, -3e-5), roll=0.004)
    simple = made.aligned(SIMPLE)
    assert (simple.model.geometry, simple.model.turning) == ("rshift", frozenset())
    assert np.isnan(simple.model.scale_evidence)
    each = made.aligned(RelativeSettings(fitgeometry="rscale", roll="exposure"))
    assert (each.model.geometry, each.model.turning) == ("rscale", frozenset({0, 1}))
    shift = made.aligned(RelativeSettings(fitgeometry="shift"))
    assert (shift.model.geometry, shift.model.turning) == ("shift", frozenset())


def test_little_data_leave_it_simple():
    """What ten sources can't tell is not fitted."""
    made = network(np.random.default_rng(814), NOTHING, roll=2e-4, n_stars=14)
    assert made.aligned().model.geometry == "rshift"
    assert made.aligned().model.turning == frozenset()


def test_more_evidence_may_be_asked_for():
    made = network(np.random.default_rng(815), (2e-5, 0.0, 0.0), roll=0.002)
    model = made.aligned(RelativeSettings(least_evidence=1000.0)).model
    assert (model.geometry, model.turning) == ("rshift", frozenset())
    assert model.scale_evidence > 3
