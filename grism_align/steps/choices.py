"""Parameters as users give them, ``STEP.PARAMETER=VALUE`` or a TOML file, and the pipeline that has them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.files.bounded import MOST_TEXT, read_whole
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import InputError, SettingsError, UnknownParameterError
from grism_align.values.settings import (
    ExecutionSettings,
    FailureSettings,
    KeepingSettings,
    OutputSettings,
    Parameter,
    parameters_of,
)
from grism_align.values.words import did_you_mean, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grism_align.values.field import ExposureSet

#: Stands for the pipeline itself, whose parameters are given without a step.
PIPELINE = ""
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_SKIP = "Leave the step out"


@dataclass(frozen=True)
class Choice:
    """A parameter and the value that a user wants it to have.

    Parameters
    ----------
    step : str
        The step; empty for the pipeline itself.
    parameter : Parameter
        What it is.
    value : object
        Of the parameter's type, and allowed.
    """

    step: str
    parameter: Parameter
    value: Any

    @property
    def name(self) -> str:
        """Step and parameter, as users write them."""
        return full_name(self.step, self.parameter.name)

    @property
    def for_stpipe(self) -> Any:
        """The value as stpipe's checks want it."""
        return ",".join(self.value) if isinstance(self.value, tuple) else self.value


@dataclass(frozen=True)
class Choices:
    """What a user chose for a run.

    Parameters
    ----------
    given : tuple of Choice
        The last of one parameter holds.
    file : str
        Parameter file, ASDF or stpipe's own form, that they go before; empty for none.
    folder : str
        Where results go; empty where nothing is written but in place.
    files : tuple of str
        All parameter files, for the record.
    """

    given: tuple[Choice, ...] = ()
    file: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()

    def value(self, name: str) -> Any:
        """Return the value of one of the pipeline's own parameters; its default where none was chosen.

        Parameters
        ----------
        name : str
            Its name.
        """
        found = [one.value for one in self.given if (one.step, one.parameter.name) == (PIPELINE, name)]
        return found[-1] if found else known_parameters()[PIPELINE][name].default


def full_name(step: str, name: str) -> str:
    """Return a parameter as users write it.

    Parameters
    ----------
    step, name : str
        The step, empty for the pipeline itself, and the parameter.
    """
    return f"{step}.{name}" if step else name


def known_parameters() -> dict[str, dict[str, Parameter]]:
    """Return all parameters by step and name; those of the pipeline itself, which have no step, first."""
    groups = (OutputSettings, ExecutionSettings, KeepingSettings, FailureSettings)
    own = (one for group in groups for one in parameters_of(group))
    found = {PIPELINE: {one.name: one for one in own}}
    defaults = GrismAlignPipeline.load_spec_file()["steps"]
    for step, form in GrismAlignPipeline.step_defs.items():
        is_skipped = "True" in defaults[step]["skip"]
        parameters = [one for group in form.groups for one in parameters_of(group)]
        skip = Parameter("skip", is_skipped, _SKIP, "", bool, None, None, ())
        found[step] = {one.name: one for one in (skip, *parameters)}
    return found


