import gzip
import logging
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from grism_align.io.catalogs.columns import DEFAULT_ERROR
from grism_align.io.catalogs.reference import (
    read_reference_catalog,
    reference_catalog_from,
    write_reference_catalog,
)
from grism_align.values.catalog import ReferenceCatalog
from grism_align.values.errors import InputError, SettingsError

SKY = np.array([[10.0, -5.0], [10.01, -5.01], [359.5, 60.25]])


def _gaia():
    table = Table({"SOURCE_ID": [123456789012345678, 2, 3], "ra": SKY[:, 0], "dec": SKY[:, 1]})
    table["ra_error"], table["dec_error"] = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    table["pmra"], table["pmdec"] = [1.0, -2.0, 3.0], [4.0, 5.0, -6.0]
    table["pmra_error"], table["pmdec_error"] = [0.01, 0.02, 0.03], [0.04, 0.05, 0.06]
    table["ref_epoch"] = [2016.0, 2016.0, 2015.5]
    table["phot_g_mean_mag"] = [17.0, 18.0, 19.0]
    for names, unit in (
        ("ra dec", "deg"),
        ("ra_error dec_error", "mas"),
        ("pmra pmdec pmra_error pmdec_error", "mas/yr"),
        ("ref_epoch", "yr"),
        ("phot_g_mean_mag", "mag"),
    ):
        for name in names.split():
            table[name].unit = unit
    return table


def _assert_is_gaia(catalog):
    table = _gaia()
    for attribute, names in (
        ("sky", ("ra", "dec")),
        ("error", ("ra_error", "dec_error")),
        ("motion", ("pmra", "pmdec")),
        ("motion_error", ("pmra_error", "pmdec_error")),
    ):
        expected = np.column_stack([table[name] for name in names])
        np.testing.assert_allclose(getattr(catalog, attribute), expected, rtol=1e-14)
    np.testing.assert_array_equal(catalog.epoch, table["ref_epoch"])
    np.testing.assert_array_equal(catalog.mag, table["phot_g_mean_mag"])
    assert catalog.identifier.tolist() == ["123456789012345678", "2", "3"]


@pytest.mark.parametrize(
    ("file", "how"),
    [
        ("gaia.ecsv", "ascii.ecsv"),
        ("gaia.fits", "fits"),
        ("gaia.fits.gz", "fits"),
        ("gaia.csv", "ascii.csv"),
        ("blanks.csv", "ascii.basic"),
        ("commented.txt", "ascii.commented_header"),
        ("gaia.xml", "votable"),
        ("gaia.vot", "votable"),
        ("gaia.parquet", "parquet"),
        ("fits.cat", "fits"),
        ("votable.dat", "votable"),
        ("ecsv.txt", "ascii.ecsv"),
        ("parquet.dat", "parquet"),
        ("ECSV.CSV", "ascii.ecsv"),
    ],
)
def test_every_format(tmp_path, file, how):
    table = _gaia()
    if how.startswith("ascii.c") or how == "ascii.basic":
        for name in table.colnames:
            table[name].unit = None
    table.write(tmp_path / file, format=how)
    catalog = read_reference_catalog(tmp_path / file)
    _assert_is_gaia(catalog)
    assert catalog.name == file.split(".")[0]
    assert catalog.origin == str(tmp_path / file)


def test_compressed_text_and_plain_parquet_with_nulls(tmp_path):
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write("RA,Dec\n1.5,2.5\n3.5,4.5\n")
    np.testing.assert_array_equal(read_reference_catalog(tmp_path / "a.csv.gz").sky, [[1.5, 2.5], [3.5, 4.5]])
    columns = {
        "ra": [1.5, None, 3.0],
        "dec": [2.5, 1.0, 4.0],
        "id": [10**17 + 1, 2, None],
        "name": list("abc"),
    }
    parquet.write_table(pa.table({**columns, "nested": [[1], [2], [3]]}), tmp_path / "a.parquet")
    catalog = read_reference_catalog(tmp_path / "a.parquet")
    np.testing.assert_array_equal(catalog.sky, [[1.5, 2.5], [3.0, 4.0]])
    assert catalog.identifier.tolist() == [str(10**17 + 1), ""]


