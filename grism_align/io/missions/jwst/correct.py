"""Correct a data model of JWST in memory, and undo that: its WCS, and all that follows from it.

What follows is S_REGION, the FITS WCS with SIP, the status of the step tweakreg, which does the same for
images, and what we leave at ``meta.grism_align``.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from grism_align import __version__
from grism_align.io.gwcs.correction import corrected_gwcs
from grism_align.io.gwcs.imaging import imaging_part
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.region import s_region
from grism_align.io.missions.jwst.facts import A_PRIORI, TELESCOPE
from grism_align.io.missions.jwst.files import not_installed
from grism_align.io.missions.jwst.own import PLACE, OwnCorrection, OwnNotes, Replaced, notes_of
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine
    from grism_align.io.gwcs.sky import GwcsSky
    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import WcsLabel
    from grism_align.values.solution import ExposureFit


# Below this, arcsec, a correction is the one that the model already has.
_NEGLIGIBLE = 1e-6
# How well the FITS WCS is to agree, pixels, as assign_wcs has it.
_SIP = {"max_pix_error": 0.01, "max_inv_pix_error": 0.01, "npoints": 12}
_FRESH = "Fetch the file from the archive again to start from its first WCS"

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
        if sky.affine is not None and not _has(model, sky):
            notes = notes.corrected(_correct(model, sky, sky.affine, label.solution))
    elif parts_of(model.meta.wcs, exposure.source).affine is None:
        model.meta.cal_step.tweakreg = "FAILED"
    model.meta.instance[PLACE] = OwnNotes(
        _told(exposure, fit, label), notes.corrections, notes.undone
    ).as_tree()


def _has(model: Any, sky: GwcsSky) -> bool:
    """Tell whether a model has a correction already."""
    has = sky.with_affine(parts_of(model.meta.wcs, "").affine)
    if has.affine is None:
        return False
    apart = sky.plane.to_plane(has.footprint()) - sky.plane.to_plane(sky.footprint())
    return bool(np.abs(apart).max() <= _NEGLIGIBLE)


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


def _told(exposure: Exposure, fit: ExposureFit, label: WcsLabel) -> dict[str, Any]:
    """Return how an exposure came out, in plain values."""
    is_guided = exposure.tracking.guiding.drift_share < 1
    coherence = TELESCOPE.coherence
    error = coherence.guided_error if is_guided else coherence.unguided_error
    if fit.transform is not None:
        error = fit.transform.at(exposure.plane).axis_error
    return {
        "software": f"grism_align {__version__}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": fit.status.value,
        "remarks": fit.reason,
        "error_mas": 1e3 * float(error),
        "catalog": label.catalog,
        "n_matches": int(label.n_matches),
        "fitgeometry": label.geometry,
        "direct_exposures": list(fit.governors),
    }


def check_undo_model(tree: Any, wcs: Any, source: object) -> OwnCorrection:
    """Return the correction that is to be undone.

    Parameters
    ----------
    tree : mapping or None
        What is at ``meta.grism_align``.
    wcs : gwcs.WCS or None
        The WCS.
    source : object
        What holds both, for errors.

    Raises
    ------
    InputError
        If there is none, or another tool changed the WCS since.
    """
    notes = notes_of(tree, source)
    latest = notes.latest
    if latest is None:
        words = "never aligned" if tree is None else f"status {notes.told.get('status', 'unknown')}"
        if notes.undone:
            words = f"{notes.undone} was undone before"
        raise InputError(source, f"no correction of grism_align to undo ({words})", _FRESH)
    has = None if wcs is None else parts_of(wcs, source).affine
    if has != latest.affine:
        words = (
            "was taken out of its WCS, as assign_wcs does" if has is None else "was changed by another tool"
        )
        raise InputError(source, f"{latest.solution} {words} after grism_align", _FRESH)
    return latest


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
        As `check_undo_model`.
    """
    tree = model.meta.instance.get(PLACE)
    undone = check_undo_model(tree, model.meta.wcs, source)
    notes = notes_of(tree, source)
    before = undone.replaced
    model.meta.wcs = _gwcs(model.meta.wcs, before.affine, _plane_of(model), before.name)
    info = model.meta.wcsinfo.instance
    for name in [name for name in info if name not in before.wcsinfo]:
        del info[name]
    info.update(before.wcsinfo)
    model.meta.cal_step.tweakreg = before.tweakreg or None
    earlier = notes.corrections[:-1]
    told = {**notes.told, "status": "UNDONE" if not earlier else notes.told.get("status", "")}
    left = OwnNotes(told, earlier, undone.solution)
    model.meta.instance[PLACE] = left.as_tree()
    return undone, left


def _plane_of(model: Any) -> AttitudePlane:
    from grism_align.io.gwcs.attitude_plane import AttitudePlane

    info = model.meta.wcsinfo
    return AttitudePlane(info.v2_ref, info.v3_ref, info.roll_ref)


def name_before(undone: OwnCorrection) -> str:
    """Return what the WCS is called that a correction replaced."""
    return undone.replaced.name or A_PRIORI
