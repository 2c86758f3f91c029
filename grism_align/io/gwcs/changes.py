"""What is known and checked of a correction of a gwcs when it is made, and when it is undone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from grism_align import __version__
from grism_align.io.files.fits import one_line
from grism_align.io.gwcs.own import notes_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.values.errors import InputError, OutputError
from grism_align.values.mission import Corrections
from grism_align.values.solution import FitStatus
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grism_align.io.gwcs.own import OwnCorrection
    from grism_align.io.gwcs.sky import GwcsSky
    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import WcsLabel
    from grism_align.values.solution import ExposureFit


# Below this, arcsec, a correction is the one that the WCS already has.
_NEGLIGIBLE = 1e-6
# What the correction may lack of one by arcminutes, arcsec.
_TOLERANCE = 1e-4
_FRESH = "Fetch the file from the archive again to start from its first WCS"
_REMEDY = "Nothing was written. Fetch the exposure again, or leave it out; please report this"


def has_correction(wcs: Any, sky: GwcsSky) -> bool:
    """Tell whether a WCS has a correction already.

    Parameters
    ----------
    wcs : gwcs.WCS
        The WCS.
    sky : GwcsSky
        With the correction.
    """
    has = sky.with_affine(parts_of(wcs, "").affine)
    if has.affine is None:
        return False
    apart = sky.plane.to_plane(has.footprint()) - sky.plane.to_plane(sky.footprint())
    return bool(np.abs(apart).max() <= _NEGLIGIBLE)


def told(exposure: Exposure, fit: ExposureFit, label: WcsLabel) -> dict[str, Any]:
    """Return how an exposure came out, in plain values."""
    is_guided = exposure.tracking.guiding.drift_share < 1
    coherence = exposure.telescope.coherence
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


def check_written(exposure: Exposure, fit: ExposureFit, wcs: Any) -> None:
    """Refuse a WCS that is another than meant.

    Parameters
    ----------
    exposure : Exposure
        As it was read.
    fit : ExposureFit
        Its total correction.
    wcs : gwcs.WCS
        What was made of both.

    Raises
    ------
    OutputError
        If it is.
    """
    if fit.transform is None:
        return
    sky = cast("GwcsSky", exposure.chips[0].wcs)
    meant = fit.transform.apply_to_sky(sky.to_sky(sky.grid()))
    parts = parts_of(wcs, exposure.source)
    again = type(sky)(parts, sky.attitude_plane, parts.affine, sky.shape)
    apart = 3600 * separation(again.to_sky(sky.grid()), meant).max()
    if not apart <= _TOLERANCE:
        problem = f'the WCS written is read as another, {apart:.4f}" from the right one'
        raise OutputError(exposure.source, problem, _REMEDY)


def check_of_file(
    exposure: Exposure, fit: ExposureFit, wcs_of: Callable[[Path], Any]
) -> Callable[[Path], None]:
    """Return the check that a new file is read with the WCS that is meant.

    Parameters
    ----------
    exposure : Exposure
        As it was read.
    fit : ExposureFit
        Its total correction.
    wcs_of : callable
        Reads the WCS of a file.

    Returns
    -------
    callable
        Takes the file; it raises OutputError where it can't be read, or has another WCS.
    """

    def check(written: Path) -> None:
        try:
            wcs = wcs_of(written)
        except InputError as error:
            problem = f"what was written of it can't be read again ({one_line(error)})"
            raise OutputError(exposure.source, problem, _REMEDY) from error
        check_written(exposure, fit, wcs)

    return check


def corrections_of(tree: Any, source: object) -> Corrections:
    """Return which corrections of ours an exposure has and had.

    Parameters
    ----------
    tree : mapping or None
        What is at ``meta.grism_align``.
    source : object
        What holds it, for errors.

    Raises
    ------
    InputError
        If it is damaged.
    """
    notes = notes_of(tree, source)
    names = [one.solution for one in notes.corrections]
    return Corrections(
        latest=names[-1] if names else "",
        earlier=frozenset(names[:-1]),
        undone=notes.undone,
        is_failed=notes.told.get("status") == FitStatus.FAILED.value and not names,
    )


def correction_to_undo(tree: Any, wcs: Any, source: object) -> OwnCorrection:
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