def test_the_longest_table_of_a_fits_file(tmp_path):
    header = fits.BinTableHDU(Table({"Field Header Card": ["x"]}))
    objects = Table({"NUMBER": [1, 2], "ALPHA_J2000": [1.0, 2.0], "DELTA_J2000": [3.0, 4.0]})
    fits.HDUList([fits.PrimaryHDU(), header, fits.BinTableHDU(objects)]).writeto(tmp_path / "ldac.cat")
    catalog = read_reference_catalog(tmp_path / "ldac.cat")
    np.testing.assert_array_equal(catalog.sky, [[1.0, 3.0], [2.0, 4.0]])
    assert catalog.identifier.tolist() == ["1", "2"]


def test_units_are_honoured(tmp_path):
    table = QTable(
        {
            "ra": [1.0, 2.0] * u.hourangle,
            "dec": [0.1, 0.2] * u.rad,
            "e_RA_ICRS": [0.01, 0.02] * u.arcsec,
            "e_DE_ICRS": [1e-6, 2e-6] * u.deg,
            "pmra": [0.5, 1.0] * u.arcsec / u.yr,
            "pmde": [1.0, 2.0] * u.deg / u.Myr,
            "epoch": Time([2010.0, 2011.0], format="jyear"),
        }
    )
    table.write(tmp_path / "a.ecsv")
    catalog = read_reference_catalog(tmp_path / "a.ecsv")
    np.testing.assert_allclose(catalog.sky, [[15.0, np.degrees(0.1)], [30.0, np.degrees(0.2)]], rtol=1e-14)
    np.testing.assert_allclose(catalog.error, [[10.0, 3.6], [20.0, 7.2]], rtol=1e-12)
    np.testing.assert_allclose(catalog.motion, [[500.0, 3.6], [1000.0, 7.2]], rtol=1e-12)
    np.testing.assert_allclose(catalog.epoch, [2010.0, 2011.0], rtol=1e-12)


@pytest.mark.parametrize(("unit", "expected"), [("degrees", 6.0), ("h", 90.0), ("hourangle", 90.0)])
def test_units_by_their_other_names(tmp_path, unit, expected):
    text = f"# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: ra, datatype: float64, unit: {unit}}}\n"
    text += "# - {name: dec, datatype: float64}\nra dec\n6.0 1.0\n"
    (tmp_path / "a.ecsv").write_text(text)
    np.testing.assert_allclose(read_reference_catalog(tmp_path / "a.ecsv").sky, [[expected, 1.0]])


def test_units_of_another_kind_are_refused(tmp_path):
    table = Table({"ra": [1.0], "dec": [2.0], "e_ra": [1.0]})
    table["e_ra"].unit = "mag"
    table.write(tmp_path / "a.ecsv")
    with pytest.raises(InputError, match="column e_ra is in mag, which is no mas"):
        read_reference_catalog(tmp_path / "a.ecsv")


def test_sexagesimal_and_decimal_text(tmp_path):
    (tmp_path / "a.csv").write_text("RAJ2000,DEJ2000\n01:00:00.0,-00:30:00\n12 34 56.7,+89 59 59\n,\n")
    catalog = read_reference_catalog(tmp_path / "a.csv")
    expected = SkyCoord(["1h0m0s", "12h34m56.7s"], ["-0d30m0s", "89d59m59s"])
    np.testing.assert_allclose(catalog.sky, np.column_stack([expected.ra.deg, expected.dec.deg]), atol=1e-12)
    Table({"ra": ["10.5", "11"], "dec": ["1", "2"]}).write(tmp_path / "b.ecsv")
    np.testing.assert_allclose(read_reference_catalog(tmp_path / "b.ecsv").sky, [[10.5, 1.0], [11.0, 2.0]])
    Table({"ra": ["10h", "x"], "dec": ["1", "2"]}).write(tmp_path / "c.ecsv")
    with pytest.raises(InputError, match="neither numbers nor sexagesimal"):
        read_reference_catalog(tmp_path / "c.ecsv")


