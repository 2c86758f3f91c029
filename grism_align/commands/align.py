"""``grism-align align`` and ``plan``: the pipeline, with what users most often want as options."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.commands.console import LogFile
from grism_align.commands.parser import Help
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    from grism_align.commands import Subparsers
    from grism_align.steps.choices import Choice, Choices
    from grism_align.steps.pipeline import GrismAlignPipeline
    from grism_align.values.field import ExposureSet

logger = logging.getLogger(__name__)

_CODES = """exit codes: 0 done, 1 error and nothing written, 2 command line not understood,
3 done with reservations, 4 mistake of the program"""
_HEADERLETS = ("none", "file", "attach")
#: What options of these names stand for, besides those that are parameters of the pipeline.
_OF_STEPS = {
    "catalog": "absolute_align.catalog",
    "offline": "absolute_align.offline",
    "reference": "relative_align.reference",
}
_OF_PIPELINE = ("headerlets", "regions", "csv", "nproc", "fail_on", "bad_input", "in_place")


def add_align(subparsers: Subparsers) -> None:
    """Add the parser of ``align``."""
    parser = subparsers.add_parser(
        "align",
        help="align exposures with each other and with the sky",
        usage="grism-align align INPUT... -o DIR [options]",
        description="Align direct and grism exposures with each other and, given a catalog, the sky.",
        epilog=_CODES,
        formatter_class=_Curated,
        add_help=False,
    )
    _add_options(parser)
    parser.set_defaults(run=_align, usual=logging.INFO)


def add_plan(subparsers: Subparsers) -> None:
    """Add the parser of ``plan``."""
    parser = subparsers.add_parser(
        "plan",
        help="tell what align would read, do and write",
        usage="grism-align plan INPUT... [-o DIR] [options]",
        description="Tell what align would do with the same arguments. Nothing is written.",
        epilog=_CODES,
        formatter_class=_Curated,
        add_help=False,
    )
    _add_options(parser)
    parser.set_defaults(run=_plan, usual=logging.INFO)


class _Curated(Help, argparse.RawDescriptionHelpFormatter):
    """Help that is one screenful."""


def _add_options(parser: argparse.ArgumentParser) -> None:
    inputs = parser.add_argument_group("input and output")
    inputs.add_argument(
        "files", nargs="+", metavar="INPUT", help="exposures, folders, 'wild*cards', lists, associations"
    )
    inputs.add_argument("-o", "--output-dir", type=Path, metavar="DIR", help="where results go")
    inputs.add_argument("--in-place", action="store_true", help="replace the input files instead")
    inputs.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out this exposure or 'wild*card'",
    )
    inputs.add_argument("--product", metavar="NAME", help="what results are called (default: by the input)")
    _add_choices(parser.add_argument_group("what is done"))
    _add_products(parser.add_argument_group("what is written"))


def _add_choices(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-c", "--catalog", metavar="NAME", help="GAIADR3, another service, auto, or a file")
    group.add_argument("--offline", action="store_true", help="ask no service: use files and the cache")
    group.add_argument("--reference", metavar="NAME", help="exposure that keeps its WCS, or visit")
    group.add_argument("--mosaics", action="store_true", help="drizzle each visit and measure its sources")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STEP.PARAM=VALUE",
        help="any other: see grism-align parameters",
    )
    group.add_argument("--parameters", type=Path, metavar="FILE", help="parameters in TOML or ASDF")
    group.add_argument("-j", "--nproc", metavar="N", help="processes (default 1; 0: one for each core)")


def _add_products(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--headerlets", choices=_HEADERLETS, metavar="HOW", help="none, file or attach")
    group.add_argument("--regions", action="store_true", help="DS9 regions of the sources")
    group.add_argument("--csv", action="store_true", help="tables as CSV, too")
    group.add_argument("--no-report", action="store_true", help="leave the report out")
    group.add_argument("--bad-input", metavar="HOW", help="unusable files: auto, leave_out or refuse")
    group.add_argument("--fail-on", metavar="KIND,...", help="write nothing if so (any: unless all is well)")
    group.add_argument("-n", "--dry-run", action="store_true", help="only tell what would be done")


def _align(options: argparse.Namespace) -> ExitCode:
    if options.dry_run:
        return _plan(options)
    if options.output_dir is None and not options.in_place:
        message = "give -o DIR for the results, or --in-place"
        print(f"grism-align align: {message}", file=sys.stderr)
        return ExitCode.USAGE
    start, log = time.monotonic(), LogFile()
    with log.listening(options.words):
        pipeline, exposures = _prepared(options)
        return _run(pipeline, exposures, options, log, start)


def _run(
    pipeline: GrismAlignPipeline,
    exposures: ExposureSet,
    options: argparse.Namespace,
    log: LogFile,
    start: float,
) -> ExitCode:
    from grism_align.workflows.closing_table import closing_table
    from grism_align.workflows.results.destination import new_folder

    destination = pipeline.destination(exposures)
    with ExitStack() as held:
        held.enter_context(new_folder(str(destination.folder)))
        log.open(destination.log(exposures.product))
        pipeline.tells_result = False
        _tell_what_is_done(pipeline, exposures)
        result = pipeline.run(exposures)
    if not options.quiet:
        print(closing_table(result, wide=options.verbose))
        print(f"{time.monotonic() - start:.1f} s; results are in {_shown(destination.folder)}")
        if destination.with_report:
            print(f"look at {_shown(destination.report(result.product))}")
    return pipeline.ended_with


def _shown(path: Path) -> Path:
    """Return a path as the user would write it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _prepared(options: argparse.Namespace) -> tuple[GrismAlignPipeline, ExposureSet]:
    """Make the pipeline that is asked for, and open its input; everything is checked."""
    from grism_align.steps.choices import pipeline_for
    from grism_align.workflows.load import load
    from grism_align.workflows.resume import tell_of_products

    choices = _choices(options)
    opened = load(options.files, bad_input=_of_bad_input(choices), exclude=options.exclude)
    if options.product is not None:
        opened = _renamed(opened, options.product)
    pipeline = pipeline_for(opened, choices)
    exposures = pipeline.prepared(opened)
    tell_of_products(exposures)
    return pipeline, exposures


