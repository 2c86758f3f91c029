"""What commands that read exposures do about those that can't be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.values.settings import FailureSettings, parameters_of

if TYPE_CHECKING:
    import argparse


def add_bad_input(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--bad-input``, as steps have it."""
    declared = next(one for one in parameters_of(FailureSettings) if one.name == "bad_input")
    parser.add_argument(
        "--bad-input",
        choices=declared.choices,
        default=declared.default,
        help=f"{declared.help} (default: {declared.default})",
    )
