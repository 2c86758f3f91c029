"""Bring together what an association says of exposures with what their headers say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.io.associations.pipelines import is_of_pipeline
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grism_align.values.association import Association
    from grism_align.values.exposure import Exposure


def apply_association(exposures: Sequence[Exposure], association: Association) -> tuple[Exposure, ...]:
    """Return exposures with what their association says of each: group and governors.

    Parameters
    ----------
    exposures : sequence of Exposure
        Those of ``association.exposures``, in that order, as their headers have them.
    association : Association
        Where it says nothing, the headers hold.

    Raises
    ------
    AssociationError
        If it names a governor that is no direct exposure.
    """
    members = association.exposures
    # pipelines have the instant in their key of the same name
    names_instants = is_of_pipeline(association.header)
    # The root name is that of the header; users who rename files name governors by file.
    keys = {member.root: exposure.key for member, exposure in zip(members, exposures, strict=True)}
    applied = tuple(
        replace(
            exposure,
            group=exposure.group if names_instants else member.group_id or exposure.group,
            governors=tuple(keys.get(name, name) for name in member.governors),
        )
        for member, exposure in zip(members, exposures, strict=True)
    )
    check_governors(applied, association.origin or f"association {association.product}")
    return applied


def check_governors(exposures: Sequence[Exposure], label: Path | str) -> None:
    """Refuse governors that are not among the direct exposures.

    Parameters
    ----------
    exposures : sequence of Exposure
        All of an association.
    label : path-like
        What errors call the association.

    Raises
    ------
    AssociationError
        Naming every grism exposure and the names that it can't take.
    """
    direct = {exposure.key for exposure in exposures if exposure.is_direct}
    unknown = [
        f"{exposure.key} names {', '.join(sorted(set(exposure.governors) - direct))}"
        for exposure in exposures
        if not exposure.is_direct and not direct.issuperset(exposure.governors)
    ]
    if unknown:
        raise AssociationError(
            label,
            f"no direct exposure of the association has the name given in 'direct': {'; '.join(unknown)}",
            f"The direct exposures are {', '.join(sorted(direct)) or 'none'}; "
            "without 'direct' they are chosen by time and pointing",
        )
