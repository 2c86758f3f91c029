"""Settings that differ from the defaults that the package declares, and steps that were left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from grism_align.io.files.builtin import to_builtin
from grism_align.io.report.formatting import setting
from grism_align.values import settings as declared
from grism_align.values.settings import Settings, parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from grism_align.io.report.contents import Contents
    from grism_align.values.record import Activity
    from grism_align.values.settings import Parameter


# The steps of the pipeline, in its order.
PIPELINE = ("source_catalog", "relative_align", "absolute_align", "visit_mosaic", "grism_wcs_propagate")


@dataclass(frozen=True)
class SettingRow:
    """A parameter with another value than its default.

    Parameters
    ----------
    step, name, value, default, unit, help : str
        The parameter.
    origin : str
        Who set it: the instrument's parameter file, or whoever ran it.
    """

    step: str
    name: str
    value: str
    default: str
    unit: str
    help: str
    origin: str


def changed_settings(contents: Contents) -> list[SettingRow]:
    """Every parameter of every step on record that isn't at its default."""
    record = contents.record
    return [*_skips(contents), *changed_of(record.activities, record.parameter_file)]


def changed_of(activities: Iterable[Activity], parameter_file: str) -> list[SettingRow]:
    """Return every parameter of some steps that isn't at its default.

    Parameters
    ----------
    activities : iterable of Activity
        The steps, done or to be done.
    parameter_file : str
        As on record.
    """
    files = [name for name in parameter_file.split(" + ") if name]
    shipped = _shipped(PurePath(files[0]).name) if files else {}
    return [row for activity in activities for row in _rows(activity, shipped)]


def _skips(contents: Contents) -> Iterator[SettingRow]:
    """Tell which steps were left out before one that was run.

    A record has no ``skip``: a step that is skipped leaves nothing in it.
    """
    done = [step for step in PIPELINE if contents.record.activity(step)]
    if not done or contents.is_given:
        return
    text = "Whether the pipeline leaves the step out"
    last = max(PIPELINE.index(step) for step in done)
    for place, step in enumerate(PIPELINE):
        if step not in done and place < last:
            yield SettingRow(step, "skip", "not run", "False", "", text, "user")


def _rows(activity: Activity, shipped: Mapping[str, Any]) -> Iterator[SettingRow]:
    step, given = activity.step, to_builtin(activity.settings)
    known = _parameters(step, given)
    for name, value in sorted(given.items()):
        parameter = known.get(name)
        if parameter is None or value == to_builtin(parameter.default):
            continue
        in_file = shipped.get(step, {}).get(name)
        origin = "instrument's parameter file" if value == in_file else "user"
        yield SettingRow(
            step, name, setting(value), setting(parameter.default), parameter.unit, parameter.help, origin
        )


def _parameters(step: str, given: Mapping[str, Any]) -> dict[str, Parameter]:
    """Return the declarations of a step's parameters; of two of one name that of the step's own group."""
    shared = "MatchSettings" if step == "absolute_align" else "ReferenceMatchSettings"
    groups = [parameters_of(group) for group in _groups() if group.__name__ != shared]
    # all parameters of the step's own groups are given
    groups.sort(key=lambda group: sum(one.name in given for one in group) / len(group))
    return {one.name: one for group in groups for one in group}


def _groups() -> list[type[Settings]]:
    values = vars(declared).values()
    return [
        one for one in values if isinstance(one, type) and issubclass(one, Settings) and one is not Settings
    ]


@cache
def _shipped(name: str) -> dict[str, dict[str, Any]]:
    """Return the parameters of an instrument's file, by step; empty if the package has no such file."""
    import asdf

    file = resources.files("grism_align.cfg").joinpath(name)
    if not name.endswith(".asdf") or not file.is_file():
        return {}
    with resources.as_file(file) as path, asdf.open(path, lazy_load=False, memmap=False) as content:
        return {step["name"]: dict(step["parameters"]) for step in content.tree.get("steps", [])}
