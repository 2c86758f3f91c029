"""``grism-align batch``: many fields, each as ``align`` would do it, in one go that can be taken up again."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.align import add_choices, add_products, assignments_of
from grism_align.commands.columns import in_columns
from grism_align.commands.run import Request, Saying, run, shown
from grism_align.values.batch import FieldOutcome, code_of, problems_first
from grism_align.values.errors import GrismAlignError, SettingsError
from grism_align.values.outcome import ExitCode
from grism_align.values.settings import ExecutionSettings, parameters_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from grism_align.commands import Subparsers
    from grism_align.values.errors import WorkerError
    from grism_align.values.executor import Executor

logger = logging.getLogger(__name__)

_CODES = """each field is a run of its own: errors of one do not end the others. Exit codes: 0 all fields are
done; 3 done, but fields have reservations or failed, as the table and batch.html say; 1 none is done; 2 the
command line is not understood"""
_HEADINGS = ("field", "direct", "grism", "aligned", "tied to", "error px", "s", "state")
_SHOWN = 40
# What a process needs for the largest exposures that there are, byte.
_MEMORY = 0.9e9
# More fields than there are cores, more seconds than processes take to start.
_MANY = 1_000_000


def add_batch(subparsers: Subparsers) -> None:
    """Add the parser of ``batch``."""
    parser = subparsers.add_parser(
        "batch",
        help="align many fields, an association each, and go on where that stopped",
        usage="grism-align batch ASSOCIATION... -o DIR [options]",
        description="Align each field as align does, with the same options, into a folder of its own below "
        "DIR. Fields that are done, and of which neither files nor parameters have changed, are passed over.",
        epilog=_CODES,
    )
    inputs = parser.add_argument_group("input and output")
    inputs.add_argument("files", nargs="+", metavar="ASSOCIATION", help="an association of each field")
    inputs.add_argument("-o", "--output-dir", type=Path, required=True, metavar="DIR", help="of all results")
    inputs.add_argument("--exclude", action="append", default=[], metavar="NAME", help="as with align")
    inputs.add_argument("--again", action="store_true", help="do fields again that are done")
    add_choices(parser.add_argument_group("what is done"))
    add_products(parser.add_argument_group("what is written"))
    parser.set_defaults(run=_batch, usual=logging.INFO)


@dataclass(frozen=True)
class FieldJob:
    """A field that is to be done.

    Parameters
    ----------
    request : Request
        The run.
    words : tuple of str
        The command line, for its log.
    product : str
        What results are called.
    key : str
        Stands for all that they follow from.
    is_heard : bool
        Whether what it says on the way is shown.
    home : Path
        The folder that relative names are of.
    """

    request: Request
    words: tuple[str, ...]
    product: str
    key: str
    is_heard: bool
    home: Path

    @property
    def folder(self) -> Path:
        """Where results go."""
        assert self.request.folder is not None
        return self.request.folder

    @property
    def state(self) -> Path:
        """The file that says that it is done."""
        return self.folder / f"{self.product}_batch.json"

    def failed(self, code: ExitCode, told: str, seconds: float = 0.0) -> FieldOutcome:
        """Return the outcome where there are no results."""
        [association] = self.request.files
        text = " ".join(told.split())
        return FieldOutcome(
            self.product, association, str(self.folder), code, text, seconds=round(seconds, 1)
        )


def _batch(options: argparse.Namespace) -> ExitCode:
    began = time.monotonic()
    jobs, unreadable = _jobs(options)
    earlier = {} if options.again else _earlier(jobs)
    todo = [job for job in jobs if job.product not in earlier]
    logger.info("%d fields: %d are done already, %d to do", len(jobs), len(earlier), len(todo))
    if options.dry_run:
        print(in_columns([("field", "would be"), *((job.product, "done") for job in todo)]))
        return ExitCode.DONE
    found = [*unreadable, *earlier.values(), *_outcomes(todo, options)]
    _write(found, options.output_dir.expanduser())
    if not options.quiet:
        _print(found, time.monotonic() - began, options)
    return code_of(found)


def _jobs(options: argparse.Namespace) -> tuple[list[FieldJob], list[FieldOutcome]]:
    """Return the fields, and those whose association can't be read."""
    from grism_align.io.associations import read_association
    from grism_align.workflows.batch import key_of

    parameters = options.parameters and options.parameters.expanduser()
    assignments, home = assignments_of(options), options.output_dir.expanduser().absolute()
    jobs: dict[str, FieldJob] = {}
    unreadable = []
    for name in dict.fromkeys(options.files):
        try:
            association = read_association(name)
        except GrismAlignError as error:
            product = Path(name).stem.removesuffix("_asn")
            text = " ".join(str(error).split())
            unreadable.append(FieldOutcome(product, name, str(home / product), ExitCode.ERROR, text))
            continue
        product = association.product
        if product in jobs:
            what, allowed = "ASSOCIATION", f"{product} is the product of {jobs[product].request.files[0]} too"
            raise SettingsError(what, name, allowed)
        key = key_of(association, assignments, parameters, options.exclude)
        path = str(Path(name).absolute())
        request = Request((path,), home / product, assignments, parameters, tuple(options.exclude))
        jobs[product] = FieldJob(request, tuple(options.words), product, key, options.verbose, Path.cwd())
    return list(jobs.values()), unreadable


def _earlier(jobs: Sequence[FieldJob]) -> dict[str, FieldOutcome]:
    from grism_align.io.batch_state import read_state

    found = {job.product: read_state(job.state, job.key) for job in jobs}
    return {product: one for product, one in found.items() if one is not None}


