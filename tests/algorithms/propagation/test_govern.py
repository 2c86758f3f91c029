from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.propagation.govern import choose_by_rule, choose_elsewhere, governors
from grism_align.algorithms.propagation.pair import direct_candidate, direct_candidates
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings
from tests.support.associations import SECOND, exposure

METHODS = ("auto", "previous", "nearest", "interpolate", "visit")


def chosen(grism, exposures, method="auto"):
    choice = governors(grism, exposures, GrismSettings(PropagationSettings(method=method)))
    return (choice.rule, *(key[-3:-1] for key in choice.keys))


def direct(number, start, place=0, **changes):
    return exposure(f"iaaa01d{number}q", start, east=20.0 * place, dither_offset=(place, 0), **changes)


def grism(start, place=0, length=200.0, **changes):
    return exposure(
        "iaaa01g1q", start, grism=True, length=length, east=20.0 * place, dither_offset=(place, 0), **changes
    )


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("auto", ("interpolated", "d1", "d2")),
        ("interpolate", ("interpolated", "d1", "d2")),
        ("previous", ("previous", "d1")),
        ("nearest", ("paired", "d2")),
        ("visit", ("visit", "d1", "d2", "d3")),
    ],
)
def test_at_one_pointing(method, expected):
    directs = [direct(1, 0), direct(2, 1520), direct(3, 2000)]
    # idle: 300 s before, 20 s after
    assert chosen(grism(500, length=1000), directs, method) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("auto", ("paired", "d2")),
        # the next one's dither would do more harm than its time does good
        ("interpolate", ("paired", "d2")),
        ("previous", ("previous", "d2")),
        ("nearest", ("paired", "d2")),
        ("visit", ("visit", "d1", "d2", "d3")),
    ],
)
def test_a_direct_exposure_at_each_dither(method, expected):
    directs = [direct(i, 1000 * i, place=i) for i in (1, 2, 3)]
    assert chosen(grism(2300, place=2), directs, method) == expected


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("auto", ("previous", "d1")),
        ("interpolate", ("interpolated", "d1", "d2")),
        ("previous", ("previous", "d1")),
        ("nearest", ("nearest", "d2")),
        ("visit", ("visit", "d1", "d2")),
    ],
)
def test_few_direct_exposures(method, expected):
    directs = [direct(1, 0, place=1), direct(2, 1600, place=2)]
    assert chosen(grism(1200, place=3), directs, method) == expected


@pytest.mark.parametrize("method", ["auto", "previous", "interpolate"])
def test_a_grism_before_the_first_direct_takes_the_first(method):
    directs = [direct(1, 1000, place=1), direct(2, 2000, place=1)]
    assert chosen(grism(0), directs, method) == ("next", "d1")


def test_the_next_exposure_where_the_previous_looks_elsewhere():
    assert chosen(grism(300), [direct(1, 0, place=1), direct(2, 900)]) == ("paired", "d2")


def test_small_dithers_within_the_pairing_radius():
    # The chip of the next pointing is 0.9" off, which could be an aperture's offset, and nearer in time.
    here, there = exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 1310, east=0.9, dither_offset=(0.9, 0))
    found = governors(grism(300, length=1000), [here, there], GrismSettings())
    assert (found.rule, found.keys) == ("paired", ("iaaa01d1q",))


def test_equally_near_pointings_on_two_sides_are_not_one():
    sides = [
        exposure(f"iaaa01d{i}q", t, east=e, dither_offset=(e, 0)) for i, t, e in ((1, 0, -0.5), (2, 600, 0.5))
    ]
    assert chosen(grism(300), sides)[0] == "paired"


def test_back_at_a_pointing():
    # d1 has its pointing, but the telescope was elsewhere in between
    directs = [direct(1, 0), direct(2, 1000, place=1)]
    assert chosen(grism(2000), directs) == ("previous", "d2")


SMALL_DITHERS = PointingSettings(dither_error=0.0005)


def with_small_dithers(grism_, directs, method):
    choice = choose_by_rule(
        direct_candidates(grism_, directs, 1.0),
        GrismSettings(PropagationSettings(method=method), SMALL_DITHERS),
    )
    return (choice.rule, *(key[-3:-1] for key in choice.keys))


@pytest.mark.parametrize("method", ["auto", "interpolate"])
def test_across_dithers_that_err_less_than_drift(method):
    own_pointing = [direct(1, 1000, place=1), direct(2, 2800, place=2)]
    assert with_small_dithers(grism(1300, 1, 1000), own_pointing, method) == ("interpolated", "d1", "d2")
    few = [direct(1, 0, place=1), direct(2, 1600, place=2)]
    assert with_small_dithers(grism(700, 3, 500), few, method) == ("interpolated", "d1", "d2")
    # and much nearer to one in time
    assert with_small_dithers(grism(1300, 1, 100), own_pointing, method)[0] == "paired"


