"""Make an association of exposures: their groups, and which direct exposure governs which grism exposure."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from grism_align.algorithms.propagation.govern import governors
from grism_align.io.associations.apply import check_governors
from grism_align.io.associations.files import check_product_name, located
from grism_align.io.associations.overlap import overlapping
from grism_align.io.files.sources import file_of
from grism_align.io.missions import file_source
from grism_align.values.association import ASSOCIATION_TYPE, Association, Member
from grism_align.values.errors import AssociationError
from grism_align.values.settings import GrismSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from grism_align.values.exposure import Exposure
    from grism_align.values.source import Source


_RULE = "grism_align_associate"
_MJD_ZERO = datetime(1858, 11, 17)  # UTC, written without a zone as in headers


def build_association(
    exposures: Sequence[Exposure], product: str, known: Association | None = None
) -> Association:
    """Return the association of some exposures, with their groups and which direct governs which grism.

    Parameters
    ----------
    exposures : sequence of Exposure
        In any order. Governors that they name stay.
    product : str
        Name of the product; a safe file name.
    known : Association, optional
        Where the exposures came from: its header, catalogs and extra keys are kept.

    Returns
    -------
    Association
        Members by visit, then time. The product also has ``visits`` (visit, filters, start in UTC) and
        ``overlaps``, the pairs of visits whose footprints overlap on the sky.

    Raises
    ------
    AssociationError
        If there is no exposure, two have one key, or one names a governor that is no direct exposure.
    """
    label = (known and known.origin) or f"association {product}"
    check_product_name(product, label)
    _check_keys(exposures, label)
    check_governors(exposures, label)
    visits = _by_visit(exposures)
    ordered = [exposure for visit in visits.values() for exposure in visit]
    before = {member.source: member for member in known.members} if known else {}
    # a guide-star acquisition, in which the rules look, is within a visit
    made = (_member(exposure, visits[exposure.visit], before) for exposure in ordered)
    others = [member for member in known.members if not member.is_exposure] if known else []
    return Association(
        product=product,
        members=(*made, *others),
        header={**_header(ordered), **(known.header if known else {}), "asn_type": ASSOCIATION_TYPE},
        product_extra={**(known.product_extra if known else {}), **_summary(visits)},
        origin=known.origin if known else "",
    )


def _check_keys(exposures: Sequence[Exposure], label: Path | str) -> None:
    keys = Counter(exposure.key for exposure in exposures)
    doubles = sorted(key for key, times in keys.items() if times > 1)
    if doubles:
        raise AssociationError(label, f"exposures given twice: {', '.join(doubles)}", "Give each once")
    if not keys:
        raise AssociationError(label, "it has no exposure", "Give at least one exposure")


def _by_visit(exposures: Sequence[Exposure]) -> dict[str, list[Exposure]]:
    """Exposures of each visit in time order, visits in the order of their first exposures."""
    visits: dict[str, list[Exposure]] = {}
    for exposure in sorted(exposures, key=lambda exposure: (exposure.start, exposure.key)):
        visits.setdefault(exposure.visit, []).append(exposure)
    return visits


def _member(exposure: Exposure, visit: Sequence[Exposure], before: Mapping[Source, Member]) -> Member:
    path = file_of(exposure.source)
    source = exposure.source if path is None else file_source(located(path))
    previous = before.get(source, Member(source))
    return replace(
        previous,
        exptype="direct_image" if exposure.is_direct else "science",
        group_id=exposure.group,
        governors=() if exposure.is_direct else _governors(exposure, visit),
    )


def _governors(grism: Exposure, exposures: Sequence[Exposure]) -> tuple[str, ...]:
    """Return what the association names, else what the rules choose."""
    return grism.governors or governors(grism, exposures, GrismSettings()).keys


def _header(exposures: Sequence[Exposure]) -> dict[str, Any]:
    """Keys of the top level, as JWST's asn_from_list writes them."""
    programs = {exposure.program: None for exposure in exposures}
    targets = {exposure.target: None for exposure in exposures if exposure.target}
    return {
        "asn_type": ASSOCIATION_TYPE,
        "asn_rule": _RULE,
        "asn_id": "a3001",
        "asn_pool": "none",
        "program": ",".join(programs),
        "target": ",".join(targets) or "none",
        "version_id": None,
    }


def _summary(visits: Mapping[str, Sequence[Exposure]]) -> dict[str, Any]:
    footprints = {
        visit: [chip.wcs.footprint() for exposure in exposures for chip in exposure.chips]
        for visit, exposures in visits.items()
    }
    return {
        "visits": [
            {
                "visit": visit,
                "filters": sorted({exposure.filter for exposure in exposures}),
                "start": start_of(exposures[0]),
            }
            for visit, exposures in visits.items()
        ],
        "overlaps": [list(pair) for pair in overlapping(footprints)],
    }


def start_of(exposure: Exposure) -> str:
    """Return the start of an exposure as ISO 8601, UTC, to the second."""
    return (_MJD_ZERO + timedelta(days=exposure.start)).isoformat(timespec="seconds")
