"""What others call: stpipe's entry point, and pipelines of telescopes. Importing it must cost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os


def get_steps() -> list[tuple[str, str, bool]]:
    """Class, alias and whether it is a pipeline, of everything that `strun` can run.

    Returns
    -------
    list of (str, str, bool)
    """
    steps = "grism_align.steps"
    return [
        (f"{steps}.pipeline.GrismAlignPipeline", "grism_align_pipeline", True),
        (f"{steps}.source_catalog_step.SourceCatalogStep", "grism_source_catalog", False),
        (f"{steps}.relative_align_step.RelativeAlignStep", "grism_relative_align", False),
        (f"{steps}.visit_mosaic_step.VisitMosaicStep", "grism_visit_mosaic", False),
        (f"{steps}.absolute_align_step.AbsoluteAlignStep", "grism_absolute_align", False),
        (f"{steps}.grism_wcs_propagate_step.GrismWCSPropagateStep", "grism_wcs_propagate", False),
    ]


def align_library(library: Any) -> Any:
    """Align the exposures of a library in place of TweakReg: a hook of jwst's image3.

    ``--steps.tweakreg.skip=true --steps.tweakreg.post_hooks=grism_align.integration.align_library,``

    The environment variable GRISM_ALIGN_PARAMETERS names a parameter file of the pipeline, and
    GRISM_ALIGN_RECORD the record that is written; without that it is ``PRODUCT_provenance.asdf`` in the
    current folder.

    Parameters
    ----------
    library : ModelLibrary, ModelContainer or list of data models
        As the pipeline has it.

    Returns
    -------
    object
        The same, corrected, ``cal_step.tweakreg`` set.

    Raises
    ------
    GrismAlignError
        If it can't be used; the library is as it was.
    """
    from grism_align.steps import hooks

    return hooks.align_library(library)


def correct_dispersed(model: Any, record: str | os.PathLike[str] | None = None) -> Any:
    """Give a dispersed exposure with a fresh WCS the correction on record: a hook of jwst's spec2.

    ``--steps.assign_wcs.post_hooks=grism_align.integration.correct_dispersed,``

    Without a correction of its own, it gets that of the direct exposures of its visit that are on record.

    Parameters
    ----------
    model : data model
        As assign_wcs leaves it. An image stays as it is.
    record : path-like, optional
        A record, or a folder with some; that which GRISM_ALIGN_RECORD names, else the current folder, if not
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
    from grism_align.steps import hooks

    return hooks.correct_dispersed(model, record)
