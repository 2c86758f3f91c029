"""The mosaics of a record as pictures."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.io.pictures import jpeg
from grism_align.io.report.formatting import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents

_QUALITY = 80
# More would make a page that no one wants to mail.
_MOST = 40


@dataclass(frozen=True)
class Picture:
    """A mosaic to look at.

    Parameters
    ----------
    title, caption : str
        Above and below it.
    image : str
        JPEG as a data URI.
    width, height : int
        CSS pixels.
    text : str
        What it shows, for those who can't see it.
    """

    title: str
    caption: str
    image: str
    width: int
    height: int
    text: str


def mosaic_pictures(contents: Contents) -> list[Picture]:
    """Return the pictures of a record's mosaics, of the first of many.

    Parameters
    ----------
    contents : Contents
        The record.
    """
    found = []
    for one in contents.record.mosaics[:_MOST]:
        if one.picture.size == 0:
            continue
        ny, nx = one.picture.shape
        plan, sides = one.plan, [side * one.plan.grid.scale / 60 for side in one.plan.grid.shape]
        sources = "" if one.n_sources is None else f", {count(one.n_sources, 'source')}"
        size = f"{sides[1]:.1f}\N{PRIME} by {sides[0]:.1f}\N{PRIME}"
        caption = f"{count(len(plan.keys), 'exposure')}{sources}; {size}"
        text = f"Mosaic {plan.name} of {count(len(plan.keys), 'exposure')}"
        found.append(Picture(plan.name, caption, _jpeg(one.picture), nx, ny, text))
    return found


def _jpeg(picture: NDArray[np.uint8]) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg(picture[::-1], _QUALITY)).decode()
