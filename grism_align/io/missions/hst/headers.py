"""Edit the WCS keywords of HST headers: write a corrected WCS, keep the one it replaces."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.io.files.fits import plain_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from astropy.io.fits import Header
    from numpy.typing import NDArray

    from grism_align.values.mission import WcsLabel


#: Primary keyword that tells how an exposure came out.
STATUS_KEYWORD = "GALIGN"
#: Primary keyword of the solution that was undone last, until the next correction.
UNDONE_KEYWORD = "GALUNDO"
_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
# Describe the fit that is replaced, and are written anew or not at all.
_OF_THE_FIT = (
    *("WCSTYPE", "HDRNAME", "FITNAME", "NMATCHES", "FITGEOM", "CATALOG"),
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2"),
)
# State the linear terms once more; wcslib heeds PC and not CD.
_RIVALS = re.compile(r"PC[12]_[12]|CDELT[12]|CROTA[12]")
# The solution of a WCSNAME that is the distortion model alone.
_COMMANDED = "IDC"
_UNKNOWN = -1.0
_MAS_PER_DEGREE = 3.6e6


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


def wcs_name(science: Header, primary: Header, solution: str) -> str:
    """WCSNAME of a solution: ``IDC_<root>-<solution>``, with the distortion model of the headers."""
    model = model_of(science, primary)
    return model if solution == _COMMANDED else f"{model}-{solution}"


def model_of(science: Header, primary: Header) -> str:
    """Return the distortion model, ``IDC_<root>``: from WCSNAME, else from IDCTAB in either header."""
    return next(_models(science, primary), "IDC_unknown")


def models_of(science: Header, primary: Header) -> str:
    """Return the distortion models that WCSNAME and IDCTAB name, usually one; empty for none."""
    return " and ".join(dict.fromkeys(_models(science, primary)))


def _models(science: Header, primary: Header) -> Iterator[str]:
    found = re.match(r"IDC_[^-]+", str(science.get("WCSNAME", "")))
    if found:
        yield found.group(0)
    for header in (science, primary):
        name = str(header.get("IDCTAB", "")).split("$")[-1].split("/")[-1]
        if name.endswith("_idc.fits"):
            yield "IDC_" + name.removesuffix("_idc.fits")


def solution_of(name: str) -> str:
    """Which solution a WCSNAME is: in ``IDC_<root>-<solution>`` the part after the model.

    ``IDC`` for the model alone, the pointing as commanded; a name of another kind, such as TweakReg's
    ``TWEAK``, is a solution of its own.
    """
    model, _, solution = name.partition("-")
    if not model.startswith("IDC_"):
        return name
    return solution or _COMMANDED


def distortion_models(names: Collection[str]) -> frozenset[str]:
    """Return the distortion models that WCSNAMEs tell of: ``IDC_<root>`` of ``IDC_<root>-<solution>``."""
    return frozenset(name.partition("-")[0] for name in names if name.startswith("IDC_"))


def solution_name(catalog: str, taken: Collection[str], *, by_exposure: bool = False) -> str:
    """``FIT_REL_<catalog>`` or ``FIT_IMG_<catalog>``, numbered where a WCS of that name is in use.

    Parameters
    ----------
    catalog : str
        What the frame was aligned to. drizzlepac splits names at ``-`` and ``_``, so it is reduced to
        letters and digits.
    taken : collection of str
        WCSNAMEs in all exposures: the name must be the same in all, and new in each.
    by_exposure : bool, optional
        Whether each exposure was fitted to the catalog on its own (IMG); else they were aligned to each
        other and, as one, to the catalog (REL).
    """
    name = f"FIT_{'IMG' if by_exposure else 'REL'}_{re.sub('[^0-9A-Za-z]', '', catalog) or 'NONE'}"
    used = {solution_of(each) for each in taken}
    numbered = (f"{name}_{number}" for number in range(2, len(used) + 3))
    return name if name not in used else next(each for each in numbered if each not in used)


def write_wcs(header: Header, primary: Header, terms: LinearTerms, label: WcsLabel) -> None:
    """Put a corrected WCS into a science header (in place).

    HDRNAME comes later, by `headerlet_name`, when all chips have theirs.
    """
    write_linear_terms(header, _as_written(terms))
    for keyword in _OF_THE_FIT:
        header.remove(keyword, ignore_missing=True, remove_all=True)
    _drop_repeats(header, "WCSNAME")
    header["WCSNAME"] = (wcs_name(header, primary, label.solution), "Coordinate system title")
    header["WCSTYPE"] = _wcs_type(label)
    header["NMATCHES"] = (label.n_matches, "Sources used in the fit")
    header["FITGEOM"] = (label.geometry, "Fit geometry")
    header["CATALOG"] = plain_text(label.catalog)
    for axis, rms in zip(("RA", "DEC"), label.rms, strict=True):
        known = np.isfinite(rms)
        header[f"RMS_{axis}"] = (
            float(rms) if known else _UNKNOWN,
            f"[mas] rms residual of the fit in {axis}",
        )
        if known:
            number = 1 if axis == "RA" else 2
            header[f"CRDER{number}"] = (float(rms) / _MAS_PER_DEGREE, f"[deg] rms residual in {axis}")


def _wcs_type(label: WcsLabel) -> str:
    """In drizzlepac's words."""
    if not label.solution.startswith("FIT"):
        return f"undistorted a priori solution {plain_text(label.solution)}"
    how = "aligned image-by-image" if label.solution.startswith("FIT_IMG") else "relatively aligned"
    return f"undistorted a posteriori solution {how} to {plain_text(label.catalog).upper()}"


