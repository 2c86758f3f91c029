from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from grism_align.algorithms.absolute.epoch import errors_at
from grism_align.algorithms.absolute.selection import field_cones, select_reference, why_none
from grism_align.values.catalog import QUALITIES
from grism_align.values.exposure import Chip
from grism_align.values.settings import SelectionSettings
from grism_align.values.sphere import separation
from grism_align.values.transform import TangentPlane
from tests.support.associations import FlatSky, exposure
from tests.support.chips import chip_wcs
from tests.support.reference_catalogs import reference

ALL = SelectionSettings()
PLACES = [
    (150.0, 2.2),
    (0.0, -5.0),
    (359.9999, 40.0),
    (77.0, 85.0),
    (200.0, -89.0),
    (300.0, 89.99),
    (0.0, -90.0),
]
SIDE = 1014 * 0.13  # of a chip of FlatSky, arcsec
places = st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90))


def looking_at(*places, **changes):
    """An exposure of one square chip, north up, at each place."""
    return [
        exposure(f"key{i}", 0, chips=(Chip(1, (1014, 1014), FlatSky(float(ra), float(dec))),), **changes)
        for i, (ra, dec) in enumerate(places)
    ]


def around(place, xy):
    return TangentPlane(*place).to_sky(xy)


def catalog_of(rng, place=(150.0, 2.2), n=400, side=300.0, **columns):
    """Sources around a place, each with an error and a magnitude of its own, a few of them twice."""
    xy = rng.uniform(-side / 2, side / 2, (n, 2))
    xy[-10:] = xy[:10] + 0.03 * rng.normal(size=(10, 2))
    error = rng.uniform(0.1, 2.0, n)
    covariance = np.zeros((n, 5, 5))
    covariance[:, (0, 1), (0, 1)] = error[:, None] ** 2
    values = {
        "covariance": covariance,
        "mag": rng.permutation(np.linspace(15, 25, n)),
        "quality": {"ruwe": rng.uniform(0.8, 1.6, n), "extended": rng.integers(0, 2, n)},
        **columns,
    }
    return reference(around(place, xy), **values)


def chosen(catalog, exposures, selection=ALL, epoch=2016.0):
    return select_reference(catalog, exposures, epoch, selection)[0].identifier.tolist()


def inside(cone, sky):
    return separation([cone.ra, cone.dec], sky) <= cone.radius


# --- cones


def covered(cones, exposures, margin):
    """Whether points all around the chips, and up to the margin from their edges, are in one of the cones."""
    angle = np.linspace(0, 2 * np.pi, 60)
    for one in exposures:
        for chip in one.chips:
            ny, nx = chip.shape
            edge = np.linspace(-0.5, nx - 0.5, 9)
            outline = np.concatenate(
                [np.column_stack([edge, np.full(9, y)]) for y in (-0.5, ny - 0.5)]
                + [np.column_stack([np.full(9, x), edge / nx * ny]) for x in (-0.5, nx - 0.5)]
            )
            for corner in chip.wcs.to_sky(outline):
                ring = TangentPlane(*corner).to_sky(margin * np.column_stack([np.cos(angle), np.sin(angle)]))
                assert np.any([inside(cone, ring) for cone in cones], axis=0).all()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["wfc3_ir", "acs_wfc"])
def test_a_cone_covers_the_chips_and_a_margin(place, name):
    numbers = (0,) if name == "wfc3_ir" else (0, 1)
    shape = (1014, 1014) if name == "wfc3_ir" else (2048, 4096)
    exposures = [
        exposure(
            f"k{angle}",
            0,
            chips=tuple(Chip(i + 1, shape, chip_wcs(name, (*place, angle), i)) for i in numbers),
        )
        for angle in (0.0, 30.0)
    ]
    (cone,) = field_cones(exposures, 120.0)
    covered([cone], exposures, 120.0)
    half_diagonal = {"wfc3_ir": 95.0, "acs_wfc": 160.0}[name]
    assert cone.radius < (half_diagonal + 120.0) / 3600 + 0.011 + 0.01
    assert 0 <= cone.ra < 360
    assert cone.ra == round(cone.ra, 3)
    assert cone.dec == round(cone.dec, 3)
    assert cone.radius == pytest.approx(round(cone.radius, 2), abs=1e-15)


