"""Read grism configurations: where the first order lies, in the formats of aXe and of GRISMCONF."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.bounded import MOST_TEXT, read_whole
from grism_align.io.missions import all_facts
from grism_align.values.errors import InputError
from grism_align.values.trace import TraceModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


#: Models by grism and chip of the detector; an empty name stands for any grism, zero for any chip.
TraceModels = dict[tuple[str, int], TraceModel]

_REMEDY = "Give a grism configuration in the format of aXe or of GRISMCONF"
_ORDERS = ("+1", "A", "1")
_PREFIX = re.compile(r"([A-Za-z]\w+)(?::(\d+))?=(.+)")
_CHIP = re.compile(r"(?:CHIP|CCD)_?([12])(?!\d)", re.IGNORECASE)


def read_trace_configs(names: Sequence[str]) -> TraceModels:
    """Read the configurations that a user names.

    Parameters
    ----------
    names : sequence of str
        Files, each perhaps with ``GRISM=`` or ``GRISM:CHIP=`` before it: aXe's with BEAMA, DYDX_A_0 ...,
        XOFF_A and YOFF_A, or GRISMCONF's with DISPX_+1_0 ... and DISPY_+1_0 ... . What is not said is taken
        from the file: the grism from GFILTER, FILTER (OPTVAL1) or its name, and the chip from CCDCHIP
        (OPTVAL1) or ``CHIP1``, ``CCD2`` and so on in its name.

    Returns
    -------
    TraceModels

    Raises
    ------
    InputError
        If a file can't be read or says nothing of a first order, or if two are for one grism and chip.

    References
    ----------
    aXe User Manual, chapter on configuration files; Pirzkal & Ryan 2017, ISR WFC3 2017-01.
    """
    models: TraceModels = {}
    for item in names:
        named = _PREFIX.fullmatch(item)
        path = Path(named[3] if named else item).expanduser()
        values = _read_values(path)
        grism = named[1].upper() if named else _grism_of(values, path)
        chip = int(named[2]) if named and named[2] else _chip_of(values, path)
        if (grism, chip) in models:
            what = " ".join(filter(None, (grism or "any grism", f"chip {chip}" if chip else "")))
            problem = f"is a second configuration for {what}, besides {models[grism, chip].name}"
            raise InputError(path, problem, "Give one, or say with GRISM:CHIP= which each is for")
        models[grism, chip] = _model(values, path)
    return models


def model_for(models: Mapping[tuple[str, int], TraceModel], grism: str, chip: int) -> TraceModel | None:
    """Return the model of a grism on a chip; None where no configuration is for it."""
    keys = ((grism, chip), (grism, 0), ("", chip), ("", 0))
    return next((models[key] for key in keys if key in models), None)


def _read_values(path: Path) -> dict[str, list[str]]:
    """Return words after each keyword; comments begin with # or ;."""
    lines = read_whole(path, MOST_TEXT).decode("utf-8", errors="replace").splitlines()
    words = (re.split("[#;]", line, maxsplit=1)[0].split() for line in lines)
    return {line[0]: line[1:] for line in words if line}


def _model(values: dict[str, list[str]], path: Path) -> TraceModel:
    if "BEAMA" in values:
        return _axe_model(values, path)
    for order in _ORDERS:
        if f"DISPX_{order}_0" in values and f"DISPY_{order}_0" in values:
            return _grismconf_model(values, order, path)
    raise InputError(path, "neither BEAMA nor DISPX_+1_0 and DISPY_+1_0: no first order", _REMEDY)


def _axe_model(values: dict[str, list[str]], path: Path) -> TraceModel:
    """Read a model of aXe: dy = YOFF + sum of DYDX_i (dx - XOFF)^i, where dx is within BEAMA."""
    span = _numbers(values, "BEAMA", path)
    slopes = _table(values, "DYDX_A_", path)
    if not len(slopes) or len(span) != 2:
        raise InputError(path, "no DYDX_A_0, or BEAMA without two numbers", _REMEDY)
    offset = _numbers(values, "YOFF_A", path) if "YOFF_A" in values else [0.0]
    origin = _numbers(values, "XOFF_A", path) if "XOFF_A" in values else [0.0]
    dy = np.zeros((len(slopes), max(slopes.shape[1], len(offset))))
    dy[:, : slopes.shape[1]] = slopes
    dy[0, : len(offset)] += offset
    identity = np.array([[0.0], [1.0]])
    return TraceModel(identity, dy, (span[0], span[1]), np.array([origin]), name=path.name)


def _grismconf_model(values: dict[str, list[str]], order: str, path: Path) -> TraceModel:
    """Read a model of GRISMCONF: dx and dy as polynomials of t, from 0 to 1, less the filter's wedge."""
    wedges = {}
    for keyword in values:
        if keyword.startswith("WEDGE_"):
            x, y = (*_numbers(values, keyword, path), 0.0, 0.0)[:2]
            wedges[keyword.removeprefix("WEDGE_").upper()] = (x, y)
    dx, dy = (_table(values, f"DISP{axis}_{order}_", path) for axis in "XY")
    return TraceModel(dx, dy, (0.0, 1.0), wedges=wedges, name=path.name)


def _table(values: dict[str, list[str]], stem: str, path: Path) -> NDArray[np.float64]:
    """Return rows of coefficients of the keywords stem0, stem1 ...; shorter rows are filled up with zeros."""
    rows: list[list[float]] = []
    while f"{stem}{len(rows)}" in values:
        rows.append(_numbers(values, f"{stem}{len(rows)}", path))
    table = np.zeros((len(rows), max(map(len, rows), default=0)))
    for row, numbers in zip(table, rows, strict=True):
        row[: len(numbers)] = numbers
    return table


def _numbers(values: dict[str, list[str]], keyword: str, path: Path) -> list[float]:
    try:
        numbers = [float(word) for word in values[keyword]]
    except ValueError:
        numbers = []
    if not numbers or not np.isfinite(numbers).all():
        raise InputError(path, f"{keyword} is not followed by numbers", _REMEDY)
    return numbers


def _grism_of(values: dict[str, list[str]], path: Path) -> str:
    """Return the grism that a file is for; empty where it does not say."""
    said = values.get("GFILTER", [])
    if not said and values.get("OPTKEY1") == ["FILTER"]:
        said = values.get("OPTVAL1", [])
    known = sorted(grism for facts in all_facts() for grism in facts.dispersers)
    if said and said[0].upper() in known:
        return said[0].upper()
    return next((grism for grism in known if grism in path.name.upper()), "")


def _chip_of(values: dict[str, list[str]], path: Path) -> int:
    """Return CCDCHIP of the chip that a file is for; zero where it does not say."""
    if values.get("OPTKEY1") == ["CCDCHIP"] and values.get("OPTVAL1", [""])[0] in {"1", "2"}:
        return int(values["OPTVAL1"][0])
    found = _CHIP.search(path.name)
    return int(found[1]) if found else 0
