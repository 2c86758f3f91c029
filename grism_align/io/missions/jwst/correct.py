"""Correct a data model of JWST in memory, and undo that: its WCS, and all that follows from it.

What follows is S_REGION, the FITS WCS with SIP, the status of the step tweakreg, which does the same for
images, and what we leave at ``meta.grism_align``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from grism_align.io.gwcs.changes import correction_to_undo, has_correction, told
from grism_align.io.gwcs.correction import corrected_gwcs
from grism_align.io.gwcs.imaging import imaging_part
from grism_align.io.gwcs.own import PLACE, OwnCorrection, OwnNotes, Replaced, notes_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.region import s_region
from grism_align.io.missions.jwst.files import not_installed

if TYPE_CHECKING:
    from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine
    from grism_align.io.gwcs.sky import GwcsSky
    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import WcsLabel
    from grism_align.values.solution import ExposureFit


# How well the FITS WCS is to agree, pixels, as assign_wcs has it.
_SIP = {"max_pix_error": 0.01, "max_inv_pix_error": 0.01, "npoints": 12}

logger = logging.getLogger(__name__)


def correct_model(model: Any, exposure: Exposure, fit: ExposureFit, label: WcsLabel) -> None:
    """Give an open model its correction (in place).

    Parameters
    ----------
    model : JwstDataModel
        An image or a dispersed exposure.
    exposure : Exposure
        As read of the same; its chip has the WCS before any correction.
    fit : ExposureFit
        Its total correction, in any tangent plane. Without one, its WCS stays, and ``cal_step.tweakreg`` is
        FAILED unless it had been corrected before.
    label : WcsLabel
        What its metadata say of the fit.

    Raises
    ------
    InputError
        If its WCS can't be corrected.
    MissingSoftwareError
        If what does that is not installed.
    """
    notes = notes_of(model.meta.instance.get(PLACE), exposure.source)
    if fit.transform is not None:
        sky = cast("GwcsSky", exposure.chips[0].wcs).corrected(fit.transform)
        if sky.affine is not None and not has_correction(model.meta.wcs, sky):
            notes = notes.corrected(_correct(model, sky, sky.affine, label.solution))
    elif parts_of(model.meta.wcs, exposure.source).affine is None:
        model.meta.cal_step.tweakreg = "FAILED"
    model.meta.instance[PLACE] = OwnNotes(
        told(exposure, fit, label), notes.corrections, notes.undone
    ).as_tree()


def _correct(model: Any, sky: GwcsSky, affine: PlaneAffine, solution: str) -> OwnCorrection:
    replaced = Replaced(
        str(model.meta.wcs.name or ""),
        parts_of(model.meta.wcs, solution).affine,
        _plain(model.meta.wcsinfo.instance),
        model.meta.cal_step.tweakreg or "",
    )
    model.meta.wcs = _gwcs(model.meta.wcs, affine, sky.attitude_plane, solution)
    model.meta.wcsinfo.s_region = s_region(sky)
    model.meta.cal_step.tweakreg = "COMPLETE"
    _update_fits_wcs(model)
    return OwnCorrection(solution, affine, replaced)


def _plain(tree: Any) -> dict[str, Any]:
    return {str(name): value for name, value in dict(tree).items() if isinstance(value, str | int | float)}


def _gwcs(wcs: Any, affine: PlaneAffine | None, plane: AttitudePlane, name: str) -> Any:
    try:
        from tweakwcs import JWSTWCSCorrector
    except ImportError as error:
        raise not_installed(error) from error
    return corrected_gwcs(wcs, affine, plane, JWSTWCSCorrector, name)


def _update_fits_wcs(model: Any) -> None:
    """Make the FITS WCS anew, as close as SIP comes (in place)."""
    try:
        from jwst.assign_wcs.util import update_fits_wcsinfo
    except ImportError as error:
        raise not_installed(error) from error
    imaging = imaging_part(model.meta.wcs, model.shape)
    try:
        update_fits_wcsinfo(model, imwcs=imaging, **_SIP)
    except (ValueError, RuntimeError) as error:
        logger.warning("%s: no FITS WCS comes near its WCS (%s)", model.meta.filename, error)


def undo_model(model: Any, source: object) -> tuple[OwnCorrection, OwnNotes]:
    """Put back what our latest correction of an open model replaced (in place).

    Parameters
    ----------
    model : JwstDataModel
        The model.
    source : object
        What holds it, for errors.

    Returns
    -------
    undone : OwnCorrection
        What was undone.
    notes : OwnNotes
        What is left.

    Raises
    ------
    InputError
        As `correction_to_undo`.
    """
    tree = model.meta.instance.get(PLACE)
    undone = correction_to_undo(tree, model.meta.wcs, source)
    notes = notes_of(tree, source)
    before = undone.replaced
    model.meta.wcs = _gwcs(model.meta.wcs, before.affine, _plane_of(model), before.name)
    info = model.meta.wcsinfo.instance
    for name in [name for name in info if name not in before.wcsinfo]:
        del info[name]
    info.update(before.wcsinfo)
    model.meta.cal_step.tweakreg = before.tweakreg or None
    left = notes.without_latest()
    model.meta.instance[PLACE] = left.as_tree()
    return undone, left


def _plane_of(model: Any) -> AttitudePlane:
    from grism_align.io.gwcs.attitude_plane import AttitudePlane

    info = model.meta.wcsinfo
    return AttitudePlane(info.v2_ref, info.v3_ref, info.roll_ref)