def test_a_mosaic_is_one_cone_and_far_fields_have_their_own():
    offsets = [(x, y) for x in range(-300, 301, 120) for y in range(-300, 301, 120)]
    mosaic = looking_at(*around((0.0, 60.0), np.array(offsets, dtype=float)))
    (cone,) = field_cones(mosaic, 60.0)
    covered([cone], mosaic, 60.0)
    assert separation([cone.ra, cone.dec], [0.0, 60.0]) < 2e-3
    # half the diagonal, with the chips, and the margin
    assert cone.radius == pytest.approx(((300 + SIDE / 2) * np.sqrt(2) + 60) / 3600, abs=0.012)
    both = field_cones([*mosaic, *looking_at((2.0, 60.0), (2.0, 62.0))], 60.0)
    assert len(both) == 3
    assert cone in both
    assert list(both) == sorted(both, key=lambda c: c.ra)


def test_a_survey_is_cut_up():
    strip = looking_at(*around((10.0, 5.0), [(x, 0.0) for x in range(-9000, 9001, 150)]))
    cones = field_cones(strip, 30.0)
    covered(cones, strip[::10], 30.0)
    assert 5 < len(cones) < 12
    assert max(cone.radius for cone in cones) < 0.52
    assert field_cones(strip[::-1], 30.0) == cones


@settings(max_examples=8, deadline=None)
@given(places, st.integers(0, 2**32 - 1))
@example((0.0, 90.0), 1)
def test_cones_do_not_depend_on_the_order(place, seed):
    rng = np.random.default_rng(seed)
    spread = 10 ** rng.uniform(1, 4)
    exposures = looking_at(*around(place, rng.uniform(-spread, spread, (12, 2))))
    cones = field_cones(exposures, 100.0)
    assert field_cones([exposures[i] for i in rng.permutation(12)], 100.0) == cones
    assert field_cones([*exposures, *exposures], 100.0) == cones
    covered(cones, exposures[:3], 100.0)


def test_tiny_changes_leave_a_cone_alone():
    rng = np.random.default_rng(4)
    places = [
        around((rng.uniform(0, 360), rng.uniform(-80, 80)), rng.uniform(-100, 100, (5, 2))) for _ in range(25)
    ]
    # of cones with round numbers, a change by 1 mas moves few across a step of 3.6"
    same = [
        field_cones(looking_at(*sky), 60.0) == field_cones(looking_at(*np.add(sky, [0, 1e-3 / 3600])), 60.0)
        for sky in places
    ]
    assert np.mean(same) > 0.9


def test_large_exposures_of_one_place_share_a_cone():
    huge = [Chip(1, (10000, 10000), FlatSky(10.0, 20.0, (10000, 10000), 0.4))]
    exposures = [exposure(f"k{i}", 0, chips=huge) for i in range(3)]
    (cone,) = field_cones(exposures, 0.0)
    assert cone.radius == pytest.approx(2000 * np.sqrt(2) / 3600, abs=0.012)


def test_without_exposures_there_is_no_cone():
    assert field_cones([], 10.0) == ()


# --- the cuts


@pytest.mark.parametrize("place", PLACES[1:])
def test_the_same_field_anywhere_on_the_sky(place):
    selection = SelectionSettings(margin=10.0, max_sources=60, galaxies=False, faint_limit=23.0)
    found = []
    for where in (PLACES[0], place):
        rng = np.random.default_rng(12)
        flat = [FlatSky(*where, shape) for shape in ((1014, 1014), (500, 2000))]
        exposures = [exposure(f"k{s.shape}", 0, chips=(Chip(1, s.shape, s),)) for s in flat]
        found.append(chosen(catalog_of(rng, where), exposures, selection))
    assert found[0] == found[1]
    assert len(found[0]) > 10


@pytest.mark.parametrize(
    "selection",
    [
        SelectionSettings(max_sources=30),
        SelectionSettings(max_density=1.5),
        SelectionSettings(max_density=0.2, without_motion="drop"),
    ],
)
def test_the_order_of_rows_does_not_matter(selection):
    rng = np.random.default_rng(13)
    catalog = catalog_of(rng)
    exposures = looking_at((150.0, 2.2))
    expected, counts = select_reference(catalog, exposures, 2016.0, selection)
    order = rng.permutation(len(catalog))
    found, again = select_reference(catalog[order], exposures, 2016.0, selection)
    assert again == counts
    assert sorted(found.identifier) == sorted(expected.identifier)
    assert 0 < len(found) < counts["reference_without_duplicates"] < counts["reference_within_ruwe"]


