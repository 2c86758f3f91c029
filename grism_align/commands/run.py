"""A run of the pipeline as a command has it: checked, told of on the terminal, logged beside the results."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.console import LogFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.steps.choices import Choice, Choices
    from grism_align.steps.pipeline import GrismAlignPipeline
    from grism_align.values.field import ExposureSet
    from grism_align.values.outcome import ExitCode
    from grism_align.workflows.plan import RunPlan
    from grism_align.workflows.results.destination import Destination

logger = logging.getLogger(__name__)

# Files that a message names.
_NAMED = 4


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Parameters
    ----------
    files : tuple of str
        Exposures, folders, names with wildcards, lists or associations.
    folder : Path or None
        Where results go; None for in place.
    assignments : tuple of str
        Parameters, ``STEP.PARAMETER=VALUE``.
    parameters : Path or None
        A file of parameters, which the assignments go before.
    exclude : tuple of str
        Exposures to do without.
    product : str or None
        What results are called; None for what the input is called.
    """

    files: tuple[str, ...]
    folder: Path | None
    assignments: tuple[str, ...] = ()
    parameters: Path | None = None
    exclude: tuple[str, ...] = ()
    product: str | None = None


@dataclass(frozen=True)
class Saying:
    """What is printed of a run.

    Parameters
    ----------
    words : tuple of str
        The command line, for the log.
    is_quiet : bool
        Whether nothing is printed of the result.
    is_wide : bool
        Whether its table has all columns.
    """

    words: tuple[str, ...]
    is_quiet: bool = False
    is_wide: bool = False


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that can begin: everything is checked that can be before any work.

    Parameters
    ----------
    pipeline : GrismAlignPipeline
        With its parameters.
    exposures : ExposureSet
        Its input.
    """

    pipeline: GrismAlignPipeline
    exposures: ExposureSet

    @property
    def destination(self) -> Destination:
        """Where results go."""
        return self.pipeline.destination(self.exposures)


@dataclass(frozen=True, eq=False)
class Planned:
    """A run that is prepared, what it would do, and which catalogs of services the cache has for it."""

    prepared: Prepared
    run: RunPlan
    cached_catalogs: Mapping[str, bool]

    @property
    def is_doubtful(self) -> bool:
        """Whether exposures would be left out or don't go together, or no catalog would be had."""
        check, is_offline = self.run.check, self.prepared.pipeline.absolute_align.offline
        lacks_catalog = is_offline and bool(self.cached_catalogs) and not any(self.cached_catalogs.values())
        return bool(check.problems or check.exposures.left_out) or lacks_catalog


@dataclass(frozen=True, eq=False)
class Finished:
    """What came of a run, and what the process ends with."""

    result: ExposureSet
    code: ExitCode
    destination: Destination


def plan(request: Request) -> Planned:
    """Look ahead at a run; nothing is written.

    Parameters
    ----------
    request : Request
        What is asked for.

    Raises
    ------
    GrismAlignError
        Whatever the run would end with before any work.
    """
    from grism_align.commands.plan import steps_of
    from grism_align.values.settings import MosaicSettings
    from grism_align.workflows.plan import plan_run

    ready = _prepared(request)
    steps, step = steps_of(ready.pipeline), ready.pipeline.visit_mosaic
    mosaics = None if step.skip else step.settings(MosaicSettings)
    planned = plan_run(
        ready.exposures,
        ready.destination,
        steps,
        ready.pipeline.nproc,
        mosaics,
        is_named=ready.pipeline.saves,
    )
    return Planned(ready, planned, ready.pipeline.absolute_align.cached_catalogs(ready.exposures))


def run(request: Request, saying: Saying) -> Finished:
    """Run the pipeline; what it says goes to the terminal and, with everything else, to a log file.

    Parameters
    ----------
    request : Request
        What is asked for.
    saying : Saying
        What is printed of it.

    Raises
    ------
    GrismAlignError
        If an input, a parameter or the destination can't be used.
    """
    start, log = time.monotonic(), LogFile()
    with log.listening(saying.words), ExitStack() as held:
        ready = _prepared(request, held)
        finished = _run(ready, log)
    if not saying.is_quiet:
        _print_result(finished.result, is_wide=saying.is_wide)
        print(f"{time.monotonic() - start:.1f} s; results are in {shown(ready.destination.folder)}")
        if ready.destination.with_report:
            print(f"look at {shown(ready.destination.report(finished.result.product))}")
    return finished


