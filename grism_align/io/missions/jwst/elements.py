"""What stood in the light of an exposure of JWST: its band and disperser, by the optical elements."""

from __future__ import annotations

import re
from math import nan
from typing import TYPE_CHECKING

from grism_align.io.missions.jwst.facts import FACTS
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.io.files.cards import Cards


_BAND = re.compile(r"F(\d{3})(W2|W|M|N|LP)")
# of two filters one after the other, the narrower one counts
_NARROWEST = ("N", "M", "W", "LP", "W2")

# Where filters in front of grisms let half the light through, micron (JWST User Documentation, NIRISS Filters
# and NIRCam Filters). Those of NIRCam agree to 0.03 micron with the apertures of complete spectra in SIAF
# (NRCA5_GRISMR_WFSS_*_CS); nothing that is installed with jwst has those of NIRISS.
_PASSBANDS = {
    "F090W": (0.796, 1.005),
    "F115W": (1.013, 1.283),
    "F140M": (1.331, 1.480),
    "F150W": (1.330, 1.671),
    "F158M": (1.488, 1.688),
    "F200W": (1.751, 2.226),
    "F250M": (2.412, 2.595),
    "F277W": (2.423, 3.132),
    "F300M": (2.831, 3.157),
    "F322W2": (2.432, 4.013),
    "F335M": (3.177, 3.537),
    "F356W": (3.135, 3.981),
    "F360M": (3.426, 3.814),
    "F410M": (3.866, 4.302),
    "F430M": (4.167, 4.398),
    "F444W": (3.881, 4.982),
    "F460M": (4.515, 4.747),
    "F480M": (4.662, 4.973),
}
# By so much of the wavelength light goes on beyond.
_BEYOND = 0.01

# INSTRUME and DETECTOR of those that are read: the instrument as parameter files have it, and which detector
# of it.
_DETECTORS = {
    ("NIRISS", "NIS"): ("niriss", 1),
    ("NIRCAM", "NRCALONG"): ("nircam_long", 1),
    ("NIRCAM", "NRCBLONG"): ("nircam_long", 2),
    **{
        ("NIRCAM", f"NRC{module}{number}"): ("nircam_short", number + 4 * (module == "B"))
        for module in "AB"
        for number in range(1, 5)
    },
}


def instrument_of(cards: Cards) -> tuple[str, int]:
    """Return the package's name of an instrument, and the number of the detector.

    Raises
    ------
    InputError
        If it is none that is read.
    """
    key = cards.text("INSTRUME").upper(), cards.text("DETECTOR").upper()
    if key not in _DETECTORS:
        found = "/".join(filter(None, key)) or "unknown"
        raise InputError(
            cards.path, f"instrument {found} is not one of NIRISS, NIRCam", f"Give {FACTS.reads}"
        )
    return _DETECTORS[key]


def element_of(cards: Cards) -> str:
    """Return the disperser of an exposure, else its band.

    Raises
    ------
    InputError
        If the headers name neither.
    """
    elements = [cards.text(keyword).upper() for keyword in ("FILTER", "PUPIL")]
    disperser = next((one for one in elements if one in FACTS.dispersers), "")
    found = disperser or band_of(cards)
    if not found:
        shown = " and ".join(filter(None, elements)) or "missing"
        raise InputError(cards.path, f"no filter and no grism (FILTER, PUPIL: {shown})", "Leave it out")
    return found


def band_of(cards: Cards) -> str:
    """Return the filter, in whatever wheel it is; empty for none."""
    found = [_BAND.fullmatch(cards.text(keyword).upper()) for keyword in ("PUPIL", "FILTER")]
    bands = sorted(filter(None, found), key=lambda one: _NARROWEST.index(one[2]))
    return bands[0][0] if bands else ""


def passband_of(band: str) -> tuple[float, float] | None:
    """Return between which wavelengths a filter before a grism has light, micron; None for others."""
    if band not in _PASSBANDS:
        return None
    blue, red = _PASSBANDS[band]
    return blue * (1.0 - _BEYOND), red * (1.0 + _BEYOND)


def wavelength_of(band: str) -> float:
    """Return the wavelength that a filter is named after, m; NaN for none."""
    found = _BAND.fullmatch(band)
    return nan if found is None else 1e-8 * int(found[1])
