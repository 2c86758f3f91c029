"""Names and files that the record speaks of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grism_align.io.files.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.mosaic import MosaicProduct


__all__ = ["STEPS", "Companions", "FilePair", "FileRecord"]


#: The steps that have a solution each.
STEPS = ("relative", "absolute", "grism")


@dataclass(frozen=True)
class FileRecord:
    """One file as it was.

    Parameters
    ----------
    path : str
        Where it was.
    sha256 : str
        Of its bytes, 64 hexadecimal digits.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, path: Path | str) -> FileRecord:
        """The record of a file as it is now."""
        return cls(str(path), sha256_of(path))


@dataclass(frozen=True)
class FilePair:
    """What was read of an exposure and what was written.

    Parameters
    ----------
    input : FileRecord
        The file that was read.
    output : FileRecord or None
        The file with the corrected WCS, None where none was written.
    """

    input: FileRecord
    output: FileRecord | None = None


@dataclass(frozen=True, eq=False)
class Companions:
    """What a record has besides the exposures: the catalogs that lie beside it, pictures for the report.

    Parameters
    ----------
    aligned : ReferenceCatalog or None
        The sources of the solution in the final frame; None without a relative solution.
    aligned_file : str or None
        Name of its file.
    reference_file : str or None
        Name of the file of the reference catalog as used.
    earlier_reference : mapping or None
        What an earlier record has of the reference catalog (``tree["reference_catalog"]``), for a set that
        was restored and so has fits, but not the catalog itself.
    stamps : mapping or None
        Pictures of stars before and after, as `star_stamps` makes them.
    mosaics : tuple of MosaicProduct
        The mosaics.
    """

    aligned: ReferenceCatalog | None = None
    aligned_file: str | None = None
    reference_file: str | None = None
    earlier_reference: Mapping[str, Any] | None = None
    stamps: Mapping[str, Any] | None = None
    mosaics: tuple[MosaicProduct, ...] = ()
