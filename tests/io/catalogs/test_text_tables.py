"""Tables as archives, spreadsheets and people write them."""

from __future__ import annotations

import gzip
import logging

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Column, Table

from grism_align.io.catalogs.reference import (
    read_reference_catalog,
    reference_catalog_from,
    write_reference_catalog,
)
from grism_align.values.errors import InputError

# Ten places with nine decimals, so that nothing looks rounded.
RNG = np.random.default_rng(11)
SKY = np.round(np.column_stack([RNG.uniform(150.1, 150.2, 10), RNG.uniform(-2.3, -2.2, 10)]), 9)
MAG = np.round(RNG.uniform(17, 23, 10), 4)


def _rows(mark: str) -> str:
    return "".join(
        mark.join([f"{ra:.9f}", f"{dec:.9f}", f"{mag:.4f}"]) + "\n"
        for (ra, dec), mag in zip(SKY, MAG, strict=True)
    )


def _with_commas(mark: str) -> str:
    return _rows(mark).replace(".", ",")


def _assert_read(catalog, error=10.0):
    np.testing.assert_allclose(catalog.sky, SKY, atol=1e-9)
    np.testing.assert_allclose(catalog.mag, MAG, atol=1e-9)
    np.testing.assert_allclose(catalog.error, error, rtol=1e-6)


_IPAC = """\\fixlen = T
|ra           |dec          |mag     |
|double       |double       |double  |
|deg          |deg          |mag     |
"""
_CSV = "ra,dec,mag\n" + _rows(",")


