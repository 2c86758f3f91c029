"""``grism-align inspect``: a page to look at the exposures of a run, with what was found on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.execution import add_execution, execution_of
from grism_align.commands.results import add_results, record_of
from grism_align.values.errors import InputError, OutputError, SettingsError

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers

_MEGABYTES = 25.0


def add_inspect(subparsers: Subparsers) -> None:
    """Add the parser of ``inspect``."""
    parser = subparsers.add_parser(
        "inspect",
        help="make a page to look at the exposures of a run",
        description="Make a page, one HTML file, that shows the exposures of a run on the sky before and "
        "after their corrections, with their sources, the catalog's stars and the traces of spectra.",
    )
    add_results(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PAGE",
        help="the page; by default PRODUCT_inspect.html beside the record, which is replaced",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PATTERN",
        help="show only exposures of this name, as ib6o23*; may be given again",
    )
    parser.add_argument(
        "--megabytes",
        type=float,
        default=_MEGABYTES,
        metavar="SIZE",
        help="of the page, at most; pictures are reduced to that (default %(default)g)",
    )
    add_execution(parser)
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    from grism_align.io.files.claims import claimed
    from grism_align.io.inspection import inspection_path, write_inspection
    from grism_align.workflows.executors import executor_for
    from grism_align.workflows.inspection.make import inspect_results
    from grism_align.workflows.load import load
    from grism_align.workflows.workload import workload_of

    record = record_of(options)
    target = inspection_path(record) if options.output is None else options.output.expanduser()
    if target.is_dir():
        raise OutputError(target, "a folder, not a page", f"Give a file in it, {target / 'inspect.html'}")
    if target.suffix.lower() not in (".html", ".htm"):
        raise OutputError(target, "a page's name ends with .html", "Give another name")
    if not options.megabytes > 0:
        name = "megabytes"
        raise SettingsError(name, options.megabytes, "must be more than nothing")
    exposures = load(_association(record), bad_input="refuse")
    with claimed([target]), executor_for(execution_of(options), workload_of(exposures)) as executor:
        page = inspect_results(exposures, executor, options.only, options.megabytes)
        print(write_inspection(page, target))


def _association(record: Path) -> Path:
    """Return the association that the run has written beside its record."""
    path = record.with_name(record.stem.removesuffix("_provenance") + "_asn.json")
    if not path.is_file():
        remedy = "Give the record where the run has written it, beside its association"
        raise InputError(path, "no such association", remedy)
    return path
