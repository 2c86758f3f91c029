"""Write exposures of Roman: the same tree with a corrected WCS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.gwcs.changes import check_of_file, check_written
from grism_align.io.missions.roman.correct import correct_metadata
from grism_align.io.missions.roman.files import read_content
from grism_align.io.missions.roman.sources import changed
from grism_align.io.missions.roman.wcs_file import write_wcs_file
from grism_align.io.models.open_models import sum_of
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
        The WCS by itself, as a file of romancal's own kind. Nothing can be attached.

    Returns
    -------
    Digests
        Empty for what is no file.

    Raises
    ------
    InputError
        If the source can't be read, or a headerlet is to be attached.
    OutputError
        If what was written is read as another WCS than the fit's; the target stays as it was.
    """
    if headerlet.attach:
        problem = "Roman's exposures have no extensions to attach a WCS in"
        raise InputError(exposure.source, problem, "Set headerlets to file, or to none")
    before = sum_of(exposure.source)
    check = check_of_file(exposure, fit, lambda path: read_content(path, lambda _: None).wcs)
    with changed(exposure.source, target, check) as meta:
        correct_metadata(meta, exposure, fit, label)
        check_written(exposure, fit, meta["wcs"])
        if headerlet.file is not None:
            write_wcs_file(meta, Path(headerlet.file))
    return Digests(before, sum_of(target))


def flag_cosmic_rays(target: Source, masks: Mapping[int, ChipMask]) -> str:
    """Refuse to flag pixels: romancal's own step does that, with what it knows of the reads.

    Raises
    ------
    InputError
        Always.
    """
    problem = f"the pixels of {len(masks)} arrays of Roman are not flagged here"
    raise InputError(target, problem, "Set flag_exposures to false, and run romancal's outlier_detection")
