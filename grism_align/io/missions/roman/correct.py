"""Correct the metadata of an exposure of Roman, and undo that: its WCS, and all that follows from it.

What follows is the outline, the status and the results of the step tweakreg, which does the same for images,
and what we leave at ``meta.grism_align``.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from grism_align.io.gwcs.attitude_plane import AttitudePlane
from grism_align.io.gwcs.changes import correction_to_undo, has_correction, told
from grism_align.io.gwcs.correction import corrected_gwcs
from grism_align.io.gwcs.own import PLACE, OwnCorrection, OwnNotes, Replaced, notes_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.region import s_region
from grism_align.io.missions.roman.files import not_installed

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from grism_align.io.gwcs.attitude_plane import PlaneAffine
    from grism_align.io.gwcs.sky import GwcsSky
    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import WcsLabel
    from grism_align.values.solution import ExposureFit

    Meta = MutableMapping[str, Any]


#: Where romancal's tweakreg puts what it found.
RESULTS = "wcs_fit_results"
_ARCSEC = 3600.0 * 180.0 / pi


def correct_metadata(meta: Meta, exposure: Exposure, fit: ExposureFit, label: WcsLabel) -> None:
    """Give an exposure its correction (in place).

    Parameters
    ----------
    meta : mapping
        ``meta`` of a model or of a file's tree.
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
    notes = notes_of(_plain(meta.get(PLACE)), exposure.source)
    if fit.transform is not None:
        sky = cast("GwcsSky", exposure.chips[0].wcs).corrected(fit.transform)
        if sky.affine is not None and not has_correction(meta["wcs"], sky):
            results = _results(sky.affine, label)
            notes = notes.corrected(_correct(meta, sky, label.solution, results))
    elif parts_of(meta["wcs"], exposure.source).affine is None:
        meta["cal_step"]["tweakreg"] = "FAILED"
        meta[RESULTS] = {"status": "FAILED", "nmatches": 0}
    meta[PLACE] = OwnNotes(told(exposure, fit, label), notes.corrections, notes.undone).as_tree()


def _correct(meta: Meta, sky: GwcsSky, solution: str, results: dict[str, Any]) -> OwnCorrection:
    before = parts_of(meta["wcs"], solution)
    others = {RESULTS: _plain(meta[RESULTS])} if RESULTS in meta else {}
    replaced = Replaced(
        before.name,
        before.affine,
        {"s_region": str(meta["wcsinfo"]["s_region"])},
        str(meta["cal_step"].get("tweakreg") or ""),
        others,
    )
    assert sky.affine is not None
    meta["wcs"] = _gwcs(meta["wcs"], sky.affine, sky.attitude_plane, solution)
    meta["wcsinfo"]["s_region"] = s_region(sky)
    meta["cal_step"]["tweakreg"] = "COMPLETE"
    meta[RESULTS] = results
    return OwnCorrection(solution, sky.affine, replaced)


def _results(affine: PlaneAffine, label: WcsLabel) -> dict[str, Any]:
    """Return what romancal's tweakreg tells of a fit, of the whole correction: arcsec and deg."""
    matrix = np.reshape(affine.matrix, (2, 2))
    # as tweakwcs counts it
    rotation = float(np.degrees(np.arctan2(matrix[0, 1] - matrix[1, 0], matrix[0, 0] + matrix[1, 1])))
    rms = 1e-3 * float(np.hypot(*label.rms))
    return {
        "status": "SUCCESS",
        "fitgeom": label.geometry,
        "matrix": matrix.tolist(),
        "shift": [_ARCSEC * one for one in affine.translation],
        "center": [0.0, 0.0],
        "proper_rot": rotation,
        "<rot>": rotation,
        "<scale>": float(np.sqrt(np.linalg.det(matrix))),
        "nmatches": int(label.n_matches),
        **({"rmse": rms} if np.isfinite(rms) else {}),
    }


def _plain(value: Any) -> Any:
    """Return what a model has in plain dictionaries and lists."""
    if hasattr(value, "items"):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple) or (hasattr(value, "__iter__") and not isinstance(value, str)):
        return [_plain(one) for one in value]
    return value


def _gwcs(wcs: Any, affine: PlaneAffine | None, plane: AttitudePlane, name: str) -> Any:
    try:
        from tweakwcs import RomanWCSCorrector
    except ImportError as error:
        raise not_installed(error) from error
    return corrected_gwcs(wcs, affine, plane, RomanWCSCorrector, name)


def undo_metadata(meta: Meta, source: object) -> tuple[OwnCorrection, OwnNotes]:
    """Put back what our latest correction of an exposure replaced (in place).

    Parameters
    ----------
    meta : mapping
        ``meta`` of a model or of a file's tree.
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
    tree = _plain(meta.get(PLACE))
    undone = correction_to_undo(tree, meta.get("wcs"), source)
    notes, before, info = notes_of(tree, source), undone.replaced, meta["wcsinfo"]
    plane = AttitudePlane(float(info["v2_ref"]), float(info["v3_ref"]), float(info["roll_ref"]))
    meta["wcs"] = _gwcs(meta["wcs"], before.affine, plane, before.name)
    info.update(before.wcsinfo)
    meta["cal_step"]["tweakreg"] = before.tweakreg
    meta.pop(RESULTS, None)
    meta.update(before.others)
    left = notes.without_latest()
    meta[PLACE] = left.as_tree()
    return undone, left