def _renamed(exposures: ExposureSet, product: str) -> ExposureSet:
    from dataclasses import replace

    from grism_align.io.associations.files import check_product_name

    check_product_name(product, "--product")
    return replace(exposures, product=product, association=replace(exposures.association, product=product))


def _of_bad_input(choices: Choices) -> str:
    from grism_align.values.settings import FailureSettings

    settings = FailureSettings(choices.value("bad_input"), choices.value("fail_on"))
    return settings.what_of_bad_input


def _choices(options: argparse.Namespace) -> Choices:
    """Gather what is chosen: in a file, then by ``--set``, then by options, which go before the former."""
    from grism_align.steps.choices import Choices, choice_of, choices_of_file

    given: list[Choice] = []
    files, asdf = [], ""
    if options.parameters is not None:
        path = options.parameters.expanduser()
        files.append(str(path))
        if path.suffix.lower() == ".toml":
            given += choices_of_file(path)
        else:
            asdf = str(path)
    given += map(choice_of, [*options.set, *_of_options(options)])
    folder = "" if options.output_dir is None else str(options.output_dir.expanduser())
    return Choices(tuple(given), asdf, folder, tuple(files))


def _of_options(options: argparse.Namespace) -> list[str]:
    """Return the options as assignments."""
    values: dict[str, Any] = {full: getattr(options, name) for name, full in _OF_STEPS.items()}
    values |= {name: getattr(options, name) for name in _OF_PIPELINE}
    values |= {"report": "false" if options.no_report else None}
    values |= {"visit_mosaic.skip": "false" if options.mosaics else None}
    return [f"{name}={value}" for name, value in values.items() if value not in {None, False}]


def _plan(options: argparse.Namespace) -> ExitCode:
    from grism_align.commands.plan import plan_text, steps_of
    from grism_align.workflows.executors import process_count
    from grism_align.workflows.plan import plan_run

    pipeline, exposures = _prepared(options)
    destination = pipeline.destination(exposures)
    plan = plan_run(exposures, destination, steps_of(pipeline), process_count(pipeline.nproc))
    print(plan_text(plan, pipeline, _shown(destination.folder)))
    return ExitCode.RESERVATIONS if plan.check.problems or exposures.left_out else ExitCode.DONE


def _tell_what_is_done(pipeline: GrismAlignPipeline, exposures: ExposureSet) -> None:
    from grism_align.commands.plan import opening_lines

    for line in opening_lines(pipeline, exposures):
        logger.info("%s", line)
