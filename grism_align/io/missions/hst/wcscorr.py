"""The WCSCORR table, in which stwcs keeps the history of a file's WCSs.

Rows are added to a table that is there, in its own columns; a file without one is left without. stwcs takes
the first row without WCS_ID for the first free one, so free rows come last and some are always left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io.fits import Header
    from numpy.typing import NDArray


#: EXTNAME of the table.
NAME = "WCSCORR"
# Free rows that are made when there is no room, and that are kept.
_SPARE = 4
_FROM_SCIENCE = (
    *("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"),
    *("CTYPE1", "CTYPE2", "ORIENTAT", "HDRNAME", "CATALOG"),
)
# stwcs fills RMS_RA and RMS_DEC from CRDER, in degrees.
_RENAMED = {"WCSNAME": "WCS_ID", "NMATCHES": "NMATCH", "CRDER1": "RMS_RA", "CRDER2": "RMS_DEC"}
_BLOCK = 2880


def wcscorr_row(primary: Header, science: Header, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the row of one chip's primary WCS, by column in capitals.

    Parameters
    ----------
    primary, science : Header
        The headers of the file and of the chip.
    names : mapping
        SIPNAME, NPOLNAME and D2IMNAME of the distortion.
    """
    row: dict[str, Any] = {name: science[name] for name in _FROM_SCIENCE if name in science}
    row |= {column: science[name] for name, column in _RENAMED.items() if name in science}
    row |= {"EXTVER": science.get("EXTVER", 1), "WCS_KEY": " ", "DESCRIP": science.get("WCSTYPE", "")}
    if "PA_V3" in primary:
        row["PA_V3"] = primary["PA_V3"]
    return row | dict(names)


def with_rows(hdu: Any, rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """Return the whole extension with rows added; None where it is no table of this kind.

    Parameters
    ----------
    hdu : BinTableHDU
        The WCSCORR extension.
    rows : sequence of mapping
        From `wcscorr_row`.
    """
    table = _rows_of(hdu)
    if table is None:
        return None
    used = table[_is_used(table)]
    new = np.zeros(len(rows), table.dtype)
    for record, row in zip(new, rows, strict=True):
        for name in table.dtype.names or ():
            if name.upper() in row:
                record[name] = _fitting(row[name.upper()], table.dtype[name])
    return _packed(hdu, (used, new), len(table))


def without_rows(hdu: Any, name: str) -> bytes | None:
    """Return the whole extension without the rows of a headerlet name; None where it has none.

    Parameters
    ----------
    hdu : BinTableHDU
        The WCSCORR extension.
    name : str
        HDRNAME.
    """
    table = _rows_of(hdu)
    if table is None or "HDRNAME" not in (table.dtype.names or ()):
        return None
    drop = np.array([_text(value) == name for value in table["HDRNAME"]], dtype=bool)
    return _packed(hdu, (table[_is_used(table) & ~drop],), len(table)) if drop.any() else None


def _rows_of(hdu: Any) -> NDArray[np.void] | None:
    """Return the rows as they lie in the file, without what the columns make of them."""
    if hdu.header.get("XTENSION") != "BINTABLE" or hdu.header.get("PCOUNT", 0) or hdu.data is None:
        return None
    rows: NDArray[np.void] = np.array(hdu.data.view(np.ndarray))
    return rows if "WCS_ID" in (rows.dtype.names or ()) else None


def _text(value: bytes) -> str:
    return value.split(b"\0")[0].decode("ascii", "replace").rstrip()


def _is_used(table: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.array([_text(value) not in ("", "0.0") for value in table["WCS_ID"]], dtype=bool)


def _fitting(value: Any, kind: np.dtype[Any]) -> Any:
    if kind.kind == "S":
        return str(value).encode("ascii", "replace")[: kind.itemsize]
    return value


def _packed(hdu: Any, parts: tuple[NDArray[np.void], ...], length: int) -> bytes:
    """Return the extension with these rows first, then free ones."""
    count = sum(map(len, parts))
    # numpy would join them in the byte order of the machine
    rows = np.zeros(length if count < length else count + _SPARE, parts[0].dtype)
    start = 0
    for part in parts:
        rows[start : start + len(part)] = part
        start += len(part)
    header = hdu.header.copy()
    for keyword in ("CHECKSUM", "DATASUM"):
        header.remove(keyword, ignore_missing=True)
    header["NAXIS2"] = len(rows)
    if "TROWS" in header:
        header["TROWS"] = count
    data = rows.tobytes()
    return bytes(header.tostring().encode("ascii")) + data + b"\0" * (-len(data) % _BLOCK)
