"""Put a tangent-plane correction into a gwcs, and take it out.

The correction is one transform at v2v3vacorr, of the form that tweakwcs makes and refines, and it leads to
the frame v2v3corr. In dispersed exposures it passes wavelength and order through.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.gwcs.parts import CORRECTED, field_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine


def corrected_gwcs(
    wcs: Any, affine: PlaneAffine | None, plane: AttitudePlane, corrector: Any, name: str
) -> Any:
    """Return a gwcs with another correction in place of the one that it has, if any.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of an image or a dispersed exposure; it stays as it is, and shares its frames and transforms.
    affine : PlaneAffine or None
        The correction in all; None leaves it without one.
    plane : AttitudePlane
        That of the exposure.
    corrector : type
        The class of tweakwcs that corrects WCSs of the mission.
    name : str
        Name of the new WCS; empty for none.

    Returns
    -------
    gwcs.WCS
    """
    import gwcs

    steps = [(step.frame, step.transform) for step in wcs.pipeline]
    frames = [frame.name for frame, _ in steps]
    at = frames.index(field_frame(frames, name))
    frame, transform = steps[at]
    if CORRECTED in frames:
        transform = steps.pop(at + 1)[1]
    steps[at] = frame, transform
    if affine is not None:
        after = copy.deepcopy(frame)
        after.name = CORRECTED
        correction = _for_frame(_correction(affine, plane, corrector), transform.n_inputs)
        steps[at : at + 1] = [(frame, correction), (after, transform)]
    # its bounding box is that of its first transform
    new = gwcs.WCS(steps, name=name or None)
    new.pixel_shape = wcs.pixel_shape
    return new


def _for_frame(correction: Any, n_inputs: int) -> Any:
    """Return a correction that passes through what a frame has besides positions."""
    from astropy.modeling.models import Identity

    if n_inputs == correction.n_inputs:
        return correction
    others = Identity(n_inputs - correction.n_inputs)
    whole = correction & others
    whole.inverse = correction.inverse & others
    # what tweakwcs tells it by
    whole.name = correction.name
    return whole


def _correction(affine: PlaneAffine, plane: AttitudePlane, corrector: Any) -> Any:
    """Return the correction as a corrector of tweakwcs makes it, with the numbers as they are given."""
    made = corrector(
        _bare_wcs(), {"v2_ref": plane.v2_ref, "v3_ref": plane.v3_ref, "roll_ref": plane.roll_ref}
    )
    made.set_correction()
    frames = list(made.wcs.available_frames)
    model = copy.deepcopy(made.wcs.pipeline[frames.index(CORRECTED) - 1].transform)
    matrix, translation = np.reshape(affine.matrix, (2, 2)), np.array(affine.translation)
    back = np.linalg.inv(matrix)
    _set(model["tp_affine"], matrix, translation)
    _set(model.inverse["tp_affine_inv"], back, -back @ translation)
    return model


def _set(model: Any, matrix: Sequence[Any] | np.ndarray[Any, Any], translation: Any) -> None:
    model.matrix, model.translation = matrix, translation


def _bare_wcs() -> Any:
    """Return a gwcs with the frames that a corrector wants, and nothing in it."""
    import gwcs
    from astropy import coordinates, units
    from astropy.modeling.models import Identity
    from gwcs import coordinate_frames

    pixels = coordinate_frames.Frame2D(name="detector", unit=(units.pix, units.pix))
    field = coordinate_frames.Frame2D(name="v2v3", unit=(units.arcsec, units.arcsec))
    sky = coordinate_frames.CelestialFrame(reference_frame=coordinates.ICRS(), name="world")
    return gwcs.WCS([(pixels, Identity(2)), (field, Identity(2)), (sky, None)])
