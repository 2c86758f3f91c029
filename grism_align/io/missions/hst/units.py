"""What the pixels of HST exposures count: electrons or counts, in all or per second."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from astropy import units as u

from grism_align.io.units import parse_unit
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from grism_align.io.files.cards import Cards

# What calibrated exposures are in: ramps are fitted, CCDs are read out once.
_USUAL = {"wfc3_ir": "ELECTRONS/S", "wfc3_uvis": "ELECTRONS", "acs_wfc": "ELECTRONS"}
_COUNTED = {u.electron: "ELECTRONS", u.ct: "COUNTS", u.adu: "COUNTS", u.DN: "COUNTS"}
_MEANINGS = {**_COUNTED, **{kind / u.s: f"{name}/S" for kind, name in _COUNTED.items()}}

logger = logging.getLogger(__name__)


def pixel_unit(instrument: str, science: Iterable[Cards], primary: Cards) -> str:
    """Return ``ELECTRONS``, ``COUNTS``, ``ELECTRONS/S`` or ``COUNTS/S``, which BUNIT means in any spelling.

    Where it is missing or no unit, that of the instrument's calibrated exposures, with a warning.

    Parameters
    ----------
    instrument : str
        The package's name of it.
    science : iterable of Cards
        Of the science extensions.
    primary : Cards
        Looked at where those are silent.

    Raises
    ------
    InputError
        If it is a unit of something else, or not the same in all extensions.
    """
    texts = [cards.text("BUNIT") for cards in (*science, primary)]
    stated = dict.fromkeys(filter(None, texts[:-1] if any(texts[:-1]) else texts))
    units = {text: unit for text in stated if (unit := parse_unit(text)) is not None}
    found = {_MEANINGS.get(unit, "") for unit in units.values()}
    usual, path = _USUAL[instrument], primary.path
    if len(found) > 1 or "" in found:
        remedy = f"Give a calibrated exposure, whose BUNIT is {usual}"
        raise InputError(path, f"pixels in {' and '.join(units)} (BUNIT)", remedy)
    if not found:
        reason = f"BUNIT is {', '.join(map(repr, stated))}" if stated else "no BUNIT"
        logger.warning("%s: %s; taken as %s, as calibrated exposures are", path, reason, usual)
        return usual
    (unit,) = found
    if unit.startswith("COUNTS"):
        logger.warning("%s: pixels in %s, not in electrons: its magnitudes are off by the gain", path, unit)
    return unit