def test_every_cut_is_counted():
    xy = np.zeros((12, 2))
    xy[:, 0] = np.arange(12) * 4.0
    xy[0] = 500.0, 0.0
    xy[5] = xy[4]
    nothing = np.full(12, np.nan)
    ruwe, noise, flagged, extended = nothing.copy(), nothing.copy(), nothing.copy(), nothing.copy()
    ruwe[1], noise[2], flagged[3], extended[6] = 1.5, 2.1, 1.0, 1.0
    motion = np.zeros((12, 2))
    motion[7] = np.nan
    mag = np.full(12, 20.0)
    mag[8:] = [10.0, 20.5, np.nan, 21.0]
    quality = {"ruwe": ruwe, "excess_noise": noise, "duplicated": flagged, "extended": extended}
    catalog = reference(around((150.0, 2.2), xy), motion=motion, mag=mag, quality=quality)
    selection = SelectionSettings(
        margin=0.0,
        galaxies=False,
        without_motion="drop",
        bright_limit=15.0,
        faint_limit=22.0,
        max_density=3.0,
        max_sources=3,
    )
    found, counts = select_reference(catalog, looking_at((150.0, 2.2)), 2016.0, selection)
    assert counts == {
        "reference_in_catalog": 12,
        "reference_on_exposures": 11,
        "reference_within_ruwe": 10,
        "reference_within_excess_noise": 9,
        "reference_not_flagged": 8,
        "reference_without_duplicates": 7,
        "reference_of_allowed_kind": 6,
        "reference_with_motion": 5,
        "reference_within_magnitudes": 3,
        "reference_within_density": 3,
        "reference_brightest": 3,
    }
    assert found.identifier.tolist() == ["star 4", "star 9", "star 11"]
    everything = SelectionSettings(margin=0.0, duplicated=True, max_ruwe=10.0, max_excess_noise=10.0)
    assert (
        select_reference(catalog, looking_at((150.0, 2.2)), 2016.0, everything)[1]["reference_brightest"]
        == 10
    )


def test_the_margin_is_around_the_real_chips():
    chips = tuple(Chip(i + 1, (2048, 4096), chip_wcs("acs_wfc", (10.0, 20.0, 40.0), i)) for i in (0, 1))
    exposures = [exposure("a", 0, chips=chips)]
    x, y = np.meshgrid(np.linspace(-900, 5000, 60), np.linspace(-900, 2950, 50))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    sky = chips[0].wcs.to_sky(pixels)
    on_first = ((pixels > -0.5) & (pixels < [4095.5, 2047.5])).all(axis=1)
    other = chips[1].wcs.to_pixel(sky)
    on_second = ((other > -0.5) & (other < [4095.5, 2047.5])).all(axis=1)
    catalog = reference(sky, mag=20.0)
    wide = SelectionSettings(margin=0.0, max_sources=1000000)
    found = np.isin(catalog.identifier, chosen(catalog, exposures, wide))
    # The edges of a distorted chip are bent by some pixels: all that is 5 pixels from them is told apart.
    near_edge = np.zeros(len(pixels), dtype=bool)
    for there in (pixels, other):
        outside = np.maximum(-0.5 - there, there - [4095.5, 2047.5]).max(axis=1)
        near_edge |= np.abs(outside) < 20
    np.testing.assert_array_equal(found[~near_edge], (on_first | on_second)[~near_edge])
    with_margin = np.isin(catalog.identifier, chosen(catalog, exposures, replace(wide, margin=30.0)))
    outside = np.min(
        [np.maximum(-0.5 - p, p - [4095.5, 2047.5]).max(axis=1) for p in (pixels, other)], axis=0
    )
    assert with_margin[outside < 30 / 0.06].all()
    assert not with_margin[outside > 30 / 0.04].any()


def test_a_fast_star_is_where_it_is_at_the_epoch():
    # 1"/yr west, 60" east of the chip's edge at J2016
    sky = around((150.0, 2.2), [[SIDE / 2 + 60.0, 0.0]])
    catalog = reference(sky, motion=(-1000.0, 0.0))
    exposures = looking_at((150.0, 2.2))
    nothing = SelectionSettings(margin=0.0)
    assert [len(chosen(catalog, exposures, nothing, year)) for year in (2016, 2075, 2077)] == [0, 0, 1]


@pytest.mark.parametrize("place", PLACES)
def test_ten_duplicates_leave_the_best(place):
    rng = np.random.default_rng(1)
    xy = np.concatenate([0.02 * rng.normal(size=(10, 2)), [[20.0, 20.0]]])
    error = np.append(rng.permutation(np.arange(1.0, 11.0)), 1.0)
    covariance = np.zeros((11, 5, 5))
    covariance[:, (0, 1), (0, 1)] = error[:, None] ** 2
    catalog = reference(around(place, xy), covariance=covariance)
    found, _ = select_reference(catalog, looking_at(place), 2016.0, ALL)
    assert found.error[:, 0].tolist() == [1.0, 1.0]
    everywhere_the_same = reference(np.repeat(around(place, xy[:1]), 3000, axis=0))
    assert len(chosen(everywhere_the_same, looking_at(place))) == 1


