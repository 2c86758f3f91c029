"""What all steps share: how they open their input, find parameters and record what they did."""

from __future__ import annotations

import gc
import logging
import sys
from abc import ABC, abstractmethod
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from grism_align.io.files.fits import one_line
from grism_align.io.models.open_models import ModelSource, models_of
from grism_align.steps.parameter_files import settings_for
from grism_align.steps.pipeline_log import logged_by_pipeline
from grism_align.steps.saving import SavingStep, is_program, is_strun
from grism_align.steps.spec import settings_from, spec_of
from grism_align.steps.without_crds import StepWithoutCRDS
from grism_align.values.addresses import LOGINS, has_login, without_login
from grism_align.values.errors import GrismAlignError, InputError, SettingsError
from grism_align.values.field import ExposureSet
from grism_align.values.record import Activity
from grism_align.values.settings import ExecutionSettings, FailureSettings, KeepingSettings, Settings
from grism_align.workflows.executors import SerialExecutor, check_executor, executor_for
from grism_align.workflows.keeping import KeepingExecutor
from grism_align.workflows.results.destination import new_folder
from grism_align.workflows.telling import figures_of
from grism_align.workflows.workload import workload_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.io.measurements.store import MeasurementStore
    from grism_align.io.models.open_models import Models
    from grism_align.values.catalog import CatalogAttempt
    from grism_align.values.executor import Executor
    from grism_align.values.failure import Remark


_PARAMETERS = "Correct it; strun STEP --save-parameters=FILE writes one with all parameters"

logger = logging.getLogger(__name__)

Group = TypeVar("Group", bound=Settings)


