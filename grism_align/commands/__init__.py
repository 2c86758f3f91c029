"""The commands of ``grism-align``. Modules import what is heavy when a command runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from grism_align.commands.parser import Parser

    Subparsers = argparse._SubParsersAction[Parser]
