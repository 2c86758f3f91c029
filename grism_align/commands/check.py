"""``grism-align check``: what the headers of exposures say, before they are aligned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.commands.columns import in_columns
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers
    from grism_align.workflows.check import FieldCheck

_HEADINGS = (
    *("visit", "exposure", "kind", "filter", "MJD", "guiding"),
    *("WCS", "distortion", "other WCSs", "governed by"),
)


def add_check(subparsers: Subparsers) -> None:
    """Add the parser of ``check``."""
    parser = subparsers.add_parser(
        "check",
        help="look at exposures before they are aligned",
        description="List kinds, guiding and WCSs of exposures, and tell whether direct and grism exposures "
        "go together. The exit code is 3 where they do not.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="exposures, folders, wildcards, lists or associations"
    )
    parser.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> ExitCode:
    from grism_align.workflows.check import check_field
    from grism_align.workflows.load import load

    found = check_field(load(options.files, with_results=False, with_sums=False, bad_input="leave_out"))
    print(_table(found))
    for text in (*found.problems, *found.notes):
        print(text)
    if found.problems:
        return ExitCode.RESERVATIONS
    together = "direct and grism exposures go together" if found.governors else "there is no grism exposure"
    print(f"{len(found.exposures.exposures)} exposures: {together}")
    return ExitCode.DONE


def _table(found: FieldCheck) -> str:
    rows = [_HEADINGS]
    for each in found.exposures.exposures:
        others = ", ".join(name for name in each.taken_names if name != each.wcs_name)
        governors = ", ".join(found.governors.get(each.key, ())) or "-"
        about = (each.visit, each.key, each.kind.value, each.filter, f"{each.start:.5f}")
        wcs = (each.wcs_name or "unnamed", each.distortion or "unnamed", others or "-")
        rows.append((*about, each.tracking.guiding.value, *wcs, governors))
    return in_columns(rows)
