"""The parameter files of the instruments, which missions bring along."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeVar

from grism_align.io.missions import all_facts
from grism_align.values.errors import SettingsError
from grism_align.values.settings import Settings, parameters_of

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


Group = TypeVar("Group", bound=Settings)


def parameter_file_name(instrument: str) -> str:
    """Name of an instrument's parameter file."""
    return f"{instrument}.asdf"


def _files() -> dict[str, Traversable]:
    """Return the parameter files of all missions, by name."""
    folders = (resources.files(facts.parameters) for facts in all_facts() if facts.parameters)
    entries = (entry for folder in folders for entry in folder.iterdir())
    return {entry.name: entry for entry in entries if entry.name.endswith(".asdf")}


def has_parameters(instrument: str) -> bool:
    """Tell whether an instrument has a parameter file; of one without, the defaults hold."""
    return parameter_file_name(instrument) in _files()


@cache
def _loaded(instrument: str) -> Any:
    """Return what the parameter file of an instrument has; nothing of one that has none."""
    from stpipe import config_parser

    if not has_parameters(instrument):
        return {}
    with resources.as_file(_files()[parameter_file_name(instrument)]) as path:
        return config_parser.load_config_file(str(path))


def instrument_config(instrument: str, step: str | None) -> Any:
    """Return the parameters of an instrument as stpipe's ConfigObj.

    Parameters
    ----------
    instrument : str
        Such as ``wfc3_ir``.
    step : str or None
        A step of the pipeline; None for the pipeline itself.
    """
    from stpipe import config_parser

    config = config_parser.ConfigObj()
    loaded = _loaded(instrument)
    wanted = loaded if step is None else loaded.get("steps", {}).get(step, {})
    config_parser.merge_config(config, wanted)
    for name in ("class", "name"):
        config.pop(name, None)
    return config


def instrument_values(instrument: str, step: str) -> dict[str, Any]:
    """Return the parameters of one step for an instrument."""
    return dict(instrument_config(instrument, step))


def settings_for(instrument: str, step: str, present: Group, picked: str | None) -> Group:
    """Return the settings for an instrument: its own, but for what the user changed.

    A field can mix instruments, and a step's values come from the parameter file of one of them.

    Parameters
    ----------
    instrument : str
        Such as ``wfc3_ir``.
    step : str
        The step of the pipeline.
    present : Settings
        The step's values.
    picked : str or None
        The parameter file that they come from.
    """
    base = {parameter.name: parameter.default for parameter in parameters_of(type(present))}
    if picked:
        if not has_parameters(picked.removesuffix(".asdf")):
            name = "instrument_parameters"
            raise SettingsError(name, picked, f"there are {', '.join(sorted(_files()))}")
        base |= instrument_values(picked.removesuffix(".asdf"), step)
    own = {**base, **instrument_values(instrument, step)}
    values = {name: own[name] if value == base[name] else value for name, value in asdict(present).items()}
    return type(present)(**values)