@pytest.mark.parametrize(
    "content",
    [
        _CSV.encode("utf-8-sig"),
        _CSV.encode("utf-16"),
        _CSV.encode("utf-16-le"),
        b"\xfe\xff" + _CSV.encode("utf-16-be"),
        _CSV.replace("\n", "\r\n").encode(),
        _CSV.replace("\n", "\r").encode(),
        ("# gemessen von M\xfcller\n" + _CSV).encode("latin-1"),
        ("# measured by \xc5ngstr\xf6m\n" + _CSV).encode(),
        gzip.compress(_CSV.encode("utf-8-sig"), mtime=0),
        "ra;dec;mag\n{}".format(_rows(";")).encode(),
        "sep=;\nra;dec;mag\n{}".format(_with_commas(";")).encode("utf-8-sig"),
        "ra;dec;mag\r\n{}".format(_with_commas(";").replace("\n", "\r\n")).encode(),
        "ra\tdec\tmag\n{}".format(_with_commas("\t")).encode("utf-16"),
        "ra;dec;mag;;\n{}".format(_rows(";").replace("\n", ";;\n")).encode(),
        ("ra,dec,mag\n" + "".join(f'"{line}"\n' for line in _with_commas('","').splitlines())).encode(),
        ("ra,dec,mag\n" + _rows(",") + ",,\n,,\n").encode(),
        ("ra,dec,mag,\n" + _rows(",").replace("\n", ",\n")).encode(),
        ("ra,dec,mag,note\n" + _rows(",")).encode(),
        (",ra,dec,mag\n" + "".join(f"{n},{line}\n" for n, line in enumerate(_rows(",").split()))).encode(),
        ("Stars of the field;;\nra;dec;mag\n" + _rows(";")).encode(),
        ("ra dec mag\n" + _with_commas(" ")).encode(),
        ("RA (deg), Dec (deg), mag\n" + _rows(", ")).encode(),
        ("R.A. [deg];Dec. [deg];mag\n" + _rows(";")).encode(),
        ("ra,dec,mag\ndeg,deg,mag\n" + _rows(",")).encode(),
        ("ra dec mag\ndeg deg mag\n" + _rows(" ")).encode(),
        ("ra\tdec\tmag\n10N\t10N\t10N\n" + _rows("\t")).encode(),
        ("#Table1\nra,dec,mag\n" + _rows(",")).encode(),
        ("# ra dec mag\n" + _rows(" ")).encode(),
        ("#ra;dec;mag\n" + _rows(";")).encode(),
        ("# made by me\n# on 3 February\n#\n# ra dec mag\n" + _rows(" ")).encode(),
        ("# of the field\n# ra dec mag\n# deg deg mag\n\n" + _rows(" ")).encode(),
        ("# title\n#ra,dec,mag\n" + _rows(",")).encode(),
        (_IPAC + "".join(f" {line}\n" for line in _rows("  ").splitlines())).encode(),
        ("# 1 ALPHA_J2000 RA [deg]\n# 2 DELTA_J2000 Dec [deg]\n# 3 MAG_AUTO m [mag]\n" + _rows(" ")).encode(),
    ],
    ids=lambda content: repr(content[:24]),
)
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_text_as_spreadsheets_and_people_write_it(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    _assert_read(read_reference_catalog(tmp_path / name))


_VIZIER = """#
#   VizieR Astronomical Server vizier.cds.unistra.fr
#Coosys\tJ2000:\teq_FK5 J2000
#INFO\tvotable-version=1.99+ (14-Oct-2013)\t
#-c.eq=J2000; c.r=  2,

#RESOURCE=yCat_1355
#Name: I/355
#Title: Gaia DR3 Part 1. Main source (Gaia Collaboration, 2022)
#Table\tI_355_gaiadr3:
#Column\tRA_ICRS\t(F15.11)\tRight ascension (ICRS) at Ep=2016.0 (ra)\t[ucd=pos.eq.ra;meta.main]
#Column\tDE_ICRS\t(F15.11)\tDeclination (ICRS) at Ep=2016.0 (dec)\t[ucd=pos.eq.dec;meta.main]
#Column\tpmRA\t(F9.3)\t? Proper motion in RA, pmRA*cosDE (pmra)\t[ucd=pos.pm;pos.eq.ra]
"""


@pytest.mark.parametrize("mark", ["\t", ";", "|"])
@pytest.mark.parametrize("tables", [1, 2])
def test_vizier(tmp_path, mark, tables):
    names = mark.join(("RA_ICRS", "DE_ICRS", "Gmag", "e_RA_ICRS", "e_DE_ICRS", "pmRA", "pmDE", "RUWE"))
    units = mark.join(("deg", "deg", "mag", "arcsec", "mas", "mas/yr", "arcsec/yr", " "))
    dashes = mark.join(["-" * 15] * 8)
    rows = [
        mark.join((f"{ra:015.11f}", f"{dec:+015.11f}", f"{mag:.4f}", "0.001", " 2.5", " 1.5", "-0.002", "  "))
        for (ra, dec), mag in zip(SKY, MAG, strict=True)
    ]
    text = "\n".join([_VIZIER, names, units, dashes, *rows, ""])
    if tables > 1:
        other = mark.join(("recno", "Name")), mark.join(("", "")), mark.join(("-----", "----")), f"1{mark}b"
        text = "\n".join(["#RESOURCE=yCat_1", *other, "", text, "#END#"])
    (tmp_path / "asu.tsv").write_text(text)
    catalog = read_reference_catalog(tmp_path / "asu.tsv")
    np.testing.assert_allclose(catalog.sky, SKY, atol=1e-10)
    np.testing.assert_allclose(catalog.error, np.tile([1.0, 2.5], (10, 1)))
    np.testing.assert_allclose(catalog.motion, np.tile([1.5, -2.0], (10, 1)))
    assert (catalog.epoch == 2016.0).all()
    assert np.isnan(catalog.quality["ruwe"]).all()


def test_sexagesimal_positions_of_vizier(tmp_path):
    text = '_RAJ2000\t_DEJ2000\tVmag\n"h:m:s"\t"d:m:s"\tmag\n------\t------\t---\n'
    text += "10 00 00.00\t-02 30 00.0\t12.5\n10 00 36.00\t-02 15 00.0\t13.5\n"
    (tmp_path / "asu.tsv").write_text(text)
    catalog = read_reference_catalog(tmp_path / "asu.tsv")
    np.testing.assert_allclose(catalog.sky, [[150.0, -2.5], [150.15, -2.25]], atol=1e-12)
    # hundredths of seconds and tenths of arcsec, evenly
    rounding = np.array([150.0 * np.cos(np.radians(2.4)), 100.0]) / np.sqrt(12)
    np.testing.assert_allclose(catalog.error, np.tile(np.hypot(10.0, rounding), (2, 1)), rtol=1e-3)


@pytest.mark.parametrize("places", [4, 5, 6])
def test_errors_cover_decimals_that_were_cut_off(tmp_path, caplog, places):
    rng = np.random.default_rng(places)
    true = np.column_stack([rng.uniform(150, 150.1, 4000), rng.uniform(60, 60.1, 4000)])
    text = "ra,dec,ra_error,dec_error\n" + "".join(
        f"{ra:.{places}f},{dec:.{places}f},0.1,0.1\n" for ra, dec in true
    )
    (tmp_path / "a.csv").write_text(text)
    catalog = read_reference_catalog(tmp_path / "a.csv")
    off = (catalog.sky - true) * 3.6e6 * [0.5, 1.0]  # cosine of 60 deg
    # of 4000 the scatter is known to 1 percent
    np.testing.assert_allclose(off.std(axis=0), catalog.error.mean(axis=0), rtol=0.05)
    assert "positions are rounded" in caplog.text


@pytest.mark.parametrize("stored", ["float32", "float64"])
@pytest.mark.parametrize("ra", [10.0, 130.0, 359.0])
def test_errors_cover_single_precision(caplog, stored, ra):
    rng = np.random.default_rng(int(ra))
    true = np.column_stack([rng.uniform(ra, ra + 0.1, 4000), rng.uniform(40.0, 40.1, 4000)])
    single = true.astype("float32").astype(stored)
    table = Table({"ra": single[:, 0], "dec": single[:, 1], "ra_error": np.full(4000, 0.1)})
    table["dec_error"] = table["ra_error"]
    catalog = reference_catalog_from(table, "somewhere")
    off = (catalog.sky - true) * 3.6e6 * [np.cos(np.radians(40.05)), 1.0]
    np.testing.assert_allclose(off.std(axis=0), catalog.error.mean(axis=0), rtol=0.05)
    assert "somewhere: positions are rounded" in caplog.text


def test_rounding_is_weighed_once(tmp_path):
    table = Table({"ra": SKY[:, 0].astype("float32"), "dec": SKY[:, 1].astype("float32")})
    first = reference_catalog_from(table, "somewhere")
    write_reference_catalog(first, tmp_path / "a.ecsv")
    np.testing.assert_allclose(read_reference_catalog(tmp_path / "a.ecsv").error, first.error)


def _legacy() -> Table:
    """Two sources of Gaia and two that are not, as in a sweep of the Legacy Surveys."""
    is_gaia = np.array([1, 1, 0, 0])
    table = Table({"RA": SKY[:4, 0], "DEC": SKY[:4, 1] + 60.0, "TYPE": ["PSF", "PSF", "REX", "PSF"]})
    table["RA_IVAR"] = np.array([1e15, 4e15, 0.0, 1e15], dtype="f4")
    table["DEC_IVAR"] = np.array([1e15, 4e15, 1e15, 1e15], dtype="f4")
    table["PMRA"], table["PMDEC"] = 3.0 * is_gaia, -2.0 * is_gaia
    table["PMRA_IVAR"], table["PMDEC_IVAR"] = 25.0 * is_gaia, 100.0 * is_gaia
    table["PARALLAX"], table["PARALLAX_IVAR"] = 1.0 * is_gaia, 16.0 * is_gaia
    table["REF_EPOCH"] = 2016.0 * is_gaia
    table["MJD_MIN"], table["MJD_MAX"] = [57000.0] * 4, [57000.0 + 365.25] * 4
    table["FLUX_R"] = [1.0, 100.0, 0.0, 10.0]
    return table


_UNITS_AS_WRITTEN = {
    "RA": "deg",
    "DEC": "degrees",
    "RA_IVAR": "1/deg^2",
    "DEC_IVAR": "1/deg^2",
    "REF_EPOCH": "Julian years",
    "PMRA": "mas/yr",
    "PMRA_IVAR": "1/(mas/yr)^2",
    "PMDEC_IVAR": "1/(mas/yr)^2",
    "PARALLAX_IVAR": "1/mas^2",
    "FLUX_R": "nanomaggy",
}


@pytest.mark.parametrize(("suffix", "units"), [("fits", True), ("fits", False), ("csv", False)])
def test_legacy_surveys(tmp_path, suffix, units):
    table = _legacy()
    path = tmp_path / f"sweep.{suffix}"
    table.write(path)
    if units and suffix == "fits":
        with fits.open(path, mode="update") as hdus:
            for name, unit in _UNITS_AS_WRITTEN.items():
                hdus[1].header[f"TUNIT{table.colnames.index(name) + 1}"] = unit
    catalog = read_reference_catalog(path)
    deg = 3.6e6 / np.sqrt([1e15, 4e15, 1e15, 1e15])
    np.testing.assert_allclose(catalog.error[:, 1], deg, rtol=1e-6)
    # without a cosine in the file; the third is the median of the others
    cosine = np.cos(np.radians(catalog.sky[:, 1]))
    np.testing.assert_allclose(catalog.error[[0, 1, 3], 0], (deg * cosine)[[0, 1, 3]], rtol=1e-6)
    np.testing.assert_array_equal(catalog.has_motion, [True, True, False, False])
    np.testing.assert_allclose(catalog.motion_error[:2], [[0.2, 0.1]] * 2)
    np.testing.assert_allclose(np.sqrt(catalog.covariance[:2, 2, 2]), 0.25)
    # MJD 57182.6 is 2015-06-09
    np.testing.assert_allclose(catalog.epoch, [2016.0, 2016.0, 2015.437, 2015.437], atol=2e-3)
    np.testing.assert_allclose(catalog.mag, [22.5, 17.5, np.nan, 20.0])
    np.testing.assert_array_equal(catalog.quality["extended"], [0, 0, 1, 0])


@pytest.mark.parametrize("none", [0.0, -999.0, np.nan])
def test_no_epoch_is_none(none):
    table = Table({"ra": SKY[:2, 0], "dec": SKY[:2, 1], "ref_epoch": [2016.0, none]})
    np.testing.assert_array_equal(reference_catalog_from(table, "a").epoch, [2016.0, np.nan])


@pytest.mark.parametrize("dtype", [float, "float32"])
def test_of_several_magnitudes_those_that_most_sources_have(dtype):
    table = Table({"ra": SKY[:3, 0], "dec": SKY[:3, 1]})
    table["mag"] = np.array([[np.nan, 18.0, 19.0], [20.0, 21.0, np.nan], [17.0, 16.0, np.nan]], dtype=dtype)
    np.testing.assert_array_equal(reference_catalog_from(table, "a").mag, [18, 21, 16])
    table["mag"] = np.array([[1.0], [2.0], [3.0]])
    np.testing.assert_array_equal(reference_catalog_from(table, "a").mag, [1, 2, 3])
    table["ra"] = np.ones((3, 2))
    with pytest.raises(InputError, match="column ra isn't numbers"):
        reference_catalog_from(table, "a")


@pytest.mark.parametrize(
    ("names", "values", "error"),
    [
        ("raMean decMean raMeanErr decMeanErr", (0.01, 0.02), (10.0, 20.0)),
        ("raStack decStack raStackErr decStackErr", (0.01, 0.02), (10.0, 20.0)),
        ("ra dec raErr decErr", (0.01, 0.02), (10.0, 20.0)),
        ("ra dec err_maj err_maj", (0.06, 0.06), (60.0, 60.0)),
        ("RAJ2000 DEJ2000 errMaj errMaj", (0.06, 0.06), (60.0, 60.0)),
        ("ALPHAWIN_J2000 DELTAWIN_J2000 ERRAWIN_WORLD ERRAWIN_WORLD", (1e-6, 1e-6), (3.6, 3.6)),
        ("raj2000 dej2000 e_raj2000 e_dej2000", (30.0, 40.0), (30.0, 40.0)),
        ("MatchRA MatchDec DSigma DSigma", (5.0, 5.0), (5.0, 5.0)),
        ("RIGHT_ASCENSION DECLINATION ra_error dec_error", (5.0, 6.0), (5.0, 6.0)),
        ("ra_icrs dec_icrs ra_err(arcsec) dec_err(mas)", (0.005, 6.0), (5.0, 6.0)),
    ],
)
def test_names_and_units_of_surveys(names, values, error):
    ra, dec, *errors = names.split()
    table = Table({ra: SKY[:, 0], dec: SKY[:, 1]})
    for name, value in zip(errors, values, strict=True):
        table[name] = np.full(10, value)
    np.testing.assert_allclose(reference_catalog_from(table, "a").error, np.tile(error, (10, 1)))


@pytest.mark.parametrize(
    "name", ["iMeanPSFMag", "psfMag_r", "j_m", "i_psf", "mag_r", "W3_F160W", "MAG_AUTO_I", "i_psfflux_mag"]
)
def test_magnitudes_of_surveys(name):
    table = Table({"ra": SKY[:, 0], "dec": SKY[:, 1], name: MAG})
    np.testing.assert_array_equal(reference_catalog_from(table, "a").mag, MAG)


@pytest.mark.parametrize(
    ("columns", "year"),
    [
        ({"mean_epoch": [57388.5] * 10}, 2016.0),
        ({"jdate": [2451545.0] * 10}, 2000.0),
        ({"JD": [2451545.0] * 10}, 2000.0),
        ({"StartMJD": [51544.5] * 10, "StopMJD": [51544.5 + 365.25] * 10}, 2000.5),
    ],
)
def test_dates_of_surveys(columns, year):
    table = Table({"ra": SKY[:, 0], "dec": SKY[:, 1], **columns})
    np.testing.assert_allclose(reference_catalog_from(table, "a").epoch, year, atol=2e-3)


def test_a_description_tells_the_epoch():
    table = Table({"RA_ICRS": SKY[:, 0], "DE_ICRS": SKY[:, 1]})
    table["RA_ICRS"].description = "Right ascension (ICRS) at Ep=2015.5"
    assert (reference_catalog_from(table, "a").epoch == 2015.5).all()


@pytest.mark.parametrize("blank", ["", "nan", "NaN", "null", "--", "---", "#N/A", "\\N", "INDEF", "N/A"])
def test_numbers_in_text_with_blanks(blank):
    mag = [f" {value} " for value in MAG[:9]] + [blank]
    table = Table({"ra": SKY[:, 0].astype(str), "dec": Column(SKY[:, 1].astype("S")), "mag": mag})
    catalog = reference_catalog_from(table, "a")
    np.testing.assert_array_equal(catalog.sky, SKY)
    np.testing.assert_array_equal(catalog.mag, [*MAG[:9], np.nan])


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.xlsx", b"PK\x03\x04" + b"x" * 50, "workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + b"x" * 50, "workbook"),
        ("a.csv", b"\xef\xbb\xbf<!DOCTYPE html><html></html>", "web page"),
        ("a.tsv", b"\n<html></html>", "web page"),
        ("a.reg", b"# Region file format: DS9 version 4.1\nfk5\n", "regions"),
        ("a.txt", '{"ra": 1}'.encode("utf-16"), "JSON"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=what):
        read_reference_catalog(tmp_path / name)