def test_coordinates_column(tmp_path):
    table = QTable({"label": [1, 2], "sky_centroid": SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg")})
    table.write(tmp_path / "a.ecsv")
    np.testing.assert_allclose(read_reference_catalog(tmp_path / "a.ecsv").sky, [[1, 3], [2, 4]], rtol=1e-14)


def test_a_pair_comes_from_one_system(tmp_path):
    table = Table({"RAJ2000": [1.0], "DEJ2000": [2.0], "RA_ICRS": [1.1], "DE_ICRS": [2.1], "dec": [9.0]})
    table.write(tmp_path / "a.csv", format="ascii.csv")
    np.testing.assert_array_equal(read_reference_catalog(tmp_path / "a.csv").sky, [[1.1, 2.1]])


def test_named_columns_override(tmp_path):
    table = Table({"ra": [1.0], "dec": [2.0], "MYRA": [3.0], "MYDEC": [4.0], "g": [20.0], "key": ["k"]})
    table.write(tmp_path / "a.csv", format="ascii.csv")
    names = {"ra": "MYRA", "dec": "mydec", "mag": "g", "id": "key", "pmra": ""}
    catalog = read_reference_catalog(tmp_path / "a.csv", names, name="mine")
    np.testing.assert_array_equal(catalog.sky, [[3.0, 4.0]])
    assert (catalog.mag.tolist(), catalog.identifier.tolist(), catalog.name) == ([20.0], ["k"], "mine")
    with pytest.raises(SettingsError, match=r"ra_column='RA2'.*ra, dec, MYRA, MYDEC, g, key"):
        read_reference_catalog(tmp_path / "a.csv", {"ra": "RA2"})
    with pytest.raises(SettingsError, match="one of ra, dec, mag"):
        read_reference_catalog(tmp_path / "a.csv", {"colour": "g"})


def test_defaults_of_a_bare_list(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("ra dec\n-1.0 2.0\n3.0 4.0\n")
    catalog = read_reference_catalog(tmp_path / "a.csv")
    np.testing.assert_array_equal(catalog.sky, [[359.0, 2.0], [3.0, 4.0]])
    assert (catalog.error == DEFAULT_ERROR).all()
    assert np.isnan(catalog.motion).all()
    assert not catalog.motion_error.any()
    assert not catalog.parallax.any()
    assert not catalog.radial_velocity.any()
    assert np.isnan(catalog.epoch).all()
    assert catalog.quality == {}
    assert np.isnan(catalog.mag).all()
    assert catalog.identifier.tolist() == ["1", "2"]
    assert "10 mas is taken" in caplog.text


def test_blanks_are_dropped_or_filled(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table = _gaia()["SOURCE_ID", "ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error"]
    for _ in range(2):
        table.add_row(table[0])
    table = Table(table, masked=True)
    table["ra"].mask[1] = True
    table["ra_error"][:] = [1.0, 2.0, 0.0, np.nan, 6.0]
    table["dec_error"] = MaskedColumn([1.0, 2.0, -3.0, 4.0, 9.0], mask=[0, 0, 0, 0, 1], unit="mas")
    table["pmdec"].mask[2] = True
    table["pmra_error"][3] = np.nan
    table.write(tmp_path / "a.ecsv")
    catalog = read_reference_catalog(tmp_path / "a.ecsv", default_epoch=2016.0)
    assert len(catalog) == 4
    np.testing.assert_array_equal(catalog.error, [[1, 1], [2, 2], [2, 4], [6, 2]])
    np.testing.assert_array_equal(catalog.motion, [[1, 4], [np.nan] * 2, [1, 4], [1, 4]])
    np.testing.assert_array_equal(catalog.motion_error[:, 0], [0.01, 0, 0.015, 0.01])
    assert "1 sources without a proper motion" in caplog.text
    assert "1 of 5 rows without a position" in caplog.text
    assert "2 blank or impossible values of ra_error" in caplog.text


def test_nulls_of_the_gaia_archive(tmp_path):
    text = "source_id,ra,dec,pmra,pmdec,ref_epoch\n1,10.0,20.0,null,null,2016.0\n2,11.0,21.0,1.5,2.5,2016.0\n"
    (tmp_path / "a.csv").write_text(text)
    catalog = read_reference_catalog(tmp_path / "a.csv")
    np.testing.assert_array_equal(catalog.motion, [[np.nan, np.nan], [1.5, 2.5]])


@pytest.mark.parametrize(
    ("value", "year"),
    [(2015.5, 2015.5), ("J2016.0", 2016.0), ("2016.25", 2016.25), ("2016-07-02", 2016.5), (2016, 2016.0)],
)
@pytest.mark.parametrize("key", ["epoch", "EPOCH", "ref_epoch"])
def test_epoch_of_meta(tmp_path, key, value, year):
    table = _gaia()
    table.remove_column("ref_epoch")
    table.meta[key] = value
    table.write(tmp_path / "a.ecsv")
    catalog = read_reference_catalog(tmp_path / "a.ecsv", default_epoch=1990.0)
    np.testing.assert_allclose(catalog.epoch, year, atol=2e-3)


def test_epochs_in_the_rows(tmp_path):
    table = _gaia()
    table["ref_epoch"] = MaskedColumn(["J2010.5", "2016-01-01", ""], mask=[0, 0, 1])
    table.write(tmp_path / "a.ecsv")
    catalog = read_reference_catalog(tmp_path / "a.ecsv", default_epoch=2020.0)
    np.testing.assert_allclose(catalog.epoch, [2010.5, 2016.0, 2020.0], atol=2e-3)
    with pytest.raises(InputError, match="1 sources have a proper motion but no epoch"):
        read_reference_catalog(tmp_path / "a.ecsv")


def test_epochs_that_matter_are_demanded(tmp_path):
    table = _gaia()
    table.remove_column("ref_epoch")
    table.write(tmp_path / "a.ecsv")
    with pytest.raises(InputError, match=r"no epoch.*Give it in Julian years"):
        read_reference_catalog(tmp_path / "a.ecsv")
    table.meta["epoch"] = 57388.0
    table.write(tmp_path / "b.ecsv")
    with pytest.raises(InputError, match=r"57388.0 is no Julian year and looks like a Julian date"):
        read_reference_catalog(tmp_path / "b.ecsv")
    with pytest.raises(SettingsError, match="epoch=57388"):
        read_reference_catalog(tmp_path / "a.ecsv", default_epoch=57388.0)
    table.remove_columns(["pmra", "pmdec"])
    table.write(tmp_path / "c.ecsv")
    assert np.isnan(read_reference_catalog(tmp_path / "c.ecsv").epoch).all()


def test_half_a_proper_motion_is_none(tmp_path, caplog):
    table = _gaia()
    table.remove_column("pmdec")
    table.write(tmp_path / "a.ecsv")
    assert np.isnan(read_reference_catalog(tmp_path / "a.ecsv").motion).all()
    assert "one axis only" in caplog.text


def test_errors_that_look_like_arcsec(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    Table({"ra": [1.0], "dec": [2.0], "ra_err": [0.002], "dec_err": [0.002]}).write(tmp_path / "a.csv")
    read_reference_catalog(tmp_path / "a.csv")
    assert "is its unit right?" in caplog.text
    caplog.clear()
    Table({"raMean": [1.0], "decMean": [2.0], "raMeanErr": [0.002], "decMeanErr": [0.002]}).write(
        tmp_path / "panstarrs.csv"
    )
    np.testing.assert_allclose(read_reference_catalog(tmp_path / "panstarrs.csv").error, [[2.0, 2.0]])
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.csv", b"x,y\n1,2\n", "no columns recognised as RA and Dec among x, y"),
        ("a.csv", b"ra,dec\n", "without rows"),
        ("a.csv", b"", "an empty file"),
        ("a.json", b'{"ra": [1], "dec": [2]}', "JSON, which is no table"),
        ("a.txt", b'[{"ra": 1, "dec": 2}]', "JSON, which is no table"),
        ("a.csv", b"ra,dec\nnan,nan\n", "no row has a position"),
        ("a.csv", b"ra,dec\n1,91\n", "column dec: 1 values beyond 90 deg"),
        ("a.csv", b"ra,dec,mag\n1,2,bright\n", "column mag isn't numbers"),
        ("a.fits", b"hello", "not a readable fits table"),
        ("a.ecsv", b"hello", "not a readable ecsv table"),
        ("a.xml", b"<?xml version='1.0'?><a/>", "not a readable votable table"),
        ("a.xml", b"hello", "not a readable votable table"),
        ("a.parquet", b"hello", "not a readable parquet table"),
        ("a.txt", bytes(range(256)), "not a readable text table"),
    ],
)
def test_unusable_files(tmp_path, name, content, problem):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_reference_catalog(tmp_path / name)
    assert problem in caught.value.problem
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file_image_and_unrecognised_columns(tmp_path):
    with pytest.raises(InputError, match="no such reference catalog"):
        read_reference_catalog(tmp_path / "none.csv")
    fits.PrimaryHDU(np.zeros((2, 2))).writeto(tmp_path / "image.fits")
    with pytest.raises(InputError, match="no table extension"):
        read_reference_catalog(tmp_path / "image.fits")
    (tmp_path / "a.csv").write_text("lon,lat\n1,2\n")
    with pytest.raises(InputError, match=r"--steps\.absolute_align\.ra_column="):
        read_reference_catalog(tmp_path / "a.csv")


_FIELDS = (
    "sky",
    "error",
    "motion",
    "motion_error",
    "parallax",
    "radial_velocity",
    "epoch",
    "mag",
    "identifier",
)
_unknown = st.just(float("nan"))
_numbers = st.floats(-1e4, 1e4, allow_subnormal=False)
_errors = st.floats(1e-3, 1e4)
_rows = st.fixed_dictionaries(
    {
        "sky": st.tuples(st.floats(0, 360, exclude_max=True), st.floats(-90, 90)),
        "error": st.tuples(_errors, _errors, st.just(0.0) | _errors, _errors, _errors),
        "motion": st.tuples(_numbers, _numbers) | st.tuples(_unknown, _unknown),
        "parallax": _numbers,
        "radial_velocity": _numbers,
        "epoch": st.floats(1800, 2200),
        "mag": st.floats(5, 30) | _unknown,
        "identifier": st.text("abcXYZ 0123+-.,\"'#", min_size=1, max_size=12).map(str.strip),
        "ruwe": st.floats(0, 30) | _unknown,
        "extended": st.sampled_from([0.0, 1.0, float("nan")]),
    }
)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(st.lists(_rows, min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_round_trip_is_exact(tmp_path_factory, rows, seed):
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    error, quality = columns.pop("error"), {name: columns.pop(name) for name in ("ruwe", "extended")}
    error[np.isnan(columns["motion"]).any(axis=1), 3:] = 0.0
    factor = np.random.default_rng(seed).normal(size=(len(rows), 5, 7))
    factor /= np.linalg.norm(factor, axis=2)[..., None]
    covariance = factor @ factor.swapaxes(1, 2) * error[:, :, None] * error[:, None, :]
    covariance[:, range(5), range(5)] = error**2
    catalog = ReferenceCatalog(
        covariance=covariance, **columns, name="Gaia DR3", origin="TAP service", quality=quality
    )
    path = tmp_path_factory.mktemp("round") / "a.ecsv"
    write_reference_catalog(catalog, path)
    read = read_reference_catalog(path)
    for name in _FIELDS:
        np.testing.assert_array_equal(getattr(read, name), getattr(catalog, name), err_msg=name)
    # a correlation is a quotient, and a covariance its product with two errors: each rounds once or twice
    scale = error[:, :, None] * error[:, None, :]
    assert (np.abs(read.covariance - covariance) <= 4 * np.finfo(float).eps * scale).all()
    assert read.quality.keys() == quality.keys()
    for name, values in quality.items():
        np.testing.assert_array_equal(read.quality[name], values)
    assert (read.name, read.origin) == ("Gaia DR3", "TAP service")
    write_reference_catalog(read, path)
    again = read_reference_catalog(path)
    assert (np.abs(again.covariance - read.covariance) <= 4 * np.finfo(float).eps * scale).all()


def _correlated(**columns):
    table = _gaia()
    table["parallax"], table["parallax_error"] = [1.0, np.nan, 2.0], [0.1, np.nan, 0.2]
    for name, values in columns.items():
        table[name] = values
    return table


def test_the_five_parameter_covariance_of_gaia():
    rng = np.random.default_rng(5)
    names = list(combinations(("ra", "dec", "parallax", "pmra", "pmdec"), 2))
    factor = rng.normal(size=(3, 5, 9))
    factor /= np.linalg.norm(factor, axis=2)[..., None]
    matrix = factor @ factor.swapaxes(1, 2)
    places = list(combinations(range(5), 2))
    table = _correlated(
        **{f"{a}_{b}_corr": matrix[:, i, j] for (a, b), (i, j) in zip(names, places, strict=True)}
    )
    catalog = reference_catalog_from(table, "Gaia")
    order = ("ra_error", "dec_error", "parallax_error", "pmra_error", "pmdec_error")
    error = np.nan_to_num(np.column_stack([table[name] for name in order]))
    expected = matrix * error[:, :, None] * error[:, None, :]
    np.testing.assert_allclose(catalog.covariance, expected, rtol=1e-14, atol=1e-16)
    np.testing.assert_array_equal(catalog.parallax, [1.0, 0.0, 2.0])
    vizier = dict(
        zip(("ra", "dec", "parallax", "pmra", "pmdec"), ["RA", "DE", "Plx", "pmRA", "pmDE"], strict=True)
    )
    for a, b in names:
        table.rename_column(f"{a}_{b}_corr", f"{vizier[a]}{vizier[b]}cor")
    np.testing.assert_array_equal(reference_catalog_from(table, "VizieR").covariance, catalog.covariance)


def test_blank_and_impossible_correlations_count_as_none():
    correlation = MaskedColumn([0.5, 1.5, np.nan], mask=[1, 0, 0])
    catalog = reference_catalog_from(_correlated(ra_dec_corr=correlation), "a")
    assert not catalog.covariance[:, 0, 1].any()


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=10))
@example([0.9, 0.9, 0, 0, -0.9, 0, 0, 0, 0, 0])
def test_a_covariance_is_never_negative(values):
    names = [f"{a}_{b}_corr" for a, b in combinations(("ra", "dec", "parallax", "pmra", "pmdec"), 2)]
    table = _correlated(**{name: [value, 0.0, 0.1] for name, value in zip(names, values, strict=True)})
    catalog = reference_catalog_from(table, "a")
    error = np.sqrt(np.diagonal(catalog.covariance, axis1=1, axis2=2))
    np.testing.assert_allclose(error[0], [0.1, 0.4, 0.1, 0.01, 0.04], rtol=1e-14)
    scaled = catalog.covariance[0] / np.outer(error[0], error[0])
    least = np.linalg.eigvalsh(scaled)[0]
    assert least > -1e-11
    stated = np.eye(5)
    stated[np.triu_indices(5, 1)] = values
    stated = np.maximum(stated, -1) + np.triu(stated, 1).T
    if np.linalg.eigvalsh(stated)[0] > 0:
        np.testing.assert_allclose(scaled, stated, atol=1e-15)
    else:  # all are scaled down by one number
        assert abs(least) < 1e-11
        share = (scaled - np.eye(5))[np.triu_indices(5, 1)] @ np.array(values) / np.dot(values, values)
        np.testing.assert_allclose(scaled - np.eye(5), share * (stated - np.eye(5)), atol=1e-14)


def test_motion_without_an_error_of_its_own():
    table = _gaia()
    table["pmra_error"][:] = [0.01, np.nan, 0.03]
    np.testing.assert_allclose(reference_catalog_from(table, "a").motion_error[:, 0], [0.01, 0.02, 0.03])
    table.remove_columns(["pmra_error", "pmdec_error"])
    assert not reference_catalog_from(table, "a").motion_error.any()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"RUWE": [1.0, np.nan], "epsi": [0.3, 0.4]}, {"ruwe": [1, np.nan], "excess_noise": [0.3, 0.4]}),
        ({"astrometric_excess_noise": [1.0, 2.0]}, {"excess_noise": [1, 2]}),
        ({"duplicated_source": [True, False]}, {"duplicated": [1, 0]}),
        ({"duplicated_source": ["False", "true"]}, {"duplicated": [0, 1]}),
        ({"Dup": [0, 1]}, {"duplicated": [0, 1]}),
        ({"Dup": MaskedColumn([1, 1], mask=[0, 1])}, {"duplicated": [1, np.nan]}),
        ({"type": ["PSF", "REX"]}, {"extended": [0, 1]}),
        ({"type": [b"PSF ", b"DEV "]}, {"extended": [0, 1]}),
        ({"type": [6, 3]}, {"extended": [0, 1]}),
        ({"kind": ["galaxy", "star"]}, {"extended": [1, 0]}),
        ({"class": ["QSO", "unsure"]}, {"extended": [0, np.nan]}),
        ({"extended": [1, 0], "kind": ["star", "star"]}, {"extended": [1, 0]}),
        ({"extended": [1.0, np.nan], "kind": ["star", "star"]}, {"extended": [1, 0]}),
        ({"type": ["a", "b"], "CLASS_STAR": [0.0, 1.0]}, {}),
    ],
)
def test_qualities(columns, expected):
    table = Table({"ra": [1.0, 2.0], "dec": [3.0, 4.0], **columns})
    quality = reference_catalog_from(table, "a").quality
    assert quality.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(quality[name], values)