def test_an_orbit_of_its_own_comes_first():
    orbits = [direct(1, 0, place=1), direct(2, 5000, place=2)]
    assert chosen(grism(4000), orbits) == ("next", "d2")
    assert chosen(grism(4000), orbits, "nearest") == ("nearest", "d2")
    assert chosen(grism(4000), orbits, "interpolate") == ("next", "d2")
    # it asks for the one before, wherever that is
    assert chosen(grism(4000), orbits, "previous") == ("previous", "d1")
    assert chosen(grism(4000), orbits[:1]) == ("previous", "d1")


def test_no_interpolation_across_an_occultation():
    assert chosen(grism(300), [direct(1, 0), direct(2, 3300)]) == ("paired", "d1")
    # the neighbours look alike, both across one: the smaller gap
    assert chosen(grism(3300), [direct(1, 0), direct(2, 6000)]) == ("paired", "d2")


def test_a_tie_goes_to_the_previous():
    assert chosen(grism(250, length=1000), [direct(2, 1300), direct(1, 0)], "nearest") == ("paired", "d1")


def with_quality(grism_, directs, method="auto", **quality):
    own = direct_candidates(grism_, directs, 1.0)
    own = [replace(each, **quality.get(each.key[-3:-1], {})) for each in own]
    choice = choose_by_rule(own, GrismSettings(PropagationSettings(method=method)))
    return (choice.rule, *(key[-3:-1] for key in choice.keys))


@pytest.mark.parametrize("method", ["auto", "interpolate"])
def test_only_what_its_own_sources_aligned_and_tied_is_interpolated(method):
    directs, weak = [direct(1, 0), direct(2, 800)], {"is_solid": False}
    assert with_quality(grism(400), directs, method, d1=weak) == ("paired", "d2")
    assert with_quality(grism(400), directs, method, d1=weak, d2=weak) == ("paired", "d1")
    assert with_quality(grism(400), directs, method, d2={"frame": 1}) == ("paired", "d1")


def test_the_mean_of_a_visit_is_of_one_frame():
    directs = [direct(i, 500 * i) for i in range(4)]
    quality = {"d0": {"frame": 1}, "d2": {"is_solid": False}}
    assert with_quality(grism(400), directs, "visit", **quality) == ("visit", "d1", "d3")


def test_the_association_decides():
    near, far, other = direct(1, 0), direct(2, 5000, place=2), exposure("ibbb01d2q", 9000)

    def named(*keys):
        found = governors(grism(300, governors=keys), [near, far, other], GrismSettings())
        return (found.rule, *found.keys)

    assert named("ibbb01d2q", "iaaa01d1q") == ("association", "ibbb01d2q")
    assert named("iaaa01d9q", "iaaa01d2q") == ("association", "iaaa01d2q")
    # what the rule chooses anyway
    assert named("iaaa01d1q", "iaaa01d2q") == ("paired", "iaaa01d1q")
    assert named("iaaa01d9q") == ("paired", "iaaa01d1q")


def test_the_association_names_one_of_two():
    directs = [direct(1, 0), direct(2, 800)]
    assert chosen(grism(400, governors=("iaaa01d2q",)), directs) == ("association", "d2")
    assert chosen(grism(400, governors=("iaaa01d1q", "iaaa01d2q")), directs) == ("interpolated", "d1", "d2")


def test_nobody():
    assert chosen(grism(0), [], "auto") == ("none",)
    assert choose_elsewhere([]).keys == ()


def test_the_nearest_acquisition_of_the_same_guide_stars():
    alone = grism(0, guide_star="S1")
    days = {"iaaa02": -3, "iaaa03": 1, "iaaa04": 0.5}
    directs = [
        exposure(f"{visit}d{i}q", day * 86400 + 500 * i, guide_star="S2" if visit == "iaaa04" else "S1")
        for visit, day in days.items()
        for i in (1, 2)
    ]
    choice = choose_elsewhere([direct_candidate(alone, each, [], 1.0) for each in reversed(directs)])
    assert (choice.rule, choice.keys) == ("visit", ("iaaa03d1q", "iaaa03d2q"))


direct_exposures = st.lists(
    st.tuples(st.integers(0, 5000), st.integers(0, 2), st.sampled_from(["iaaa01", "iaaa02"])), max_size=8
)


@given(direct_exposures, st.integers(0, 5000), st.sampled_from(METHODS), st.randoms(use_true_random=False))
def test_laws(drawn, start, method, random):
    directs = [
        exposure(f"{visit}d{i}q", time, east=15.0 * place, dither_offset=(float(place), 0.0), visit=visit)
        for i, (time, place, visit) in enumerate(drawn)
    ]
    one = grism(start, length=500)
    found = chosen(one, directs, method)
    own = {d.key[-3:-1] for d in directs if d.visit == "iaaa01"}
    # somebody of the visit, if there is anybody, and nobody else
    assert set(found[1:]) <= own
    assert bool(found[1:]) == bool(own)
    assert len(found) == 2 or found[0] in ("interpolated", "visit") or not own
    # whatever the order, and a shift of all times changes nothing
    random.shuffle(directs)
    assert chosen(one, directs, method) == found
    later = [replace(d, start=d.start + 3600 * SECOND, end=d.end + 3600 * SECOND) for d in directs]
    assert (
        chosen(replace(one, start=one.start + 3600 * SECOND, end=one.end + 3600 * SECOND), later, method)
        == found
    )
