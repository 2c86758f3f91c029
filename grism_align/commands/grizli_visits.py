"""``grism-align grizli-visits``: the visits of a run, for grizli's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.results import add_results, record_of
from grism_align.values.errors import OutputError
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers


def add_grizli_visits(subparsers: Subparsers) -> None:
    """Add the parser of ``grizli-visits``."""
    parser = subparsers.add_parser(
        "grizli-visits",
        help="write the visits of a run for grizli",
        description="Write the visits of a run, and which direct visit belongs to which grism visit, as "
        "grizli's load_visits_yaml takes them.",
    )
    add_results(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the file; by default PRODUCT_visits.yaml beside the record, which is replaced",
    )
    parser.set_defaults(run=_grizli_visits)


def _grizli_visits(options: argparse.Namespace) -> ExitCode:
    from grism_align.io.export.grizli_visits import visits_path, write_grizli_visits

    source = record_of(options)
    target = visits_path(source) if options.output is None else options.output.expanduser()
    if target.resolve() == source.resolve() or target.is_dir():
        raise OutputError(target, "the record or a folder, not a list of visits", "Give another file")
    visits = write_grizli_visits(source, target)
    content = visits.content
    print(f"{target}: {len(content['visits'])} visits, {len(content['groups'])} pairs of direct and grism")
    for key, reason in visits.left_out.items():
        print(f"{key} left out: {reason}")
    return ExitCode.RESERVATIONS if visits.left_out else ExitCode.DONE
