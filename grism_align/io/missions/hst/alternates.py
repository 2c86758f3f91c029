"""Keep the WCS that a correction replaces as an alternate of the header, and put it back.

Cards are copied as they stand, so that what comes back is what was there to the last digit. Each correction
notes the letter of the WCS that it replaced, and that note is archived with it: a chain that undo follows.
"""

from __future__ import annotations

import re
from string import ascii_uppercase
from typing import TYPE_CHECKING

from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io.fits import Header


#: Keyword of the letter of the WCS that the primary WCS replaced.
PREVIOUS = "GALPREV"
#: The same of an alternate, whose letter follows.
PREVIOUS_OF = "GALPRV"
#: Value of either where that WCS is no longer in the file.
LOST = "-"

# The OPUS WCS, from which updatewcs starts, is never touched.
_RESERVED = "O"
# What a correction changes.
_LINEAR = {
    **{name: name for name in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")},
    "ORIENTAT": "GALORI",
}
# What readers of an alternate need besides, and no correction changes.
_FRAME = ("WCSAXES", "CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "LONPOLE", "LATPOLE", "RADESYS", "EQUINOX")
# What describes a solution; stwcs has NMATCH in alternates.
_LABELS = {
    **{
        name: name
        for name in (
            *("WCSNAME", "WCSTYPE", "HDRNAME", "FITNAME", "FITGEOM", "CATALOG"),
            *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2"),
        )
    },
    "NMATCHES": "NMATCH",
    PREVIOUS: PREVIOUS_OF,
}
# What the primary header says of a correction of ours.
_STATUS = {"GALIGN": "GALIGN", "GALVERS": "GALVER", "GALERROR": "GALERR", "GALGOVRN": "GALGOV"}
# With an alternate's letter: when we archived it.
_ARCHIVED_ON = "GALDT"
_UNNAMED = "unnamed"


def archive_key(headers: Sequence[Header]) -> str | None:
    """Return the letter under which the replaced WCS of a file is kept.

    The next letter that is free in all science headers; when none is, the one that we archived first. None
    where all are others'.

    Parameters
    ----------
    headers : sequence of Header
        All science headers of the file.
    """
    letters = [letter for letter in ascii_uppercase if letter != _RESERVED]
    free = [k for k in letters if not any(f"CRVAL1{k}" in header for header in headers)]
    if free:
        return free[0]
    ours = [letter for letter in letters if _ARCHIVED_ON + letter in headers[0]]
    return min(ours, key=lambda letter: str(headers[0][_ARCHIVED_ON + letter]), default=None)


def archive_wcs(primary: Header, headers: Sequence[Header], letter: str | None, date: str) -> None:
    """Copy the primary WCS of all science headers under a letter, and note it as the one replaced (in place).

    The distortion is shared by all alternates, so only linear terms and labels are copied.

    Parameters
    ----------
    primary : Header
        The primary header.
    headers : sequence of Header
        All science headers.
    letter : str or None
        From `archive_key`; None where there is no room, and then the WCS is noted as lost.
    date : str
        When.
    """
    if letter is not None:
        _archive(primary, _STATUS, letter)
        for header in headers:
            _archive(header, {name: name for name in _FRAME} | _LINEAR | _LABELS, letter)
            if f"WCSNAME{letter}" not in header:
                header[f"WCSNAME{letter}"] = _UNNAMED
            header[_ARCHIVED_ON + letter] = (date, "grism_align: archived this WCS")
    for header in headers:
        _break_chain(header, letter)
        header[PREVIOUS] = (letter or LOST, "grism_align: letter of the WCS it replaced")


def _archive(header: Header, names: dict[str, str], letter: str) -> None:
    for keyword, short in names.items():
        header.remove(short + letter, ignore_missing=True, remove_all=True)
        if keyword in header:
            _put(header, _renamed(header, keyword, short + letter))


def _break_chain(header: Header, letter: str | None) -> None:
    """Forget the letter of an alternate whose letter is used anew: it leads nowhere now."""
    stem = _LABELS[PREVIOUS]
    for keyword in [name for name in header if re.fullmatch(f"{stem}[A-Z]", name)]:
        if header[keyword] == letter:
            header[keyword] = LOST


def restore_wcs(primary: Header, headers: Sequence[Header], letter: str) -> None:
    """Make an archived WCS the primary one again and free its letter (in place).

    Parameters
    ----------
    primary : Header
        The primary header.
    headers : sequence of Header
        All science headers.
    letter : str
        Which.
    """
    _restore(primary, _STATUS, letter)
    for header in headers:
        if header.get(f"WCSNAME{letter}") == _UNNAMED:
            header.remove(f"WCSNAME{letter}")
        _restore(header, _LINEAR | _LABELS, letter)
        for keyword in (*_FRAME, _ARCHIVED_ON):
            header.remove(keyword + letter, ignore_missing=True)


def _restore(header: Header, names: dict[str, str], letter: str) -> None:
    for keyword, short in names.items():
        if short + letter not in header:
            header.remove(keyword, ignore_missing=True)
            continue
        _put(header, _renamed(header, short + letter, keyword))
        header.remove(short + letter)


def _renamed(header: Header, keyword: str, name: str) -> fits.Card:
    """Return a card under another name, its value to the last digit as written."""
    return fits.Card.fromstring(f"{name:8}" + header.cards[keyword].image[8:])


def _put(header: Header, card: fits.Card) -> None:
    """Put a card in the place of that of the same name, or at the end."""
    if card.keyword in header:
        index = header.index(card.keyword)
        del header[index]
        header.insert(index, card)
    else:
        header.append(card)
