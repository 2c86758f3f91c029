"""What the page's script is given: numbers with as many digits as mean something, null for unknown ones."""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.inspection import (
        ChipPicture,
        InspectedExposure,
        Inspection,
        SourceMarks,
        StarMarks,
        TraceMarks,
    )

_PLACE = 4  # digits of arcsec


def data_of(inspection: Inspection) -> dict[str, Any]:
    """Return what the page shows as a tree of what JSON has.

    Parameters
    ----------
    inspection : Inspection
        Texts in it may be anything.
    """
    plane = inspection.plane
    return {
        "product": inspection.product,
        "catalog": inspection.catalog,
        "plane": [plane.ra, plane.dec],
        "stars": _stars(inspection.stars),
        "exposures": [_exposure(one) for one in inspection.exposures],
    }


def _exposure(one: InspectedExposure) -> dict[str, Any]:
    before = one.before
    return {
        **{name: getattr(one, name) for name in _TEXTS},
        "before": [*before.matrix.ravel().tolist(), *before.shift.tolist()],
        "chips": [_chip(chip) for chip in one.chips],
        "sources": None if one.sources is None else _sources(one.sources),
        "stars": _stars(one.stars),
        "traces": None if one.traces is None else _traces(one.traces),
    }


_TEXTS = ("key", "kind", "instrument", "filter", "visit", "start", "status", "remarks", "shift")


def _chip(chip: ChipPicture) -> dict[str, Any]:
    ny, nx = chip.shape
    return {
        "number": chip.number,
        "size": [nx, ny],
        "reduced": chip.reduced,
        "tiles": len(chip.nodes) - 1,
        "nodes": _rounded(chip.nodes, _PLACE),
        "image": base64.b64encode(chip.jpeg).decode(),
    }


def _sources(marks: SourceMarks) -> dict[str, Any]:
    return {
        "place": _rounded(marks.place, _PLACE),
        "number": marks.number.tolist(),
        "id": marks.id.tolist(),
        "chip": marks.chip.tolist(),
        "xy": _rounded(marks.xy, 2),
        "mag": _rounded(marks.mag, 2),
        "status": marks.status.tolist(),
        "relative": _rounded(marks.relative, 2),
        "absolute": _rounded(marks.absolute, 2),
        "matched": marks.matched.tolist(),
        "doubts": marks.doubts.tolist(),
    }


def _stars(marks: StarMarks | None) -> dict[str, Any] | None:
    if marks is None:
        return None
    return {
        "place": _rounded(marks.place, _PLACE),
        "name": marks.identifier.tolist(),
        "mag": _rounded(marks.mag, 2),
    }


def _traces(marks: TraceMarks) -> dict[str, Any]:
    return {
        "number": marks.number.tolist(),
        "chip": marks.chip.tolist(),
        "xy": _rounded(marks.xy, 2),
        "mag": _rounded(marks.mag, 2),
        "points": marks.after.shape[1],
        "after": _rounded(marks.after, 3),
        "before": _rounded(marks.before, 3),
        "model": marks.model,
    }


def _rounded(values: NDArray[np.float64], digits: int) -> list[float | None]:
    """Return all numbers of an array in a row."""
    flat = np.round(np.asarray(values, dtype=float).ravel(), digits).tolist()
    return [one if math.isfinite(one) else None for one in flat]
