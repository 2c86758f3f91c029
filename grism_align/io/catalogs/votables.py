"""Tables of VOTables, with the epochs that these keep apart from their columns."""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.io.votable.tree import VOTableFile
    from astropy.table import Table


# Memory that rows may take, by what the fields say, and its part for a value of any type.
_MOST_BYTES, _VALUE = 500_000_000, 16
# Tags can have prefixes; within a tag there is no <.
_REMOTE = re.compile(rb"<(?:[\w.-]+:)?STREAM\s[^<]*?\bhref\b")
_DECLARED = re.compile(rb"<!(ENTITY|ATTLIST|ELEMENT|NOTATION)|<!DOCTYPE[^>]*\[")
_FIELD = re.compile(rb"<(?:[\w.-]+:)?FIELD\s[^<]*")
_LENGTHS = re.compile(rb"""\barraysize\s*=\s*["']([^"'<]*)""")
_TEXT = re.compile(rb"""\bdatatype\s*=\s*["']\s*(char|unicodeChar)\b""")
_ROWS = re.compile(rb"""<(?:[\w.-]+:)?TABLE\s[^<]*?\bnrows\s*=\s*["']\s*(\d+)""")
_ROW = re.compile(rb"<(?:[\w.-]+:)?TR\b")


def parse_votable(content: bytes) -> VOTableFile:
    """Parse a VOTable that has its rows in it.

    Parameters
    ----------
    content : bytes
        The whole file, or answer of a service.

    Raises
    ------
    ValueError
        If its rows are somewhere else (``STREAM href``), which astropy would open, be it a file of this
        machine or an address; if it declares entities; or if it says to have more rows than it can have.
    Exception
        Whatever the parser trips over.
    """
    from astropy.io.votable import parse

    _check(content)
    return parse(io.BytesIO(content))


def _check(content: bytes) -> None:
    # astropy unpacks what is packed, to whatever size
    if not content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        msg = "it is no XML"
        raise ValueError(msg)
    # in UTF-16, which expat knows, nothing of this would be found; in all else letters are as here
    if b"\0" in content[:64] or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        msg = "it is in UTF-16; save it in UTF-8"
        raise ValueError(msg)
    if _REMOTE.search(content):
        msg = "its rows are elsewhere (STREAM href), and nothing else is opened; save it with its rows"
        raise ValueError(msg)
    if _DECLARED.search(content):
        msg = "it declares entities or elements of its own"
        raise ValueError(msg)
    said = max((int(found) for found in _ROWS.findall(content)), default=0)
    if said > len(content):
        msg = f"it says that it has {said} rows, in {len(content)} bytes"
        raise ValueError(msg)
    rows = max(said, len(_ROW.findall(content)))
    fields = _FIELD.findall(content)
    # astropy fills up arrays that are shorter than they should be, one value at a time
    filled = rows * sum(_values(field) - 1 for field in fields if not _TEXT.search(field))
    size = rows * _VALUE * sum(map(_values, fields))
    if size > _MOST_BYTES or filled > len(content):
        msg = f"its rows would take {size:.3g} bytes"
        raise ValueError(msg)


def _values(field: bytes) -> int:
    """How many values a field has in each row, at least; of any number, as texts have, one."""
    found = _LENGTHS.search(field)
    lengths = re.findall(rb"\d+(?!\d*\*)", found[1]) if found else []
    return math.prod(map(int, lengths))


def votable_to_table(votable: VOTableFile) -> Table:
    """Return the first table of a VOTable, columns by their names.

    Parameters
    ----------
    votable : astropy.io.votable.tree.VOTableFile
        What `astropy.io.votable.parse` gives, or what a service answered.

    Returns
    -------
    astropy.table.Table
        A column whose field refers to a coordinate system (COOSYS) with an epoch has that epoch, a text
        such as ``J2016.0``, as ``epoch`` of its meta. Where the VOTable's coordinate systems are of one
        epoch, and no field refers to any, that is the ``epoch`` of the table's meta.

    Raises
    ------
    IndexError
        If there is no table in it.
    """
    element = votable.get_first_table()
    table = element.to_table(use_names_over_ids=True)
    epochs = {system.ID: str(system.epoch) for system in _coordinate_systems(votable) if system.epoch}
    referred = {
        name: epochs[field.ref]
        for name, field in zip(table.colnames, element.fields, strict=True)
        if field.ref in epochs
    }
    for name, epoch in referred.items():
        table[name].info.meta = {**(table[name].info.meta or {}), "epoch": epoch}
    if not referred and len(set(epochs.values())) == 1:
        table.meta.setdefault("epoch", next(iter(epochs.values())))
    return table


def _coordinate_systems(element: Any) -> Iterator[Any]:
    """Yield those of a VOTable or of a resource, and of the resources in it."""
    yield from element.coordinate_systems
    for resource in element.resources:
        yield from _coordinate_systems(resource)