def test_what_stands_for_nothing(caplog):
    caplog.set_level(logging.INFO)
    nothing = [np.nan, np.inf, -np.inf, -999.0]
    table = Table({"ra": [1.0, *nothing, 2.0, 3.0, 4.0], "dec": [1.0, *nothing, np.inf, 3.0, 4.0]})
    table["mag"] = [20.0, *nothing, 20.0, 99.0, -9999.0]
    table["ra_error"] = np.full(8, np.nan)
    table["rv"] = np.array([None] * 8, dtype=object)
    catalog = reference_catalog_from(table, "a")
    np.testing.assert_array_equal(catalog.sky, [[1, 1], [3, 3], [4, 4]])
    np.testing.assert_array_equal(catalog.mag, [20, np.nan, np.nan])
    assert (catalog.error == DEFAULT_ERROR).all()
    assert not catalog.radial_velocity.any()
    assert "5 of 8 rows without a position" in caplog.text


def test_velocities_and_parallaxes_have_units():
    table = _gaia()
    table["RV"], table["Plx"] = [1000.0, 2.0, np.nan] * u.m / u.s, [1e-3, 2e-3, 3e-3] * u.arcsec
    catalog = reference_catalog_from(QTable(table), "a")
    np.testing.assert_allclose(catalog.radial_velocity, [1.0, 2e-3, 0.0])
    np.testing.assert_allclose(catalog.parallax, [1.0, 2.0, 3.0])


