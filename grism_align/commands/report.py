"""``grism-align report``: the page of a run, and region files, made again from its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.results import add_results, record_of
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers


def add_report(subparsers: Subparsers) -> None:
    """Add the parser of ``report``."""
    parser = subparsers.add_parser(
        "report",
        help="make the report of a run from its record",
        description="Make the report of a run, one HTML page, from its record alone.",
    )
    add_results(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PAGE",
        help="the page; by default PRODUCT_report.html beside the record, which is replaced",
    )
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="FOLDER",
        help="write a DS9 region file for each direct exposure there, too",
    )
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="write the plots there as files, too")
    parser.add_argument(
        "--form", choices=("png", "pdf"), default="png", help="of those files (default %(default)s)"
    )
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> None:
    from grism_align.io.export.regions import write_regions
    from grism_align.io.files.claims import claimed
    from grism_align.io.record.file import read_record
    from grism_align.io.report import report_path, write_report

    source = record_of(options)
    target = report_path(source) if options.output is None else options.output.expanduser()
    _check_page(target, source)
    # a run that has the page among its products may be about to replace record and page
    with claimed([target]):
        print(write_report(source, target))
    if options.regions is not None:
        for path in write_regions(read_record(source), options.regions.expanduser()):
            print(path)
    if options.figures is not None:
        _write_figures(source, options.figures.expanduser(), options.form)


def _write_figures(source: Path, folder: Path, form: str) -> None:
    from grism_align.io.files.names import made_safe
    from grism_align.io.files.staging import output_errors
    from grism_align.io.record.file import read_record
    from grism_align.io.report.plots.every import plots_of

    record = read_record(source)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, plot in plots_of(record).items():
            path = folder / f"{record.product}_{made_safe(name)}.{form}"
            plot.save(path)
            print(path)


def _check_page(target: Path, source: Path) -> None:
    """Refuse a page that would replace the record, or that a folder stands in the way of."""
    if target.is_dir():
        raise OutputError(target, "a folder, not a page", f"Give a file in it, {target / 'report.html'}")
    if target.resolve() == source.resolve():
        raise OutputError(target, "it is the record, which the page would replace", "Give another file")