class GrismAlignStep(SavingStep, StepWithoutCRDS, ABC):
    """Base of the steps and of the pipeline.

    Input is an association in any form, exposure files, the `ExposureSet` that another step returned, or open
    models: one, a list or a container of them, or a library. What comes in as models goes out as models.
    """

    spec = spec_of(ExecutionSettings, KeepingSettings, FailureSettings)

    groups: ClassVar[tuple[type[Settings], ...]] = ()

    input_dir: str | None

    #: What was opened and checked last, and waits for the work.
    _ready: ExposureSet | None = None
    #: The open models that came in, and go out.
    _models: Models | None = None

    #: Who does the work on many exposures: the pipeline's, unless the step has its own parameters of it.
    runner: Executor = SerialExecutor()
    #: Where measurements are kept: the pipeline's, unless the step is not to resume; None for nowhere.
    store: MeasurementStore | None = None

    @classmethod
    def call(cls, *args: Any, **kwargs: Any) -> Any:
        """Make the step and run it, as stpipe does; values of parameters may be `pathlib.Path`.

        In a notebook only warnings are shown, unless ``configure_log=True`` asks for all messages.

        Parameters
        ----------
        *args : path-like or ExposureSet
            The input.
        **kwargs
            Parameters, and what else stpipe takes.
        """
        if _in_notebook() and "logcfg" not in kwargs:
            kwargs.setdefault("configure_log", False)
        return super().call(*args, **_as_text(kwargs))

    @classmethod
    def build_config(cls, input: Any, **kwargs: Any) -> Any:  # noqa: A002  # as stpipe has it
        """Put parameters together, as stpipe does; errors name the file that they come from.

        Parameters
        ----------
        input : path-like or ExposureSet
            The input, whose instrument has parameters.
        **kwargs
            Parameters, and what else stpipe takes.

        Raises
        ------
        InputError
            If the user's parameter file can't be read.
        """
        with _named_in(kwargs.get("config_file")):
            return super().build_config(input, **kwargs)

    @classmethod
    def from_config_section(cls, section: Any, *args: Any, config_file: Any = None, **kwargs: Any) -> Any:
        """Make the step of its parameters, as stpipe does; errors name the file that they come from.

        Parameters
        ----------
        section : ConfigObj section
            The parameters.
        *args
            As stpipe has them.
        config_file : path-like, optional
            The user's parameter file.
        **kwargs
            As stpipe has them.

        Raises
        ------
        InputError
            If that file has a parameter that there is not, or a value that it may not have.
        """
        with _named_in(config_file):
            return super().from_config_section(section, *args, config_file=config_file, **kwargs)

    def run(self, *inputs: Any) -> Any:
        """Run the step; where it can't, an output folder that was made for it goes again.

        Parameters
        ----------
        *inputs : path-like or ExposureSet
            As for `process`.

        Raises
        ------
        SettingsError
            If an address among the parameters has a login in it.
        SystemExit
            In the program ``strun``, where results are short of what was asked; with the exit code.
        """
        _refuse_logins(self.get_pars())  # which stpipe logs
        # stpipe makes it too, and says less where it can't
        self._written = None
        self._models = _models_in(inputs)
        with logged_by_pipeline(), new_folder(self.output_dir), ExitStack() as self._held:
            self.runner = SerialExecutor()
            self.store = self._chosen_store()
            result = super().run(*inputs)
            # that knows the files as they are
            result = self._written or result
            if self._models is not None and isinstance(result, ExposureSet):
                from grism_align.workflows.in_memory import hand_back

                result = hand_back(result, self._models, in_place=self.parent is not None)
        # strun itself knows 0 and 1 only, and takes any other exit for an error of the step
        if self.ended_with and self.parent is None and is_strun():
            sys.exit(self.ended_with)
        return result

    def _chosen_runner(self, exposures: ExposureSet, held: ExitStack) -> Executor:
        settings = self.settings(ExecutionSettings)
        is_own = settings != ExecutionSettings()
        if any(isinstance(one.source, ModelSource) for one in exposures.exposures):
            if is_own and settings.nproc != 1:
                logger.info("%s: open models are worked on in one process, whatever nproc", self.name)
            return SerialExecutor()
        if self.is_outermost or is_own:
            workload = workload_of(exposures, self.steps_done())
            return held.enter_context(executor_for(settings, workload))
        runner: Executor = self.parent.runner
        return runner

    def steps_done(self) -> tuple[str, ...]:
        """Return the names of the steps that are done."""
        return (str(self.step_name),)

    def _chosen_store(self) -> MeasurementStore | None:
        settings = self.settings(KeepingSettings)
        if not settings.resume:
            return None
        if not self.is_outermost:
            store: MeasurementStore | None = self.parent.store
            return store
        from grism_align.io.measurements.store import measurement_store

        return measurement_store(int(settings.cache_size * 1e9))

    def keeping_executor(self) -> KeepingExecutor:
        """Return who does the step's work, and takes over what an earlier run has measured."""
        return KeepingExecutor(self.runner, self.store)

    def set_primary_input(self, obj: Any, exclusive: bool = True) -> None:
        """Remember the input's name, and not its folder, where stpipe would look for all others.

        Parameters
        ----------
        obj : path-like or ExposureSet
            The first input.
        exclusive : bool
            As stpipe has it.
        """
        given = self.input_dir
        super().set_primary_input(obj, exclusive)
        self.input_dir = given

    def make_input_path(self, file_path: Any) -> Any:
        """Return the path of an input: relative ones are of `input_dir`, else of the current folder.

        Parameters
        ----------
        file_path : str
            As given; after ``@``, a list of files.
        """
        if not self.input_dir:
            return file_path
        name = str(file_path).removeprefix("@")
        path = Path(self.input_dir).expanduser() / Path(name).expanduser()
        return f"{'@' * (name != file_path)}{path}"

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
        is_ready = self._ready is not None and len(inputs) == 1 and inputs[0] is self._ready
        exposures = inputs[0] if is_ready else self.prepared(*inputs)
        if self._held is not None:
            self.runner = self._chosen_runner(exposures, self._held)
        result = self.work(exposures)
        figures = figures_of(str(self.step_name), result)
        if figures:
            logger.info("%s: %s", self.step_name, figures)
        return result

    def prepared(self, *inputs: Any) -> ExposureSet:
        """Open the input and check everything against it that can be before any work.

        Parameters
        ----------
        *inputs : path-like or ExposureSet
            As for `process`, which does not check again what this returned.

        Returns
        -------
        ExposureSet

        Raises
        ------
        GrismAlignError
            As `process` does.
        """
        from grism_align.workflows.load import with_pipeline_catalogs

        with _said_where_from(self.config_file):
            check_executor(self.settings(ExecutionSettings))
            self.check()
            exposures = self._opened(inputs)
            if self.takes_catalogs:
                exposures = with_pipeline_catalogs(exposures)
            self.check_input(exposures)
        if self.saves:
            from grism_align.workflows.results.checks import check_destination

            check_destination(exposures, self.destination(exposures), self.input_files())
        if self.is_outermost and is_program():
            # What was imported and read stays to the end. Else each step looks through all of it for garbage.
            gc.freeze()
        self._ready = exposures
        return exposures

    @property
    def takes_catalogs(self) -> bool:
        """Whether sources are those that telescopes' pipelines found, where an exposure has no others."""
        return False

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

    def settings_by_instrument(self, group: type[Group], exposures: ExposureSet) -> dict[str, Group]:
        """Return a settings group for each instrument of the direct exposures."""
        present, picked = self.settings(group), self.search_attr("instrument_parameters")
        return {
            instrument: settings_for(instrument, str(self.step_name), present, picked)
            for instrument in sorted({exposure.instrument for exposure in exposures.direct})
        }

    def _opened(self, inputs: tuple[Any, ...]) -> ExposureSet:
        """Return the set that was given, or read, and what an earlier run in place has on record of it."""
        from grism_align.workflows.resume import continued, tell_of_products

        if not inputs:
            name, allowed = "input", "give an association, exposure files or the result of another step"
            raise SettingsError(name, None, allowed)
        given = inputs[0] if len(inputs) == 1 else list(inputs)
        exposures = given if isinstance(given, ExposureSet) else self._loaded(given)
        if self.parent is not None and self.is_outermost:
            self.adopt_parameters(exposures)
        if self.is_outermost:
            files = [name for name in (self.instrument_parameters, self.config_file) if name]
            used = " + ".join(map(str, files)) or exposures.parameter_file
            # mosaics of an earlier run were saved, or are no more
            exposures = replace(exposures, parameter_file=used, mosaics=())
        if self.saves:
            exposures = self._claimed(exposures, given)
            exposures = continued(exposures, self.destination(exposures))
        if not isinstance(given, ExposureSet):
            tell_of_products(exposures)
        return exposures

    def _claimed(self, exposures: ExposureSet, given: Any) -> ExposureSet:
        """Return the set under its product's name, when no other run writes its files, and as it is then."""
        from grism_align.workflows.results.claims import claim_results

        def again() -> ExposureSet | None:
            return None if isinstance(given, ExposureSet) else self._loaded(given)

        if self._held is None:
            return exposures
        return claim_results(exposures, self.destination(exposures), self._held, again)

    def _loaded(self, given: Any) -> ExposureSet:
        """Return the set that files are of, with `input_dir`, as stpipe users expect it."""
        from grism_align.workflows.in_memory import load_models
        from grism_align.workflows.load import load

        what_of_bad_input = self.settings(FailureSettings).what_of_bad_input
        models = self._models or _models_in([given])
        if models is not None:
            if self.in_place:
                name, allowed = (
                    "in_place",
                    "open models are no files; save what comes back",
                )
                raise SettingsError(name, True, allowed)
            return load_models(models, what_of_bad_input)
        items = given if isinstance(given, list | tuple) else [given]
        paths = [self.make_input_path(str(item)) for item in items]
        return load(paths, bad_input=what_of_bad_input)

    def adopt_parameters(self, exposures: ExposureSet) -> None:
        """Take the parameters of the data's instrument for those that have their defaults.

        In pipelines of others: those ask their own telescope's service for parameters, and not us.

        Parameters
        ----------
        exposures : ExposureSet
            The input.
        """
        for group in self.groups:
            instrument = exposures.direct[0].instrument
            found = settings_for(instrument, str(self.step_name), self.settings(group), None)
            for name, value in asdict(found).items():
                setattr(self, name, value)

    def done(
        self,
        exposures: ExposureSet,
        note: str = "",
        counts: Mapping[str, int] | None = None,
        remarks: tuple[Remark, ...] = (),
        n_kept: int = 0,
        **changes: Any,
    ) -> ExposureSet:
        """Return the set with what the step found and the step on record."""
        activity = replace(self.activity("done", note, counts), remarks=remarks, n_kept=n_kept)
        return exposures.with_activity(activity, **changes)

    def skipped(self, exposures: ExposureSet, reason: str) -> ExposureSet:
        """Return the set as it was, with the step on record as skipped."""
        logger.info("%s: skipped, %s", self.step_name, reason)
        return exposures.with_activity(self.activity("skipped", reason))

    def activity(
        self,
        outcome: str,
        note: str,
        counts: Mapping[str, int] | None = None,
        attempts: tuple[CatalogAttempt, ...] = (),
    ) -> Activity:
        """Return the step's record, with its present parameters."""
        settings: dict[str, Any] = {}
        for group in self.groups:
            settings |= asdict(self.settings(group))
        return Activity(str(self.step_name), outcome, note, settings, counts or {}, attempts)


