"""``grism-align table``: what is on record of exposures and measurements, as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.results import add_results, record_of
from grism_align.values.errors import OutputError, SettingsError
from grism_align.values.words import did_you_mean

if TYPE_CHECKING:
    import argparse

    from astropy.table import Table

    from grism_align.commands import Subparsers

_NAMES = ("fits", "matches")
_FITS = "fits"
#: What is printed of exposures where nobody asks for other columns.
_USUAL = (
    *("exposure", "filter", "status", "governed_by", "shift_east", "shift_north"),
    *("roll", "error_px", "matched", "rms"),
)
_DIGITS = {"shift_east": ".1f", "shift_north": ".1f", "roll": ".5f", "error_px": ".3f", "rms": ".1f"}


def add_table(subparsers: Subparsers) -> None:
    """Add the parser of ``table``."""
    parser = subparsers.add_parser(
        "table",
        help="print or write the results of a run as a table",
        description="Print what is on record of exposures (fits) or of their matched sources "
        "(matches), or write it as ECSV, CSV, FITS, VOTable, parquet, LaTeX, HTML or text.",
    )
    add_results(parser)
    parser.add_argument(
        "name", nargs="?", default=_FITS, choices=_NAMES, metavar="TABLE", help="fits (default) or matches"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write it there; the ending tells the form"
    )
    parser.add_argument("--columns", metavar="NAME,...", help="only these (all: every column)")
    parser.set_defaults(run=_table)


def _table(options: argparse.Namespace) -> None:
    from grism_align.io.files.tables import write_table
    from grism_align.io.record.file import read_record
    from grism_align.values.tables import results_table

    source = record_of(options)
    record = read_record(source)
    table = results_table(options.name, record.exposures, record.product)
    if options.output is None:
        is_brief = options.columns is None and options.name == _FITS
        _show(_chosen(table, ",".join(_USUAL) if is_brief else options.columns))
        return
    target = options.output.expanduser()
    if target.resolve() == source.resolve() or target.is_dir():
        raise OutputError(target, "the record or a folder, not a table", "Give another file")
    write_table(_chosen(table, options.columns), target)
    print(f"{len(table)} rows -> {target}")


def _chosen(table: Table, columns: str | None) -> Table:
    """Return a table with the columns that are asked for."""
    if columns is None or columns == "all":
        return table
    names = [name.strip() for name in columns.split(",")]
    for name in names:
        if name not in table.colnames:
            meant = did_you_mean(name, table.colnames) or f"; there are {', '.join(table.colnames)}"
            parameter = "columns"
            raise SettingsError(parameter, name, f"no such column{meant}")
    return table[names]


def _show(table: Table) -> None:
    """Print a table: for people on a terminal, as CSV into a pipe or a file."""
    if not sys.stdout.isatty():
        table.write(sys.stdout, format="ascii.csv")
        return
    for name in table.colnames:
        table[name].format = _DIGITS.get(name)
    print("\n".join(table.pformat(max_lines=-1, max_width=-1, show_unit=True)))
