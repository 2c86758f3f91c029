"""What is read of the metadata of Roman's exposures, by where it is in a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from astropy.io import fits
from astropy.time import Time

from grism_align.io.files.cards import Cards
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


# What files have where nothing is known.
_FILLERS = ("?", -999999)
_AGAIN = "Fetch the file again"


@dataclass(frozen=True)
class Metadata(Cards):
    """The metadata of an exposure, asked as a header is, by places such as ``wcsinfo.v2_ref``.

    Parameters
    ----------
    tree : mapping
        What is at ``roman.meta``, of an open model or as it is written in a file.
    """

    tree: Any = field(default_factory=dict)

    @classmethod
    def of_tree(cls, source: object, tree: Any) -> Metadata:
        """Make it of what holds an exposure, and of its ``meta``."""
        return cls(cast("Path", source), fits.Header(), "its metadata (roman.meta)", tree)

    def time(self, place: str) -> float:
        """Return a time that must be there, MJD (UTC).

        Raises
        ------
        InputError
            If it is not, or can't be read.
        """
        value = self._value(place)
        if value is None:
            raise InputError(self.path, f"no {place} in {self.extension}", _AGAIN)
        try:
            return float(_time(value).utc.mjd)
        except (ValueError, TypeError, KeyError) as error:
            problem = f"{place} in {self.extension} is no time ({value!r:.80})"
            raise InputError(self.path, problem, _AGAIN) from error

    def _value(self, keyword: str) -> Any:
        found = self.tree
        for name in keyword.split("."):
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return None if isinstance(found, str | float | int) and found in _FILLERS else _plain(found)


def _plain(value: Any) -> Any:
    """Return a value without the class that models give it."""
    if isinstance(value, bool | Time):
        return value
    return next((kind(value) for kind in (str, int, float) if isinstance(value, kind)), value)


def _time(value: Any) -> Time:
    """Return a time that a model has, or that ASDF has as a text or as a value with its form."""
    if isinstance(value, Time):
        return value
    if not isinstance(value, Mapping):
        return Time(value, scale="utc")
    form = value.get("format") or value.get("base_format")
    return Time(value["value"], format=form, scale=value.get("scale", "utc"))
