"""What a file is that no mission reads, as its first bytes, its name and its header tell."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from grism_align.io.files.fits import is_fits, primary_header
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


#: What ASDF files are called.
ASDF = "an ASDF file"

_BY_START = {
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"\x89PNG": "a picture (PNG)",
    b"GIF8": "a picture (GIF)",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "an archive (zip), to be unpacked",
    b"\x1f\x9d": "a file packed with compress, to be unpacked",
    b"BZh": "a file packed with bzip2, to be unpacked",
    b"\xfd7zXZ": "a file packed with xz, to be unpacked",
    b"#ASDF": ASDF,
    b"\x89HDF": "an HDF5 file",
    b"<": "a page of a web site",
}
# Of JWST and Roman, which share their names.
_BY_SUFFIX = {
    "_i2d": ", a mosaic",
    "_uncal": ", a raw exposure",
    "_ramp": ", the reads of an exposure",
    "_rate": ", an exposure",
    "_rateints": ", the integrations of an exposure",
    "_cal": ", an exposure",
    "_crf": ", an exposure",
    "_segm": ", a segmentation image",
}


def what_is(path: Path) -> str:
    """Return what a file is, in words; empty where nothing tells.

    Parameters
    ----------
    path : Path
        A file.
    """
    with suppress(OSError):
        with path.open("rb") as stream:
            start = stream.read(8)
        if is_fits(path):
            return _what_fits(path)
        if start[:2] == b"\x1f\x8b":
            return "a file packed with gzip that holds no FITS file"
        return next((what for begin, what in _BY_START.items() if start.startswith(begin)), "")
    return ""


def _what_fits(path: Path) -> str:
    try:
        telescope = str(primary_header(path).get("TELESCOP", "")).strip()
    except InputError:
        return "a damaged FITS file"
    stem = path.name.partition(".fits")[0]
    kind = next((words for suffix, words in _BY_SUFFIX.items() if stem.endswith(suffix)), "")
    return f"a FITS file of {telescope}{kind}" if telescope else "a FITS file that names no TELESCOP"
