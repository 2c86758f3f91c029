"""Write exposures of JWST: the same model with a corrected WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.missions.jwst.correct import correct_model
from grism_align.io.missions.jwst.files import read_content
from grism_align.io.missions.jwst.sources import changed
from grism_align.io.models.open_models import ModelSource
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
    """Write an exposure with its correction, atomically, or correct it in memory.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    fit : ExposureFit
        Its total correction; without one the WCS stays and the metadata say why.
    target : Source
        The file to make, or an open model. It may be the source itself.
    label : WcsLabel
        What the metadata say of the fit.
    headerlet : HeaderletWanted
        JWST has none: the correction is one transform of the WCS, and undone from there.

    Returns
    -------
    Digests
        Empty for what is no file.

    Raises
    ------
    InputError
        If the source can't be read, or a headerlet is asked for.
    OutputError
        If what was written is read as another WCS than the fit's; the target stays as it was.
    """
    if headerlet.file is not None or headerlet.attach:
        problem = "headerlets are of HST; JWST's exposures have their correction as a step of their WCS"
        raise InputError(exposure.source, problem, "Set save_headerlets and attach_headerlets to false")
    before = _sum(exposure.source)

    def check(written: Path) -> None:
        try:
            wcs = read_content(written, lambda _: None, is_known=True).wcs
        except InputError as error:
            problem = f"what was written of it can't be read again ({one_line(error)})"
            raise OutputError(exposure.source, problem, _REMEDY) from error
        _check(exposure, fit, wcs)

    with changed(exposure.source, target, check) as model:
        correct_model(model, exposure, fit, label)
        if isinstance(target, ModelSource):
            _check(exposure, fit, model.meta.wcs)
    return Digests(before, _sum(target))


def _sum(source: Source) -> str:
    return "" if isinstance(source, ModelSource) else sha256_of(path_of(source))


def _check(exposure: Exposure, fit: ExposureFit, wcs: Any) -> None:
    """Refuse a WCS that is another than meant."""
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


def flag_cosmic_rays(target: Source, masks: Mapping[int, ChipMask]) -> str:
    """Refuse to flag pixels: jwst's own step does that, with what it knows of the reads.

    Raises
    ------
    InputError
        Always.
    """
    problem = f"the pixels of {len(masks)} arrays of JWST are not flagged here"
    raise InputError(target, problem, "Set flag_exposures to false, and run jwst's outlier_detection")
