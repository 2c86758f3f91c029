"""What a relative alignment fitted, and what told so, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.solution import ExposureFit

_TERMS = {
    "shift": "a shift alone",
    "rshift": "shifts and a roll",
    "rscale": "shifts, a roll and a scale",
    "general": "shifts, a roll, a scale and shears",
}


def fitted_in_words(fits: Mapping[str, ExposureFit]) -> list[str]:
    """Return a sentence on what each frame's acquisitions have, and one on those whose roll changes.

    Parameters
    ----------
    fits : mapping of str to ExposureFit
        The relative fits, by exposure key.
    """
    found: dict[tuple[int, str], ExposureFit] = {}
    turning: dict[float, list[str]] = {}
    for key, fit in fits.items():
        if fit.geometry:
            found.setdefault((fit.frame, fit.geometry), fit)
        if fit.roll == "exposure":
            turning.setdefault(fit.roll_evidence, []).append(key)
    several = len({frame for frame, _ in found}) > 1
    sentences = [
        f"{f'In frame {frame + 1} each' if several else 'Each'} guide-star acquisition has "
        f"{_TERMS[geometry]}{_geometry_evidence(fit)}{_systematic(fit)}."
        for (frame, geometry), fit in found.items()
    ]
    sentences += [
        f"{', '.join(keys)} have a roll each{_told('that it changes', evidence)}."
        for evidence, keys in turning.items()
    ]
    return sentences


def _told(what: str, evidence: float) -> str:
    return f" (ln Bayes factor {what}: {evidence:+.1f})" if np.isfinite(evidence) else ""


def _geometry_evidence(fit: ExposureFit) -> str:
    if not np.isfinite(fit.scale_evidence):
        return ""
    return (
        f" (ln Bayes factor for scales that differ: {fit.scale_evidence:+.1f}, "
        f"for scales and shears: {fit.shear_evidence:+.1f})"
    )


def _systematic(fit: ExposureFit) -> str:
    if not fit.systematic_error > 0:
        return ""
    return (
        f"; neighbouring sources share errors of {fit.systematic_error:.1f} mas, which the claimed ones cover"
    )
