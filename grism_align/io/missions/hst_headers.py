"""Edit the WCS keywords of HST headers: write a corrected WCS, keep the one it replaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from astropy.io.fits import Header
    from numpy.typing import NDArray

__all__ = [
    "STATUS_KEYWORD",
    "LinearTerms",
    "WcsLabel",
    "archive_key",
    "archive_wcs",
    "model_of",
    "plain_text",
    "solution_name",
    "solution_of",
    "wcs_name",
    "write_linear_terms",
    "write_region",
    "write_wcs",
]

#: Primary keyword that tells how an exposure came out.
STATUS_KEYWORD = "GALIGN"
# The OPUS WCS, from which updatewcs starts, is never touched.
_RESERVED = "O"
_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
_ARCHIVED = (
    "WCSAXES",
    *_LINEAR,
    "CTYPE1",
    "CTYPE2",
    "CUNIT1",
    "CUNIT2",
    "LONPOLE",
    "LATPOLE",
    "RADESYS",
    "EQUINOX",
    "WCSNAME",
    "WCSTYPE",
    "HDRNAME",
    "RMS_RA",
    "RMS_DEC",
    "CRDER1",
    "CRDER2",
)
# Describe the fit that is replaced; stwcs shortens the second of them in alternates.
_OF_THE_FIT = {"HDRNAME": "HDRNAME", "NMATCHES": "NMATCH", "FITGEOM": "FITGEOM", "CATALOG": "CATALOG"}
# With an alternate's letter: when we archived it.
_ARCHIVED_ON = "GALDT"


@dataclass(frozen=True)
class LinearTerms:
    """What a correction changes.

    Parameters
    ----------
    crpix : (2,) ndarray
        One-based reference pixel, unchanged.
    crval : (2,) ndarray, deg
        Sky position of the reference pixel.
    cd : (2, 2) ndarray, deg per pixel
        Linear terms.
    """

    crpix: NDArray[np.float64]
    crval: NDArray[np.float64]
    cd: NDArray[np.float64]


@dataclass(frozen=True)
class WcsLabel:
    """What headers say of a fit.

    Parameters
    ----------
    catalog : str
        What the frame was aligned to; ``NONE`` for a relative alignment.
    solution : str
        Name of the solution, as `solution_name` gives it.
    n_matches : int
        Sources used.
    rms : float, mas
        Of one axis.
    geometry : str
        Fit geometry: shift, rshift, rscale or general.
    """

    catalog: str
    solution: str
    n_matches: int
    rms: float
    geometry: str


def archive_key(headers: Sequence[Header]) -> str:
    """The letter under which the replaced WCS of a file is kept.

    The next letter that is free in all science headers; when none is, the one that we archived first.

    Parameters
    ----------
    headers : sequence of Header
        All science headers of the file.
    """
    letters = [letter for letter in ascii_uppercase if letter != _RESERVED]
    free = [k for k in letters if not any(f"CRVAL1{k}" in header for header in headers)]
    if free:
        return free[0]
    # "~" sorts behind every date: alternates of others go last.
    return min(letters, key=lambda letter: str(headers[0].get(_ARCHIVED_ON + letter, "~")))


def archive_wcs(header: Header, letter: str, date: str) -> None:
    """Copy the primary WCS of a science header under an alternate letter (in place).

    The distortion is shared by all alternates, so only linear terms and labels are copied.
    """
    for keyword in _ARCHIVED:
        header.remove(keyword + letter, ignore_missing=True)
        if keyword in header and len(keyword) < 8:
            header[keyword + letter] = (header[keyword], header.comments[keyword])
    for keyword, short in _OF_THE_FIT.items():
        if keyword in header:
            header[short + letter] = header[keyword]
    header[f"WCSNAME{letter}"] = header.get("WCSNAME", "unnamed")
    header[_ARCHIVED_ON + letter] = (date, "grism_align: archived this WCS")


def wcs_name(science: Header, primary: Header, solution: str) -> str:
    """WCSNAME of a solution: ``IDC_<root>-<solution>``, with the distortion model of the headers."""
    return f"{model_of(science, primary)}-{solution}"


def model_of(science: Header, primary: Header) -> str:
    """The distortion model, ``IDC_<root>``: from WCSNAME, else from IDCTAB in either header."""
    found = re.match(r"IDC_[^-]+", str(science.get("WCSNAME", "")))
    if found:
        return found.group(0)
    tables = (str(header.get("IDCTAB", "")).split("$")[-1].split("/")[-1] for header in (science, primary))
    roots = (name.removesuffix("_idc.fits") for name in tables if name.endswith("_idc.fits"))
    return "IDC_" + next(roots, "unknown")


def solution_of(name: str) -> str:
    """Which solution a WCSNAME is: in ``IDC_<root>-<solution>`` the part after the model.

    ``IDC`` for the model alone, the pointing as commanded; a name of another kind, such as TweakReg's
    ``TWEAK``, is a solution of its own.
    """
    model, _, solution = name.partition("-")
    if not model.startswith("IDC_"):
        return name
    return solution or "IDC"


def solution_name(catalog: str, taken: Collection[str]) -> str:
    """``FIT_REL_<catalog>``, numbered where a WCS of that name is in use.

    Parameters
    ----------
    catalog : str
        What the frame was aligned to. drizzlepac splits names at ``-`` and ``_``, so it is reduced to
        letters and digits.
    taken : collection of str
        WCSNAMEs in all exposures: the name must be the same in all, and new in each.
    """
    name = f"FIT_REL_{re.sub('[^0-9A-Za-z]', '', catalog) or 'NONE'}"
    used = {solution_of(each) for each in taken}
    numbered = (f"{name}_{number}" for number in range(2, len(used) + 3))
    return name if name not in used else next(each for each in numbered if each not in used)


def write_wcs(header: Header, primary: Header, terms: LinearTerms, label: WcsLabel) -> None:
    """Put a corrected WCS into a science header (in place)."""
    write_linear_terms(header, terms)
    for keyword in (*_OF_THE_FIT, "CRDER1", "CRDER2"):
        header.remove(keyword, ignore_missing=True)
    header["WCSNAME"] = (wcs_name(header, primary, label.solution), "Coordinate system title")
    header["WCSTYPE"] = _wcs_type(label.catalog)
    header["NMATCHES"] = (label.n_matches, "Sources used in the fit")
    header["FITGEOM"] = (label.geometry, "Fit geometry")
    for keyword in ("RMS_RA", "RMS_DEC"):
        header[keyword] = (label.rms if np.isfinite(label.rms) else 0.0, "[mas] rms residual of the fit")


def _wcs_type(catalog: str) -> str:
    return f"undistorted a posteriori solution relatively aligned to {plain_text(catalog).upper()}"


def plain_text(text: str) -> str:
    """A text as FITS headers can hold it: printable ASCII, a question mark for anything else."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def write_region(header: Header, footprint: NDArray[np.float64]) -> None:
    """Put the outline of a chip, (4, 2) deg, into a science header that has one (in place)."""
    corners = " ".join(f"{value:.8f}" for value in footprint.ravel())
    header["S_REGION"] = f"POLYGON ICRS {corners}"


def write_linear_terms(header: Header, terms: LinearTerms) -> None:
    """Put CRPIX, CRVAL, CD and ORIENTAT into a header that has a celestial WCS (in place)."""
    if "CRVAL1" not in header:
        return
    values = [*terms.crpix, *terms.crval, *terms.cd.ravel()]
    for keyword, value in zip(_LINEAR, values, strict=True):
        header[keyword] = float(value)
    if "ORIENTAT" in header:
        header["ORIENTAT"] = float(np.degrees(np.arctan2(terms.cd[0, 1], terms.cd[1, 1])))
