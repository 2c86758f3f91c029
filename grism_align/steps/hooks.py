"""What pipelines of telescopes call between their steps: `grism_align.integration` leads here."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from grism_align.io.models.open_models import ModelSource, models_of
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.pipeline_log import logged_by_pipeline
from grism_align.values.errors import InputError

#: Environment variables: the record that is written or read, and a parameter file of the pipeline.
RECORD, PARAMETERS = "GRISM_ALIGN_RECORD", "GRISM_ALIGN_PARAMETERS"

logger = logging.getLogger(__name__)


@logged_by_pipeline()
def align_library(library: Any) -> Any:
    """Align the exposures of a library, and leave a record of that.

    Parameters
    ----------
    library : AbstractModelLibrary, or a list or a container of models
        As a pipeline has it.

    Returns
    -------
    object
        The same, corrected.

    Raises
    ------
    GrismAlignError
        If it can't be used; the library is as it was.
    """
    from grism_align.workflows.in_memory import write_record_of

    models = _models(library)
    found = GrismAlignPipeline.call(models.given, configure_log=False, **_parameters())
    kept = models_of(found)
    if kept is not None and kept.kept is not None:
        path = Path(os.environ.get(RECORD) or f"{kept.kept.product}_provenance.asdf").expanduser()
        write_record_of(kept.kept, models.folder, path)
        logger.info("The record is %s", path)
    return found


@logged_by_pipeline()
def correct_dispersed(model: Any, record: str | os.PathLike[str] | None = None) -> Any:
    """Give a dispersed exposure with a fresh WCS its correction; another one stays as it is.

    Parameters
    ----------
    model : data model, or several
        As assign_wcs leaves it.
    record : path-like, optional
        A record, or a folder with some; that of the environment variable, else the current folder, if not
        given.

    Returns
    -------
    object
        The same, corrected.

    Raises
    ------
    InputError
        If there is no record of it, or of direct exposures of its visit.
    """
    from grism_align.workflows.dispersed import (
        is_known,
        record_for,
        with_direct_exposures,
        with_own_correction,
    )
    from grism_align.workflows.in_memory import hand_back
    from grism_align.workflows.load import load

    models = _models(model)
    first = load(models, with_results=False, bad_input="refuse").exposures[0]
    if first.is_direct:
        logger.info("%s: no dispersed exposure; its WCS stays", first.key)
        return model
    place = Path(record or os.environ.get(RECORD) or ".").expanduser()
    path = record_for(first, [place])
    if is_known(path, first):
        found = with_own_correction(path, models)
    else:
        given = with_direct_exposures(path, models)
        found = GrismWCSPropagateStep.call(given, configure_log=False, save_results=False)
    _tell(found)
    return hand_back(found, models, in_place=True)


def _models(given: Any) -> Any:
    models = models_of(given)
    if models is None:
        problem = "neither a library nor an open model"
        raise InputError(type(given).__name__, problem, "Call this where a pipeline has its data open")
    return models


def _parameters() -> dict[str, Any]:
    file = os.environ.get(PARAMETERS)
    return {"config_file": str(Path(file).expanduser())} if file else {}


def _tell(found: Any) -> None:
    for exposure in found.exposures:
        fit = found.fit(exposure.key)
        if isinstance(exposure.source, ModelSource) and fit.is_fitted:
            logger.info("%s: %s %s", exposure.key, fit.status.value, fit.reason)
