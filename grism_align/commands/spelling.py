"""The options of a command for the parameters that errors name: whoever typed options looks for these."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from grism_align.values.errors import GrismAlignError

#: Parameters whose names are no words, so that they are found in a sentence.
_IN_SENTENCES = ("output_dir", "in_place", "nproc", "fail_on", "bad_input", "dask_address", "allow_missing")
#: Options that stand for a parameter of another name.
_STAND_FOR = {"output_dir": "output"}
_PARAMETER = re.compile(rf"(?<![\w/.-])(?:--)?({'|'.join(_IN_SENTENCES)})(?:=True)?(?![\w/]|\.\w)")
_OF_STEP = re.compile(r"--steps\.(\w+\.\w+)")


def in_options(error: GrismAlignError, options: argparse.Namespace) -> str:
    """Return what an error says, with the options of a command for the parameters that it names.

    Parameters
    ----------
    error : GrismAlignError
        That ended the command.
    options : argparse.Namespace
        Of the command.

    Returns
    -------
    str
    """
    spelling = partial(_spelled, options=options)
    if isinstance(error, SettingsError) and error.allowed:
        option = _option(error.name, options)
        is_value = not isinstance(error.value, bool) and error.value is not None
        text = ",".join(map(str, error.value)) if isinstance(error.value, tuple) else error.value
        value = f"{'=' if ' ' in option else ' '}{text}" if is_value else ""
        return f"{option}{value}: {spelling(error.allowed)}"
    return error.spelled(spelling)


def _spelled(text: str, options: argparse.Namespace) -> str:
    text = _PARAMETER.sub(lambda found: _option(found[1], options), text)
    return _OF_STEP.sub(r"--set \1", text) if hasattr(options, "set") else text


def _option(name: str, options: argparse.Namespace) -> str:
    """Return the option that sets a parameter; where none does, or several steps have it, the parameter."""
    own = name.rpartition(".")[2]
    for option in (own, _STAND_FOR.get(own, "")):
        if option and hasattr(options, option):
            return f"--{option.replace('_', '-')}"
    full = _full_names(name) if hasattr(options, "set") else []
    return f"--set {full[0]}" if len(full) == 1 else name


def _full_names(name: str) -> list[str]:
    """Return the parameters that a name, with its step or without, is of, as ``--set`` takes them."""
    # Imported here: stpipe takes long, and only errors need it.
    from grism_align.steps.choices import full_name, known_parameters

    step, dot, own = name.removeprefix("steps.").rpartition(".")
    known = known_parameters().items()
    return [full_name(each, own) for each, names in known if own in names and (not dot or each == step)]
