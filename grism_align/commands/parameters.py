"""``grism-align parameters``: every parameter of every step, for ``--set`` and for parameter files."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from grism_align.values.errors import UnknownParameterError
from grism_align.values.words import did_you_mean, plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from grism_align.commands import Subparsers
    from grism_align.values.settings import Parameter

    Parameters = dict[str, dict[str, Parameter]]

_WIDTH = 80


def add_parameters(subparsers: Subparsers) -> None:
    """Add the parser of ``parameters``."""
    parser = subparsers.add_parser(
        "parameters",
        help="list the parameters that align --set takes",
        description="List parameters with their defaults. An instrument's own file may set others, and align "
        "says which.",
    )
    parser.add_argument(
        "selection", nargs="*", metavar="WORD", help="only of this step, or with this in name or description"
    )
    parser.add_argument(
        "--toml", action="store_true", help="as a file for align --parameters, each line to be uncommented"
    )
    parser.set_defaults(run=_parameters)


def _parameters(options: argparse.Namespace) -> None:
    from grism_align.steps.choices import known_parameters

    found = known_parameters()
    for word in options.selection:
        found = _selected(found, word)
    print("\n".join(_as_toml(found) if options.toml else _listed(found)))


def _selected(known: Parameters, word: str) -> Parameters:
    """Return the parameters of a step, or those that a word is about."""
    if plain(word) in known:
        return {plain(word): known[plain(word)]}
    wanted = word.lower()
    about = {
        step: {name: one for name, one in parameters.items() if _is_about(wanted, step, one)}
        for step, parameters in known.items()
    }
    if not any(about.values()):
        names = [*filter(None, known), *(name for parameters in known.values() for name in parameters)]
        raise UnknownParameterError(word, did_you_mean(word, names) or ", nor one that is about it")
    return {step: parameters for step, parameters in about.items() if parameters}


def _is_about(word: str, step: str, parameter: Parameter) -> bool:
    names = {parameter.name, f"{step}.{parameter.name}"}
    return any(plain(word) in name for name in names) or word in f"{parameter.help} {parameter.unit}".lower()


def _listed(known: Parameters) -> Iterator[str]:
    from grism_align.steps.choices import full_name

    for step, parameters in known.items():
        for name, one in parameters.items():
            unit = f" {one.unit}" if one.unit else ""
            yield f"{full_name(step, name)} = {_value(one.default)}{unit}"
            yield from _wrapped(f"{one.help}.{_allowed(one)}", "    ")


def _allowed(parameter: Parameter) -> str:
    if parameter.choices:
        return f" One of {', '.join(parameter.choices)}."
    low, high = parameter.minimum, parameter.maximum
    if low is None and high is None:
        return ""
    if low is None or high is None:
        return f" At least {low:g}." if high is None else f" At most {high:g}."
    return f" From {low:g} to {high:g}."


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _as_toml(known: Parameters) -> Iterator[str]:
    yield "# Parameters for grism-align align --parameters FILE: uncomment what you change."
    for step, parameters in known.items():
        yield f"\n[{step}]" if step else ""
        for name, one in parameters.items():
            unit = f" [{one.unit}]" if one.unit else ""
            yield from _wrapped(f"{one.help}{unit}.{_allowed(one)}", "# ")
            yield f"#{name} = {_toml(one.default)}"


def _toml(value: Any) -> str:
    """Write a value as TOML has it; where there is none, the word that stands for that here."""
    return json.dumps("none" if value is None else list(value) if isinstance(value, tuple) else value)