def test_swapped_columns_are_told(tmp_path):
    (tmp_path / "a.csv").write_text("ra,dec\n-2.5,150.1\n-2.6,150.2\n")
    with pytest.raises(InputError, match="swapped"):
        read_reference_catalog(tmp_path / "a.csv")


def test_sexagesimal_with_decimal_commas(tmp_path):
    (tmp_path / "a.csv").write_text("RA;Dec\n10:00:00,36;-02:30:00,9\n10:00:36,0;-02:15:00\n")
    catalog = read_reference_catalog(tmp_path / "a.csv")
    np.testing.assert_allclose(catalog.sky, [[150.0015, -2.50025], [150.15, -2.25]], atol=1e-12)


def test_thousands_are_no_decimals(tmp_path):
    (tmp_path / "a.csv").write_text('ra,dec,mag\n1.5,2.5,"1,234.5"\n1.6,2.6,"2,345.6"\n')
    with pytest.raises(InputError, match="column mag isn't numbers"):
        read_reference_catalog(tmp_path / "a.csv")


def test_errors_that_no_survey_has(caplog):
    caplog.set_level(logging.WARNING)
    table = Table(
        {"ra": SKY[:, 0], "dec": SKY[:, 1], "raErr": np.full(10, 12.0), "decErr": np.full(10, 12.0)}
    )
    reference_catalog_from(table, "somewhere")
    assert "somewhere: ra_error has a median of 12000 mas; is its unit right?" in caplog.text
