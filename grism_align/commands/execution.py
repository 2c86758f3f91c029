"""What commands that work on many files have in common: who does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.values.settings import ExecutionSettings, parameters_of

if TYPE_CHECKING:
    import argparse


def add_execution(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add who works, and how many.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command.
    """
    for one in parameters_of(ExecutionSettings):
        option, is_number = f"--{one.name.replace('_', '-')}", one.kind is int
        parser.add_argument(option, type=one.kind, metavar="N" if is_number else "TEXT", help=one.help)


def execution_of(options: argparse.Namespace) -> ExecutionSettings:
    """Return who works, as the options have it.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_execution` added.
    """
    return ExecutionSettings(
        **{one.name: getattr(options, one.name) for one in parameters_of(ExecutionSettings)}
    )
