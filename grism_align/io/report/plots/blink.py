"""The same stars before and after, as pictures to look at side by side or in turns."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import count, fixed, length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.io.report.contents import Contents
    from grism_align.values.record import StarStamps


_BITS = 255


@dataclass(frozen=True)
class Pair:
    """A star before and after.

    Parameters
    ----------
    title, caption : str
        Which star, and what to know about it.
    before, after : str
        PNG images as data URIs.
    before_text, after_text : str
        What they show, for those who can't see them.
    """

    title: str
    caption: str
    before: str
    after: str
    before_text: str
    after_text: str


@dataclass(frozen=True)
class Blink:
    """All pairs, that of all stars together first.

    Parameters
    ----------
    pairs : tuple of Pair
    side : float
        Of a picture, arcsec.
    note : str
        What was taken off the pictures before, empty for nothing.
    """

    pairs: tuple[Pair, ...]
    side: float
    note: str


def blink_of(contents: Contents) -> Blink | None:
    """Return the pictures of a record; None where it has none."""
    stamps = contents.record.stamps
    if stamps is None:
        return None
    pairs = tuple(_pair(stamps, row) for row in range(len(stamps.before)))
    note = ""
    if any(stamps.common_offset):
        east, north = (fixed(value, 2, sign=True) for value in stamps.common_offset)
        note = f"The offset common to all exposures (E {east}″, N {north}″) is taken off in those before."
    return Blink(pairs, stamps.scale * stamps.before.shape[1], note)


def _pair(stamps: StarStamps, row: int) -> Pair:
    before, after = stamps.before[row].astype(float), stamps.after[row].astype(float)
    title, exposures = _title(stamps, row)
    off = [length(1e3 * float(one[row])) for one in (stamps.off_before, stamps.off_after)]
    top = float(np.nanmax(after, initial=0.0))
    share = 100 * float(np.nanmax(before, initial=0.0)) / top if top > 0 else float("nan")
    caption = f"{exposures}; off by {off[0]} → {off[1]}, peak {fixed(share, 0)} → 100 %"
    return Pair(
        title,
        caption,
        _png(before, top),
        _png(after, top),
        f"{title}, stacked by the WCSs before: off by {off[0]}",
        f"{title}, stacked by the corrected WCSs: off by {off[1]}",
    )


def _title(stamps: StarStamps, row: int) -> tuple[str, str]:
    n = stamps.n_exposures
    if row == 0:
        return "All stars", f"{count(len(n), 'star')}, {count(int(n.sum()), 'image')}"
    ra, dec = float(stamps.ra[row - 1]), float(stamps.dec[row - 1])
    return f"{ra:.5f} {dec:+.5f}", count(int(n[row - 1]), "exposure")


def _png(image: NDArray[np.float64], top: float) -> str:
    """Return an image, north up and east left, from the sky's level to the peak after, as a data URI."""
    from PIL import Image

    level = np.nan_to_num(image / top if top > 0 else image)
    stretched = np.arcsinh(np.clip(level, -0.02, 1.0) / 0.08) / np.arcsinh(1 / 0.08)
    shade = np.clip((stretched + 0.05) / 1.05, 0, 1)
    stream = io.BytesIO()
    Image.fromarray((shade[::-1] * _BITS).astype(np.uint8)).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
