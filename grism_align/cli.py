# PYTHON_ARGCOMPLETE_OK
"""The program ``grism-align``."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.commands.align import add_align, add_plan
from grism_align.commands.apply_shift_undo import add_apply, add_shift, add_undo
from grism_align.commands.associate import add_associate
from grism_align.commands.batch import add_batch
from grism_align.commands.check import add_check
from grism_align.commands.completion import add_completion
from grism_align.commands.console import Loudness, told_on_terminal
from grism_align.commands.demo import add_demo
from grism_align.commands.fetch_catalog import add_fetch_catalog
from grism_align.commands.grizli_visits import add_grizli_visits
from grism_align.commands.inspect import add_inspect
from grism_align.commands.parameters import add_parameters
from grism_align.commands.parser import Parser, add_messages
from grism_align.commands.report import add_report
from grism_align.commands.spelling import in_options
from grism_align.commands.table import add_table
from grism_align.commands.wcs import add_wcs
from grism_align.values.errors import GrismAlignError
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence


#: Each adds the parser of one command and sets what it runs.
_COMMANDS = (
    add_align,
    add_plan,
    add_check,
    add_associate,
    add_batch,
    add_fetch_catalog,
    add_parameters,
    add_table,
    add_report,
    add_inspect,
    add_apply,
    add_shift,
    add_undo,
    add_wcs,
    add_grizli_visits,
    add_demo,
    add_completion,
)
_DESCRIPTION = "Align direct and grism exposures of several visits with each other and with the sky."
_BEGIN = "grism-align COMMAND --help tells more of each; grism-align demo shows it all in some seconds."
# What is imported and drawn lives on; to look through it for garbage as often as Python does takes long.
_BETWEEN_COLLECTIONS = 10_000
_MISTAKE = "This is a mistake of grism_align, not yours; with --debug it shows where. Please report it"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of ``grism-align``.

    Parameters
    ----------
    arguments : sequence of str, optional
        The command line; that of the process if not given.

    Returns
    -------
    int
        What the process ends with, an `ExitCode`.
    """
    gc.set_threshold(_BETWEEN_COLLECTIONS)
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    if words and not words[0].startswith("-"):
        words[0] = words[0].replace("_", "-")
    if not words:
        parser.print_help(sys.stderr)
        raise SystemExit(ExitCode.USAGE)
    options = parser.parse_args(words)
    options.words = words
    with told_on_terminal(Loudness.of(options, options.usual)):
        return _run(options)


def _parser() -> Parser:
    parser = Parser(prog="grism-align", description=_DESCRIPTION, epilog=_BEGIN)
    parser.add_argument("--version", action="version", version=f"grism-align {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in _COMMANDS:
        add(subparsers)
    for command in subparsers.choices.values():
        # what has none has commands of its own
        if command.get_default("run") is not None:
            add_messages(command)
    return parser


def _run(options: argparse.Namespace) -> int:
    """Run a command; errors are a line on the standard error stream."""
    run: Callable[[argparse.Namespace], ExitCode | None] = options.run
    try:
        return run(options) or ExitCode.DONE
    except KeyboardInterrupt:
        return _ended(options, "interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has seen enough
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  # for Python's last flush
        return ExitCode.DONE
    except GrismAlignError as error:
        return _ended(options, in_options(error, options), ExitCode.ERROR)
    except Exception as error:  # noqa: BLE001  # whatever it is, users can do nothing with a traceback
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _ended(options, f"{text}. {_MISTAKE}", ExitCode.MISTAKE)


def _ended(options: argparse.Namespace, text: str, code: ExitCode) -> ExitCode:
    if options.debug:
        traceback.print_exc()
    print(f"grism-align {options.command}: {text}", file=sys.stderr)
    return code
