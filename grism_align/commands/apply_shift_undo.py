"""``grism-align apply``, ``shift`` and ``undo``: corrections that are known, put on or taken off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.bad_input import add_bad_input
from grism_align.commands.columns import in_columns
from grism_align.commands.corrected_files import (
    add_files,
    add_headerlets,
    check_destination_given,
    destination_of,
    executor_of,
    print_written,
)
from grism_align.commands.execution import execution_of
from grism_align.commands.results import add_results, record_of
from grism_align.io.files.sources import path_of

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers
    from grism_align.values.field import ExposureSet
    from grism_align.values.outcome import ExitCode
    from grism_align.values.solution import ExposureFit


def add_apply(subparsers: Subparsers) -> None:
    """Add the parser of ``apply``."""
    parser = subparsers.add_parser(
        "apply",
        help="put the corrections on record onto files fetched anew",
        description="Put the corrections of a provenance file onto files of the same exposures, fetched "
        "anew. A file with another WCS than the one that its correction starts from is refused.",
    )
    add_results(parser)
    add_files(parser)
    parser.add_argument(
        "--rebase", action="store_true", help="carry corrections over to the WCS that a file has"
    )
    parser.add_argument("--allow-missing", action="store_true", help="leave out files that are not on record")
    add_bad_input(parser)
    add_headerlets(parser)
    parser.set_defaults(run=_apply)


def _apply(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.closing_table import closing_table
    from grism_align.workflows.outcome import exit_code, reservations
    from grism_align.workflows.reapply import plan_reapplication, write_reapplication
    from grism_align.workflows.user_shifts import REFERENCE

    check_destination_given(options)
    plan = plan_reapplication(
        record_of(options),
        options.files,
        rebase=options.rebase,
        allow_missing=options.allow_missing,
        bad_input=options.bad_input,
    )
    destination = destination_of(options, plan.exposures)
    with executor_of(options, plan.exposures) as executor:
        write_reapplication(plan, destination, executor)
    is_users = plan.exposures.absolute.reference == REFERENCE
    is_wide = options.verbose
    print(_shift_text(plan.exposures) if is_users else closing_table(plan.exposures, wide=is_wide))
    if plan.already:
        print(f"{len(plan.already)} have their correction already: {', '.join(plan.already)}")
    for key, difference in plan.rebased.items():
        print(f"{key} carried over: {difference}")
    if plan.left_out:
        print(f"Not on record, left out: {', '.join(plan.left_out)}")
    if destination.in_place and plan.is_done:
        print("Nothing to write")
    else:
        print_written(plan.exposures, destination)
    return exit_code(reservations(plan.exposures))


def add_shift(subparsers: Subparsers) -> None:
    """Add the parser of ``shift``."""
    parser = subparsers.add_parser(
        "shift",
        help="put corrections of your own onto exposures",
        description="Correct WCSs by a table of your own, by exposure or by visit: dra and ddec (arcsec to "
        "the east and north, cos Dec included) or dx and dy (pixels), roll (deg, growth of position angles) "
        "and scale (a factor), about the reference point. Shifts are added to positions by the WCS.",
    )
    parser.add_argument("table", type=Path, metavar="TABLE", help="ECSV, FITS, CSV, VOTable or parquet")
    add_files(parser)
    parser.add_argument(
        "--propagate",
        action="store_true",
        help="give grism exposures without a row of their own the correction of the direct exposure "
        "that governs them",
    )
    add_bad_input(parser)
    add_headerlets(parser)
    parser.set_defaults(run=_shift)


def _shift(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.outcome import exit_code, reservations
    from grism_align.workflows.user_shifts import plan_shifts, write_shifts

    check_destination_given(options)
    plan = plan_shifts(
        options.table.expanduser(),
        options.files,
        to_grisms=options.propagate,
        bad_input=options.bad_input,
    )
    destination = destination_of(options, plan.exposures)
    with executor_of(options, plan.exposures) as executor:
        exposures = write_shifts(plan, destination, executor)
    print(_shift_text(exposures))
    if plan.kept:
        print(f"Not in the table, keep their WCS and are not written: {', '.join(plan.kept)}")
    print_written(exposures, destination)
    return exit_code(reservations(exposures))


def _shift_text(exposures: ExposureSet) -> str:
    """One line an exposure that is corrected, in columns."""
    rows = [("exposure", "kind", "filter", "by", "shift E,N [mas]", "[px]", "roll [deg]", "scale")]
    for exposure in exposures.exposures:
        fit = exposures.fit(exposure.key)
        if fit.transform is None:
            continue
        own = fit.transform.at(exposure.plane)
        east, north = 1e3 * own.shift + 0.0
        pixels = f"{float(own.shift @ own.shift) ** 0.5 / exposure.pixel_scale:.3f}"
        moved = (f"{east:+.1f},{north:+.1f}", pixels, f"{own.roll + 0.0:+.5f}", f"{own.scale:.7f}")
        rows.append((exposure.key, exposure.kind.value, exposure.filter, _origin(fit), *moved))
    return in_columns(rows)


def _origin(fit: ExposureFit) -> str:
    return ",".join(fit.governors) or fit.given_by


def add_undo(subparsers: Subparsers) -> None:
    """Add the parser of ``undo``."""
    parser = subparsers.add_parser(
        "undo",
        help="give files the WCS back that they had before",
        description="Give exposures that grism_align corrected the WCS that they had before, exactly.",
    )
    add_files(parser)
    parser.set_defaults(run=_undo)


def _undo(options: argparse.Namespace) -> None:
    from grism_align.io.associations import read_association
    from grism_align.workflows.executors import executor_for
    from grism_align.workflows.undo import undo_files
    from grism_align.workflows.workload import writing_of

    check_destination_given(options)
    paths = [path_of(member.source) for member in read_association(options.files).exposures]
    with executor_for(execution_of(options), writing_of(paths)) as executor:
        undone = undo_files(paths, options.output_dir, in_place=options.in_place, executor=executor)
    rows = [("file", "undone", "back to")]
    print(in_columns([*rows, *((one.source.name, one.undone, one.restored) for one in undone)]))
    place = "in place" if options.in_place else f"-> {options.output_dir}"
    print(f"{len(undone)} files {place}")
