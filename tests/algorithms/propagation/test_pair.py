from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.propagation.pair import (
    Acquisitions,
    Relation,
    direct_candidate,
    direct_candidates,
    stays,
)
from grism_align.values.exposure import Chip
from tests.support.associations import exposure
from tests.support.chips import chip_wcs

HERE, MOVED, OCCULTED = Relation.SAME_POINTING, Relation.OFFSET, Relation.OCCULTED


def relations(grism, exposures):
    return {each.key: each.relation for each in direct_candidates(grism, exposures, 1.0)}


@pytest.mark.parametrize(
    ("east", "dither_offset", "target", "relation"),
    [
        (0.007, (8.8, 0.0), "OTHER", HERE),  # same sky, the offset makes up for the apertures
        (0.045, (8.8, 0.0), "FIELD", HERE),
        (0.06, (8.8, 0.0), "FIELD", MOVED),  # a dither of half a pixel
        (0.6, (0.6, 0.0), "FIELD", MOVED),
        (8.8, (0.0, 0.0), "FIELD", MOVED),  # commanded alike, but the apertures moved the telescope
        (8.8, (0.0, 0.0), "OTHER", MOVED),
    ],
)
def test_sharing_a_pointing(east, dither_offset, target, relation):
    grism = exposure("iaaa01g1q", 300, grism=True)
    direct = exposure("iaaa01d1q", 0, east=east, dither_offset=dither_offset, target=target)
    assert relations(grism, [direct]) == {"iaaa01d1q": relation}


@pytest.mark.parametrize(
    ("east", "dither_offset", "mismatch"),
    [
        (0.6, (8.8, 0.0), 0.6),
        (1.1, (8.8, 0.0), np.inf),
        (8.8, (0.03, -0.04), 0.04),  # commanded alike
        (8.8, (0.04, -0.06), np.inf),
    ],
)
def test_what_makes_partners(east, dither_offset, mismatch):
    direct = exposure("iaaa01d1q", 0, east=east, dither_offset=dither_offset)
    [found] = direct_candidates(exposure("iaaa01g1q", 300, grism=True), [direct], 1.0)
    assert found.mismatch == pytest.approx(mismatch, abs=1e-6)


def sky(east):
    """A WCS that lies there."""
    return exposure("x", 0, east=east).chips[0].wcs


def fitted(key, start, place, off, bridged=True):
    """A direct exposure at a place, whose WCS was moved by a fit."""
    return exposure(
        key,
        start,
        east=place + off,
        dither_offset=(place, 0.0),
        wcs_solution="FIT_REL_GAIADR2",
        alternates={"GSC240": sky(place)} if bridged else {},
    )


@pytest.mark.parametrize("off", [0.0, 0.5, 1.3, 8.8])
def test_pointings_are_compared_with_a_common_solution(off):
    """What a fit moved the direct exposures by tells nothing of where the telescope was."""
    grism = exposure("iaaa01g1q", 300, grism=True, dither_offset=(8.8, 0.0), wcs_solution="GSC240")
    directs = [fitted("iaaa01d1q", 0, 0.0, off), fitted("iaaa01d2q", 600, -0.5, off)]
    assert relations(grism, directs) == {"iaaa01d1q": HERE, "iaaa01d2q": MOVED}
    assert [each.mismatch for each in direct_candidates(grism, directs, 1.0)] == pytest.approx(
        [0, 0.5], abs=1e-6
    )
    # the same where both have the fitted one too: the pointing as commanded comes first
    both = replace(grism, alternates={"FIT_REL_GAIADR2": sky(3.0)})
    assert relations(both, directs) == {"iaaa01d1q": HERE, "iaaa01d2q": MOVED}


