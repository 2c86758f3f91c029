from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.pair import candidate_governors

from ..io.asn_builders import SECOND, exposure


def rules(grism, directs):
    return [(governor.key, governor.rule) for governor in candidate_governors(grism, directs, 1.0)]


def keys(grism, directs):
    return [governor.key for governor in candidate_governors(grism, directs, 1.0)]


def test_previous_exposure_of_the_pointing():
    grism = exposure("iaaa01g1q", 300, grism=True, length=1000)
    first, second = exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 1400, east=20, target="OTHER")
    assert rules(grism, [second, first]) == [("iaaa01d1q", "paired"), ("iaaa01d2q", "next")]


def test_next_exposure_where_the_previous_looks_elsewhere():
    grism = exposure("iaaa01g1q", 300, grism=True, postarg=(8.8, 0))
    before = exposure("iaaa01d1q", 0, east=20, postarg=(-3.0, 0))
    after = exposure("iaaa01d2q", 900, postarg=(0, 0))
    assert rules(grism, [before, after]) == [("iaaa01d2q", "paired"), ("iaaa01d1q", "previous")]


@pytest.mark.parametrize(
    ("east", "postarg", "target", "paired"),
    [
        (0.9, (8.8, 0.0), "OTHER", True),  # same sky, the offset makes up for the apertures
        (1.1, (8.8, 0.0), "FIELD", False),
        (8.8, (0.04, -0.04), "FIELD", True),  # commanded alike, the sky differs by the apertures
        (8.8, (0.04, -0.06), "FIELD", False),
        (8.8, (0.0, 0.0), "OTHER", False),
    ],
)
def test_sharing_a_pointing(east, postarg, target, paired):
    grism = exposure("iaaa01g1q", 300, grism=True)
    direct = exposure("iaaa01d1q", 0, east=east, postarg=postarg, target=target)
    assert rules(grism, [direct]) == [("iaaa01d1q", "paired" if paired else "previous")]


def test_no_target_is_no_common_target():
    grism = exposure("iaaa01g1q", 300, grism=True, target="")
    assert rules(grism, [exposure("iaaa01d1q", 0, east=8.8, target="")]) == [("iaaa01d1q", "previous")]


def test_of_two_paired_neighbours_the_smaller_idle_time_wins():
    # Start to start the previous one is closer, but an occultation lies between.
    before, after = exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 3030)
    grism = exposure("iaaa01g1q", 1500, grism=True, length=1500)
    found = candidate_governors(grism, [before, after], 1.0)
    assert [governor.key for governor in found] == ["iaaa01d2q", "iaaa01d1q"]
    assert {governor.rule for governor in found} == {"paired"}
    assert [governor.gap for governor in found] == pytest.approx([30, -1300], abs=1e-3)


def test_a_tie_goes_to_the_previous():
    grism = exposure("iaaa01g1q", 250, grism=True, length=1000)
    directs = [exposure("iaaa01d2q", 1300), exposure("iaaa01d1q", 0)]
    assert keys(grism, directs) == ["iaaa01d1q", "iaaa01d2q"]


def test_order_behind_the_pair():
    directs = [exposure(f"iaaa01d{i}q", 1000 * i, east=20 * i, postarg=(i, 0)) for i in range(6)]
    grism = exposure("iaaa01g1q", 2300, grism=True, east=60, postarg=(3, 0))
    assert rules(grism, directs) == [
        ("iaaa01d3q", "paired"),
        ("iaaa01d2q", "previous"),
        ("iaaa01d1q", "previous"),
        ("iaaa01d0q", "previous"),
        ("iaaa01d4q", "next"),
        ("iaaa01d5q", "next"),
    ]


def test_a_far_exposure_of_the_same_pointing_is_no_pair():
    directs = [exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 1000, east=20, postarg=(5, 0))]
    grism = exposure("iaaa01g1q", 2000, grism=True)
    assert rules(grism, directs) == [("iaaa01d2q", "previous"), ("iaaa01d1q", "previous")]


def test_a_grism_before_the_first_direct_takes_the_first():
    directs = [exposure(f"iaaa01d{i}q", 1000 * i, east=50, postarg=(5, 0)) for i in (1, 2)]
    assert rules(exposure("iaaa01g1q", 0, grism=True), directs) == [
        ("iaaa01d1q", "next"),
        ("iaaa01d2q", "next"),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"visit": "iaaa02"}, {"group": "iaaa01:OTHERSTAR"}, {"instrument": "wfc3_uvis"}, {"grism": True}],
)
def test_others_never_govern(changes):
    direct = exposure("iaaa01d1q", 0, **changes)
    assert candidate_governors(exposure("iaaa01g1q", 300, grism=True), [direct], 1.0) == ()


def test_the_association_decides():
    grism = exposure("iaaa01g1q", 300, grism=True, governors=("ibbb01d2q", "iaaa01d9q", "iaaa01d1q"))
    directs = [exposure("iaaa01d1q", 0), exposure("iaaa01d3q", 250), exposure("ibbb01d2q", 9000)]
    # those that it names in its order, then the others, should the named ones not be aligned
    assert rules(grism, directs) == [
        ("ibbb01d2q", "association"),
        ("iaaa01d1q", "association"),
        ("iaaa01d3q", "paired"),
    ]


direct_exposures = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 3), st.sampled_from(["iaaa01", "iaaa02"])), max_size=8
)


@given(direct_exposures, st.integers(0, 5000), st.randoms(use_true_random=False))
def test_laws(drawn, start, random):
    directs = [
        exposure(f"{visit}d{i}q", time, east=15.0 * place, postarg=(float(place), 0.0), visit=visit)
        for i, (time, place, visit) in enumerate(drawn)
    ]
    grism = exposure("iaaa01g1q", start, grism=True, length=500)
    found = candidate_governors(grism, directs, 1.0)
    # all of the visit, each once, whatever the order; and a shift of all times changes nothing
    assert sorted(g.key for g in found) == sorted(d.key for d in directs if d.visit == "iaaa01")
    random.shuffle(directs)
    assert candidate_governors(grism, directs, 1.0) == found
    later = [replace(d, start=d.start + 3600 * SECOND, end=d.end + 3600 * SECOND) for d in directs]
    moved = replace(grism, start=grism.start + 3600 * SECOND, end=grism.end + 3600 * SECOND)
    assert keys(moved, later) == [g.key for g in found]