def choice_of(assignment: str) -> Choice:
    """Understand ``STEP.PARAMETER=VALUE``; dashes stand for underscores.

    Parameters
    ----------
    assignment : str
        As typed.

    Raises
    ------
    SettingsError
        If it is no assignment, names no parameter, or the value is not allowed.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        option = "set"
        raise SettingsError(option, assignment, "give STEP.PARAMETER=VALUE")
    step, parameter = _found(name)
    return _checked(step, parameter, text.strip())


def choices_of_file(path: Path) -> tuple[Choice, ...]:
    """Read parameters from a TOML file: a table for each step, and those of the pipeline above.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    InputError
        If it can't be read, or has something that is no parameter or no allowed value.
    """
    try:
        content = tomllib.loads(read_whole(path, MOST_TEXT).decode())
        return tuple(_choices_in(content))
    except UnicodeDecodeError as error:
        raise InputError(path, f"it can't be read: {error}", "Give a file of parameters") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(path, f"no TOML: {error}", "Write PARAMETER = VALUE below [STEP]") from error
    except SettingsError as error:
        raise InputError(path, str(error), "Correct it") from error


def _choices_in(content: Mapping[str, Any]) -> Iterator[Choice]:
    for name, value in content.items():
        if isinstance(value, dict):
            items = {f"{name}.{key}": each for key, each in value.items()}
        else:
            items = {name: value}
        for full, each in items.items():
            step, parameter = _found(full)
            given = tuple(map(str, each)) if isinstance(each, list) else each
            yield _checked(step, parameter, given)


def _found(name: str) -> tuple[str, Parameter]:
    """Return the step and the parameter that a name is of."""
    known = known_parameters()
    step, dot, parameter = plain(name.removeprefix("steps.")).rpartition(".")
    if parameter in known.get(step, {}):
        return step, known[step][parameter]
    names = [full_name(each, one) for each, parameters in known.items() for one in parameters]
    elsewhere = [full for full in names if full.rpartition(".")[2] == parameter]
    if step in known and elsewhere:
        meant = f"; did you mean {' or '.join(elsewhere)}?"
    elif dot and step not in known:
        meant = did_you_mean(step, filter(None, known)) or f"; steps are {', '.join(filter(None, known))}"
    else:
        meant = did_you_mean(parameter, known.get(step, {})) or "; grism-align parameters lists them"
    raise UnknownParameterError(plain(name), meant)


def _understood(parameter: Parameter, text: str) -> Any:
    """Return the value that a text stands for."""
    if parameter.kind is tuple:
        names = tuple(filter(None, (name.strip() for name in text.split(","))))
        return () if [name.lower() for name in names] == ["none"] else names
    if text.lower() in {"", "none"} and "none" not in parameter.choices:
        return None
    if parameter.kind is bool:
        return _truth(parameter, text)
    if parameter.kind in {int, float}:
        return _number(parameter, text)
    return text


def _truth(parameter: Parameter, text: str) -> bool:
    if text.lower() not in {*_TRUE, *_FALSE}:
        raise SettingsError(parameter.name, text, "must be true or false")
    return text.lower() in _TRUE


def _number(parameter: Parameter, text: str) -> float | int:
    try:
        return int(text) if parameter.kind is int else float(text)
    except ValueError:
        what = "a whole number" if parameter.kind is int else "a number"
        within = f" within {parameter.bounds}" if parameter.bounds else ""
        unit = f", {parameter.unit}" if parameter.unit else ""
        raise SettingsError(parameter.name, text, f"must be {what}{within}{unit}") from None


def _checked(step: str, parameter: Parameter, given: Any) -> Choice:
    value = given
    try:
        value = _understood(parameter, given) if isinstance(given, str) else given
        _check_type(parameter, value)
        parameter.check(value)
    except SettingsError as error:
        wrong = [str(one) for one in _items(value) if str(one) not in parameter.choices]
        meant = did_you_mean(wrong[0], parameter.choices) if wrong else ""
        allowed = f"{str(error).partition(': ')[2]}{meant}"
        raise SettingsError(
            full_name(step, parameter.name), ",".join(map(str, _items(value))), allowed
        ) from None
    return Choice(step, parameter, value)


def _items(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _check_type(parameter: Parameter, value: Any) -> None:
    """Refuse what no text can be, but a TOML file can: a number for a text, and the like."""
    kinds = {bool: (bool,), str: (str, Path), tuple: (tuple,)}.get(parameter.kind)
    is_missing = value is None and parameter.default is None
    if kinds is not None and not is_missing and not isinstance(value, kinds):
        what = {bool: "true or false", str: "a text", tuple: "a list of texts"}[parameter.kind]
        raise SettingsError(parameter.name, value, f"must be {what}")
    if isinstance(value, bool) and parameter.kind is not bool:
        raise SettingsError(parameter.name, value, "must be a number")


def pipeline_for(exposures: ExposureSet, choices: Choices) -> GrismAlignPipeline:
    """Make the pipeline that a user chose: with the instrument's parameters, then the file's, then theirs.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    choices : Choices
        What was chosen.

    Raises
    ------
    InputError
        If the parameter file can't be used.
    """
    arguments: dict[str, Any] = {"output_dir": choices.folder} if choices.folder else {}
    steps: dict[str, dict[str, Any]] = {}
    for one in choices.given:
        place = steps.setdefault(one.step, {}) if one.step else arguments
        place[one.parameter.name] = one.for_stpipe
    if choices.file:
        arguments["config_file"] = choices.file
    pipeline = _built(exposures, {**arguments, "steps": steps}, choices.file)
    pipeline.config_file = " + ".join(choices.files) or None
    return pipeline


def _built(exposures: ExposureSet, arguments: dict[str, Any], file: str) -> GrismAlignPipeline:
    from stpipe.exceptions import ValidationError

    try:
        config, config_file = GrismAlignPipeline.build_config(exposures, **arguments)
        pipeline: GrismAlignPipeline = GrismAlignPipeline.from_config_section(config, config_file=config_file)
    except (ValidationError, OSError, ValueError, TypeError) as error:
        if not file:
            raise
        problem = f"not to be used as a parameter file ({' '.join(str(error).split())})"
        raise InputError(file, problem, "Give TOML, or ASDF as strun writes it") from error
    return pipeline