def _run(ready: Prepared, log: LogFile) -> Finished:
    from grism_align.commands.plan import opening_lines
    from grism_align.workflows.results.destination import new_folder
    from grism_align.workflows.results.superseded import left_there, products_before

    pipeline, exposures, folder = ready.pipeline, ready.exposures, ready.destination.folder
    record = ready.destination.provenance(exposures.product)
    before = products_before(record)
    with new_folder(str(folder)):
        log.open(ready.destination.log(exposures.product))
        for line in opening_lines(ready):
            logger.info("%s", line)
        pipeline.tells_result = False
        result = pipeline.run(exposures)
        left = left_there(before, record, result)
        if left:
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            logger.warning("Of an earlier run, and left there: %s%s", ", ".join(left[:_NAMED]), more)
    return Finished(result, pipeline.ended_with, ready.destination)


def _print_result(result: ExposureSet, *, is_wide: bool) -> None:
    from grism_align.workflows.closing_table import closing_table

    print(closing_table(result, wide=is_wide))


def shown(path: Path) -> Path:
    """Return a path as the user would write it.

    Parameters
    ----------
    path : Path
        Absolute.
    """
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _prepared(request: Request, held: ExitStack | None = None) -> Prepared:
    """Make the pipeline that is asked for, and open its input.

    With `held`, other runs are kept from writing the same files until that ends.
    """
    from grism_align.steps.choices import pipeline_for
    from grism_align.workflows.resume import tell_of_products

    choices = _choices(request)
    opened = _opened(request, choices)
    pipeline = pipeline_for(opened, choices)
    exposures = pipeline.prepared(_placed(opened, pipeline, request, choices, held))
    tell_of_products(exposures)
    return Prepared(pipeline, exposures)


def _opened(request: Request, choices: Choices) -> ExposureSet:
    from grism_align.workflows.load import load

    opened = load(request.files, bad_input=_of_bad_input(choices), exclude=request.exclude)
    return opened if request.product is None else _renamed(opened, request.product)


def _placed(
    opened: ExposureSet,
    pipeline: GrismAlignPipeline,
    request: Request,
    choices: Choices,
    held: ExitStack | None,
) -> ExposureSet:
    """Return the exposures under a product name that is free, their results claimed if they are written."""
    from grism_align.workflows.results.claims import claim_results
    from grism_align.workflows.results.earlier_records import check_record, with_free_product

    if not pipeline.saves:  # a plan that names no folder
        return opened
    destination = pipeline.destination(opened)
    if request.product is not None:
        # a name that was chosen is refused where it is taken, and not changed
        check_record(opened, destination)
    if held is None:
        return with_free_product(opened, destination)
    return claim_results(opened, destination, held, lambda: _opened(request, choices))


def _renamed(exposures: ExposureSet, product: str) -> ExposureSet:
    from grism_align.io.associations.files import check_product_name

    check_product_name(product, "--product")
    return replace(exposures, product=product, association=replace(exposures.association, product=product))


def _of_bad_input(choices: Choices) -> str:
    from grism_align.values.settings import FailureSettings

    settings = FailureSettings(choices.value("bad_input"), choices.value("fail_on"))
    return settings.what_of_bad_input


def _choices(request: Request) -> Choices:
    """Gather the parameters: of a file, then of assignments, which go before it."""
    from grism_align.steps.choices import Choices, choice_of, choices_of_file

    given: list[Choice] = []
    files, asdf, path = [], "", request.parameters
    if path is not None:
        files.append(str(path))
        if path.suffix.lower() == ".toml":
            given += choices_of_file(path)
        else:
            asdf = str(path)
    given += map(choice_of, request.assignments)
    folder = "" if request.folder is None else str(request.folder)
    return Choices(tuple(given), asdf, folder, tuple(files))