def test_rows_of_one_identifier_are_one_source_unless_far_apart():
    xy = [[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [30.0, 0.0], [0.0, 40.0], [0.4, 40.0]]
    catalog = reference(around((10.0, 20.0), xy), identifier=["a", "a", "b", "a", "", ""])
    found, _ = select_reference(catalog, looking_at((10.0, 20.0)), 2016.0, ALL)
    assert found.identifier.tolist() == ["a", "b", "a", "", ""]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=40),
    places,
)
def test_no_source_of_a_dense_field_goes_that_has_no_better_neighbour_left(rows, place):
    # On a grid whose step is no fraction of 0.1", so that no distance is at the limit.
    x, y, error = np.array(rows, dtype=float).T
    xy, mag = 0.0173 * np.column_stack([x, y]), np.arange(len(rows)) / 10
    covariance = np.zeros((len(rows), 5, 5))
    covariance[:, (0, 1), (0, 1)] = error[:, None] ** 2
    catalog = reference(around(place, xy), covariance=covariance, mag=mag)
    kept = []
    for row in np.lexsort((mag, error)):  # one after the other, the best first
        if all(np.hypot(*(xy[row] - xy[other])) >= 0.1 for other in kept):
            kept.append(row)
    expected = [f"star {row}" for row in sorted(kept)]
    assert chosen(catalog, looking_at(place)) == expected


def test_what_is_not_known_of_a_source_does_not_drop_it():
    nothing = {name: [np.nan, np.nan] for name in QUALITIES}
    sky = around((10.0, 20.0), [[0.0, 0.0], [10.0, 0.0]])
    for quality in ({}, nothing):
        catalog = reference(sky, quality=quality, mag=np.nan)
        assert len(chosen(catalog, looking_at((10.0, 20.0)), SelectionSettings(galaxies=False))) == 2
        assert chosen(catalog, looking_at((10.0, 20.0)), SelectionSettings(faint_limit=25.0)) == []


