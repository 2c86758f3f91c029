"""Make stpipe specs from the settings' declarations, and settings from a step's parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from grism_align.values.settings import Parameter, Settings, parameters_of

if TYPE_CHECKING:
    from stpipe import Step


Group = TypeVar("Group", bound=Settings)

_VALIDATORS = {int: "integer", float: "float", bool: "boolean", str: "string", tuple: "force_list"}


def spec_of(*groups: type[Settings]) -> str:
    """Return the stpipe spec of the parameters of some settings groups, a line each."""
    return "\n".join(_line(parameter) for group in groups for parameter in parameters_of(group))


def _line(parameter: Parameter) -> str:
    unit = f", {parameter.unit}" if parameter.unit else ""
    return f"{parameter.name} = {_validator(parameter)}  # {parameter.help}{unit}"


def _validator(parameter: Parameter) -> str:
    if parameter.choices and parameter.kind is str:
        choices = ", ".join(f"'{choice}'" for choice in parameter.choices)
        return f"option({choices}, default='{parameter.default}')"
    arguments = [
        f"{name}={parameter.kind(bound)}"
        for name, bound in (("min", parameter.minimum), ("max", parameter.maximum))
        if bound is not None
    ]
    default = _quoted(parameter.default)
    return f"{_VALIDATORS[parameter.kind]}({', '.join([*arguments, f'default={default}'])})"


def settings_from(step: Step, group: type[Group]) -> Group:
    """Return a settings group with a step's values.

    Raises
    ------
    SettingsError
        If a value is out of bounds.
    """
    values: dict[str, Any] = {p.name: _given(getattr(step, p.name), p) for p in parameters_of(group)}
    return group(**values)


def _quoted(default: Any) -> str:
    """Return a default as ConfigObj's specs have it."""
    if isinstance(default, tuple):
        return f"list({', '.join(map(_quoted, default))})"
    return f"'{default}'" if isinstance(default, str) else str(default)


def _given(value: Any, parameter: Parameter) -> Any:
    """Return a value as it was meant.

    stpipe hands ``--parameter=None`` on as text. A list is a list, or a text with commas.
    """
    if parameter.kind is tuple:
        items = [value] if isinstance(value, str) else value or ()
        names = (name.strip() for item in items for name in str(item).split(","))
        return tuple(name for name in names if name and name.lower() != "none")
    is_none = isinstance(value, str) and value.lower() in ("", "none") and value not in parameter.choices
    return None if is_none else value
