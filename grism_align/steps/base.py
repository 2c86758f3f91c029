"""What all steps share: how they open their input, find parameters and save results. No CRDS."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from stpipe import Step

from grism_align.io.files.sources import path_of
from grism_align.steps.parameter_files import instrument_config, parameter_file_name
from grism_align.steps.spec import settings_from
from grism_align.values.errors import GrismAlignError, OutputError, SettingsError
from grism_align.values.field import Activity, ExposureSet
from grism_align.values.settings import Settings
from grism_align.workflows.progress import track
from grism_align.workflows.summary_table import summary_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.catalog import CatalogAttempt
    from grism_align.workflows.results.destination import Destination

__all__ = ["GrismAlignStep"]

logger = logging.getLogger(__name__)

Group = TypeVar("Group", bound=Settings)

_DATASET = "dataset"


class GrismAlignStep(Step, ABC):
    """Base of the steps and of the pipeline.

    Input is an association in any form, exposure files, or the `ExposureSet` that another step returned.
    """

    spec = """
    output_ext = string(default='fits')  # Exposures keep their names
    in_place = boolean(default=False)  # Replace the input files, each atomically, the old WCS archived
    headerlets = option('none', 'file', 'attach', default='none')  # As ROOT_hlet.fits or extensions
    report = boolean(default=True)  # PRODUCT_report.html, the page that shows what was done
    regions = boolean(default=False)  # ROOT.reg, DS9 regions of each direct exposure's sources
    instrument_parameters = string(default=None)  # Parameter file of the instrument; chosen by the data
    """

    #: Name of the step in the pipeline and in parameter files; None for the pipeline.
    step_name: ClassVar[str | None] = None
    groups: ClassVar[tuple[type[Settings], ...]] = ()
    reference_file_types: ClassVar[list[str]] = []
    prefetch_references = False

    # CRDS is asked nothing: parameters come from the package, or from the user's file.

    @classmethod
    def _get_crds_parameters(cls, dataset: Any) -> tuple[dict[str, Any], str]:
        return {_DATASET: dataset}, "none"

    @classmethod
    def get_config_from_reference(
        cls, dataset: Any, disable: bool | None = None, crds_observatory: str | None = None
    ) -> Any:
        """The parameter file of the data's instrument, as stpipe wants it.

        Parameters
        ----------
        dataset : path-like, ExposureSet or dict
            The input, as stpipe hands it on.
        disable, crds_observatory
            Part of stpipe's signature; there is no CRDS to disable or to name.
        """
        from grism_align.workflows.load import peek_instrument

        source = dataset[_DATASET] if isinstance(dataset, dict) else dataset
        instrument = peek_instrument(source)
        if instrument is None:
            return cls._empty_config()
        config = instrument_config(instrument, cls.step_name)
        config["instrument_parameters"] = parameter_file_name(instrument)
        return config

    @classmethod
    def call(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the step and run it, as stpipe does; values of parameters may be `pathlib.Path`.

        Parameters
        ----------
        *args : path-like or ExposureSet
            The input.
        **kwargs
            Parameters, and what else stpipe takes.
        """
        return super().call(*args, **_as_text(kwargs))

    def run(self, *inputs: Any) -> Any:
        """Run the step; where it can't, the output folder that stpipe made beforehand goes again.

        Parameters
        ----------
        *inputs : path-like or ExposureSet
            As for `process`.
        """
        folder = Path(self.output_dir).expanduser() if self.output_dir else None
        is_new = folder is not None and not folder.exists()
        try:
            if folder is not None:
                _make_folder(folder)
            return super().run(*inputs)
        except GrismAlignError:
            if folder is not None and is_new and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            raise

    def process(self, *inputs: Any) -> ExposureSet:
        """Open the input and do the step's work.

        Parameters
        ----------
        *inputs : path-like or ExposureSet
            One association or exposure set, or any number of exposure files.

        Returns
        -------
        ExposureSet

        Raises
        ------
        GrismAlignError
            If an input can't be used, a parameter is wrong or an output would replace an input.
        """
        self.check()
        exposures = self._opened(inputs)
        exposures = self._continued(exposures, is_read=not isinstance(inputs[0], ExposureSet))
        self.check_input(exposures)
        if self._saves:
            from grism_align.workflows.results.checks import check_destination

            check_destination(exposures, self._destination(exposures), self.input_files())
        return self.work(exposures)

    def check(self) -> None:
        """Raise, before any work, what is wrong with the parameters."""
        for group in self.groups:
            self.settings(group)

    def check_input(self, exposures: ExposureSet) -> None:
        """Raise, before any work, what of the parameters does not go with the input."""

    def input_files(self) -> tuple[Path, ...]:
        """Files besides the exposures that the step reads, which no product may replace."""
        return ()

    @abstractmethod
    def work(self, exposures: ExposureSet) -> ExposureSet:
        """Do what the step is for."""

    def settings(self, group: type[Group]) -> Group:
        """One of the step's settings groups, with its present values."""
        return settings_from(self, group)

    def _opened(self, inputs: tuple[Any, ...]) -> ExposureSet:
        source = inputs[0] if len(inputs) == 1 else list(inputs)
        if not inputs:
            name, allowed = "input", "give an association, exposure files or the result of another step"
            raise SettingsError(name, None, allowed)
        if isinstance(source, ExposureSet):
            exposures = source
        else:
            from grism_align.workflows.load import load_exposures

            exposures = load_exposures(self._located(source))
        if self.parent is not None:
            return exposures
        files = [name for name in (self.instrument_parameters, self.config_file) if name]
        return replace(exposures, parameter_file=" + ".join(map(str, files)) or exposures.parameter_file)

    def _continued(self, exposures: ExposureSet, *, is_read: bool) -> ExposureSet:
        """The set with the results of an earlier run in place; files of one that has no record are told."""
        from grism_align.workflows.resume import continued, tell_of_products

        if self._saves:
            exposures = continued(exposures, self._destination(exposures))
        if is_read:
            tell_of_products(exposures)
        return exposures

    def _located(self, source: Any) -> Any:
        """The input's path with `input_dir`, as stpipe users expect it."""
        if isinstance(source, list | tuple):
            return [self.make_input_path(str(item)) for item in source]
        return self.make_input_path(str(source))

    @property
    def _saves(self) -> bool:
        """Whether results are written: under strun, or where the user said where to."""
        asked = self.save_results or (self.parent is None and (self.output_dir or self.in_place))
        return bool(asked)

    def _destination(self, exposures: ExposureSet) -> Destination:
        from grism_align.workflows.results.destination import Destination

        folder = self.search_attr("output_dir")
        origin = exposures.association.origin
        in_place = bool(self.search_attr("in_place", parent_first=True))
        headerlets = str(self.search_attr("headerlets", parent_first=True))
        home = Path.cwd()
        if folder:
            home = Path(folder).expanduser().resolve()
        elif in_place:
            home = Path(origin or path_of(exposures.exposures[0].source)).parent.resolve()
        report, regions = (bool(self.search_attr(name, parent_first=True)) for name in ("report", "regions"))
        return Destination(home, in_place, headerlets, report, regions)

    def finalize_result(self, result: Any, reference_files_used: list[tuple[str, str]]) -> None:
        """Save what the step found and say how every exposure came out; stpipe's hook after `process`."""
        if self.skip or not isinstance(result, ExposureSet):
            return
        if self._saves:
            from grism_align.workflows.results.write import write_results

            destination = self._destination(result)
            write_results(result, destination, track)
            logger.info("Results are in %s", destination.folder)
            if destination.with_report:
                logger.info("Look at %s", destination.report(result.product))
        if self.parent is None and result.total.fits:
            logger.info("Result:\n%s", summary_table(result))

    def done(
        self, exposures: ExposureSet, note: str = "", counts: Mapping[str, int] | None = None, **changes: Any
    ) -> ExposureSet:
        """The set with what the step found and the step on record."""
        return exposures.with_activity(self.activity("done", note, counts), **changes)

    def skipped(self, exposures: ExposureSet, reason: str) -> ExposureSet:
        """The set as it was, with the step on record as skipped."""
        logger.info("%s: skipped, %s", self.step_name, reason)
        return exposures.with_activity(self.activity("skipped", reason))

    def activity(
        self,
        outcome: str,
        note: str,
        counts: Mapping[str, int] | None = None,
        attempts: tuple[CatalogAttempt, ...] = (),
    ) -> Activity:
        """The step's record, with its present parameters."""
        settings: dict[str, Any] = {}
        for group in self.groups:
            settings |= asdict(self.settings(group))
        return Activity(str(self.step_name), outcome, note, settings, counts or {}, attempts)


def _as_text(value: Any) -> Any:
    """A parameter, or all of nested ones, with paths as the text that stpipe's checks want."""
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _make_folder(folder: Path) -> None:
    """Make the output folder, or say why it can't be; stpipe makes it too, and says less."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = "a file, not a folder" if folder.exists() else f"can't be made ({error.strerror})"
        raise OutputError(folder, problem, "Give another output_dir") from error