def headerlet_name(root: str, headers: Sequence[Header]) -> str:
    """HDRNAME of the solution in the science headers of a file: ``<root>_gal<sum>``.

    The sum is that of WCSNAME, CRVAL and CD of all chips, so that every solution of an exposure has its own
    name, and a WCS that has changed since does not have the name that it goes by. It fits into the 24
    characters of WCSCORR.

    Parameters
    ----------
    root : str
        Root name of the exposure.
    headers : sequence of Header
        All its science headers.
    """
    values = [repr(header.get(keyword)) for header in headers for keyword in ("WCSNAME", *_LINEAR)]
    return f"{root[:12]}_gal{zlib.crc32(' '.join(values).encode()):08x}"


def write_region(header: Header, footprint: NDArray[np.float64]) -> None:
    """Put the outline of a chip, (4, 2) deg, into a science header that has one (in place)."""
    corners = " ".join(f"{value:.8f}" for value in footprint.ravel())
    header["S_REGION"] = f"POLYGON ICRS {corners}"


def write_linear_terms(header: Header, terms: LinearTerms) -> None:
    """Put CRPIX, CRVAL, CD and ORIENTAT into a header that has a celestial WCS, each once (in place).

    Other ways to state the same, PC and CROTA, are taken out.
    """
    if "CRVAL1" not in header:
        return
    for keyword in set(filter(_RIVALS.fullmatch, header)):
        header.remove(keyword, remove_all=True)
    values = [*terms.crpix, *terms.crval, *terms.cd.ravel()]
    for keyword, value in zip(_LINEAR, values, strict=True):
        _drop_repeats(header, keyword)
        header[keyword] = float(value)
    if "ORIENTAT" in header:
        _drop_repeats(header, "ORIENTAT")
        header["ORIENTAT"] = float(np.degrees(np.arctan2(terms.cd[0, 1], terms.cd[1, 1])))


def _drop_repeats(header: Header, keyword: str) -> None:
    """Leave the first card of a keyword (in place): some readers take the first, others the last."""
    while keyword in header and header.count(keyword) > 1:
        del header[keyword, 1]


def _as_written(terms: LinearTerms) -> LinearTerms:
    """Numbers as they will be read: a card has room for twenty characters."""

    def read(value: float) -> float:
        return float(fits.Card.fromstring(fits.Card("VALUE", float(value)).image).value)

    crval, cd = (np.array([read(x) for x in values.flat]) for values in (terms.crval, terms.cd))
    return LinearTerms(terms.crpix, crval, cd.reshape(2, 2))
