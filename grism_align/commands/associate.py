"""``grism-align associate``: write the association of some exposures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.bad_input import add_bad_input
from grism_align.commands.columns import in_columns
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from grism_align.commands import Subparsers
    from grism_align.values.exposure import Exposure
    from grism_align.values.outcome import ExitCode


def add_associate(subparsers: Subparsers) -> None:
    """Add the parser of ``associate``."""
    parser = subparsers.add_parser(
        "associate",
        help="write the association of some exposures",
        description="Group exposures by visit, find which direct exposure governs which grism exposure "
        "and which visits overlap, and write it as an association to run the pipeline on.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="exposures, folders, lists, associations or poller files"
    )
    parser.add_argument("-o", "--output", required=True, type=Path, help="the association to write (JSON)")
    parser.add_argument("--product", help="name of the product (default: the output's, without _asn)")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    add_bad_input(parser)
    parser.set_defaults(run=_associate)


def _associate(options: argparse.Namespace) -> ExitCode:
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


def _exposure_table(exposures: Sequence[Exposure]) -> str:
    """One line an exposure, in columns."""
    from grism_align.workflows.associate import start_of

    rows = [("visit", "exposure", "kind", "filter", "start", "governed by")]
    for exposure in exposures:
        kind, governor = exposure.kind.value, _governor_text(exposure, exposures)
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
