"""``grism-align apply``, ``shift`` and ``undo``: corrections that are known, put on or taken off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.bad_input import add_bad_input
from grism_align.commands.columns import in_columns
from grism_align.io.files.sources import path_of
from grism_align.values.errors import SettingsError
from grism_align.values.settings import ExecutionSettings, parameters_of

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from grism_align.commands import Subparsers
    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.values.outcome import ExitCode
    from grism_align.values.solution import ExposureFit
    from grism_align.workflows.results.destination import Destination


_FILES = "exposures, folders, lists or associations"


def add_apply(subparsers: Subparsers) -> None:
    """Add the parser of ``apply``."""
    parser = subparsers.add_parser(
        "apply",
        help="put the corrections on record onto files fetched anew",
        description="Put the corrections of a provenance file onto files of the same exposures, fetched "
        "anew. A file with another WCS than the one that its correction starts from is refused.",
    )
    parser.add_argument("provenance", type=Path, metavar="PROVENANCE", help="the record, *_provenance.asdf")
    _add_files(parser)
    parser.add_argument(
        "--rebase", action="store_true", help="carry corrections over to the WCS that a file has"
    )
    parser.add_argument("--allow-missing", action="store_true", help="leave out files that are not on record")
    add_bad_input(parser)
    _add_headerlets(parser)
    parser.set_defaults(run=_apply)


def _apply(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.closing_table import closing_table
    from grism_align.workflows.outcome import exit_code, reservations
    from grism_align.workflows.reapply import plan_reapplication, write_reapplication
    from grism_align.workflows.user_shifts import REFERENCE

    _check_destination_given(options)
    plan = plan_reapplication(
        options.provenance.expanduser(),
        options.files,
        rebase=options.rebase,
        allow_missing=options.allow_missing,
        bad_input=options.bad_input,
    )
    destination = _destination(options, plan.exposures)
    with _executor(options) as executor:
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
        _print_written(plan.exposures, destination)
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
    _add_files(parser)
    parser.add_argument(
        "--propagate",
        action="store_true",
        help="give grism exposures without a row of their own the correction of the direct exposure "
        "that governs them",
    )
    add_bad_input(parser)
    _add_headerlets(parser)
    parser.set_defaults(run=_shift)


def _shift(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.outcome import exit_code, reservations
    from grism_align.workflows.user_shifts import plan_shifts, write_shifts

    _check_destination_given(options)
    plan = plan_shifts(
        options.table.expanduser(),
        options.files,
        to_grisms=options.propagate,
        bad_input=options.bad_input,
    )
    destination = _destination(options, plan.exposures)
    with _executor(options) as executor:
        exposures = write_shifts(plan, destination, executor)
    print(_shift_text(exposures))
    if plan.kept:
        print(f"Not in the table, keep their WCS and are not written: {', '.join(plan.kept)}")
    _print_written(exposures, destination)
    return exit_code(reservations(exposures))


def _shift_text(exposures: ExposureSet) -> str:
    """One line an exposure that is corrected, in columns."""
    rows = [("exposure", "kind", "filter", "by", "shift E,N [mas]", "[px]", "roll [deg]", "scale")]
    for exposure in exposures.exposures:
        fit = exposures.fit(exposure.key)
        if fit is None or fit.transform is None:
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
    _add_files(parser)
    parser.set_defaults(run=_undo)


def _undo(options: argparse.Namespace) -> None:
    from grism_align.io.associations import read_association
    from grism_align.workflows.undo import undo_files

    _check_destination_given(options)
    paths = [path_of(member.source) for member in read_association(options.files).exposures]
    with _executor(options) as executor:
        undone = undo_files(paths, options.output_dir, in_place=options.in_place, executor=executor)
    rows = [("file", "undone", "back to")]
    print(in_columns([*rows, *((one.source.name, one.undone, one.restored) for one in undone)]))
    place = "in place" if options.in_place else f"-> {options.output_dir}"
    print(f"{len(undone)} files {place}")


def _add_files(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that all three have: what to read and where to write."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=_FILES)
    parser.add_argument("-o", "--output-dir", type=Path, metavar="DIR", help="folder of the products")
    parser.add_argument(
        "--in-place", action="store_true", help="replace the files; each is the old or the new"
    )
    [nproc] = parameters_of(ExecutionSettings)
    parser.add_argument("--nproc", type=int, metavar="N", help=nproc.help)


def _executor(options: argparse.Namespace) -> AbstractContextManager[Executor]:
    from grism_align.workflows.executors import executor_for

    return executor_for(ExecutionSettings(options.nproc))


def _add_headerlets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--headerlets",
        choices=("none", "file", "attach"),
        default="none",
        help="write headerlets as files (ROOT_hlet.fits) or as extensions (default: none)",
    )


def _check_destination_given(options: argparse.Namespace) -> None:
    if options.output_dir is None and not options.in_place:
        name, allowed = "output_dir", "give the folder of the products, or --in_place"
        raise SettingsError(name, None, allowed)


def _destination(options: argparse.Namespace, exposures: ExposureSet) -> Destination:
    from grism_align.workflows.results.destination import destination_for

    return destination_for(
        exposures, options.output_dir, in_place=options.in_place, headerlets=options.headerlets
    )


def _print_written(exposures: ExposureSet, destination: Destination) -> None:
    written = sum(exposures.fit(e.key) is not None for e in exposures.exposures)
    place = "in place" if destination.in_place else f"-> {destination.folder}"
    print(f"{written} exposures {place}; the record is {destination.provenance(exposures.product)}")
