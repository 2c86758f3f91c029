"""Headerlets: the WCS of an exposure as a small FITS file that stwcs can apply to another copy of it.

They are made here from the headers as written, so that stwcs need not be installed to make them.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from astropy.io import fits

from grism_align import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io.fits import Header


#: EXTNAME and XTENSION of a headerlet in an exposure.
EXTENSION = "HDRLET"
#: EXTNAME of the WCS of a chip in a headerlet.
CHIP = "SIPWCS"

_TABLES = ("D2IMARR", "WCSDVARR")
# What belongs to the WCS and its distortion in a science header, alternates left out.
_WCS_CARDS = re.compile(
    r"WCSAXES|WCSNAME|WCSTYPE|CRPIX[12]|CRVAL[12]|CTYPE[12]|CUNIT[12]|CD[12]_[12]|CRDER[12]"
    r"|LONPOLE|LATPOLE|RADESYS|EQUINOX|ORIENTAT|VAFACTOR"
    r"|[AB]P?_(ORDER|\d_\d|DMAX)|CPDIS[12]|CPERR[12]|NPOLEXT|D2IMDIS[12]|D2IMERR[12]|D2IMEXT"
    r"|(DP|D2IM)[12](\..*)?|OC[XY]1[01]|IDC(SCALE|THETA|XREF|YREF|V2REF|V3REF)"
)
_MISSING = ("", "N/A", "NONE", "INDEF")
_NO_MODEL = "NOMODEL"
_IN_THE_EXPOSURE = ("HDRNAME", "DATE", "SIPNAME", "WCSNAME", "DISTNAME", "NPOLFILE", "D2IMFILE")


def headerlet_bytes(primary: Header, science: Sequence[Header], hdus: fits.HDUList) -> bytes:
    """Return the headerlet of an exposure's primary WCS.

    Parameters
    ----------
    primary : Header
        The primary header.
    science : sequence of Header
        All science headers, HDRNAME included.
    hdus : HDUList
        The open file, for its distortion tables.

    Returns
    -------
    bytes
        A whole FITS file.
    """
    parts: list[Any] = [_primary(primary, science[0])]
    parts += [_chip_wcs(header) for header in science]
    wanted = {name for header in science for name in tables_of(header)}
    parts += [hdu.copy() for hdu in hdus if (hdu.name, hdu.ver) in wanted]
    buffer = io.BytesIO()
    fits.HDUList(parts).writeto(buffer)
    return buffer.getvalue()


def _primary(primary: Header, science: Header) -> fits.PrimaryHDU:
    names = distortion_names(primary)
    header = fits.Header()
    header["DESTIM"] = (primary.get("ROOTNAME", ""), "Destination observation root name")
    header["HDRNAME"] = (science["HDRNAME"], "Headerlet name")
    header["DATE"] = (datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"), "Date FITS file was generated")
    header["WCSNAME"] = (science["WCSNAME"], "Coordinate system title")
    header["DISTNAME"] = (names["DISTNAME"], "Distortion model name")
    header["SIPNAME"] = (names["SIPNAME"], "origin of SIP polynomial distortion model")
    for keyword, missing in (("NPOLFILE", " "), ("D2IMFILE", "N/A"), ("IDCTAB", "N/A")):
        header[keyword] = primary.get(keyword, missing)
    header["AUTHOR"] = f"grism_align {__version__}"
    header["DESCRIP"] = science.get("WCSTYPE", "")
    # in degrees, as stwcs has it
    header["RMS_RA"], header["RMS_DEC"] = science.get("CRDER1", 0.0), science.get("CRDER2", 0.0)
    header["NMATCH"] = (science.get("NMATCHES", 0), "Number of sources used for headerlet solution")
    header["CATALOG"] = science.get("CATALOG", "")
    for keyword in ("UPWCSVER", "PYWCSVER"):
        header[keyword] = primary.get(keyword, "")
    header["VAFACTOR"] = science.get("VAFACTOR", 1.0)
    return fits.PrimaryHDU(header=header)


def _chip_wcs(science: Header) -> fits.ImageHDU:
    header = fits.Header(card for card in science.cards if _WCS_CARDS.fullmatch(card.keyword))
    header["TG_ENAME"] = ("SCI", "Target science data extname")
    header["TG_EVER"] = (science.get("EXTVER", 1), "Target science data extver")
    return fits.ImageHDU(header=header, name=CHIP, ver=int(science.get("EXTVER", 1)))


def tables_of(science: Header) -> set[tuple[str, int]]:
    """Return the distortion tables that a chip's WCS uses, by EXTNAME and EXTVER."""
    keywords = (
        (name, f"{stem}{axis}.EXTVER")
        for name, stem in zip(_TABLES, ("D2IM", "DP"), strict=True)
        for axis in (1, 2)
    )
    return {(name, int(science[keyword])) for name, keyword in keywords if keyword in science}


def distortion_names(primary: Header) -> dict[str, str]:
    """SIPNAME, NPOLNAME, D2IMNAME and DISTNAME, by the rules of stwcs where the headers don't say.

    Parameters
    ----------
    primary : Header
        The primary header of the exposure.
    """
    idc = _root_of(primary, "IDCTAB", "_idc") or "N/A"
    given = str(primary.get("SIPNAME", ""))
    made = "UNKNOWN" if idc == "N/A" else f"{primary.get('ROOTNAME', '')}_{idc}"
    names = {
        "SIPNAME": given if idc != "N/A" and idc in given else made,
        "NPOLNAME": _root_of(primary, "NPOLFILE", "_npl") or _NO_MODEL,
        "D2IMNAME": _root_of(primary, "D2IMFILE", "_d2i") or _NO_MODEL,
    }
    return names | {"DISTNAME": str(primary.get("DISTNAME") or "-".join(names.values()))}


def _root_of(primary: Header, keyword: str, suffix: str) -> str:
    """Root of a reference file's name, without it ``$`` and path."""
    value = str(primary.get(keyword, "")).strip()
    if value in _MISSING:
        return ""
    return PurePosixPath(value.split("$")[-1]).name.removesuffix(".fits").replace(suffix, "").strip()


def headerlet_extension(headerlet: bytes, number: int) -> bytes:
    """Return a headerlet as an extension of an exposure, as stwcs attaches it.

    Parameters
    ----------
    headerlet : bytes
        From `headerlet_bytes`.
    number : int
        EXTVER.
    """
    with fits.open(io.BytesIO(headerlet)) as hdus:
        primary = hdus[0].header.copy()
        offsets = [hdu.fileinfo()["hdrLoc"] for hdu in hdus[1:]]
    header = fits.Header()
    header["XTENSION"] = (EXTENSION, "FITS extension")
    header["BITPIX"], header["NAXIS"], header["NAXIS1"] = 8, 1, len(headerlet)
    header["PCOUNT"], header["GCOUNT"] = 0, 1
    for index, offset in enumerate(offsets, 1):
        header[f"XIND{index}"] = (offset, f"byte offset of extension {index}")
    header["COMPRESS"] = (False, "Uses gzip compression")
    header["EXTNAME"], header["EXTVER"] = (EXTENSION, "Extension name"), number
    for keyword in _IN_THE_EXPOSURE:
        header[keyword] = (primary[keyword], primary.comments[keyword])
    return bytes(header.tostring().encode("ascii")) + headerlet


def attached(hdus: fits.HDUList) -> Mapping[int, str]:
    """HDRNAME of the headerlets in an exposure, by extension number."""
    return {
        index: str(hdu.header.get("HDRNAME", ""))
        for index, hdu in enumerate(hdus)
        if hdu.header.get("XTENSION", "").strip() == EXTENSION
    }