def test_an_array_in_a_row_is_no_number():
    table = Table({"ra": [1.0], "dec": [2.0], "pmra": [[1.0, 2.0]], "pmdec": [1.0]})
    with pytest.raises(InputError, match="column pmra isn't numbers"):
        reference_catalog_from(table, "somewhere")


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("epochMean", [55197.0], None),
        ("mjd", [55197.0], "d"),
        ("epoch", [55197.0], "d"),
        ("epoch", [55197.0], "day"),
        ("jdate", [2455197.5], None),
        ("epoch", ["J2010.0"], None),
    ],
)
def test_epochs_in_days(name, values, unit):
    table = Table({"ra": [1.0], "dec": [2.0], name: values})
    table[name].unit = unit
    # MJD 55197.0 is 2010-01-01
    np.testing.assert_allclose(reference_catalog_from(table, "a").epoch, 2010.0, atol=2e-3)


_VOTABLE = """<?xml version="1.0"?>
<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">
{systems}<TABLE>
<FIELD ID="f0" name="ra" datatype="double" unit="deg" {ref}/>
<FIELD ID="f1" name="dec" datatype="double" unit="deg" {ref}/>
<FIELD ID="f2" name="pmra" datatype="double" unit="mas.yr**-1"/>
<FIELD ID="f3" name="pmdec" datatype="double" unit="mas.yr**-1"/>
<FIELD ID="f4" name="extended" datatype="boolean"/>
<DATA><TABLEDATA>
<TR><TD>10</TD><TD>20</TD><TD/><TD/><TD>true</TD></TR>
<TR><TD>11</TD><TD>21</TD><TD>1.5</TD><TD>2.5</TD><TD/></TR>
</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>
"""
_SYSTEMS = '<COOSYS ID="J2000" system="ICRS" epoch="2000.0"/><COOSYS ID="own" system="ICRS" epoch="{}"/>'