def _models_in(inputs: Sequence[Any]) -> Models | None:
    """Return the open models that a step is given; None for files, and for what another step returned."""
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    return None if isinstance(given, ExposureSet) else models_of(given)


@contextmanager
def _named_in(config_file: Any) -> Iterator[None]:
    """Have errors of stpipe, and of what it reads with, name the user's parameter file, if there is one."""
    try:
        yield
    except GrismAlignError:
        raise
    except Exception as error:
        if config_file is None:
            raise
        problem = f"its parameters can't be used ({one_line(error)})"
        raise InputError(config_file, problem, _PARAMETERS) from error


@contextmanager
def _said_where_from(config_file: Any) -> Iterator[None]:
    """Have errors of parameters name the user's parameter file, where they may come from."""
    try:
        yield
    except SettingsError as error:
        if config_file:
            where = f"; what is not given otherwise is as in {config_file}"
            error.args = (f"{error}{where}",)
            error.allowed += where if error.allowed else ""
        raise


def _refuse_logins(parameters: Mapping[str, Any]) -> None:
    """Refuse parameters with ``user:password@`` in them, before they are told to anyone."""
    for name, value in parameters.items():
        if isinstance(value, dict):
            _refuse_logins(value)
        elif isinstance(value, str) and has_login(value):
            raise SettingsError(name, without_login(value), LOGINS)


def _in_notebook() -> bool:
    """Tell whether the kernel of a notebook runs this; who has not imported IPython is in none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def _as_text(value: Any) -> Any:
    """Return a parameter, or all of nested ones, with paths as the text that stpipe's checks want."""
    if isinstance(value, dict):
        return {name: _as_text(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value
