"""``grism-align align`` and ``plan``: the pipeline, with what users most often want as options."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.commands.parser import Help
from grism_align.commands.run import Request, Saying, run
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from grism_align.commands import Subparsers


_CODES = """exit codes: 0 done, 1 error and nothing written, 2 command line not understood,
3 done with reservations, 4 mistake of the program"""
_FIGURES = ("png", "pdf")
_HEADERLETS = ("none", "file", "attach")
#: What options of these names stand for, besides those that are parameters of the pipeline.
_OF_STEPS = {
    "catalog": "absolute_align.catalog",
    "offline": "absolute_align.offline",
    "reference": "relative_align.reference",
}
_OF_PIPELINE = (
    "headerlets",
    "regions",
    "csv",
    "figures",
    "nproc",
    "executor",
    "dask_address",
    "fail_on",
    "bad_input",
    "in_place",
)


def add_align(subparsers: Subparsers) -> None:
    """Add the parser of ``align``."""
    parser = subparsers.add_parser(
        "align",
        help="align exposures with each other and with the sky",
        usage="grism-align align INPUT... -o DIR [options]",
        description="Align direct and grism exposures with each other and, given a catalog, the sky.",
        **_ONE_SCREEN,
    )
    _add_options(parser, _align)


def add_plan(subparsers: Subparsers) -> None:
    """Add the parser of ``plan``."""
    parser = subparsers.add_parser(
        "plan",
        help="tell what align would read, do and write",
        usage="grism-align plan INPUT... [-o DIR] [options]",
        description="Tell what align would do with the same arguments. Nothing is written.",
        **_ONE_SCREEN,
    )
    _add_options(parser, _plan)


class _Curated(Help, argparse.RawDescriptionHelpFormatter):
    """Help that is one screenful."""


_ONE_SCREEN: dict[str, Any] = {"epilog": _CODES, "formatter_class": _Curated, "add_help": False}


def _add_options(parser: argparse.ArgumentParser, does: Callable[[argparse.Namespace], ExitCode]) -> None:
    parser.set_defaults(run=does, usual=logging.INFO)
    inputs = parser.add_argument_group("input and output")
    inputs.add_argument(
        "files", nargs="+", metavar="INPUT", help="exposures, folders, wild*cards, lists, associations"
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
    add_choices(parser.add_argument_group("what is done"))
    add_products(parser.add_argument_group("what is written"))


def add_choices(group: argparse._ArgumentGroup) -> None:
    """Add what is done, as options."""
    group.add_argument("-c", "--catalog", metavar="NAME", help="GAIADR3, another service, auto, or a file")
    group.add_argument("--offline", action="store_true", help="ask no service: use files and the cache")
    group.add_argument("--reference", metavar="NAME", help="exposure that keeps its WCS, or visit")
    group.add_argument("--fresh", action="store_true", help="measure anew what an earlier run has measured")
    group.add_argument("--no-mosaics", action="store_true", help="leave out the mosaics of visits")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STEP.PARAM=VALUE",
        help="any other: see grism-align parameters",
    )
    group.add_argument("--parameters", type=Path, metavar="FILE", help="parameters in TOML or ASDF")
    group.add_argument("-j", "--nproc", metavar="N", help="processes (default: as many as are worth it)")
    group.add_argument(
        "--executor", metavar="NAME", help="processes, dask (--dask-address URL), parsl or mpi"
    )
    # told with the option above, as help is one screenful
    group.add_argument("--dask-address", metavar="URL", help=argparse.SUPPRESS)


def add_products(group: argparse._ArgumentGroup) -> None:
    """Add what is written, as options."""
    group.add_argument("--headerlets", choices=_HEADERLETS, metavar="HOW", help="none, file or attach")
    group.add_argument("--regions", action="store_true", help="DS9 regions of the sources")
    group.add_argument("--csv", action="store_true", help="tables as CSV, too")
    group.add_argument("--figures", choices=_FIGURES, metavar="FORM", help="plots as files: png or pdf")
    group.add_argument("--no-report", action="store_true", help="leave the report out")
    group.add_argument("--bad-input", metavar="HOW", help="unusable files: auto, leave_out or refuse")
    group.add_argument("--fail-on", metavar="KIND,...", help="write nothing if so (any: unless all is well)")
    group.add_argument("-n", "--dry-run", action="store_true", help="only tell what would be done")


def _align(options: argparse.Namespace) -> ExitCode:
    if options.dry_run:
        return _plan(options)
    if options.output_dir is None and not options.in_place:
        print("grism-align align: give -o DIR for the results, or --in-place", file=sys.stderr)
        return ExitCode.USAGE
    saying = Saying(tuple(options.words), is_quiet=options.quiet, is_wide=options.verbose)
    return run(_request(options), saying).code


def _plan(options: argparse.Namespace) -> ExitCode:
    from grism_align.commands.plan import plan_text
    from grism_align.commands.run import plan

    planned = plan(_request(options))
    print(plan_text(planned))
    return ExitCode.RESERVATIONS if planned.is_doubtful else ExitCode.DONE


def _request(options: argparse.Namespace) -> Request:
    """Return what is asked for."""
    return Request(
        files=tuple(options.files),
        folder=options.output_dir and options.output_dir.expanduser(),
        assignments=assignments_of(options),
        parameters=options.parameters and options.parameters.expanduser(),
        exclude=tuple(options.exclude),
        product=options.product,
    )


def assignments_of(options: argparse.Namespace) -> tuple[str, ...]:
    """Return what was chosen as assignments; options go before ``--set``.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_choices` and `add_products` added.
    """
    values: dict[str, Any] = {full: getattr(options, name) for name, full in _OF_STEPS.items()}
    values |= {name: getattr(options, name, None) for name in _OF_PIPELINE}
    values |= {"report": "false" if options.no_report else None}
    values |= {"resume": "false" if options.fresh else None}
    values |= {"visit_mosaic.skip": "true" if options.no_mosaics else None}
    given = (f"{name}={value}" for name, value in values.items() if value not in {None, False})
    return (*options.set, *given)
