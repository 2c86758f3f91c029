"""``grism-align fetch-catalog``: fill the cache of reference catalogs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.errors import OutputError
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers
    from grism_align.values.errors import GrismAlignError
    from grism_align.values.settings import Parameter, ServiceSettings


def add_fetch_catalog(subparsers: Subparsers) -> None:
    """Add the parser of ``fetch-catalog``."""
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
        default = ", ".join(parameter.default) if parameter.kind is tuple else parameter.default
        shown = "" if default is None else f" (default: {default})"
        unit = f", {parameter.unit}" if parameter.unit else ""
        kind = _names if parameter.kind is tuple else parameter.kind
        parser.add_argument(
            f"--{parameter.name.replace('_', '-')}",
            type=kind,
            metavar="VALUE",
            help=f"{parameter.help}{unit}{shown}",
        )
    parser.add_argument("--refresh", action="store_true", help="fetch anew what the cache has")
    parser.add_argument(
        "-o", "--output", type=Path, help="write the catalog, of which there must be one, as ECSV"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")
    parser.set_defaults(run=_fetch_catalog)


def _names(text: str) -> tuple[str, ...]:
    """Split a text at commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _fetch_parameters() -> list[Parameter]:
    """Add the parameters of the pipeline that are options here, with their defaults."""
    from grism_align.values.settings import SelectionSettings, ServiceSettings, parameters_of

    services = [parameter for parameter in parameters_of(ServiceSettings) if parameter.name != "offline"]
    return [*services, *(p for p in parameters_of(SelectionSettings) if p.name == "margin")]


def _fetch_catalog(options: argparse.Namespace) -> ExitCode:
    from grism_align.algorithms.absolute.selection import field_cones
    from grism_align.io.catalogs.prefetch import prefetch, services_of
    from grism_align.io.catalogs.reference import write_reference_catalog
    from grism_align.values.settings import SelectionSettings, ServiceSettings
    from grism_align.workflows.load import load

    names = [p.name for p in _fetch_parameters() if getattr(options, p.name) is not None]
    given = {name: getattr(options, name) for name in names}
    margin = {"margin": given.pop("margin")} if "margin" in given else {}
    settings, selection = ServiceSettings(**given), SelectionSettings(**margin)
    services = services_of(options.catalog or ["GAIADR3"], settings)
    _check_catalog_output(options, len(services))
    cones = field_cones(load(options.files, with_sums=False, bad_input="leave_out").direct, selection.margin)
    failed: list[GrismAlignError] = []
    for result in prefetch(services, cones, settings, options.refresh):
        print(result.text)
        if result.error is not None:
            failed.append(result.error)
        elif not result.files and options.output is None:
            failed.append(_not_kept(result.name, settings))
        elif result.catalog is not None and options.output is not None:
            write_reference_catalog(result.catalog, options.output)
            print(f"{result.name} -> {options.output}")
    if failed and len(failed) == len(services):
        for error in failed[:-1]:
            print(error, file=sys.stderr)
        raise failed[-1]
    for error in failed:
        print(error, file=sys.stderr)
    return ExitCode.RESERVATIONS if failed else ExitCode.DONE


def _not_kept(name: str, settings: ServiceSettings) -> OutputError:
    from grism_align.io.catalogs.services.cache import cache_folder

    problem = f"{name} came, and can't be kept there"
    return OutputError(cache_folder(settings), problem, "Give another --cache-dir, or --output")


def _check_catalog_output(options: argparse.Namespace, n_catalogs: int) -> None:
    if options.output is None:
        return
    options.output = options.output.expanduser()
    if n_catalogs > 1:
        raise OutputError(options.output, f"{n_catalogs} catalogs for one file", "Ask for one catalog")
    if options.output.exists() and not options.overwrite:
        raise OutputError(options.output, "it exists", "Choose another name or give --overwrite")
