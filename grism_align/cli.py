"""The commands that are no Step."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.commands.apply_shift_undo import add_apply, add_shift, add_undo
from grism_align.commands.associate import add_associate
from grism_align.commands.check import add_check
from grism_align.commands.demo import add_demo
from grism_align.commands.fetch_catalog import add_fetch_catalog
from grism_align.commands.grizli_visits import add_grizli_visits
from grism_align.commands.report import add_report
from grism_align.values.errors import GrismAlignError
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


#: Each adds the parser of one command and sets what it runs.
_COMMANDS = (
    add_check,
    add_associate,
    add_fetch_catalog,
    add_apply,
    add_shift,
    add_undo,
    add_report,
    add_grizli_visits,
    add_demo,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of ``grism-align``.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; that of the process if not given.

    Returns
    -------
    int
        0; 3 where not all was done, or had, as asked; 1 where an error that the package knows is reported on
        the standard error stream.
    """
    parser = argparse.ArgumentParser(prog="grism-align", description=sys.modules["grism_align"].__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    for add in _COMMANDS:
        add(subparsers)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], ExitCode | None] = options.run
    try:
        return run(options) or ExitCode.DONE
    except GrismAlignError as error:
        print(f"grism-align {options.command}: {error}", file=sys.stderr)
        return ExitCode.ERROR
