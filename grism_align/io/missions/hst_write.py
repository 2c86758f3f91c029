"""Write HST exposures: the same file with a new WCS.

Headers are rewritten; every data block is copied byte for byte, so pixels and tables cannot change
and a whole exposure never is in memory.
"""

from __future__ import annotations

import gzip
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from grism_align import __version__
from grism_align.io.atomic import atomic_path
from grism_align.io.checksums import sha256_of
from grism_align.io.missions.hst import open_fits
from grism_align.io.missions.hst_headers import (
    STATUS_KEYWORD,
    LinearTerms,
    WcsLabel,
    archive_key,
    archive_wcs,
    plain_text,
    write_linear_terms,
    write_region,
    write_wcs,
)
from grism_align.values.errors import InputError
from grism_align.wcs.fits import FitsWcs, corrected_linear_terms

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astropy.io import fits

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.solution import ExposureFit
    from grism_align.values.transform import LinearTransform

__all__ = ["Digests", "write_exposure"]

_BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
# Below this, in arcsec, a correction is the one that the file already has.
_NEGLIGIBLE = 1e-6
_FOLLOWERS = ("ERR", "DQ")


@dataclass(frozen=True)
class Digests:
    """SHA-256 of a file as read and as written."""

    input: str
    output: str


def write_exposure(exposure: Exposure, fit: ExposureFit, destination: Path, label: WcsLabel) -> Digests:
    """Write an exposure with its correction, atomically.

    Parameters
    ----------
    exposure : Exposure
        The exposure; its file is the source.
    fit : ExposureFit
        Its total correction; without one the WCS stays and the header says why.
    destination : Path
        The file to make. It may be the source itself.
    label : WcsLabel
        What the headers say of the fit.

    Returns
    -------
    Digests

    Raises
    ------
    InputError
        If the source can't be read.
    """
    with open_fits(exposure.path) as hdus, ExitStack() as stack:
        edited = _edited_headers(hdus, exposure, fit, label)
        temporary = stack.enter_context(atomic_path(destination))
        source = stack.enter_context(_source(exposure.path))
        with _target(temporary, destination.name) as target:
            for index, hdu in enumerate(hdus):
                _copy_hdu((exposure.path, source), target, hdu, edited.get(index))
        return Digests(sha256_of(exposure.path), sha256_of(temporary))


@contextmanager
def _source(path: Path) -> Iterator[IO[bytes]]:
    """A file as its bytes say, compressed or not: browsers decompress some and keep their names."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP
        stream.seek(0)
        yield gzip.GzipFile(fileobj=stream) if compressed else stream  # type: ignore[misc]


@contextmanager
def _target(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A new file, compressed where its name says so; equal content gives equal bytes."""
    with path.open("wb") as stream:
        if not name.endswith(".gz"):
            yield stream
            return
        with gzip.GzipFile(name, "wb", fileobj=stream, mtime=0) as packed:
            yield packed  # type: ignore[misc]


def _copy_hdu(
    source: tuple[Path, IO[bytes]], target: IO[bytes], hdu: Any, header: fits.Header | None
) -> None:
    info = hdu.fileinfo()
    start, data, span = info["hdrLoc"], info["datLoc"], info["datSpan"]
    if header is None:
        _copy_range(source, target, start, data - start)
    else:
        target.write(header.tostring().encode("ascii"))
    _copy_range(source, target, data, span)


def _copy_range(source: tuple[Path, IO[bytes]], target: IO[bytes], start: int, length: int) -> None:
    path, stream = source
    stream.seek(start)
    while length > 0:
        block = stream.read(min(_BLOCK, length))
        if not block:
            raise InputError(path, f"it ended {length} bytes early", "Fetch the file again")
        target.write(block)
        length -= len(block)


def _edited_headers(
    hdus: fits.HDUList, exposure: Exposure, fit: ExposureFit, label: WcsLabel
) -> dict[int, fits.Header]:
    """New headers by extension number; those that stay as they are are left out."""
    edited = {0: _primary_header(hdus[0].header, fit)}
    if fit.transform is not None and not _is_applied(exposure, fit.transform):
        science = {hdu.ver: index for index, hdu in enumerate(hdus) if hdu.name == "SCI"}
        edited.update(_science_headers(hdus, science, exposure, fit.transform, label))
        edited.update(_follower_headers(hdus, science, edited))
    for header in edited.values():
        # The checksum of the data stays true, that of the whole extension does not.
        header.remove("CHECKSUM", ignore_missing=True)
    return edited


def _is_applied(exposure: Exposure, total: LinearTransform) -> bool:
    """Whether the file that was read has the whole correction already."""
    if exposure.applied is None:
        return False
    # a grism exposure's is written in the plane of the direct exposure that governs it
    remaining = exposure.applied.inverted().then(total.in_plane(exposure.applied.plane))
    square = 100.0 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return bool(np.abs(remaining.apply(square) - square).max() <= _NEGLIGIBLE)


def _primary_header(header: fits.Header, fit: ExposureFit) -> fits.Header:
    new = header.copy()
    new[STATUS_KEYWORD] = (fit.status.value, "grism_align: status of the WCS")
    new["GALVERS"] = (__version__, "grism_align: version")
    if fit.governed_by:
        new["GALGOVRN"] = (",".join(fit.governed_by)[:68], "grism_align: direct exposures")
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    words = f"grism_align {__version__} {date}: {fit.status.value} {fit.reason}"
    new["HISTORY"] = plain_text(words).strip()
    return new


def _science_headers(
    hdus: fits.HDUList,
    science: dict[int, int],
    exposure: Exposure,
    total: LinearTransform,
    label: WcsLabel,
) -> dict[int, fits.Header]:
    new = {index: hdus[index].header.copy() for index in science.values()}
    headers = list(new.values())
    date = datetime.now(UTC).isoformat(timespec="seconds")
    letter = archive_key(headers)
    for chip in exposure.chips:
        header = new[science[chip.extver]]
        terms = _corrected_terms(header, chip, total)
        archive_wcs(header, letter, date)
        write_wcs(header, hdus[0].header, terms, label)
        if "S_REGION" in header:
            write_region(header, FitsWcs.from_header(header, hdus, chip.shape).footprint())
    return new


def _corrected_terms(header: fits.Header, chip: Chip, total: LinearTransform) -> LinearTerms:
    """From the WCS before any correction, so that none is applied twice: the file may have one by now."""
    crval, cd = corrected_linear_terms(cast("FitsWcs", chip.wcs), total)
    return LinearTerms(np.array([header["CRPIX1"], header["CRPIX2"]]), crval, cd)


def _follower_headers(
    hdus: fits.HDUList, science: dict[int, int], edited: dict[int, fits.Header]
) -> dict[int, fits.Header]:
    """Headers of the arrays that go with a science array and carry a WCS."""
    new = {}
    for index, hdu in enumerate(hdus):
        if hdu.name in _FOLLOWERS and hdu.ver in science and "CRVAL1" in hdu.header:
            header = hdu.header.copy()
            main = edited[science[hdu.ver]]
            cd = np.array([[main[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
            crpix, crval = (np.array([main[f"{stem}{i}"] for i in (1, 2)]) for stem in ("CRPIX", "CRVAL"))
            write_linear_terms(header, LinearTerms(crpix, crval, cd))
            if "WCSNAME" in header:
                header["WCSNAME"] = main["WCSNAME"]
            new[index] = header
    return new
