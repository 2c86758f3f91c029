from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from astropy.time import Time
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.values.catalog import ReferenceCatalog, SourceCatalog, SourceFlag

NAMES = SourceCatalog.empty().table.colnames


def source_catalog(flux, flags, meta=None):
    columns = {name: np.arange(len(flux)) for name in NAMES}
    return SourceCatalog.from_columns({**columns, "flux": flux, "flags": flags}, meta)


def reference(sky, motion=0.0, epoch=2016.0, error=0.3, motion_error=0.1):
    sky = np.asarray(sky, dtype=float).reshape(-1, 2)
    n = len(sky)
    return ReferenceCatalog(
        sky=sky,
        error=np.full((n, 2), error),
        motion=np.broadcast_to(np.asarray(motion, dtype=float), (n, 2)),
        motion_error=np.full((n, 2), motion_error),
        epoch=np.full(n, epoch),
        mag=np.linspace(15, 20, n),
        identifier=np.array([f"star {i}" for i in range(n)]),
        name="MADE",
        origin="here",
    )


def test_columns_have_types_and_units():
    catalog = source_catalog([1.0, 2.0], [0, 4], {"note": "trailed"})
    assert len(catalog) == 2
    assert catalog.note == "trailed"
    assert catalog.table["x"].unit == u.pix
    assert catalog.table["mag"].unit == u.mag
    assert catalog.table["id"].dtype == np.int64
    np.testing.assert_array_equal(catalog.xy, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(catalog.xy_error, catalog.xy)
    np.testing.assert_array_equal(catalog.chip, [0, 1])
    np.testing.assert_array_equal(catalog.mag, [0, 1])


def test_empty_catalog_is_a_value():
    empty = SourceCatalog.empty({"note": "no source"})
    assert len(empty) == 0
    assert empty.xy.shape == empty.xy_error.shape == (0, 2)
    assert empty.note == "no source"
    assert SourceCatalog.empty().note == ""
    assert len(empty.brightest(5)) == 0


def test_missing_columns_are_named():
    with pytest.raises(ValueError, match="without the columns chip, x, y,"):
        SourceCatalog(Table({"id": [1], "flux": [2.0]}))


@given(
    st.lists(st.tuples(st.floats(-10, 1e6), st.integers(0, 63)), max_size=30),
    st.integers(0, 40),
)
def test_brightest(rows, number):
    flux, flags = (np.array([row[i] for row in rows]) for i in (0, 1))
    catalog = source_catalog(flux, flags.astype(int))
    avoid = SourceFlag.SATURATED | SourceFlag.TRAILED
    chosen = catalog.brightest(number, avoid)
    usable = flux[(flags.astype(int) & int(avoid)) == 0]
    np.testing.assert_array_equal(chosen.flux, np.sort(usable)[::-1][:number])
    assert not (chosen.flags & int(avoid)).any()


def test_unknown_flux_comes_last():
    chosen = source_catalog([np.nan, 3.0, 5.0], [0, 0, 0]).brightest(3)
    np.testing.assert_array_equal(chosen.flux, [5, 3, np.nan])


@settings(max_examples=30)
@given(
    st.floats(0, 360, exclude_max=True),
    st.floats(-89.9, 89.9),
    st.tuples(st.floats(-10000, 10000), st.floats(-10000, 10000)),
    st.floats(-10, 10),
)
def test_proper_motion_agrees_with_astropy(ra, dec, motion, years):
    moved = reference([ra, dec], motion).at_epoch(2016.0 + years)
    # A small distance keeps the light-time terms of astropy, motion^3 x distance, below 1e-4 mas.
    star = SkyCoord(
        ra * u.deg,
        dec * u.deg,
        pm_ra_cosdec=motion[0] * u.mas / u.yr,
        pm_dec=motion[1] * u.mas / u.yr,
        distance=0.01 * u.pc,
        radial_velocity=0 * u.km / u.s,
        obstime=Time(2016.0, format="jyear", scale="tdb"),
    )
    there = star.apply_space_motion(new_obstime=Time(2016.0 + years, format="jyear", scale="tdb"))
    found = SkyCoord(*moved.sky[0], unit="deg")
    assert found.separation(there).mas < 1e-3


def test_errors_grow_with_the_years():
    catalog = reference([[10, 20], [350, -89.9]], (3.0, 4.0))
    moved = catalog.at_epoch(np.array([2016.0, 2026.0]))
    np.testing.assert_allclose(moved.error, [[0.3, 0.3], [np.hypot(0.3, 1.0)] * 2])
    np.testing.assert_array_equal(moved.epoch, [2016, 2026])
    separation = SkyCoord(catalog.sky, unit="deg").separation(SkyCoord(moved.sky, unit="deg"))
    np.testing.assert_allclose(separation.mas, [0, 50], atol=1e-6)
    np.testing.assert_array_equal(catalog.epoch, 2016)
    assert (moved.name, moved.origin) == ("MADE", "here")


def test_an_empty_reference_moves_too():
    assert len(reference(np.zeros((0, 2))).at_epoch(2020.0)) == 0


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True])])
def test_rows(rows):
    catalog = reference([[1, 2], [3, 4], [5, 6]])
    part = catalog[rows]
    assert len(part) == 2
    for name in ("sky", "error", "motion", "motion_error", "epoch", "mag", "identifier"):
        np.testing.assert_array_equal(getattr(part, name), getattr(catalog, name)[rows])