def unmoving(epoch=2016.0):
    sky = around((10.0, 20.0), [[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [30.0, 0.0]])
    motion = [[3.0, 4.0], [np.nan, np.nan], [np.nan, np.nan], [np.nan, np.nan]]
    extended = {"extended": [0.0, 0.0, 1.0, np.nan]}
    covariance = np.zeros((4, 5, 5))
    covariance[:, (0, 1), (0, 1)] = 1.0
    return reference(sky, motion=motion, quality=extended, covariance=covariance, epoch=epoch)


def test_unknown_motions_are_errors():
    catalog = unmoving()
    exposures = looking_at((10.0, 20.0))
    found, _ = select_reference(catalog, exposures, 2010.0, SelectionSettings(unknown_motion=2.0))
    np.testing.assert_array_equal(found.motion, [[3.0, 4.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_array_equal(found.motion_error, [[0.0] * 2, [2.0] * 2, [0.0] * 2, [2.0] * 2])
    np.testing.assert_allclose(errors_at(found, 2006.0), [1.0, np.hypot(1, 20), 1.0, np.hypot(1, 20)])
    np.testing.assert_allclose(errors_at(found, 2016.0), 1.0)
    assert np.isnan(catalog.motion[1:]).all()  # the catalog itself is as it was
    assert not catalog.covariance[:, 3:, 3:].any()
    dropped = SelectionSettings(without_motion="drop")
    # galaxies have none
    assert chosen(catalog, exposures, dropped) == ["star 0", "star 2"]
    assert chosen(catalog, exposures, replace(dropped, galaxies=False)) == ["star 0"]


def test_a_catalog_without_epochs_is_of_the_exposures():
    found, _ = select_reference(unmoving(np.nan), looking_at((10.0, 20.0)), 2010.0, ALL)
    assert (found.epoch == 2010.0).all()
    np.testing.assert_allclose(errors_at(found, 2010.0), 1.0)


def test_no_part_of_the_sky_is_crowded():
    rng = np.random.default_rng(6)
    xy = rng.uniform(-60, 60, (4000, 2))
    xy[2000:] = 10.0 * rng.normal(size=(2000, 2))
    catalog = reference(around((10.0, 20.0), xy), mag=rng.uniform(15, 25, 4000))
    exposures = looking_at((10.0, 20.0))
    found, counts = select_reference(catalog, exposures, 2016.0, SelectionSettings(max_density=20.0))
    plane = TangentPlane(10.0, 20.0)
    for middle in plane.to_plane(found.sky)[::7]:
        # a square of a square arcmin meets at most four cells
        near = (np.abs(plane.to_plane(found.sky) - middle) < 30).all(axis=1)
        assert near.sum() <= 4 * 20
    # and no more than 9 cells are filled from 120" x 120"
    assert 4 * 20 <= counts["reference_within_density"] <= 9 * 20
    brightest = catalog.identifier[np.argsort(catalog.mag)[:10]]
    assert np.isin(brightest, found.identifier).all()
    few = select_reference(catalog, exposures, 2016.0, SelectionSettings(max_density=0.1))[1]
    assert 1 <= few["reference_within_density"] <= 4


def test_magnitudes_at_both_ends():
    catalog = reference(
        around((10.0, 20.0), [[10.0 * i, 0.0] for i in range(4)]), mag=[14.0, 18.0, 22.0, np.nan]
    )
    exposures = looking_at((10.0, 20.0))
    limits = [
        ({}, 4),
        ({"bright_limit": 18.0}, 2),
        ({"faint_limit": 18.0}, 2),
        ({"bright_limit": 15.0, "faint_limit": 20.0}, 1),
        ({"max_sources": 3}, 3),
    ]
    for options, number in limits:
        assert len(chosen(catalog, exposures, SelectionSettings(**options))) == number
    assert "star 3" not in chosen(catalog, exposures, SelectionSettings(max_sources=3))


def test_a_chip_without_a_place_counts_for_nothing():
    class NoSky(FlatSky):
        def footprint(self):
            return np.full((4, 2), np.nan)

    nowhere = exposure("nowhere", 0, chips=(Chip(1, (1014, 1014), NoSky(0.0, 0.0)),))
    good = looking_at((10.0, 20.0))
    catalog = reference([[10.0, 20.0], [0.0, 0.0]])
    assert chosen(catalog, [nowhere, *good]) == ["star 0"]
    assert field_cones([nowhere, *good], 10.0) == field_cones(good, 10.0)
    assert field_cones([nowhere], 10.0) == ()


def test_an_empty_selection_is_a_value():
    for catalog in (reference(np.zeros((0, 2))), reference([[200.0, 50.0]])):
        found, counts = select_reference(
            catalog, looking_at((10.0, 20.0)), 2016.0, SelectionSettings(max_density=1.0)
        )
        assert len(found) == 0
        assert counts["reference_brightest"] == 0


# --- why there is none


@pytest.mark.parametrize(
    ("place", "distance"),
    [
        ((10.0, 32.3), "12.3 deg"),
        ((10.0, 20.5), "30.0 arcmin"),
        ((10.0, 20.01), "36.0 arcsec"),
        ((190.0, -20.0), "180.0 deg"),
    ],
)
def test_a_miss_says_by_how_much(place, distance):
    text = str(why_none(reference([place, (190.0, -20.0)]), looking_at((10.0, 20.0))))
    where = f"at RA {place[0]:.5f}, Dec {place[1]:.5f}"
    assert text == f"its nearest source is {distance} from the exposures, {where}"


def test_a_miss_names_the_cut():
    exposures = looking_at((10.0, 20.0))
    catalog = reference([[10.0, 20.0], [10.001, 20.0]])
    counts = select_reference(catalog, exposures, 2016.0, SelectionSettings(faint_limit=10.0))[1]
    assert (
        str(why_none(catalog, exposures, counts))
        == "of its 2 sources on the exposures none is left within magnitudes"
    )
    assert str(why_none(catalog[:0], exposures)) == "it has no source"
    assert str(why_none(catalog, [])) == "the exposures have no place on the sky"


@pytest.mark.parametrize(
    ("place", "reading"),
    [
        ((20.0, 10.0), "RA and Dec are swapped"),
        (np.radians((10.0, 20.0)), "they are in radians"),
        ((10.0 / 15.0, 20.0), "RA is in hours"),
        ((190.0, -20.0), ""),
    ],
)
def test_a_catalog_that_is_meant_otherwise(place, reading):
    remark = why_none(reference([place, (190.0, 20.0)]), looking_at((10.0, 20.0)))
    assert (remark.reading, remark.n_there) == (reading, int(bool(reading)))
