"""``grism-align wcs``: the WCSs that exposures come with, listed, and all exposures onto one of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.commands.bad_input import add_bad_input
from grism_align.commands.columns import in_columns
from grism_align.commands.corrected_files import (
    FILES,
    add_files,
    add_headerlets,
    check_destination_given,
    destination_of,
    executor_of,
    print_written,
)
from grism_align.commands.parser import add_messages
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from grism_align.commands import Subparsers
    from grism_align.values.exposure import Exposure
    from grism_align.workflows.wcs_solutions import KnownWcs

_HEADINGS = ("exposure", "kind", "filter", "WCS", "solution", "E [mas]", "N [mas]", "roll [deg]")


def add_wcs(subparsers: Subparsers) -> None:
    """Add the parsers of ``wcs list`` and ``wcs set``."""
    parser = subparsers.add_parser(
        "wcs",
        help="list the WCSs of files, or put all onto one of them",
        description="List the WCSs that exposures come with, or put all exposures onto one of them.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list",
        help="list all WCSs of exposures",
        description="List the WCSs of each exposure: names, which is in use (*), and how far the others are "
        "from it at its reference point. The exit code is 3 where exposures use different ones.",
    )
    listing.add_argument("files", nargs="+", metavar="FILE", help=FILES)
    listing.set_defaults(run=_list)
    choosing = actions.add_parser(
        "set",
        help="put all exposures onto one of their WCSs",
        description="Put exposures onto a WCS that all have in their headers, by its name (IDC_...-GSC240) "
        "or that of its solution (GSC240). It is on record, and undone by grism-align undo.",
    )
    choosing.add_argument("name", metavar="NAME", help="of a WCS or a solution, as wcs list has it")
    add_files(choosing)
    add_bad_input(choosing)
    add_headerlets(choosing)
    choosing.set_defaults(run=_set, usual=logging.WARNING)
    for each in (listing, choosing):
        add_messages(each)


def _list(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.load import load
    from grism_align.workflows.wcs_solutions import common_solutions, known_wcss

    found = load(options.files, with_results=False, with_sums=False, bad_input="leave_out").exposures
    rows = [row for each in found for row in _rows(each, known_wcss(each))]
    print(in_columns([_HEADINGS, *rows]))
    common = [name for name in common_solutions(found) if name]
    print(f"all exposures have: {', '.join(common) or 'none in common'}")
    return _told(found, common)


def _rows(exposure: Exposure, known: Sequence[KnownWcs]) -> Iterator[tuple[str, ...]]:
    """One row a WCS; the exposure is named in the first."""
    about = (exposure.key, exposure.kind.value, exposure.filter)
    for number, one in enumerate(known):
        first = about if number == 0 else ("",) * len(about)
        name = f"{'*' if one.is_used else ' '} {one.name}"
        yield (*first, name, one.solution or "another model", *_offset(exposure, one))


def _offset(exposure: Exposure, one: KnownWcs) -> tuple[str, str, str]:
    if one.moved is None:
        return "", "", ""
    there = one.moved.at(exposure.plane)
    east, north = (1e3 * there.shift).round(2) + 0.0
    return f"{east:+.2f}", f"{north:+.2f}", f"{round(there.roll, 6) + 0.0:+.6f}"


def _told(exposures: Sequence[Exposure], common: Sequence[str]) -> ExitCode:
    """Say whether all exposures use one solution, and what to do where they don't."""
    used = {one.wcs_solution: one.wcs_solution or "unnamed" for one in exposures}
    if len(used) == 1:
        print(f"in use: {next(iter(used.values()))}, in all of them")
        return ExitCode.DONE
    numbers = (
        f"{name} ({sum(each.wcs_solution == one for each in exposures)})" for one, name in used.items()
    )
    print(f"in use: {', '.join(numbers)}")
    if common:
        print(f"grism-align wcs set {common[0]} FILES -o DIR puts all onto one")
    return ExitCode.RESERVATIONS


def _set(options: argparse.Namespace) -> None:
    from grism_align.workflows.user_shifts import write_given
    from grism_align.workflows.wcs_solutions import plan_choice

    check_destination_given(options)
    planned = plan_choice(options.name, options.files, bad_input=options.bad_input)
    destination = destination_of(options, planned)
    with executor_of(options, planned) as executor:
        exposures = write_given(planned, destination, executor)
    rows = [("exposure", "kind", "filter", "from", "E [mas]", "N [mas]", "roll [deg]")]
    for each in exposures.exposures:
        fit = exposures.fit(each.key)
        if fit.transform is not None:
            there = fit.transform.at(each.plane)
            east, north = (1e3 * there.shift).round(2) + 0.0
            moved = (f"{east:+.2f}", f"{north:+.2f}", f"{round(there.roll, 6) + 0.0:+.6f}")
            rows.append((each.key, each.kind.value, each.filter, each.wcs_name or "unnamed", *moved))
    print(in_columns(rows))
    print_written(exposures, destination)
