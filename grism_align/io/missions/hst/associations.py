"""Association tables of HST, ``*_asn.fits``."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from grism_align.io.files.bounded import MB, read_start
from grism_align.io.files.cards import Cards, mend
from grism_align.io.files.fits import is_fits, one_line
from grism_align.io.files.sources import file_of_root, path_of
from grism_align.io.files.structure import check_structure
from grism_align.io.missions.hst.facts import FACTS
from grism_align.values.association import Association, Member
from grism_align.values.errors import AssociationError, InputError
from grism_align.values.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from grism_align.values.source import Source


# Keys of associations, and where HST's primary header has them.
_HEADER = {"asn_id": "ASN_ID", "program": "PROPOSID", "target": "TARGNAME"}

# A table of some hundred exposures has 20 kB; what has more is something else.
_MOST = 4 * MB


def read_association(source: Source) -> Association | None:
    """Return what an association table lists; None for any other file.

    Parameters
    ----------
    source : Source
        A table has columns MEMNAME, MEMTYPE and MEMPRSNT. Exposures lie in its folder.

    Raises
    ------
    AssociationError
        If a FITS file can't be read.
    """
    path = path_of(source)
    content = read_start(path, _MOST, AssociationError) if is_fits(path) else None
    if content is None:
        return None
    with _opened(path, content) as hdus:
        table = _table(hdus)
        if table is None:
            return None
        rows = [_row(record, table.columns.names) for record in table.data]
        mend(hdus[0].header)
        cards = Cards(path, hdus[0].header)
        found = {key: cards.value(keyword) for key, keyword in _HEADER.items()}
        header = {key: value for key, value in found.items() if value is not None}
    exposures = [(name, kind) for name, kind, present in rows if present and not kind.startswith("PROD")]
    return Association(
        product=_product([(name, kind) for name, kind, _ in rows if kind.startswith("PROD")], path),
        members=tuple(_member(name, kind, path.parent) for name, kind in exposures),
        header=header,
        origin=str(path),
    )


def _member(root: str, kind: str, folder: Path) -> Member:
    file = file_of_root(root, folder, FACTS.endings)
    return Member(FileSource(str(file), root), extra={"memtype": kind})


def _product(products: list[tuple[str, str]], path: Path) -> str:
    # Tables of CR-split exposures list a product for each pointing too; PROD-DTH is that of them all.
    best = sorted(products, key=lambda product: product[1] != "PROD-DTH")
    return best[0][0] if best else path.name.removesuffix(".gz").removesuffix(".fits").removesuffix("_asn")


def _row(record: fits.FITS_record, columns: list[str]) -> tuple[str, str, bool]:
    """Root name in lower case, type, and whether the member exists."""
    present = record["MEMPRSNT"] if "MEMPRSNT" in (name.upper() for name in columns) else True
    kind = str(record["MEMTYPE"]).strip().upper()
    return str(record["MEMNAME"]).strip().lower(), kind, bool(present)


def _table(hdus: fits.HDUList) -> fits.BinTableHDU | None:
    for hdu in hdus[1:2]:
        names = {name.upper() for name in getattr(getattr(hdu, "columns", None), "names", ())}
        if {"MEMNAME", "MEMTYPE"} <= names:
            return hdu
    return None


@contextmanager
def _opened(path: Path, content: bytes) -> Iterator[fits.HDUList]:
    """Open the file for reading; whatever the format's reader trips over is an AssociationError."""
    try:
        # A truncated exposure is warned of here; who reads its headers says so in an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyUserWarning)
            check_structure(path, io.BytesIO(content))
            with fits.open(io.BytesIO(content)) as hdus:
                yield hdus
    except InputError as error:
        raise AssociationError(path, error.problem, error.remedy) from error
    except Exception as error:
        raise AssociationError(path, f"no readable FITS file: {one_line(error)}", "Fetch it again") from error
