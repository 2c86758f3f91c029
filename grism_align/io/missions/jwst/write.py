"""Write exposures of JWST: the same model with a corrected WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.missions.jwst.correct import correct_model
from grism_align.io.missions.jwst.files import opened_model, read_content, save_model
from grism_align.values.errors import InputError, OutputError
from grism_align.values.mission import Digests
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from grism_align.io.gwcs.sky import GwcsSky
    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import HeaderletWanted, WcsLabel
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.values.source import Source


# What the correction may lack of one by arcminutes, arcsec.
_TOLERANCE = 1e-4
_REMEDY = "Nothing was written. Fetch the exposure again, or leave it out; please report this"


def write_exposure(
    exposure: Exposure, fit: ExposureFit, target: Source, label: WcsLabel, headerlet: HeaderletWanted
) -> Digests:
    """Write an exposure with its correction, atomically.

    Parameters
    ----------
    exposure : Exposure
        The exposure; its file is the source.
    fit : ExposureFit
        Its total correction; without one the WCS stays and the metadata say why.
    target : Source
        The file to make. It may be the source itself.
    label : WcsLabel
        What the metadata say of the fit.
    headerlet : HeaderletWanted
        JWST has none: the correction is one transform of the WCS, and undone from there.

    Returns
    -------
    Digests

    Raises
    ------
    InputError
        If the source can't be read, or a headerlet is asked for.
    OutputError
        If what was written is read as another WCS than the fit's; the target stays as it was.
    """
    path = path_of(exposure.source)
    if headerlet.file is not None or headerlet.attach:
        problem = "headerlets are of HST; JWST's exposures have their correction as a step of their WCS"
        raise InputError(exposure.source, problem, "Set save_headerlets and attach_headerlets to false")
    before = sha256_of(path)
    with opened_model(path) as model:
        correct_model(model, exposure, fit, label)

        def check(written: Path) -> None:
            _check(exposure, fit, written)

        save_model(model, path_of(target), check)
    return Digests(before, sha256_of(path_of(target)))


def _check(exposure: Exposure, fit: ExposureFit, written: Path) -> None:
    """Refuse a file whose WCS is another than meant."""
    if fit.transform is None:
        return
    sky = cast("GwcsSky", exposure.chips[0].wcs)
    meant = fit.transform.apply_to_sky(sky.to_sky(sky.grid()))
    try:
        wcs = read_content(written, lambda _: None).wcs
        again = type(sky)(
            parts_of(wcs, written), sky.attitude_plane, parts_of(wcs, written).affine, sky.shape
        )
        apart = 3600 * separation(again.to_sky(sky.grid()), meant).max()
    except InputError as error:
        problem = f"what was written of it can't be read again ({one_line(error)})"
        raise OutputError(exposure.source, problem, _REMEDY) from error
    if not apart <= _TOLERANCE:
        problem = f'the WCS written is read as another, {apart:.4f}" from the right one'
        raise OutputError(exposure.source, problem, _REMEDY)


def flag_cosmic_rays(target: Source, masks: Mapping[int, ChipMask]) -> str:
    """Refuse to flag pixels: jwst's own step does that, with what it knows of the reads.

    Raises
    ------
    InputError
        Always.
    """
    problem = f"the pixels of {len(masks)} arrays of JWST are not flagged here"
    raise InputError(target, problem, "Set flag_exposures to false, and run jwst's outlier_detection")
