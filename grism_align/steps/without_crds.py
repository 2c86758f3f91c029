"""A stpipe step that asks CRDS nothing: parameters come from the package, or from the user's file."""

from __future__ import annotations

from typing import Any, ClassVar

from stpipe import Step

from grism_align.steps.parameter_files import has_parameters, instrument_config, parameter_file_name

_DATASET = "dataset"


class StepWithoutCRDS(Step):
    """Base of the base of the steps."""

    #: Name of the step in the pipeline and in parameter files; None for the pipeline.
    step_name: ClassVar[str | None] = None
    reference_file_types: ClassVar[list[str]] = []
    prefetch_references = False

    @classmethod
    def _get_crds_parameters(cls, dataset: Any) -> tuple[dict[str, Any], str]:
        return {_DATASET: dataset}, "none"

    @classmethod
    def get_config_from_reference(
        cls, dataset: Any, disable: bool | None = None, crds_observatory: str | None = None
    ) -> Any:
        """Return the parameter file of the data's instrument, as stpipe wants it.

        Parameters
        ----------
        dataset : path-like, ExposureSet or dict
            The input, as stpipe hands it on.
        disable, crds_observatory
            Part of stpipe's signature; there is no CRDS to disable or to name.
        """
        from grism_align.workflows.load import peek_instrument

        # what another package's pipeline asks with knows of no file
        source = dataset.get(_DATASET) if isinstance(dataset, dict) else dataset
        instrument = peek_instrument(source)
        if instrument is None or not has_parameters(instrument):
            return cls._empty_config()
        config = instrument_config(instrument, cls.step_name)
        config["instrument_parameters"] = parameter_file_name(instrument)
        return config