def test_without_a_common_solution_the_pairing_radius_tells():
    grism = exposure("iaaa01g1q", 300, grism=True, dither_offset=(8.8, 0.0), wcs_solution="GSC240")
    directs = [fitted("iaaa01d1q", 0, 0.0, 0.9, False), fitted("iaaa01d2q", 600, 0.0, 1.1, False)]
    assert relations(grism, directs[:1]) == {"iaaa01d1q": HERE}
    assert relations(grism, directs[1:]) == {"iaaa01d2q": MOVED}
    # or what was commanded
    alike = replace(grism, dither_offset=(0.0, 0.0))
    assert relations(alike, directs[1:]) == {"iaaa01d2q": HERE}


def test_no_target_is_no_common_target():
    grism = exposure("iaaa01g1q", 300, grism=True, target="")
    assert relations(grism, [exposure("iaaa01d1q", 0, east=8.8, target="")]) == {"iaaa01d1q": MOVED}


@pytest.mark.parametrize(
    ("between", "relation"),
    [
        ([], HERE),
        ([exposure("iaaa01g8q", 300, grism=True)], HERE),
        ([exposure("iaaa01d8q", 300, filter="F105W")], HERE),
        ([exposure("iaaa01g8q", 300, grism=True, east=0.9, dither_offset=(0.9, 0))], MOVED),
        ([exposure("iaaa01d8q", 300, east=20, dither_offset=(20, 0))], MOVED),
        # of another visit, another instrument, or before both
        ([exposure("iaaa02d8q", 300, east=20, dither_offset=(20, 0))], HERE),
        ([exposure("iaaa01p8q", 300, east=20, instrument="acs_wfc")], HERE),
        ([exposure("iaaa01d7q", -300, east=20, dither_offset=(20, 0))], HERE),
    ],
)
def test_an_offset_in_between(between, relation):
    direct, grism = exposure("iaaa01d1q", 0), exposure("iaaa01g1q", 600, grism=True)
    assert relations(grism, [direct, grism, *between])["iaaa01d1q"] is relation


def test_small_steps_add_up():
    directs = [exposure(f"iaaa01d{i}q", 300 * i, east=0.04 * i) for i in range(3)]
    assert stays(directs, 1.0)[0] == [0, 0, 1]


@pytest.mark.parametrize(("idle", "relation"), [(1400, HERE), (1600, OCCULTED)])
def test_an_occultation_ends_a_pointing(idle, relation):
    direct = exposure("iaaa01d1q", 0)
    grism = exposure("iaaa01g1q", 200 + idle, grism=True)
    assert relations(grism, [direct]) == {"iaaa01d1q": relation}


def test_stays():
    places = [("d", 0), ("g", 0), ("d", 0), ("g", 9), ("d", 9), ("d", 0), ("g", 0)]
    made = [
        exposure(f"iaaa01{kind}{i}q", 300 * i, grism=kind == "g", east=place, dither_offset=(place, 0))
        for i, (kind, place) in enumerate(places)
    ]
    # at the last pointing still, but an orbit later
    made.append(exposure("iaaa01d8q", 4000))
    assert stays(made, 1.0) == ([0, 0, 0, 1, 1, 2, 2, 3], [0] * 7 + [1])
    # a grism exposure whose dither is within the pairing radius, and direct exposures that tell it apart
    near = [
        exposure(f"iaaa01{n}q", t, grism=n == "g1", east=e) for n, t, e in (("d1", 0, 0), ("g1", 300, 0.6))
    ]
    near = [*near, exposure("iaaa01d2q", 600, east=0.6, dither_offset=(0.6, 0))]
    assert stays(near, 1.0)[0] == [0, 1, 1]


def test_where_and_when_a_candidate_was_taken():
    places = [("d", 0), ("d", 9), ("g", 9), ("d", 9), ("d", 0)]
    made = [
        exposure(f"iaaa01{kind}{i}q", 300 * i, grism=kind == "g", east=place, dither_offset=(place, 0))
        for i, (kind, place) in enumerate(places)
    ]
    made.append(exposure("iaaa01d5q", 4000))
    found = direct_candidates(made[2], made, 1.0)
    assert [each.stay[-3:-1] for each in found] == ["d0", "d1", "d1", "d4", "d5"]
    assert [each.orbit[-3:-1] for each in found] == ["d0", "d0", "d0", "d0", "d5"]
    assert [each.relation for each in found] == [MOVED, HERE, HERE, MOVED, OCCULTED]
    alone = [direct_candidate(made[2], each.exposure, made, 1.0) for each in found]
    assert alone == list(found)


