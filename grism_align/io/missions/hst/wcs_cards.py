"""The cards that make the WCS of a science header: each read once, refused where they make none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.io.files.cards import Bounds, Cards
from grism_align.io.files.fits import one_line
from grism_align.io.missions.hst.headers import LinearTerms
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.values.errors import InputError
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


RUN_UPDATEWCS = (
    "Run stwcs.updatewcs on the file, or fetch it from the archive again: "
    "without its distortion model an exposure can't be aligned"
)
_CTYPES = ("RA---TAN-SIP", "DEC--TAN-SIP")
_LINEAR = {
    **dict.fromkeys(("CRPIX1", "CRPIX2"), Bounds(-1e5, 1e5)),
    "CRVAL1": Bounds(-360.0, 720.0),
    "CRVAL2": Bounds(-90.0, 90.0),
    **dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), Bounds(-1e-3, 1e-3)),
}
# deg^2: a square of a microarcsecond
_SMALLEST_PIXEL = 1e-19
# wcslib knows more, and for a tangent plane they would turn it
_NATIVE_POLE = Bounds(180.0, 180.0)
# IDC table's linear terms against CD, as a fraction of a pixel's area; headers of twenty years reach 0.002.
_STRETCH = 0.02
# Of the distance to the reference pixel.
_MOST_MOVED = 0.1
# Other ways to state a linear transform or a projection
_OTHERS = re.compile(r"PC[12]_[12]|CDELT[12]|CROTA[12]|P[VS][12]_\d+")
# Of two readings of one header, arcsec.
_SAME = 1e-4
# From here on in degrees, arcsec
_FAR = 3600.0
_ORDERS = Bounds(1, 9)
_SIP = re.compile(r"([AB]P?)_(\d)_(\d)")
# Extensions of lookup tables, and the keywords that refer to one.
_REFERENCES = {"WCSDVARR": "CPDIS", "D2IMARR": "D2IMDIS"}
_TABLES = re.compile(r"CPDIS[12]|CPERR[12]|D2IMDIS[12]|D2IMERR[12]|D2IMEXT|AXISCORR|(DP|D2IM)[12](\..*)?")


def wcs_header(cards: Cards) -> fits.Header:
    """Return a header of the primary WCS alone, with its distortion.

    Raises
    ------
    InputError
        If a card is missing, is no number or out of bounds, or there is no SIP distortion: such headers
        would be wrong by arcseconds at the edges of the chip.
    """
    ctypes = [cards.text(keyword) for keyword in ("CTYPE1", "CTYPE2")]
    if ctypes != list(_CTYPES) or not {"A_ORDER", "B_ORDER"} <= set(cards.header):
        problem = f"{cards.extension} has no SIP distortion (CTYPE = {', '.join(ctypes)})"
        raise InputError(cards.path, problem, RUN_UPDATEWCS)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = _CTYPES
    for keyword, bounds in _LINEAR.items():
        header[keyword] = cards.required_number(keyword, bounds)
    if "LONPOLE" in cards.header:
        header["LONPOLE"] = cards.required_number("LONPOLE", _NATIVE_POLE)
    header.update({name: text for name in ("RADESYS",) if (text := cards.text(name))})
    if "EQUINOX" in cards.header:
        header["EQUINOX"] = cards.number("EQUINOX", 2000.0)
    header.update(_sip(cards))
    header.extend(card for card in cards.header.cards if _TABLES.fullmatch(card.keyword))
    return header


def _sip(cards: Cards) -> dict[str, float]:
    """Orders and coefficients; one beyond its order says that one of the two is wrong."""
    names = {match[0]: match for match in map(_SIP.fullmatch, cards.header) if match}
    stems = {match[1] for match in names.values()} | {"A", "B"}
    orders = {stem: cards.required_whole(f"{stem}_ORDER", _ORDERS) for stem in stems}
    for name, match in names.items():
        if int(match[2]) + int(match[3]) > orders[match[1]]:
            problem = f"{cards.extension} has {name}, and {match[1]}_ORDER is {orders[match[1]]}"
            raise InputError(cards.path, problem, RUN_UPDATEWCS)
    coefficients = {name: cards.required_number(name) for name in names}
    return {**{f"{stem}_ORDER": order for stem, order in orders.items()}, **coefficients}


def linear_terms(cards: Cards, letter: str) -> LinearTerms | None:
    """CRPIX, CRVAL and CD of an alternate WCS; None where there is none that can be used.

    Parameters
    ----------
    cards : Cards
        Of a science header.
    letter : str
        Of the alternate.
    """
    found = {name: cards.number(name + letter, within=bounds) for name, bounds in _LINEAR.items()}
    if not np.isfinite(list(found.values())).all():
        return None
    crpix, crval = (np.array([found[f"{stem}{i}"] for i in (1, 2)]) for stem in ("CRPIX", "CRVAL"))
    cd = np.array([[found[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    return LinearTerms(crpix, crval, cd) if abs(np.linalg.det(cd)) > _SMALLEST_PIXEL else None


def check_tables(path: Path, hdus: fits.HDUList, science: Sequence[fits.ImageHDU]) -> None:
    """Refuse a science header that refers to no distortion table of a kind that the file has.

    Raises
    ------
    InputError
        Naming the header, and what is missing.
    """
    names = [hdu.name for hdu in hdus]
    for cards in (Cards.of(path, hdu) for hdu in science):
        for name, stem in _REFERENCES.items():
            # the older form has one D2IMARR, which AXISCORR refers to
            is_old = name == "D2IMARR" and "AXISCORR" in cards.header
            wanted = [f"{stem}{axis}" for axis in (1, 2)][: names.count(name)]
            missing = [keyword for keyword in wanted if cards.text(keyword).upper() != "LOOKUP"]
            if missing and not is_old:
                problem = f"{cards.extension} has no {missing[0]} that refers to the file's {name}"
                raise InputError(path, problem, RUN_UPDATEWCS)


def check_distortion(cards: Cards, wcs: FitsWcs) -> None:
    """Refuse a distortion that no camera has.

    Raises
    ------
    InputError
        If it moves a pixel by more than a tenth of its way from the reference pixel; HST's cameras have
        0.03.
    """
    from_reference = wcs.grid() - [cards.number(f"CRPIX{axis}") - 1 for axis in (1, 2)]
    with np.errstate(all="ignore"):
        moved = wcs.plane.to_plane(wcs.to_sky(wcs.grid())) - from_reference @ wcs.axes.T
        pixels = np.hypot(*moved.T).max() / wcs.pixel_scale
    if not pixels <= _MOST_MOVED * np.hypot(*from_reference.T).max():
        problem = f"{cards.extension}: its distortion, A and B, moves pixels by up to {pixels:.3g}"
        raise InputError(cards.path, problem, RUN_UPDATEWCS)


def check_scale(cards: Cards, wcs: FitsWcs) -> None:
    """Refuse a CD matrix whose pixels are not those of the distortion model.

    Raises
    ------
    InputError
        If scale, shear or handedness contradict OCX and OCY, the linear terms of the IDC table. Nothing is
        asked where these are not known, or the detector was binned.
    """
    names = (("OCX11", "OCX10"), ("OCY11", "OCY10"))
    pixels = np.array([[cards.number(name, 0.0) for name in row] for row in names])
    area = abs(np.linalg.det(pixels))
    is_binned = any(cards.number(f"BINAXIS{axis}", 1.0) != 1 for axis in (1, 2))
    if is_binned or area == 0:
        return
    # lengths and angles on the sky, whatever the roll
    stretch = wcs.axes.T @ wcs.axes - pixels.T @ pixels
    mirrored = np.linalg.det(wcs.axes) * np.linalg.det(pixels) > 0
    if mirrored or np.abs(stretch).max() > _STRETCH * area:
        sides, known = (" by ".join(f"{side:.4f}" for side in np.hypot(*m)) for m in (wcs.axes, pixels))
        words = f'pixels of {sides}"{" and mirrored" if mirrored else ""}, its distortion model of {known}"'
        problem = f"{cards.extension}: its CD matrix makes {words}"
        raise InputError(cards.path, problem, RUN_UPDATEWCS)


def check_stated_once(cards: Cards, wcs: FitsWcs, hdus: fits.HDUList) -> None:
    """Refuse a header from which other programs read another WCS than its CRVAL, CD and SIP state.

    Raises
    ------
    InputError
        If there is a card more that they heed; it names those that may be meant.
    """
    try:
        read = FitsWcs.from_header(cards.header, hdus, wcs.shape)
        apart = 3600 * separation(read.to_sky(wcs.grid()), wcs.to_sky(wcs.grid())).max()
    except Exception as error:
        problem = f"{cards.extension} has a WCS that astropy can't read ({one_line(error)})"
        raise InputError(cards.path, problem, RUN_UPDATEWCS) from error
    if not apart <= _SAME:
        units = {name for name in ("CUNIT1", "CUNIT2") if cards.text(name) not in {"", "deg"}}
        others = sorted({*filter(_OTHERS.fullmatch, cards.header), *units})
        beside = f" and in {', '.join(others)}" if others else ""
        far = f'{apart:.4f}"' if apart < _FAR else f"{apart / _FAR:.1f} deg"
        problem = f"{cards.extension} states its WCS twice, in CRVAL, CD and SIP{beside}, {far} apart"
        raise InputError(cards.path, problem, "Take out what is wrong, or fetch the file again")
