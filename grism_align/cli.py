"""The commands that are no Step."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.values.errors import GrismAlignError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from grism_align.values.errors import CatalogServiceError
    from grism_align.values.exposure import Exposure
    from grism_align.values.settings import Parameter

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of ``grism-align``.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; that of the process if not given.

    Returns
    -------
    int
        0, or 1 where an error that the package knows is reported on the standard error stream.
    """
    parser = argparse.ArgumentParser(prog="grism-align", description=sys.modules["grism_align"].__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for add in _COMMANDS:
        add(subparsers)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except GrismAlignError as error:
        print(f"grism-align {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _add_associate(subparsers: Subparsers) -> None:
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
    parser.set_defaults(run=_associate)


def _associate(options: argparse.Namespace) -> None:
    # Imported here: astropy takes longer than all the rest of --help.
    from grism_align.io.associations import (
        apply_association,
        build_association,
        read_association,
        write_association,
    )
    from grism_align.io.missions import read_exposure

    output = options.output.expanduser()
    if output.exists() and not options.overwrite:
        raise OutputError(output, "it exists", "Choose another name or give --overwrite")
    product = options.product if options.product is not None else output.stem.removesuffix("_asn")
    known = read_association(options.files)
    exposures = apply_association([read_exposure(member.path) for member in known.exposures], known)
    association = build_association(exposures, product, known)
    write_association(association, output)
    by_path = {exposure.path: exposure for exposure in exposures}
    print(_exposure_table([by_path[member.path] for member in association.exposures]))
    print(f"{len(exposures)} exposures -> {output}")


def _exposure_table(exposures: Sequence[Exposure]) -> str:
    """One line an exposure, in columns."""
    from grism_align.io.associations.build import start_of

    rows = [("visit", "exposure", "kind", "filter", "start", "governed by")]
    for exposure in exposures:
        kind, governor = exposure.kind.value, _governor_text(exposure, exposures)
        rows.append((exposure.visit, exposure.key, kind, exposure.filter, start_of(exposure), governor))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def _governor_text(exposure: Exposure, exposures: Sequence[Exposure]) -> str:
    from grism_align.algorithms.pair import candidate_governors
    from grism_align.values.settings import PropagationSettings

    if exposure.is_direct:
        return "-"
    candidates = candidate_governors(
        exposure, [other for other in exposures if other.is_direct], PropagationSettings().pairing_radius
    )
    named = [governor.key for governor in candidates if governor.rule == "association"]
    if not candidates:
        return "none"
    return f"{', '.join(named) or candidates[0].key} ({candidates[0].rule})"


def _add_demo(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "demo",
        help="simulate two visits with known WCS errors and align them",
        description="Simulate two WFC3/IR visits of direct and grism exposures whose WCSs are wrong by known "
        "shifts and rolls, run the pipeline on them and print what it recovered.",
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("grism_align_demo"), help="where to (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (%(default)s)")
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from grism_align.demo import run_demo

    run_demo(options.output_dir.expanduser(), options.seed)


def _add_fetch_catalog(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser(
        "fetch-catalog",
        help="fetch reference catalogs of a field into the cache",
        description="Fetch the reference catalogs of a field, so that later runs find them in the cache, "
        "also where there is no network (offline).",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="an association, or exposures")
    parser.add_argument(
        "--catalog",
        action="append",
        metavar="NAME",
        help="what to fetch; may be given several times; auto for all of auto_order (default: GAIADR3)",
    )
    for parameter in _fetch_parameters():
        shown = "" if parameter.default is None else f" (default: {parameter.default})"
        unit = f", {parameter.unit}" if parameter.unit else ""
        parser.add_argument(
            f"--{parameter.name}", type=parameter.kind, metavar="VALUE", help=f"{parameter.help}{unit}{shown}"
        )
    parser.add_argument("--refresh", action="store_true", help="fetch anew what the cache has")
    parser.add_argument(
        "-o", "--output", type=Path, help="write the catalog, of which there must be one, as ECSV"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.set_defaults(run=_fetch_catalog)


def _fetch_parameters() -> list[Parameter]:
    """The parameters of the pipeline that are options here, with their defaults."""
    from grism_align.values.settings import SelectionSettings, ServiceSettings, parameters_of

    services = [parameter for parameter in parameters_of(ServiceSettings) if parameter.name != "offline"]
    return [*services, *(p for p in parameters_of(SelectionSettings) if p.name == "margin")]


def _fetch_catalog(options: argparse.Namespace) -> None:
    from grism_align.algorithms.selection import field_cones
    from grism_align.io.load import load_exposures
    from grism_align.io.prefetch import prefetch, services_of
    from grism_align.io.reference_catalogs import write_reference_catalog
    from grism_align.values.settings import SelectionSettings, ServiceSettings

    names = [p.name for p in _fetch_parameters() if getattr(options, p.name) is not None]
    given = {name: getattr(options, name) for name in names}
    margin = {"margin": given.pop("margin")} if "margin" in given else {}
    settings, selection = ServiceSettings(**given), SelectionSettings(**margin)
    services = services_of(options.catalog or ["GAIADR3"], settings)
    _check_catalog_output(options, len(services))
    cones = field_cones(load_exposures(options.files).direct, selection.margin)
    failed: list[CatalogServiceError] = []
    for result in prefetch(services, cones, settings, options.refresh):
        print(result.text)
        if result.error is not None:
            failed.append(result.error)
        elif result.catalog is not None and options.output is not None:
            write_reference_catalog(result.catalog, options.output)
            print(f"{result.name} -> {options.output}")
    for error in failed[:-1]:
        print(error, file=sys.stderr)
    if failed:
        raise failed[-1]


def _check_catalog_output(options: argparse.Namespace, n_catalogs: int) -> None:
    if options.output is None:
        return
    options.output = options.output.expanduser()
    if n_catalogs > 1:
        raise OutputError(options.output, f"{n_catalogs} catalogs for one file", "Ask for one catalog")
    if options.output.exists() and not options.overwrite:
        raise OutputError(options.output, "it exists", "Choose another name or give --overwrite")


#: Each adds the parser of one command and sets what it runs.
_COMMANDS: tuple[Callable[[Subparsers], None], ...] = (_add_associate, _add_fetch_catalog, _add_demo)
