"""What commands that put corrections on or take them off have in common: files in, files out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.commands.execution import add_execution, execution_of
from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractContextManager

    from grism_align.values.executor import Executor
    from grism_align.values.field import ExposureSet
    from grism_align.workflows.results.destination import Destination

#: What a command takes.
FILES = "exposures, folders, lists or associations"


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add what to read and where to write."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES)
    parser.add_argument("-o", "--output-dir", type=Path, metavar="DIR", help="folder of the products")
    parser.add_argument(
        "--in-place", action="store_true", help="replace the files; each is the old or the new"
    )
    add_execution(parser)


def add_headerlets(parser: argparse.ArgumentParser) -> None:
    """Add whether headerlets are written."""
    parser.add_argument(
        "--headerlets",
        choices=("none", "file", "attach"),
        default="none",
        help="write headerlets as files (ROOT_hlet.fits) or as extensions (default: none)",
    )


def check_destination_given(options: argparse.Namespace) -> None:
    """Refuse a command line that does not say where results go."""
    if options.output_dir is None and not options.in_place:
        name, allowed = "output_dir", "give the folder of the products, or in_place"
        raise SettingsError(name, None, allowed)


def executor_of(options: argparse.Namespace, exposures: ExposureSet) -> AbstractContextManager[Executor]:
    """Return who writes exposures."""
    from grism_align.workflows.executors import executor_for
    from grism_align.workflows.workload import workload_of

    return executor_for(execution_of(options), workload_of(exposures))


def destination_of(options: argparse.Namespace, exposures: ExposureSet) -> Destination:
    """Return where results go."""
    from grism_align.workflows.results.destination import destination_for

    return destination_for(
        exposures, options.output_dir, in_place=options.in_place, headerlets=options.headerlets
    )


def print_written(exposures: ExposureSet, destination: Destination) -> None:
    """Tell how many exposures were written, and where."""
    written = sum(exposures.fit(e.key).is_fitted for e in exposures.exposures)
    place = "in place" if destination.in_place else f"-> {destination.folder}"
    print(f"{written} exposures {place}; the record is {destination.provenance(exposures.product)}")
