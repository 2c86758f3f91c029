"""What a correction does to the traces that are predicted with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.detector import DetectorWindow

if TYPE_CHECKING:
    from grism_align.values.exposure import Chip
    from grism_align.values.trace import TraceModel
    from grism_align.values.transform import LinearTransform


def rows_moved(
    chip: Chip, transform: LinearTransform, model: TraceModel, window: DetectorWindow | None = None
) -> float:
    """Return by how many pixels a correction moves the predicted traces across, at the centre of the chip.

    Parameters
    ----------
    chip : Chip
        Of a grism exposure.
    transform : LinearTransform
        The total correction.
    model : TraceModel
        Where traces lie, by pixels as of `CoarseTrace`; a move along a sloping trace moves it across too.
    window : DetectorWindow, optional
        Which part of the detector the array is; a whole chip by default.
    """
    ny, nx = chip.shape
    center = np.array([[(nx - 1) / 2, (ny - 1) / 2]])
    before = chip.wcs.to_pixel(transform.apply_to_sky(chip.wcs.to_sky(center)))
    moved, window = center - before, window or DetectorWindow()
    if chip.along_columns:
        center, moved, window = center[:, ::-1], moved[:, ::-1], window.transposed()
    dx, dy = window.offsets(model, center)
    slope = (dy[0, -1] - dy[0, 0]) / (dx[0, -1] - dx[0, 0])
    x, y = moved[0]
    return float(y - slope * x)
