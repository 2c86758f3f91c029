"""Tables as text: what archives, spreadsheets and people write with blanks, commas, semicolons or tabs."""

from __future__ import annotations

import csv
import re
from itertools import takewhile
from typing import TYPE_CHECKING

from astropy import units as u
from astropy.table import Table

from grism_align.io.files.yaml_bounds import check_yaml
from grism_align.io.units import parse_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What stands for no value in texts.
BLANKS = ("", "null", "NULL", "--", "---", "N/A", "#N/A", "#N/V", "n/a", "None", "nan", "NaN", "INDEF", "\\N")

_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_FILLED = [(blank, "0") for blank in BLANKS]
_LONGEST_LINE = 100_000
_DASHES = re.compile(r"-+([\t;|, ]+-+)+")
_RDB_TYPE = re.compile(r"\d*[SN]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d*)?([eEdD][+-]?\d+)?")
# VizieR: "#Column", name, "(format)", description
_DESCRIBED = re.compile(r"#Column\t(\S+)\t\(\S*\)\t([^\t]*)")


def decoded(raw: bytes) -> str:
    """Return the text of bytes in UTF-8, in UTF-16, or else in Latin-1, with newlines as they are here.

    Raises
    ------
    ValueError
        If they are no text.
    """
    start, encoding = next(
        ((mark, name) for mark, name in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), (b"", "utf-8")
    )
    if not start and b"\0" in raw[:2]:
        encoding = "utf-16-be" if raw[0] == 0 else "utf-16-le"
    body = raw.removeprefix(start)
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError:
        text = body.decode("latin-1")
    if "\0" in text:
        msg = "not text"
        raise ValueError(msg)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text_table(text: str) -> Table:
    """Read a table with a line of names, which may have units and dashes under it.

    Parameters
    ----------
    text : str
        ECSV; columns with commas, semicolons, tabs, bars or blanks between them; or any other table that
        `astropy.io.ascii` knows. Of several tables of one answer of VizieR the longest is read.

    Raises
    ------
    ValueError
        If it is no table.
    """
    lines = text.split("\n")
    if lines[0].startswith("# %ECSV"):
        return read_ecsv(text)
    if max(map(len, lines)) > _LONGEST_LINE:
        msg = f"a line of more than {_LONGEST_LINE} characters"
        raise ValueError(msg)
    # a spreadsheet says so in a first line
    named = re.fullmatch('"?sep=(.)"?', lines[0].strip())
    body = _longest_of_vizier(lines[1:] if named else lines)
    rows = [line for line in body if _is_row(line)]
    mark = named[1] if named else _mark_of(rows)
    while mark and len(rows) > 2 and sum(map(bool, _cells(rows[0], mark))) < 2:
        del rows[0]  # a title
    rows = [*_commented_names(body, rows, mark), *rows]
    names, under = _cells(rows[0], mark) if rows else [], _under_names(rows)
    if not _has_names(rows, names) or not (under or mark in {"\t", ";", ","} or rows[0] not in body):
        # semicolons are not among what astropy tries
        given = {"format": "ascii.commented_header", "delimiter": ";"} if mark == ";" else {"format": "ascii"}
        return Table.read(body, fill_values=_FILLED, **given)
    table = _read_columns(names, rows[1 + len(under) :], mark)
    _describe(table, under, mark, lines)
    return table


def read_ecsv(text: str) -> Table:
    """Read a table in ECSV, whose header is YAML.

    Raises
    ------
    ValueError
        If it is no ECSV, or its header would fill the memory.
    """
    lines = text.split("\n")
    header = list(takewhile(lambda line: line.startswith("#"), lines))
    check_yaml("\n".join(line[2:] for line in header if not line.startswith("# %ECSV")))
    return Table.read(lines, format="ascii.ecsv")


def _longest_of_vizier(lines: Sequence[str]) -> Sequence[str]:
    """Return the longest table of those that have dashes under names and units; all lines where none has."""
    dashes = [number for number, line in enumerate(lines) if _DASHES.fullmatch(line)]
    tables = [
        [*lines[max(number - 2, 0) : number + 1], *takewhile(_is_row, lines[number + 1 :])]
        for number in dashes
    ]
    return max(tables, key=len, default=lines)


def _is_row(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _commented_names(lines: Sequence[str], rows: Sequence[str], mark: str | None) -> Sequence[str]:
    """Return the names, and the units, of columns without them that comments before the first row give."""
    first = _cells(rows[0], mark) if rows else []
    if not first or not all(map(_NUMBER.fullmatch, first)):
        return []
    comments = [line.lstrip("# \t") for line in takewhile(lambda line: line != rows[0], lines)]
    alike = [line for line in comments if line and len(_cells(line, mark)) == len(first)]
    words = [line for line in alike if not any(map(_NUMBER.fullmatch, _cells(line, mark)))]
    names = [line for line in words if not _is_under_names(line)][-1:]
    return [*names, *words[words.index(names[0]) + 1 :]] if names else []


def _under_names(rows: Sequence[str]) -> Sequence[str]:
    """Return the rows between names and values."""
    if len(rows) > 2 and _DASHES.fullmatch(rows[2]):
        return rows[1:3]
    return list(takewhile(_is_under_names, rows[1:3]))


def _is_under_names(line: str) -> bool:
    """Tell whether a line is of dashes, of RDB's types, or of units: no numbers, and an angle among them."""
    cells = _cells(line, _mark_of([line]))
    if _DASHES.fullmatch(line) or all(map(_RDB_TYPE.fullmatch, cells)):
        return True
    units = [parse_unit(cell) for cell in cells if cell]
    angles = (unit is not None and u.deg.is_equivalent(unit) and unit != u.one for unit in units)
    return not any(map(_NUMBER.fullmatch, cells)) and any(angles)


def _has_names(rows: Sequence[str], names: Sequence[str]) -> bool:
    """Tell whether the first row names columns, in no form of its own as IPAC's is."""
    return bool(rows) and rows[0][0] not in "|\\" and not all(map(_NUMBER.fullmatch, names))


def _mark_of(rows: Sequence[str]) -> str | None:
    """Return what stands between columns in all of the first rows; None for blanks."""
    return next((mark for mark in "\t;|," if rows and all(mark in row for row in rows[:5])), None)


def _cells(line: str, mark: str | None) -> list[str]:
    if mark is None:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=mark))]


def _read_columns(names: Sequence[str], rows: Sequence[str], mark: str | None) -> Table:
    filled = [name or f"column{number}" for number, name in enumerate(names, 1)]
    header = [
        name if name not in filled[:number] else f"{name}_{number}" for number, name in enumerate(filled)
    ]
    form = {"format": "ascii.csv", "delimiter": mark} if mark else {"format": "ascii.basic"}
    between = mark or " "
    first = between.join(f'"{name}"' for name in header)
    return Table.read([first, *rows], guess=False, fill_values=_FILLED, **form)


def _describe(table: Table, under: Sequence[str], mark: str | None, lines: Sequence[str]) -> None:
    """Put in the units of the line under the names, and what VizieR's comments say of columns."""
    units = next((_cells(line, mark) for line in under if not _DASHES.fullmatch(line)), [])
    for name, unit in zip(table.colnames, units, strict=False):
        if unit and not _RDB_TYPE.fullmatch(unit):
            table[name].unit = u.Unit(unit, parse_strict="silent")
    described = {found[1]: found[2] for found in map(_DESCRIBED.match, lines) if found}
    for name in described.keys() & set(table.colnames):
        table[name].description = described[name]
