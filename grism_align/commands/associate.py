"""``grism-align associate``: write the association of some exposures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.bad_input import add_bad_input
from grism_align.commands.columns import in_columns
from grism_align.commands.execution import add_execution, execution_of
from grism_align.values.errors import InputError, OutputError, SettingsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from grism_align.commands import Subparsers
    from grism_align.values.exposure import Exposure
    from grism_align.values.outcome import ExitCode
    from grism_align.workflows.fields import SkyField

# Seconds that headers of an exposure take, and an association with them.
_HEADERS = 0.05
_FIELD_HEADINGS = ("field", "ra", "dec", "arcmin", "visits", "direct", "grism", "filters")


def add_associate(subparsers: Subparsers) -> None:
    """Add the parser of ``associate``."""
    parser = subparsers.add_parser(
        "associate",
        help="write the association of some exposures",
        description="Group exposures by visit, find which direct exposure governs which grism exposure "
        "and which visits overlap, and write it as an association to run the pipeline on. With "
        "--split-fields, sort any number of exposures, in folders with all below, into fields that are "
        "connected on the sky, and write an association of each, for grism-align batch.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="exposures, folders, lists, associations or poller files"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        type=Path,
        help="the association to write (JSON); or the folder of many",
    )
    parser.add_argument("--product", help="name of the product (default: the output's, without _asn)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_bad_input(parser)
    many = parser.add_argument_group("many fields")
    many.add_argument("--split-fields", action="store_true", help="write an association of each field")
    many.add_argument(
        "--max-exposures", type=int, metavar="N", help="split fields of more; visits stay whole"
    )
    many.add_argument(
        "--max-extent", type=float, metavar="ARCMIN", help="split fields that are larger across"
    )
    add_execution(many)
    parser.set_defaults(run=_associate)


def _associate(options: argparse.Namespace) -> ExitCode:
    if options.split_fields:
        return _split(options)
    given = next(
        (name for name in ("max_exposures", "max_extent") if getattr(options, name) is not None), None
    )
    if given:
        raise SettingsError(given, getattr(options, given), "it goes with --split-fields")
    # Imported here: astropy takes longer than all the rest of --help.
    from grism_align.io.associations import write_association
    from grism_align.workflows.associate import build_association
    from grism_align.workflows.load import load
    from grism_align.workflows.outcome import exit_code, left_out_reservations

    output = options.output.expanduser()
    if output.exists() and not options.overwrite:
        raise OutputError(output, "it exists", "Choose another name or give --overwrite")
    product = options.product if options.product is not None else output.stem.removesuffix("_asn")
    found = load(options.files, with_results=False, with_sums=False, bad_input=options.bad_input)
    association = build_association(found.exposures, product, found.association)
    write_association(association, output)
    by_source = {exposure.source: exposure for exposure in found.exposures}
    print(_exposure_table([by_source[member.source] for member in association.exposures]))
    print(f"{len(found.exposures)} exposures -> {output}")
    return exit_code(left_out_reservations(found.left_out))


def _split(options: argparse.Namespace) -> ExitCode:
    from grism_align.values.outcome import ExitCode
    from grism_align.workflows.executors import executor_for
    from grism_align.workflows.fields import (
        FieldLimits,
        association_path,
        find_files,
        sort_into_fields,
        write_fields,
    )
    from grism_align.workflows.outcome import exit_code, left_out_reservations
    from grism_align.workflows.workload import Workload

    folder = options.output.expanduser()
    if options.product is not None:
        name, allowed = "product", "fields are called after their places"
        raise SettingsError(name, options.product, allowed)
    paths = find_files(options.files)
    workload = Workload(len(paths), _HEADERS * len(paths))
    with executor_for(execution_of(options), workload) as executor:
        found = sort_into_fields(paths, FieldLimits(options.max_exposures, options.max_extent), executor)
        if found.left_out and options.bad_input == "refuse":
            [first, *_] = found.left_out
            raise InputError(first.name, first.problem, "Remove it, or let it be left out (--bad-input)")
        usable = [one for one in found.fields if one.has_direct]
        targets = {one.name: association_path(one, folder) for one in usable}
        taken = [path for path in targets.values() if path.exists()]
        if taken and not options.overwrite:
            raise OutputError(taken[0], "it exists", "Choose another folder or give --overwrite")
        write_fields(usable, folder, executor)
    others = set(folder.glob("*_asn.json")) - set(targets.values())
    print(in_columns([_FIELD_HEADINGS, *map(_field_row, found.fields)]))
    print(f"{sum(len(one.exposures) for one in usable)} exposures of {len(usable)} fields -> {folder}")
    if others:
        print(f"{len(others)} other associations are in {folder}, {min(others).name} among them")
    code = exit_code(left_out_reservations(found.left_out))
    return code if len(usable) == len(found.fields) else ExitCode.RESERVATIONS


def _field_row(one: SkyField) -> tuple[str, ...]:
    n = sum(each.is_direct for each in one.exposures)
    filters = ",".join(sorted({each.filter for each in one.exposures}))
    counts = (str(len(one.visits)), str(n), str(len(one.exposures) - n))
    name = one.name if one.has_direct else f"{one.name} (no direct exposure, not written)"
    return (name, f"{one.ra:.5f}", f"{one.dec:+.5f}", f"{one.extent:.1f}", *counts, filters)


def _exposure_table(exposures: Sequence[Exposure]) -> str:
    """One line an exposure, in columns."""
    from grism_align.algorithms.propagation.pair import Acquisitions
    from grism_align.workflows.associate import start_of

    rows = [("visit", "exposure", "kind", "filter", "start", "governed by")]
    acquisitions = Acquisitions(exposures)
    for exposure in exposures:
        kind, governor = exposure.kind.value, _governor_text(exposure, acquisitions.around(exposure))
        rows.append((exposure.visit, exposure.key, kind, exposure.filter, start_of(exposure), governor))
    return in_columns(rows)


def _governor_text(exposure: Exposure, exposures: Sequence[Exposure]) -> str:
    from grism_align.algorithms.propagation.govern import governors
    from grism_align.values.settings import GrismSettings

    if exposure.is_direct:
        return "-"
    choice = governors(exposure, exposures, GrismSettings())
    if not choice.keys:
        return "none"
    keys = exposure.governors if choice.rule == "association" else choice.keys
    return f"{', '.join(keys)} ({choice.rule})"
