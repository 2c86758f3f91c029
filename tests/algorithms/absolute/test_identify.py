from __future__ import annotations

from dataclasses import replace

import numpy as np

from grism_align.algorithms.absolute.identify import identified, on_catalog
from grism_align.algorithms.absolute.measured import MeasuredSources
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, observe, stars

IDENTITY = LinearTransform.identity(PLANE)
YEAR = 365.25 * 86400
RADIUS = 0.1


def measured(field, key="iaaa01d1q", years=0.0, *, number=None, matched=True) -> MeasuredSources:
    """All stars of a field where they were so many years after the first exposures, by exact measurements."""
    rng = np.random.default_rng(0)
    exposure, _ = observe(field, IDENTITY, rng, key, start=YEAR * years)
    n, time = len(field.sky), exposure.epoch
    return MeasuredSources(
        exposure=exposure,
        time=time,
        number=np.arange(n) if number is None else np.asarray(number),
        matched=np.broadcast_to(np.asarray(matched), n).copy(),
        xy=PLANE.to_plane(field.at(time)),
        error=np.full(n, 0.002),
        saturated=np.zeros(n, dtype=bool),
        transform=IDENTITY,
        turns=False,
    )


def test_every_exposure_is_looked_up_at_its_own_time():
    """Stars that move by three radii between the exposures."""
    field = stars(np.random.default_rng(331), 20, 100.0)
    field = replace(field, motion=np.full((20, 2), 20.0))
    visits = [measured(field), measured(field, "ibbb02d1q", 10.0)]
    for rows in identified(visits, field.catalog(), PLANE, RADIUS):
        np.testing.assert_array_equal(rows, np.arange(20))


def test_a_star_that_was_two_sources_is_one():
    field = stars(np.random.default_rng(332), 20, 100.0)
    field.motion[0] = 600.0, 800.0
    late = np.arange(20)
    late[0] = 99
    visits = [measured(field), measured(field, "ibbb02d1q", 10.0, number=late)]
    for rows in identified(visits, field.catalog(), PLANE, RADIUS):
        np.testing.assert_array_equal(rows, np.arange(20))


def test_most_measurements_say_which_star_a_source_is():
    field = stars(np.random.default_rng(333), 10, 100.0)
    catalog = field.catalog()
    visits = [measured(field, f"iaaa01d{i}q", 1e-4 * i) for i in (1, 2, 3)]
    visits[2].xy[0] += 5.0  # one of three is off
    for rows in identified(visits, catalog, PLANE, RADIUS):
        np.testing.assert_array_equal(rows, np.arange(10))
    visits[1].xy[0] += 9.0  # two of three are
    for rows in identified(visits, catalog, PLANE, RADIUS):
        np.testing.assert_array_equal(rows, [-1, *range(1, 10)])


def test_a_star_is_one_source_of_an_exposure():
    """Of two sources that claim it, the one that lies at it."""
    field = stars(np.random.default_rng(334), 10, 100.0)
    one, other = measured(field), measured(field, "iaaa01d2q", 1e-4)
    # In the first exposure another source's number is on star 0, in most others it is source 0.
    one = replace(one, number=np.where(np.arange(10) == 1, 0, one.number))
    one = replace(one, number=np.where(np.arange(10) == 0, 1, one.number))
    third = measured(field, "iaaa01d3q", 2e-4)
    rows = identified([one, other, third], field.catalog(), PLANE, RADIUS)
    for row in rows:
        used = row[row >= 0]
        assert len(np.unique(used)) == len(used)
    np.testing.assert_array_equal(rows[1], np.arange(10))


def test_unmatched_sources_are_by_themselves():
    field = stars(np.random.default_rng(335), 10, 100.0)
    lone = measured(field, number=np.full(10, -1), matched=False)
    lone.xy[3] += 1.0
    (rows,) = identified([lone], field.catalog(), PLANE, RADIUS)
    np.testing.assert_array_equal(rows, [0, 1, 2, -1, *range(4, 10)])
    (none,) = identified([lone], field.catalog()[:0], PLANE, RADIUS)
    np.testing.assert_array_equal(none, np.full(10, -1))


def test_frames_are_brought_onto_the_catalog():
    """Two frames with their own errors, of which the second numbers the same sources in its own way."""
    field = stars(np.random.default_rng(336), 12, 100.0)
    errors = [
        LinearTransform.from_parameters(PLANE, shift, roll) for shift, roll in (((1, 2), 0.1), ((-3, 1), -1))
    ]
    frames = []
    for number, error in enumerate(errors):
        one = measured(field, f"iaaa0{number}d1q", number=100 * number + np.arange(12), matched=False)
        one = replace(one, xy=error.apply(one.xy), transform=error)
        frames.append(([one], error.inverted()))
    found = on_catalog(*zip(*frames, strict=True))
    for one in found:
        np.testing.assert_allclose(one.xy, PLANE.to_plane(field.at(one.time)), atol=1e-6)
        np.testing.assert_array_equal(one.number, np.arange(12))
        assert one.matched.all()
        np.testing.assert_allclose(one.transform.matrix, np.eye(2), atol=1e-7)
    # Alone, what one exposure saw stays so.
    (alone,) = on_catalog(*zip(*frames[:1], strict=True))
    assert not alone.matched.any()


def test_sources_without_a_number_are_nobodys():
    field = stars(np.random.default_rng(337), 12, 100.0)
    lone = [measured(field, key, number=np.full(12, -1), matched=False) for key in ("iaaa01d1q", "ibbb02d1q")]
    for one in on_catalog([[each] for each in lone], [IDENTITY] * 2):
        assert (one.number == -1).all()
        assert not one.matched.any()
