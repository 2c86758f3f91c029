"""The parser of ``grism-align`` and of each of its commands: what they have in common at a shell."""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from grism_align.values.outcome import ExitCode
from grism_align.values.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """A parser that takes dashes for underscores, and arguments and options in any order.

    What it can't understand it says in one line, with what may have been meant. Options have no
    abbreviations: one that is added must not change what a script means.

    Parameters
    ----------
    **given
        As for `argparse.ArgumentParser`.
    """

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": Help, **given})
        self._is_within = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse a command line; nothing unknown is let through.

        Parameters
        ----------
        args : sequence of str, optional
            That of the process if not given.
        namespace : argparse.Namespace, optional
            Where to put what is found.
        """
        words = _with_dashes(sys.argv[1:] if args is None else args)
        if self._is_within or self._subparsers is not None:
            found, unknown = super().parse_known_args(words, namespace)
        else:
            self._is_within = True
            try:
                found, unknown = self.parse_known_intermixed_args(words, namespace)
            finally:
                self._is_within = False
        if unknown and not self._is_within:
            self.error(self._unknown(unknown[0]))
        return found, unknown

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word}: one argument too many"
        name, _, value = word.partition("=")
        if name.startswith("--steps."):
            return f"no option {name}; here it is --set {name.removeprefix('--steps.')}={value or 'VALUE'}"
        return f"no option {name}{did_you_mean(name, self._option_string_actions)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse what is not among the choices, with those or what is like it."""
        choices = action.choices
        if choices is None or value in choices:
            return
        names = list(map(str, choices))
        if isinstance(action, argparse._SubParsersAction):
            meant = did_you_mean(str(value), names) or f"; there are {', '.join(names)}"
            raise argparse.ArgumentError(None, f"no command {value}{meant}")
        meant = did_you_mean(str(value), names)
        raise argparse.ArgumentError(action, f"{value} is not one of {', '.join(names)}{meant}")

    def error(self, message: str) -> NoReturn:
        """Say what can't be understood, and where help is, and end.

        Parameters
        ----------
        message : str
            What it is.
        """
        print(f"{self.prog}: {message}\n({self.prog} --help shows what there is)", file=sys.stderr)
        raise SystemExit(ExitCode.USAGE)


def add_messages(parser: argparse.ArgumentParser) -> None:
    """Add what all commands have in common.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of one of them.
    """
    group = parser.add_argument_group("messages")
    if not parser.add_help:
        group.add_argument("-h", "--help", action="help", help="show this help")
    group.add_argument("-q", "--quiet", action="store_true", help="only warnings and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="more: wide tables, each exposure")
    group.add_argument("--debug", action="store_true", help="show where an error came from")
    if parser.get_default("usual") is None:
        parser.set_defaults(usual=logging.WARNING)


class Help(argparse.HelpFormatter):
    """Help that has the value of an option once.

    Parameters
    ----------
    prog : str
        The program.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return f"{', '.join(action.option_strings)} {value}"


def _with_dashes(words: Sequence[str]) -> list[str]:
    """Write underscores in names of options as dashes; values, and what follows ``--``, stay as they are."""
    found: list[str] = []
    for number, word in enumerate(words):
        if word == "--":
            return [*found, *words[number:]]
        name, equals, value = word.partition("=")
        if word.startswith("--") and not word.startswith("--steps."):
            name = name.replace("_", "-")
        found.append(f"{name}{equals}{value}")
    return found
