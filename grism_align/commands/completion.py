"""``grism-align completion``: have a shell complete commands and options."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from grism_align.commands import Subparsers

_SHELLS = ("bash", "zsh", "tcsh", "fish")


def add_completion(subparsers: Subparsers) -> None:
    """Add the parser of ``completion``."""
    parser = subparsers.add_parser(
        "completion",
        help="have the shell complete commands and options",
        description="Print what has a shell complete commands, options and parameters on the tab key. Put "
        "'eval \"$(grism-align completion bash)\"' into ~/.bashrc, or the same with zsh into ~/.zshrc.",
    )
    parser.add_argument("shell", choices=_SHELLS, metavar="SHELL", help=", ".join(_SHELLS))
    parser.set_defaults(run=_completion)


def _completion(options: argparse.Namespace) -> None:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["grism-align"], shell=options.shell))
