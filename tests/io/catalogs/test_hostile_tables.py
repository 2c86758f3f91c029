"""Tables of others: nothing else is opened, nothing fills the memory, and every error names the file."""

from __future__ import annotations

import bz2
import gzip
import sys

import pytest
from astropy.io import fits
from astropy.table import Table

from grism_align.io.catalogs.recorded import exposures_behind
from grism_align.io.catalogs.reference import read_reference_catalog, write_reference_catalog
from grism_align.io.catalogs.sources import read_source_catalog
from grism_align.io.catalogs.tables import read_table
from grism_align.io.catalogs.votables import parse_votable, votable_to_table
from grism_align.io.files.bounded import MOST_CATALOG
from grism_align.values.errors import InputError
from tests.support.reference_catalogs import reference

SKY = [[150.0, 2.0], [150.1, 2.1]]
ROWS = "<TABLEDATA><TR><TD>150.0</TD><TD>2.0</TD></TR></TABLEDATA>"


def votable(data=ROWS, before="", rows="", length=""):
    fields = "".join(f'<FIELD name="{name}" datatype="double"{length}/>' for name in ("ra", "dec"))
    return (
        f'<?xml version="1.0"?>{before}<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f"<RESOURCE><TABLE{rows}>{fields}<DATA>{data}</DATA></TABLE></RESOURCE></VOTABLE>"
    ).encode()


@pytest.fixture
def opened():
    """Addresses and files that urllib is asked for, as Python's audit hooks tell."""
    found, listening = [], [True]

    def hook(event, arguments):
        if listening and event in ("urllib.Request", "socket.connect"):
            found.append(arguments[0])

    sys.addaudithook(hook)
    yield found
    listening.clear()


def test_a_votable_with_its_rows():
    found = votable_to_table(
        parse_votable(votable(before="<!DOCTYPE VOTABLE SYSTEM 'http://x/VOTable.dtd'>"))
    )
    assert (found["ra"][0], found["dec"][0]) == (150.0, 2.0)


@pytest.mark.parametrize("form", ["BINARY", "BINARY2", "FITS", "v:BINARY"])
@pytest.mark.parametrize(
    "address", ["file:/etc/hostname", "http://127.0.0.1:9/rows", "ftp://127.0.0.1:9/rows"]
)
def test_rows_that_are_elsewhere(tmp_path, opened, form, address):
    path = tmp_path / "x.xml"
    prefix = form.partition(":")[0] + ":" if ":" in form else ""
    stream = f"<{form}><{prefix}STREAM\n encoding='base64' x='>' href = '{address}'/></{form}>"
    for content in (
        votable(stream),
        gzip.compress(votable(stream)),
        votable(stream).decode().encode("utf-16"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read_table(path)
        assert caught.value.path == str(path)
    assert opened == []


@pytest.mark.parametrize(
    "content",
    [
        votable(before="<!DOCTYPE v [<!ENTITY a 'x'>]>"),
        votable(before="<!DOCTYPE v [<!ATTLIST STREAM href CDATA 'file:/etc/hostname'>]>"),
        votable(before="<!DOCTYPE v SYSTEM 'x' [<!ENTITY a SYSTEM 'file:/etc/hostname'>]>"),
        votable(rows=' nrows="10000000000"'),
        votable(length=' arraysize="4000000000"'),
        votable(length=' arraysize="40000x40000"'),
        votable(length=' arraysize="10000"'),
    ],
    ids=["entity", "default", "external entity", "nrows", "arraysize", "arrays", "filled up"],
)
def test_votables_that_are_not_what_they_seem(tmp_path, content):
    (tmp_path / "x.xml").write_bytes(content)
    with pytest.raises(InputError):
        read_table(tmp_path / "x.xml")


def _with_header(lines):
    return "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: ra, datatype: float64}\n" + lines + "ra\n1.0\n"


_ALIASES = "# meta:\n#   a: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"#   b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("read", [read_table, read_source_catalog, exposures_behind])
def test_a_header_whose_aliases_would_fill_the_memory(tmp_path, read):
    path = tmp_path / "x.ecsv"
    path.write_text(_with_header(_ALIASES))
    with pytest.raises(InputError) as caught:
        read(path)
    assert caught.value.path == str(path)


def _damaged_fits(old, new):
    def write(path):
        Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(path, format="fits")
        path.write_bytes(path.read_bytes().replace(old.ljust(30), new.ljust(30)))

    return write


def _text(content):
    return lambda path: path.write_bytes(content)


def _bomb(path):
    path.write_bytes(gzip.compress(b"ra,dec\n" + b"1,2\n" * (MOST_CATALOG // 4), 1))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("x.fits", _damaged_fits(b"TFORM1  = 'D       '", b"TFORM1  =              NaN")),
        ("x.fits", _damaged_fits(b"TFIELDS =                    2", b"TFIELDS =            200000000")),
        ("x.fits", _damaged_fits(b"NAXIS2  =                    2", b"NAXIS2  =           4000000000")),
        ("x.csv", _text(b'ra,dec\n1,"' + b"9" * 200_000 + b'"\n')),
        ("x.cat", _text(b"ra dec\n1 2\n1 2 3\n1\n")),
        ("x.cat", _text(gzip.compress(bytes(1000))[:20])),
        ("x.ecsv.gz", _text(gzip.compress(b"# %ECSV 1.0\n" * 99)[:-8])),
        ("x.csv.gz", _bomb),
        ("x.parquet", _text(b"PAR1" + bytes(100) + b"PAR1")),
        ("x.xml", _text(b"<?xml version='1.0'?><VOTABLE><RESOURCE>")),
        ("x.xml", _text(gzip.compress(gzip.compress(votable())))),
        ("x.xml", _text(bz2.compress(votable()))),
        ("x.fits", _text(bz2.compress(fits.PrimaryHDU().header.tostring().encode()))),
    ],
    ids=[
        "card",
        "columns",
        "rows",
        "field",
        "lengths",
        "gzip",
        "cut",
        "bomb",
        "parquet",
        "xml",
        "twice",
        "bz2",
        "fits.bz2",
    ],
)
def test_whatever_libraries_raise_names_the_file(tmp_path, name, write):
    write(tmp_path / name)
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)


def test_the_origin_is_no_file_that_a_catalog_names(tmp_path):
    """Its checksum would be on record."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for origin, kept in ((str(secret), False), ("https://joe:pass@example.org/tap", True)):
        write_reference_catalog(reference(SKY), tmp_path / "x.ecsv", None)
        text = (tmp_path / "x.ecsv").read_text().replace("origin: here", f"origin: '{origin}'")
        assert origin in text
        (tmp_path / "x.ecsv").write_text(text)
        found = read_reference_catalog(tmp_path / "x.ecsv").origin
        assert found == ("https://example.org/tap" if kept else str(tmp_path / "x.ecsv"))


def test_tables_of_fits_that_pass(tmp_path):
    Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(tmp_path / "x.fits")
    (tmp_path / "x.fits.gz").write_bytes(gzip.compress((tmp_path / "x.fits").read_bytes()))
    for name in ("x.fits", "x.fits.gz"):
        assert len(read_table(tmp_path / name)) == 2
    with fits.open(tmp_path / "x.fits") as hdus:
        assert len(hdus) == 2
