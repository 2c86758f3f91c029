"""Files of HST that are no exposures to align: what they are, and what to give instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from grism_align.io.files.cards import Cards
from grism_align.io.missions.hst.facts import CHIPS
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io import fits


_EXPOSURE = "Give the calibrated exposure, {root}_flc.fits or {root}_flt.fits"
_EXPOSURES = "Give the exposures that it was made of, *_flc.fits or *_flt.fits"
_RAW = "a raw exposure, which has no distortion model and no errors"
_READS = "an IMA file, the single reads of one exposure"
_MOSAIC = "a drizzled mosaic, whose pixels are the sky's and no detector's"
_ENGINEERING = "an engineering file, without an image"
_TABLE = "a table of spectra"

# Of the WFC3 and ACS Data Handbooks, 2.1, by what the names of files end in.
_BY_SUFFIX: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("raw", "rac", "blv", "blc", "blv_tmp", "blc_tmp", "rac_tmp"), (_RAW, _EXPOSURE)),
    "ima": (_READS, _EXPOSURE),
    **dict.fromkeys(("drz", "drc", "drw", "sci", "wht", "ctx", "mos"), (_MOSAIC, _EXPOSURES)),
    **dict.fromkeys(("spt", "jit", "jif", "epc", "trl", "pdq", "lrc", "lsp"), (_ENGINEERING, _EXPOSURE)),
    **dict.fromkeys(("x1d", "sx1", "x2d", "sx2", "x1f"), (_TABLE, _EXPOSURE)),
    **dict.fromkeys(("hlet", "hlt"), ("a headerlet, a WCS without an image", _EXPOSURE)),
    **dict.fromkeys(("c0m", "c1m", "c0f", "d0m", "shm"), ("a file of WFPC2, which is not read", _EXPOSURES)),
    "asn": ("no association: it has no columns MEMNAME and MEMTYPE", "Fetch the file again"),
}
_SUFFIX = re.compile(r"_([a-z0-9]+(?:_tmp)?)\.fits(?:\.gz|\.fz)?$", re.IGNORECASE)
_CALIBRATIONS = ("DARK", "BIAS", "FLAT", "LAMP", "TUNGSTEN", "DEUTERIUM", "EARTH-CALIB")


def refuse_other_kinds(path: Path, hdus: fits.HDUList) -> None:
    """Refuse files that are no exposures of the sky, before anything else is found wrong with them.

    Parameters
    ----------
    path : Path
        The file.
    hdus : HDUList
        The same, open.

    Raises
    ------
    InputError
        With what the file is, and what to give instead.
    """
    primary = Cards(path, hdus[0].header)
    what, instead = _by_content(primary, hdus) or _by_name(path) or ("", "")
    if what:
        root = primary.text("ROOTNAME").lower() or "its root name"
        raise InputError(path, f"it is {what}", instead.format(root=root))


def _by_content(primary: Cards, hdus: fits.HDUList) -> tuple[str, str] | None:
    shown = {primary.text(keyword).upper() for keyword in ("IMAGETYP", "TARGNAME")}
    calibration = next((kind for kind in _CALIBRATIONS if kind in shown), "")
    chips = sum(hdu.name == "SCI" for hdu in hdus)
    most = CHIPS.get(primary.text("DETECTOR").upper(), chips)
    signs = (
        ("NDRIZIM" in primary.header or "D001DATA" in primary.header, _BY_SUFFIX["drz"]),
        ("DESTIM" in primary.header, _BY_SUFFIX["hlet"]),
        (bool(calibration), (f"a calibration exposure ({calibration}), not one of the sky", "Leave it out")),
        (
            primary.text("FILTER").upper() == "BLANK",
            ("a dark exposure: its FILTER is Blank", "Leave it out"),
        ),
        (_is_raw(primary, hdus), _BY_SUFFIX["raw"]),
        (chips > most, _BY_SUFFIX["ima"]),
    )
    return next((answer for holds, answer in signs if holds), None)


def _is_raw(primary: Cards, hdus: fits.HDUList) -> bool:
    """Tell whether nothing was calibrated yet; headers of simulated exposures are often those of raw ones."""
    science = next((Cards.of(primary.path, hdu) for hdu in hdus if hdu.name == "SCI"), primary)
    is_counted = science.text("BUNIT").upper().startswith("COUNT")
    is_plain = not science.text("CTYPE1").endswith("-SIP")
    return primary.text("DQICORR").upper() == "PERFORM" and (is_counted or is_plain)


def _by_name(path: Path) -> tuple[str, str] | None:
    found = _SUFFIX.search(path.name)
    return _BY_SUFFIX.get(found.group(1).lower()) if found else None