@pytest.mark.parametrize(
    ("systems", "ref", "year"),
    [
        ('<COOSYS ID="a" system="ICRS" epoch="J2016.0"/>', "", 2016.0),
        ('<RESOURCE><COOSYS ID="a" system="ICRS" epoch="2015.5"/></RESOURCE>', "", 2015.5),
        (_SYSTEMS.format("J2016.0"), 'ref="own"', 2016.0),
        (_SYSTEMS.format("2015.5"), 'ref="own"', 2015.5),
        (_SYSTEMS.format("B1950"), 'ref="own"', 1949.99979),
    ],
)
def test_epochs_of_votables(tmp_path, systems, ref, year):
    (tmp_path / "a.vot").write_text(_VOTABLE.format(systems=systems, ref=ref))
    catalog = read_reference_catalog(tmp_path / "a.vot", default_epoch=1990.0)
    np.testing.assert_allclose(catalog.epoch, year, atol=1e-5)
    np.testing.assert_array_equal(catalog.motion, [[np.nan, np.nan], [1.5, 2.5]])
    np.testing.assert_array_equal(catalog.quality["extended"], [1, np.nan])


@pytest.mark.parametrize("systems", ["", _SYSTEMS.format("J2016.0"), '<COOSYS ID="a" system="ICRS"/>'])
def test_votables_that_name_no_one_epoch(tmp_path, systems):
    (tmp_path / "a.vot").write_text(_VOTABLE.format(systems=systems, ref=""))
    with pytest.raises(InputError, match="no epoch"):
        read_reference_catalog(tmp_path / "a.vot")
    assert (read_reference_catalog(tmp_path / "a.vot", default_epoch=1990.0).epoch == 1990).all()


def test_errors_name_where_a_table_came_from():
    with pytest.raises(InputError, match=r"^https://somewhere/tap: no columns recognised"):
        reference_catalog_from(Table({"x": [1.0]}), "https://somewhere/tap")
    catalog = reference_catalog_from(Table({"ra": [1.0], "dec": [2.0]}), "https://somewhere/tap", name="X")
    assert (catalog.name, catalog.origin) == ("X", "https://somewhere/tap")
