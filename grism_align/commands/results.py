"""What commands take that look at a run: its folder, or the record in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.errors import InputError

if TYPE_CHECKING:
    import argparse

_RECORDS = "*_provenance.asdf"
_REMEDY = "Give the folder that a run has written, or its record"


def add_results(parser: argparse.ArgumentParser) -> None:
    """Add the run that is looked at.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of a command.
    """
    parser.add_argument(
        "results", type=Path, metavar="OUT", help=f"the run's folder, or its record, {_RECORDS}"
    )


def record_of(options: argparse.Namespace) -> Path:
    """Return the record of the run that is given, by itself or by its folder.

    Parameters
    ----------
    options : argparse.Namespace
        With what `add_results` added.

    Raises
    ------
    InputError
        If there is none, or a folder has those of several runs.
    """
    given: Path = options.results.expanduser()
    if not given.is_dir():
        if not given.is_file():
            raise InputError(given, "no such folder or record", _REMEDY)
        return given
    found = sorted(given.glob(_RECORDS))
    if not found:
        raise InputError(given, f"no record of a run in it, {_RECORDS}", _REMEDY)
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(given, f"records of several runs in it: {names}", "Give one of them")
    return found[0]