def test_times():
    before, after = exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 3030)
    grism = exposure("iaaa01g1q", 1500, grism=True, length=1500)
    found = direct_candidates(grism, [after, before, grism], 1.0)
    assert [each.key for each in found] == ["iaaa01d1q", "iaaa01d2q"]
    assert [each.idle_time for each in found] == pytest.approx([-1300, 30], abs=1e-3)
    assert [3600 * each.hours for each in found] == pytest.approx([-2150, 880], abs=1e-3)
    assert [each.came_first for each in found] == [True, False]


@pytest.mark.parametrize(
    "changes",
    [{"visit": "iaaa02"}, {"group": "iaaa01:OTHERSTAR"}, {"instrument": "wfc3_uvis"}, {"grism": True}],
)
def test_others_are_none_of_the_acquisition(changes):
    direct = exposure("iaaa01d1q", 0, **changes)
    assert direct_candidates(exposure("iaaa01g1q", 300, grism=True), [direct], 1.0) == ()


def rolled(made, angle):
    chip = Chip(1, (1014, 1014), chip_wcs("wfc3_ir", (53.0, -27.8, angle)))
    return replace(made, chips=(chip,))


@pytest.mark.parametrize(
    ("changes", "angle", "days", "relation"),
    [
        ({}, 20.0, 2, Relation.REACQUIRED),
        ({}, 20.1, -9, Relation.REACQUIRED),
        ({}, 20.0, 11, Relation.OTHER),
        ({}, 20.3, 2, Relation.OTHER),
        ({"guide_star": "S2"}, 20.0, 2, Relation.OTHER),
        ({"guide_star": None}, 20.0, 2, Relation.OTHER),
        ({"instrument": "acs_wfc"}, 20.0, 2, Relation.OTHER),
    ],
)
def test_other_acquisitions(changes, angle, days, relation):
    grism = rolled(exposure("iaaa01g1q", 0, grism=True, guide_star="S1"), 20.0)
    direct = exposure("iaaa02d1q", days * 86400, **{"guide_star": "S1", **changes})
    found = direct_candidate(grism, rolled(direct, angle), [], 1.0)
    assert found.relation is relation
    assert found.hours == pytest.approx(24 * days, abs=0.1)


def test_a_roll_ends_an_acquisition():
    grism = rolled(exposure("iaaa01g1q", 0, grism=True), 179.9)
    angles = ((1, -179.99), (2, 178.0), (3, 179.6))
    directs = [rolled(exposure(f"iaaa01d{i}q", 300 * i), angle) for i, angle in angles]
    assert relations(grism, directs) == {"iaaa01d1q": HERE}


def test_nobody_knows_the_guide_stars():
    grism, direct = (exposure(f"iaaa0{i}x1q", 0, grism=i == 1) for i in (1, 2))
    assert direct_candidate(grism, direct, [], 1.0).relation is Relation.OTHER


def test_a_grism_exposure_has_its_own_acquisition_and_those_of_its_governors_around_it():
    own = exposure("iaaa01d1q", 0)
    grism = replace(exposure("iaaa01g1q", 300, grism=True), governors=("iaaa03d1q", "of another field"))
    others = [replace(exposure(f"iaaa0{n}d1q", 0), visit=f"0{n}", group=f"group {n}") for n in (2, 3)]
    acquisitions = Acquisitions([own, *others, grism])
    assert [each.key for each in acquisitions.around(grism)] == ["iaaa01d1q", "iaaa01g1q", "iaaa03d1q"]
    assert acquisitions.of(others[0]) == [others[0]]
