"""How the WCS that a correction starts from differs from the one on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.fit import weighted_transform
from grism_align.values.record import InputWCS
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure
    from grism_align.values.transform import TangentPlane


# WCSs that agree this well all over the chips, in mas, are one.
_SAME_WCS = 1e-3
_MAS = 1e3


@dataclass(frozen=True, eq=False)
class InputDifference:
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
        return self.largest <= _SAME_WCS

    def __str__(self) -> str:
        # from the record to the file, as a user thinks of what has changed
        change = self.to_record.inverted().at(self.place)
        east, north = _MAS * change.shift
        return (
            f"up to {self.largest:.4g} mas (shift {east:+.4g},{north:+.4g} mas east and north, "
            f"roll {change.roll:+.3g} deg, scale {change.scale - 1:+.2g}, "
            f"distortion {self.distortion:.2g} mas)"
        )


def input_difference(known: InputWCS, exposure: Exposure, plane: TangentPlane) -> InputDifference | None:
    """Compare the WCS of an exposure's chips with the one on record.

    Parameters
    ----------
    known : InputWCS
        On record.
    exposure : Exposure
        As its file has it.
    plane : TangentPlane
        Of its correction, for `InputDifference.to_record`.

    Returns
    -------
    InputDifference or None
        None where the chips are others, or of another size.
    """
    mine, theirs = ({chip.number: chip for chip in wcs.chips} for wcs in (InputWCS.of(exposure), known))
    if {n: chip.shape for n, chip in mine.items()} != {n: chip.shape for n, chip in theirs.items()}:
        return None
    here = np.concatenate([chip.sky for chip in mine.values()])
    there = np.concatenate([theirs[number].sky for number in mine])
    source, target = plane.to_plane(here), plane.to_plane(there)
    fitted = weighted_transform(source, target, np.ones(len(source)), plane, "general")
    rest = np.hypot(*(fitted.apply(source) - target).T)
    return InputDifference(
        largest=float(_MAS * 3600 * separation(here, there).max()),
        to_record=LinearTransform(fitted.matrix, fitted.shift, plane),
        place=exposure.plane,
        distortion=float(_MAS * rest.max()),
    )
