from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st

from grism_align.values.catalog import (
    ASTROMETRIC_PARAMETERS,
    ReferenceCatalog,
    SourceCatalog,
    SourceFlag,
    astrometric_covariance,
)
from grism_align.values.failure import NoSources, remark_entry
from tests.support.reference_catalogs import reference

NAMES = SourceCatalog.empty().table.colnames


def source_catalog(flux, flags, meta=None):
    columns = {name: np.arange(len(flux)) for name in NAMES}
    return SourceCatalog.from_columns({**columns, "flux": flux, "flags": flags}, meta)


def test_columns_have_types_and_units():
    catalog = source_catalog([1.0, 2.0], [0, 4], {"remarks": [remark_entry(NoSources(6.0))]})
    assert len(catalog) == 2
    assert catalog.remarks == (NoSources(6.0),)
    assert catalog.table["x"].unit == u.pix
    assert catalog.table["mag"].unit == u.mag
    assert catalog.table["id"].dtype == np.int64
    np.testing.assert_array_equal(catalog.xy, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(catalog.xy_error, catalog.xy)
    np.testing.assert_array_equal(catalog.chip, [0, 1])
    np.testing.assert_array_equal(catalog.mag, [0, 1])


def test_empty_catalog_is_a_value():
    empty = SourceCatalog.empty({"remarks": [remark_entry(NoSources(6.0))]})
    assert len(empty) == 0
    assert empty.xy.shape == empty.xy_error.shape == (0, 2)
    assert empty.remarks == (NoSources(6.0),)
    assert SourceCatalog.empty().remarks == ()
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


@pytest.mark.parametrize("rows", [np.array([2, 0]), np.array([True, False, True])])
def test_rows(rows):
    catalog = reference(
        [[1, 2], [3, 4], [5, 6]],
        motion=[[1.0, 2.0], [np.nan, np.nan], [3.0, 4.0]],
        parallax=[0.1, 0.2, 0.3],
        radial_velocity=[10.0, 20.0, 30.0],
        epoch=[2014.0, 2015.0, 2016.0],
        quality={"ruwe": [1.0, 2.0, np.nan]},
    )
    part = catalog[rows]
    assert len(part) == 2
    names = {field.name for field in fields(ReferenceCatalog)} - {
        "name",
        "origin",
        "quality",
        "observer",
        "sha256",
    }
    for name in (*names, "error", "motion_error", "has_motion"):
        np.testing.assert_array_equal(getattr(part, name), getattr(catalog, name)[rows])
    np.testing.assert_array_equal(part.quality["ruwe"], catalog.quality["ruwe"][rows])
    assert (part.name, part.origin) == (catalog.name, catalog.origin)


def test_errors_are_the_roots_of_the_diagonal():
    rng = np.random.default_rng(2)
    error, motion_error, parallax_error = rng.uniform(0.1, 5, (3, 4, 2))
    covariance = astrometric_covariance(error, motion_error, parallax_error[:, 0])
    catalog = reference(rng.uniform(0, 80, (4, 2)), covariance=covariance)
    # the root of a square is the number itself
    np.testing.assert_array_equal(catalog.error, error)
    np.testing.assert_array_equal(catalog.motion_error, motion_error)
    place = ASTROMETRIC_PARAMETERS.index("parallax")
    np.testing.assert_array_equal(np.sqrt(covariance[:, place, place]), parallax_error[:, 0])
    assert np.count_nonzero(covariance) == 4 * 5
    assert np.count_nonzero(astrometric_covariance(error)) == 4 * 2


def test_motion_is_known_of_both_axes_or_not():
    motion = [[0.0, 0.0], [np.nan, 1.0], [1.0, np.nan], [np.nan, np.nan]]
    assert reference(np.zeros((4, 2)), motion=motion).has_motion.tolist() == [True, False, False, False]
