from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.frame_tie import FrameSources, FrameTie
from grism_align.algorithms.absolute.units import at_each_epoch, unit_ties
from grism_align.algorithms.fitting.fit import fit_linear
from grism_align.values.failure import MovesWithFrame, TooFewMatches
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import AbsoluteSettings, ReferenceSettings
from grism_align.values.transform import LinearTransform
from tests.algorithms.absolute.test_identify import measured
from tests.support.exposures import PLANE, stars, with_errors

NOISE = 0.002
IDENTITY = LinearTransform.identity(PLANE)


def own_sources(field, year=2020.0):
    n = len(field.sky)
    positions = PlaneList(PLANE.to_plane(field.at(year)), np.full(n, NOISE), field.mag, np.full(n, year))
    return FrameSources(positions, np.arange(n), PLANE, 0.128)


def two_visits(rng, field, years=10.0, moves=((0.0, 0.0), (0.0, 0.0))):
    """What two exposures of each of two visits measured, moved as a whole."""
    keys = ("iaaa01d1q", "iaaa01d2q", "ibbb02d1q", "ibbb02d2q")
    out = []
    for i, key in enumerate(keys):
        one = measured(field, key, years * (i // 2) + 1e-4 * (i % 2))
        one = replace(one, exposure=replace(one.exposure, visit=key[:6]))
        out.append(replace(one, xy=one.xy + moves[i // 2] + NOISE * rng.normal(size=one.xy.shape)))
    return out


def test_exposures_of_one_epoch_have_no_parts():
    rng = np.random.default_rng(341)
    field = stars(rng, 20, 100.0)
    own = own_sources(field)
    assert at_each_epoch(own, two_visits(rng, field, 0.1)) == (own, [])
    assert at_each_epoch(own, []) == (own, [])


def test_sources_are_where_each_epoch_saw_them():
    rng = np.random.default_rng(342)
    field = stars(rng, 20, 100.0, 20.0)
    own = own_sources(field)
    visits = two_visits(rng, field)
    means, parts = at_each_epoch(own, visits)
    for each, (year, n) in zip((means, *parts), ((2019.93, 4), (2014.93, 2), (2024.93, 2)), strict=True):
        np.testing.assert_array_equal(each.number, own.number)
        np.testing.assert_array_equal(each.positions.mag, field.mag)
        assert each.positions.epoch == pytest.approx(year, abs=0.05)
        assert each.positions.error == pytest.approx(NOISE / np.sqrt(n))
        at = PLANE.to_plane(field.at(float(each.positions.epoch[0])))
        assert np.abs(each.positions.xy - at).max() < 4 * NOISE / np.sqrt(n)
        np.testing.assert_allclose(each.seen.shares.sum(axis=1), 1.0)
        np.testing.assert_allclose(each.seen.shares @ each.seen.years, each.positions.epoch, atol=1e-4)
        assert each.pixel_scale == min(one.exposure.pixel_scale for one in visits)


def test_the_epoch_of_most_measurements_comes_first():
    rng = np.random.default_rng(343)
    field = stars(rng, 20, 100.0)
    one, _, three, four = two_visits(rng, field)
    _, parts = at_each_epoch(own_sources(field), [one, three, four])
    assert [round(float(part.positions.epoch[0])) for part in parts] == [2025, 2015]
    many = [measured(field, f"iaaa0{n}d1q", 1.0 * n) for n in range(6)]
    assert len(at_each_epoch(own_sources(field), many)[1]) == 3


def test_sources_whose_measurements_are_not_known_stay():
    """As of a record without matches, or where none of a part is known."""
    rng = np.random.default_rng(344)
    field = stars(rng, 20, 100.0)
    own = own_sources(field)
    unknown = [replace(one, number=np.full(20, -1)) for one in two_visits(rng, field)]
    assert at_each_epoch(own, unknown) == (own, [])


def frame_tie():
    xy = np.array([[-50.0, -50.0], [50.0, -50.0], [0.0, 50.0], [30.0, 20.0]])
    fit = fit_linear(xy, xy, np.full(4, NOISE), PLANE, "rshift", 4.0)
    error = np.full(4, NOISE)
    return FrameTie(fit, np.column_stack([np.arange(4)] * 2), error, error, np.full(4, 2016.0), 0.1, 1e-9)


@pytest.mark.parametrize("solve", ["visit", "exposure"])
def test_each_unit_has_a_tie_of_its_own(solve):
    rng = np.random.default_rng(345)
    field = stars(rng, 40, 110.0, 3.0)
    moves = np.array([[0.03, -0.05], [-0.02, 0.04]])
    visits = two_visits(rng, field, moves=moves)
    settings = AbsoluteSettings(ReferenceSettings(solve=solve))
    ties, remarks = unit_ties(visits, with_errors(field, rng), frame_tie(), settings)
    assert remarks == {}
    n = 2 if solve == "visit" else 1
    for i, one in enumerate(visits):
        tie = ties[one.exposure.key]
        assert np.abs(tie.transform.apply(np.zeros(2)) + moves[i // 2]).max() < 4 * NOISE / np.sqrt(40 * n)
        assert tie.probability == 1e-9
        assert len(tie.pairs) == 40
        assert tie.own_error == pytest.approx(NOISE / np.sqrt(n))
    same = ties["iaaa01d1q"] is ties["iaaa01d2q"]
    assert same == (solve == "visit")


def test_units_that_can_not_be_tied_say_why():
    rng = np.random.default_rng(346)
    field = stars(rng, 40, 110.0)
    one, two, three, four = two_visits(rng, field)
    empty = {name: getattr(four, name)[:0] for name in ("number", "matched", "xy", "error", "saturated")}
    visits = [one, two, replace(three, xy=three.xy + 5.0), replace(four, **empty)]
    settings = AbsoluteSettings(ReferenceSettings(solve="exposure"))
    ties, remarks = unit_ties(visits, with_errors(field, rng), frame_tie(), settings)
    assert list(ties) == ["iaaa01d1q", "iaaa01d2q"]
    assert remarks["ibbb02d2q"] == MovesWithFrame("ibbb02d2q", TooFewMatches(0, 4))
    assert remarks["ibbb02d1q"].unit == "ibbb02d1q"
