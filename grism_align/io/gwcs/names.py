"""Names of WCSs that are a gwcs, and which of them an exposure has or had."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from grism_align.io.gwcs.own import OwnCorrection, OwnNotes
    from grism_align.io.gwcs.sky import GwcsSky


#: What the WCS is called that nobody has fitted to stars.
A_PRIORI = "A-PRIORI"
# what a WCS is called that was fitted by somebody who gave it no name
_UNNAMED = "FIT-UNNAMED"


def solution_name(catalog: str, taken: Collection[str], *, by_exposure: bool) -> str:
    """``FIT-GALIGN-<catalog>``, numbered where a WCS of that name is in use.

    Parameters
    ----------
    catalog : str
        What the frame was aligned to.
    taken : collection of str
        Names of WCSs in all exposures: the name must be the same in all, and new in each.
    by_exposure : bool
        Whether each exposure was fitted to the catalog on its own.
    """
    kind = "IMG" if by_exposure else "GALIGN"
    name = f"FIT-{kind}-{re.sub('[^0-9A-Za-z]', '', catalog) or 'NONE'}"
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(each for each in numbered if each not in taken)


def solution_of(sky: GwcsSky) -> str:
    """Return what the WCS of an exposure is called."""
    return A_PRIORI if sky.affine is None else sky.parts.name or _UNNAMED


def known_skies(sky: GwcsSky, own: OwnNotes) -> dict[str, GwcsSky]:
    """Return the WCSs that an exposure has or had, by name.

    Parameters
    ----------
    sky : GwcsSky
        The one that it has.
    own : OwnNotes
        What we left in it.
    """
    known = {A_PRIORI: sky.with_affine(None)}
    for one in own.corrections:
        known[one.solution] = sky.with_affine(one.affine)
    return known


def name_before(undone: OwnCorrection) -> str:
    """Return what the WCS is called that a correction replaced."""
    return undone.replaced.name or A_PRIORI
