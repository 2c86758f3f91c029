"""The WCS that a correction starts from: on record, and held against that of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.fitting.fit import weighted_transform
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.transform import TangentPlane

__all__ = ["SAME_WCS", "StartDifference", "start_difference", "start_entry"]

#: WCSs that agree this well all over the chips, in arcsec, are one.
SAME_WCS = 1e-6

# Pixels of a chip, a side, whose positions are on record: enough to tell its distortion from a linear map.
_GRID = 3
_MAS = 1e3


@dataclass(frozen=True, eq=False)
class StartDifference:
    """How the WCS of an exposure differs from the one on record.

    Parameters
    ----------
    largest : float, mas
        How far apart the two put a pixel, at most.
    to_record : LinearTransform
        From the exposure's WCS to the one on record.
    place : TangentPlane
        At the exposure, where the text tells the difference.
    distortion : float, mas
        What this map leaves, at most: another distortion model.
    """

    largest: float
    to_record: LinearTransform
    place: TangentPlane
    distortion: float

    @property
    def is_none(self) -> bool:
        """Whether the two are one WCS."""
        return self.largest <= _MAS * SAME_WCS

    def __str__(self) -> str:
        # from the record to the file, as a user thinks of what has changed
        change = self.to_record.inverted().at(self.place)
        east, north = _MAS * change.shift
        return (
            f"up to {self.largest:.4g} mas (shift {east:+.4g},{north:+.4g} mas east and north, "
            f"roll {change.roll:+.3g} deg, scale {change.scale - 1:+.2g}, "
            f"distortion {self.distortion:.2g} mas)"
        )


def start_entry(exposure: Exposure) -> dict[str, Any]:
    """The WCS before any correction, as positions of pixels all over each chip.

    Parameters
    ----------
    exposure : Exposure
        Its chips have the WCS.

    Returns
    -------
    dict
        ``names`` of all WCSs in the headers, and ``chips``: ``extver``, ``shape`` (ny, nx) and ``sky``, RA
        and Dec in deg of 3 x 3 pixels from corner to corner, x running fastest.
    """
    return {
        "names": [str(name) for name in exposure.taken_names],
        "chips": [
            {"extver": int(c.number), "shape": [int(n) for n in c.shape], "sky": _positions(c).tolist()}
            for c in exposure.chips
        ],
    }


def start_difference(
    entry: Mapping[str, Any], exposure: Exposure, plane: TangentPlane
) -> StartDifference | None:
    """What differs between the WCS of an exposure's chips and the one on record.

    Parameters
    ----------
    entry : mapping
        As `start_entry` made it.
    exposure : Exposure
        As its file has it.
    plane : TangentPlane
        Of its correction, for `StartDifference.to_record`.

    Returns
    -------
    StartDifference or None
        None where the chips are others, or of another size.
    """
    known = {chip["extver"]: chip for chip in entry["chips"]}
    if _sizes((c["extver"], c["shape"]) for c in entry["chips"]) != _sizes(
        (c.number, c.shape) for c in exposure.chips
    ):
        return None
    here = np.concatenate([_positions(chip) for chip in exposure.chips])
    there = np.concatenate([np.array(known[chip.number]["sky"], dtype=float) for chip in exposure.chips])
    source, target = plane.to_plane(here), plane.to_plane(there)
    fitted = weighted_transform(source, target, np.ones(len(source)), plane, "general")
    rest = np.hypot(*(fitted.apply(source) - target).T)
    return StartDifference(
        largest=float(_MAS * 3600 * separation(here, there).max()),
        to_record=LinearTransform(fitted.matrix, fitted.shift, plane),
        place=exposure.plane,
        distortion=float(_MAS * rest.max()),
    )


def _sizes(chips: Iterable[tuple[int, Any]]) -> dict[int, tuple[int, ...]]:
    return {int(extver): tuple(shape) for extver, shape in chips}


def _positions(chip: Chip) -> NDArray[np.float64]:
    """RA and Dec, (9, 2) deg, of pixels from corner to corner."""
    ny, nx = chip.shape
    x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
    return np.asarray(chip.wcs.to_sky(np.column_stack([x.ravel(), y.ravel()])), dtype=float)
