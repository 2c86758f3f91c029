"""Read tables of the formats that catalogs come in."""

from __future__ import annotations

import gzip
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import MaskedColumn, Table

from grism_align.io.catalogs.text_tables import decoded, read_ecsv, read_text_table
from grism_align.io.catalogs.votables import parse_votable, votable_to_table
from grism_align.io.files.bounded import GZIP, MOST_CATALOG, MOST_ROWS, read_whole
from grism_align.io.files.fits import plain_stream
from grism_align.io.files.tables import FOR_PARQUET
from grism_align.io.files.yaml_bounds import check_yaml
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

#: What to give where a file is none of these.
FORMATS = "Give an ECSV, FITS, CSV, VOTable or parquet file with names of columns; save workbooks as CSV"

_SUFFIXES = {
    "ecsv": (".ecsv",),
    "fits": (".fits", ".fit"),
    "votable": (".xml", ".vot", ".votable"),
    "parquet": (".parquet", ".pq"),
}
# What else files begin with, in lower case, and what they then are.
_NO_TABLES = (
    (b"pk\x03\x04", "a workbook or an archive (zip)"),
    (b"\xd0\xcf\x11\xe0", "a workbook"),
    (b"%pdf", "a PDF"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"{", "JSON"),
    (b"[{", "JSON"),
    (b"# region file format", "a list of regions"),
)
# Of the rows of a table in memory.
_MOST_BYTES = 500_000_000
_BATCH = 2048


def read_table(path: Path) -> Table:
    """Read a table of any format that catalogs come in.

    Parameters
    ----------
    path : Path
        ECSV, FITS, VOTable, parquet, or text with columns (CSV among them), told by suffix, then content.

    Raises
    ------
    InputError
        If the file is missing or can't be read.
    """
    if not path.is_file():
        raise InputError(path, "no such reference catalog", FORMATS)
    if path.stat().st_size == 0:
        raise InputError(path, "an empty file", FORMATS)
    kind = "catalog"
    try:
        kind = _format_of(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", u.UnitsWarning)  # what astropy doesn't know, we may
            return _read_any(path, kind)
    except InputError:
        raise
    except ImportError as error:
        problem = f"{kind} can't be read here ({error})"
        raise InputError(path, problem, f"{FOR_PARQUET}, or give another format") from error
    except Exception as error:
        # there are as many ways to fail as libraries
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(path, f"not a readable {kind} table ({reason})", FORMATS) from error


def _format_of(path: Path) -> str:
    """Return the format by suffix, then by content: many catalogs are called .txt, .cat or .dat."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    for kind, suffixes in _SUFFIXES.items():
        if suffix.lower() in suffixes:
            return kind
    with path.open("rb") as stream:
        is_compressed = stream.read(2) == GZIP
    with gzip.open(path) if is_compressed else path.open("rb") as stream:
        head = stream.read(512)
    for kind, start in (("fits", b"SIMPLE  ="), ("parquet", b"PAR1")):
        if head.startswith(start):
            return kind
    plain = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n").lower()
    for start, what in _NO_TABLES:
        if plain.startswith(start):
            raise InputError(path, f"{what}, which is no table", FORMATS)
    return "votable" if b"<votable" in plain or plain.startswith(b"<?xml") else "text"


def _read_any(path: Path, kind: str) -> Table:
    if kind == "fits":
        return _read_fits(path)
    if kind == "parquet":
        return _read_parquet(path)
    content = read_whole(path, MOST_CATALOG)
    if kind == "votable":
        return votable_to_table(parse_votable(content))
    text = decoded(content)
    _check_rows(text.count("\n"))
    return read_ecsv(text) if kind == "ecsv" else read_text_table(text)


def _check_rows(number: int, bytes_each: int = 1) -> None:
    if number > MOST_ROWS or number * bytes_each > _MOST_BYTES:
        msg = f"{number} rows are more than {MOST_ROWS}, or than {_MOST_BYTES:g} bytes; cut it to the field"
        raise ValueError(msg)


def _read_fits(path: Path) -> Table:
    """Return the table with the most rows: a FITS_LDAC file has a small one with headers before it."""
    from astropy.io import fits

    with plain_stream(path) as stream, fits.open(stream, memmap=False) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            msg = "no table extension"
            raise ValueError(msg)
        largest = max(tables, key=lambda hdu: hdu.header["NAXIS2"])
        _check_rows(largest.header["NAXIS2"], largest.header["NAXIS1"])
        table = Table.read(largest)
    table.convert_bytestring_to_unicode()
    return table


def _read_parquet(path: Path) -> Table:
    """Return numbers and texts of a parquet file; with units where astropy wrote it.

    Read with pyarrow itself, since astropy wants pandas for it.
    """
    import pyarrow as pa
    from pyarrow import parquet

    table, content = Table(), _bounded(parquet.ParquetFile(path))
    for name, column in zip(content.column_names, content.columns, strict=True):
        if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            values = column.fill_null(0).to_numpy()
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            values = np.array(column.fill_null("").to_pylist(), dtype=str)
        else:
            continue
        table[name] = MaskedColumn(values, mask=column.is_null().to_numpy())
    _describe(table, (content.schema.metadata or {}).get(b"table_meta_yaml"))
    return table


def _bounded(file: Any) -> Any:
    """Return all rows of a parquet file, whose pages may unpack to any size, as a table of pyarrow."""
    import pyarrow as pa

    _check_rows(file.metadata.num_rows, file.metadata.num_columns)
    batches, size = [], 0
    for batch in file.iter_batches(_BATCH):
        batches.append(batch)
        size += batch.nbytes
        _check_rows(1, size)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _describe(table: Table, header: bytes | None) -> None:
    """Put in the units and the meta that astropy leaves in the file's own."""
    if header is None:
        return
    from astropy.table.meta import get_header_from_yaml

    check_yaml(header)
    described = get_header_from_yaml(header.decode().splitlines())
    table.meta.update(described.get("meta") or {})
    for column in described["datatype"]:
        if column["name"] in table.colnames and "unit" in column:
            table[column["name"]].unit = column["unit"]
