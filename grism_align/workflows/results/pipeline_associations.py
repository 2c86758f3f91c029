"""Associations with which a telescope's pipelines go on: mosaics of the images, then spectra by these."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.missions import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


_COMMON = {"asn_pool": "none", "version_id": None}
# What a pipeline makes of a mosaic, in the terms of the one that extracts spectra.
_OF_MOSAIC = {"i2d.fits": "direct_image", "cat.ecsv": "sourcecat", "segm.fits": "segmap"}


@dataclass(frozen=True)
class _Mosaic:
    """Images of one filter that are combined."""

    name: str
    members: tuple[Exposure, ...]


def pipeline_associations(exposures: ExposureSet, names: Mapping[str, str]) -> dict[str, str]:
    """Return associations, as JSON, by the names of their files.

    Parameters
    ----------
    exposures : ExposureSet
        The exposures.
    names : mapping of str to str
        The file of each that was written, by key, as the association is to have it.

    Returns
    -------
    dict of str to str
        One for each filter's mosaic, and one for each grism exposure. Empty for missions whose pipelines take
        none.
    """
    taken = [one for one in exposures.exposures if facts_of(one).pipeline is not None and one.key in names]
    mosaics = _mosaics(exposures.product, [one for one in taken if one.is_direct])
    made = {f"{one.name}_image3_asn.json": _image3(one, names) for one in mosaics}
    for grism in taken:
        if not grism.is_direct and mosaics:
            made[f"{grism.key}_spec2_asn.json"] = _spec2(grism, _shown(exposures, grism, mosaics), names)
    return {name: json.dumps(content, indent=2) + "\n" for name, content in made.items()}


def _mosaics(product: str, images: Sequence[Exposure]) -> list[_Mosaic]:
    by_filter: dict[tuple[str, str], list[Exposure]] = {}
    for image in images:
        by_filter.setdefault((image.instrument, image.filter), []).append(image)
    return [
        _Mosaic(f"{product}_{instrument}_{band}".lower(), tuple(members))
        for (instrument, band), members in by_filter.items()
    ]


def _shown(exposures: ExposureSet, grism: Exposure, mosaics: Sequence[_Mosaic]) -> _Mosaic:
    """Return the mosaic that shows what is dispersed: by the same detector and in the same light, if any."""
    governors = exposures.fit(grism.key).governors

    def unlikeness(mosaic: _Mosaic) -> tuple[bool, float, bool]:
        first = mosaic.members[0]
        apart = float(np.nan_to_num(abs(first.wavelength - grism.wavelength), nan=np.inf))
        is_governor = any(one.key in governors for one in mosaic.members)
        return first.instrument != grism.instrument, apart, not is_governor

    return min(mosaics, key=unlikeness)


def _header(kind: str, rule: str, members: Sequence[Exposure]) -> dict[str, Any]:
    return {
        "asn_type": kind,
        "asn_rule": rule,
        "asn_id": "a3001",
        "program": ",".join(dict.fromkeys(one.program for one in members)),
        "target": next((one.target for one in members if one.target), "none"),
        **_COMMON,
    }


def _image3(mosaic: _Mosaic, names: Mapping[str, str]) -> dict[str, Any]:
    members = [{"expname": names[one.key], "exptype": "science"} for one in mosaic.members]
    header = _header("image3", "DMS_Level3_Base", mosaic.members)
    return {**header, "products": [{"name": mosaic.name, "members": members}]}


def _spec2(grism: Exposure, mosaic: _Mosaic, names: Mapping[str, str]) -> dict[str, Any]:
    members = [{"expname": names[grism.key], "exptype": "science"}]
    members += [
        {"expname": f"{mosaic.name}_{ending}", "exptype": exptype} for ending, exptype in _OF_MOSAIC.items()
    ]
    header = _header("spec2", "DMSLevel2bBase", [grism])
    return {**header, "products": [{"name": grism.key, "members": members}]}
