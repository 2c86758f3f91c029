"""The WCS of the image that a dispersed exposure would be."""

from __future__ import annotations

import copy
from typing import Any

from grism_align.io.gwcs.parts import plain_of


def imaging_part(wcs: Any, shape: tuple[int, int]) -> Any:
    """Return a gwcs without dispersion, wavelength and order, from the frame ``detector`` on.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of a dispersed exposure; that of an image is returned as it is.
    shape : (ny, nx)
        Of the array, which becomes its bounding box.

    Returns
    -------
    gwcs.WCS
    """
    import gwcs

    if wcs.output_frame.naxes == 2:
        return wcs
    first = list(wcs.available_frames).index("detector")
    steps = [
        (_spatial(step.frame), None if step.transform is None else plain_of(step.transform))
        for step in wcs.pipeline[first:]
    ]
    imaging = gwcs.WCS(steps, name=wcs.name)
    ny, nx = shape
    imaging.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    return imaging


def _spatial(frame: Any) -> Any:
    """Return the part of a frame that has positions, by the name of the whole."""
    spatial = copy.deepcopy(frame.frames[0] if hasattr(frame, "frames") else frame)
    spatial.name = frame.name
    return spatial
