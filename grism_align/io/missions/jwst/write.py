"""Write exposures of JWST: the same model with a corrected WCS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.gwcs.changes import check_of_file, check_written
from grism_align.io.missions.jwst.correct import correct_model
from grism_align.io.missions.jwst.files import read_content
from grism_align.io.missions.jwst.sources import changed
from grism_align.io.models.open_models import ModelSource, sum_of
from grism_align.values.errors import InputError
from grism_align.values.mission import Digests

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.exposure import Exposure
    from grism_align.values.mission import HeaderletWanted, WcsLabel
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.values.source import Source


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
    before = sum_of(exposure.source)
    check = check_of_file(exposure, fit, lambda path: read_content(path, lambda _: None, is_known=True).wcs)
    with changed(exposure.source, target, check) as model:
        correct_model(model, exposure, fit, label)
        if isinstance(target, ModelSource):
            check_written(exposure, fit, model.meta.wcs)
    return Digests(before, sum_of(target))


def flag_cosmic_rays(target: Source, masks: Mapping[int, ChipMask]) -> str:
    """Refuse to flag pixels: jwst's own step does that, with what it knows of the reads.

    Raises
    ------
    InputError
        Always.
    """
    problem = f"the pixels of {len(masks)} arrays of JWST are not flagged here"
    raise InputError(target, problem, "Set flag_exposures to false, and run jwst's outlier_detection")
