"""``grism-align demo``: simulate visits with known errors and align them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers
    from grism_align.values.field import ExposureSet


def add_demo(subparsers: Subparsers) -> None:
    """Add the parser of ``demo``."""
    from grism_align.demo import PROGRAMS

    listed = "; ".join(f"{name}: {program}" for name, program in PROGRAMS.items())
    parser = subparsers.add_parser(
        "demo",
        help="simulate two visits with known WCS errors and align them",
        description="Simulate visits of direct and grism exposures whose WCSs are wrong by known shifts and "
        "rolls, run the pipeline on them and print what it recovered.",
    )
    parser.add_argument(
        "-o", "--output-dir", type=Path, default=Path("grism_align_demo"), help="where to (%(default)s)"
    )
    parser.add_argument(
        "--instrument", choices=list(PROGRAMS), default="wfc3_ir", help=f"{listed} (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (%(default)s)")
    parser.set_defaults(run=_demo, usual=logging.INFO)


def _demo(options: argparse.Namespace) -> None:
    from grism_align.commands.run import Request, Saying, run
    from grism_align.demo import run_demo

    saying = Saying(tuple(options.words), is_quiet=options.quiet, is_wide=options.verbose)

    def align(association: Path, folder: Path, catalog: Path) -> ExposureSet:
        request = Request((str(association),), folder, (f"absolute_align.catalog={catalog}",))
        return run(request, saying).result

    run_demo(options.output_dir.expanduser(), options.seed, align, options.instrument)