def _outcomes(jobs: Sequence[FieldJob], options: argparse.Namespace) -> Iterator[FieldOutcome]:
    """Do fields: as many at a time as there are workers; where fields are fewer, one after the other."""
    from grism_align.workflows.engines import PROCESSES
    from grism_align.workflows.executors import FuturesExecutor, SerialExecutor, executor_for
    from grism_align.workflows.workload import Workload, process_count

    if not jobs:
        return
    settings = _execution(options)
    executor: Executor = SerialExecutor()
    chosen: tuple[str, ...] = ()
    n = process_count(settings.nproc, Workload(_MANY, float(_MANY), _MEMORY))
    with ExitStack() as held:
        if settings.executor not in {None, PROCESSES} or 1 < n <= len(jobs):
            if settings.executor in {None, PROCESSES}:
                settings = replace(settings, nproc=n)
            made = held.enter_context(executor_for(settings))
            # what comes back is small, and a field that takes long should not hold up the others
            executor = replace(made, ahead=len(jobs)) if isinstance(made, FuturesExecutor) else made
            chosen = ("nproc=1", f"executor={PROCESSES}")
        by_name = {job.product: _with(job, chosen) for job in _largest_first(jobs)}
        yield from executor.map(run_field, by_name, "Aligning", partial(_lost, by_name))


def _execution(options: argparse.Namespace) -> ExecutionSettings:
    from grism_align.steps.choices import choice_of

    given = {one.name: one.value for one in map(choice_of, assignments_of(options))}
    names = [one.name for one in parameters_of(ExecutionSettings)]
    return ExecutionSettings(**{name: given[name] for name in names if name in given})


def _with(job: FieldJob, assignments: tuple[str, ...]) -> FieldJob:
    return replace(job, request=replace(job.request, assignments=(*job.request.assignments, *assignments)))


def _largest_first(jobs: Sequence[FieldJob]) -> list[FieldJob]:
    """Begin with what takes longest, so that no worker is left alone with it in the end."""
    return sorted(jobs, key=lambda job: -Path(job.request.files[0]).stat().st_size)


def _lost(jobs: Mapping[str, FieldJob], error: WorkerError) -> FieldOutcome:
    return jobs[error.what.partition(" ")[2]].failed(ExitCode.ERROR, str(error))


def run_field(job: FieldJob) -> FieldOutcome:
    """Do one field, wherever this is; errors are what came of it.

    Parameters
    ----------
    job : FieldJob
        The field.
    """
    from grism_align.io.batch_state import write_state
    from grism_align.workflows.batch import outcome_of

    began = time.monotonic()
    with _unheard(job.is_heard), chdir(job.home):
        try:
            job.state.unlink(missing_ok=True)
            done = run(job.request, Saying(job.words, is_quiet=True))
        except GrismAlignError as error:
            return job.failed(ExitCode.ERROR, str(error), time.monotonic() - began)
        except Exception as error:  # noqa: BLE001  # the other fields go on
            return job.failed(ExitCode.MISTAKE, f"{type(error).__name__}: {error}", time.monotonic() - began)
        [association] = job.request.files
        seconds = time.monotonic() - began
        outcome = outcome_of(done.result, done.code, association, job.folder, seconds)
        write_state(job.state, job.key, outcome, done.destination.files(done.result))
    return outcome


@contextmanager
def _unheard(is_heard: bool) -> Iterator[None]:
    """Have what a field says in its log only, which is added later than what listens now."""

    def dropped(record: logging.LogRecord) -> bool:
        return False

    handlers = [] if is_heard else list(logging.getLogger().handlers)
    for one in handlers:
        one.addFilter(dropped)
    try:
        yield
    finally:
        for one in handlers:
            one.removeFilter(dropped)


def _write(outcomes: Sequence[FieldOutcome], folder: Path) -> None:
    from grism_align.io.files.tables import write_table
    from grism_align.io.report.batch_page import write_batch_page
    from grism_align.workflows.batch import batch_table

    folder.mkdir(parents=True, exist_ok=True)
    write_table(batch_table(problems_first(list(outcomes))), folder / "batch.ecsv")
    write_batch_page(outcomes, folder / "batch.html", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))


def _print(outcomes: Sequence[FieldOutcome], seconds: float, options: argparse.Namespace) -> None:
    ordered = problems_first(list(outcomes))
    rows = ordered if options.verbose else ordered[:_SHOWN]
    print(in_columns([_HEADINGS, *map(_row, rows)]))
    if len(rows) < len(ordered):
        print(f"and {len(ordered) - len(rows)} more, in batch.ecsv")
    for one in rows:
        if one.told:
            print(f"{one.product} {one.state}: {one.told}")
    n_done = sum(one.is_done for one in ordered)
    folder = shown(options.output_dir.expanduser().absolute())
    print(f"{n_done} of {len(ordered)} fields are done, in {seconds:.1f} s; results are in {folder}")
    print(f"look at {folder / 'batch.html'}")


def _row(one: FieldOutcome) -> tuple[str, ...]:
    error = "-" if one.error != one.error else f"{one.error:.3f}"
    took = "earlier" if one.is_earlier else f"{one.seconds:.0f}"
    counts = (str(one.n_direct), str(one.n_grism), str(one.n_aligned))
    return (one.product, *counts, one.tied_to or "-", error, took, one.state)
