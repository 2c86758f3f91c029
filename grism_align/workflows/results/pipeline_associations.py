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
    from grism_align.values.mission import PipelineFacts


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
    shown = [one for one in mosaics if _facts(one.members[0]).spectra is not None]
    made = [_combined(one, names) for one in mosaics]
    made += [
        _extracted(grism, _shown(exposures, grism, shown), names)
        for grism in taken
        if not grism.is_direct and _facts(grism).spectra is not None and shown
    ]
    return {_file_of(content): json.dumps(content, indent=2) + "\n" for content in made}


def _file_of(content: Mapping[str, Any]) -> str:
    return f"{content['products'][0]['name']}_{content['asn_type']}_asn.json"


def _facts(exposure: Exposure) -> PipelineFacts:
    facts = facts_of(exposure).pipeline
    assert facts is not None
    return facts


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


def _header(kind: tuple[str, str], members: Sequence[Exposure]) -> dict[str, Any]:
    return {
        "asn_type": kind[0],
        "asn_rule": kind[1],
        "asn_id": "a3001",
        "program": ",".join(dict.fromkeys(one.program for one in members)),
        "target": next((one.target for one in members if one.target), "none"),
        **_COMMON,
    }


def _combined(mosaic: _Mosaic, names: Mapping[str, str]) -> dict[str, Any]:
    members = [{"expname": names[one.key], "exptype": "science"} for one in mosaic.members]
    header = _header(_facts(mosaic.members[0]).mosaics, mosaic.members)
    return {**header, "products": [{"name": mosaic.name, "members": members}]}


def _extracted(grism: Exposure, mosaic: _Mosaic, names: Mapping[str, str]) -> dict[str, Any]:
    members = [{"expname": names[grism.key], "exptype": "science"}]
    members += [
        {"expname": f"{mosaic.name}_{ending}", "exptype": exptype} for ending, exptype in _OF_MOSAIC.items()
    ]
    header = _header(_facts(grism).spectra or ("", ""), [grism])
    return {**header, "products": [{"name": grism.key, "members": members}]}
