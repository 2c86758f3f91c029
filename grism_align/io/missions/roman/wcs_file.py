"""The WCS of an exposure of Roman by itself, in a file of the kind that romancal makes, ``_wcs.asdf``."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from grism_align.io.files.staging import atomic_path
from grism_align.io.missions.roman.correct import RESULTS
from grism_align.io.missions.roman.files import require_models, say_when, write_asdf

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


# Reference pixels along each edge, which calibrated exposures no longer have.
_BORDER = 4


def write_wcs_file(meta: Mapping[str, Any], path: Path) -> None:
    """Write the WCS of an exposure, for its calibrated array and for the raw one.

    Parameters
    ----------
    meta : mapping
        The exposure's metadata, with its WCS.
    path : Path
        The file to make or to replace.

    Raises
    ------
    OSError
        If it can't be written.
    """
    import asdf
    from astropy.modeling.models import Shift

    require_models()
    from roman_datamodels.datamodels import WfiWcsModel

    made = WfiWcsModel.create_minimal({"meta": _common(meta)})
    whole = copy.deepcopy(meta["wcs"])
    raw = copy.deepcopy(whole)
    raw.insert_transform("detector", Shift(-_BORDER) & Shift(-_BORDER), after=True)
    if whole.bounding_box is not None:
        (left, right), (low, high) = whole.bounding_box
        raw.bounding_box = (left, right + 2 * _BORDER), (low, high + 2 * _BORDER)
    made["wcs_l2"], made["wcs_l1"] = whole, raw
    made.meta["model_type"] = WfiWcsModel.__name__
    if RESULTS in meta:
        made.meta[RESULTS] = copy.deepcopy(meta[RESULTS])
    with atomic_path(path) as file:
        say_when(made.meta, file.name)
        write_asdf(asdf.AsdfFile({"roman": made._instance}), file)


def _common(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {name: copy.deepcopy(value) for name, value in meta.items() if name != "wcs"}
