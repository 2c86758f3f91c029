"""What stpipe's entry point asks for. Importing it must cost nothing."""


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
