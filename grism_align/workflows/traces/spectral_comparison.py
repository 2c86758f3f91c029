"""Compare the spectra of grouped exposures, without the exposures that don't show those of the others."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.spectra.offsets import SpectralOffsets, measure_offsets
from grism_align.algorithms.spectra.pieces import telling_pieces
from grism_align.values.failure import SpectraMissing
from grism_align.values.trace import SpectrumPiece
from grism_align.workflows.keeping import Measurement
from grism_align.workflows.traces.cutting import cut_near
from grism_align.workflows.traces.spectral_groups import as_seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.executor import Executor
    from grism_align.workflows.traces.spectral_groups import SpectralGroup


logger = logging.getLogger(__name__)

# Factors by which spectra of an exposure may be stronger or weaker than those of the others, and their edges
# and lines weaker: trailed ones are, and those of another field or at another place.
_STRENGTH, _LIKENESS = 1.4, 1.7
_LEAST_RATIO = 1e-3  # that is told from none
_FEWEST = 5  # bright spectra by which an exposure is told not to have those of the others
# Limits of unlikeness by which two exposures have to exceed it, as either may be the wrong one.
_PAIR = 1.5
#: Pixels: offset of an exposure that doesn't show the spectra.
UNKNOWN = 10.0
#: Of the noise that tells which part of the information isn't real.
SEED = 20_261_129


@dataclass(frozen=True, eq=False)
class MeasuredGroup:
    """Offsets of a group's exposures, and how far sources have moved over the detector, (N, 2) pixels.

    `pieces`: of spectra, by exposure.
    """

    offsets: SpectralOffsets
    places: NDArray[np.float64]
    pieces: Sequence[tuple[SpectrumPiece, ...]]

    @property
    def oddness(self) -> NDArray[np.float64]:
        """How unlike the others' the spectra of each exposure are, (N,), in units of what is not believed."""
        odd = _oddness(self.offsets.strength, self.offsets.likeness)
        return np.where(self.offsets.is_settled, odd, np.fmax(odd, self.offsets.unrest))

    @property
    def is_told(self) -> NDArray[np.bool_]:
        """Exposures, (N,), of which that is told: enough spectra are bright, or they lead nowhere."""
        by_light = np.isfinite(self.oddness) & (self.offsets.n_bright >= _FEWEST)
        return np.asarray(by_light | ~self.offsets.is_settled)

    @property
    def is_usable(self) -> NDArray[np.bool_]:
        """Exposures, (N,), that show the spectra; none where no two of them do."""
        odd = self.oddness
        usable = odd < (1.0 if np.isfinite(odd).sum() > 2 else _PAIR)
        return np.asarray(usable & (usable.sum() > 1))


def _measured(group: SpectralGroup) -> MeasuredGroup | None:
    """Solve for the offsets of exposures from their spectra."""
    cut, moved = cut_near(as_seen(group.jobs, group.gradient), group.zeroth, group.n_spectra)
    try:
        offsets = measure_offsets(cut.spectra, cut.places, group.stretch, np.random.default_rng(SEED))
    except np.linalg.LinAlgError as error:
        logger.warning("%s: spectra can't be compared (%s)", ", ".join(group.keys), error)
        return None
    if offsets is None:
        return None
    pieces = telling_pieces(cut.spectra, offsets.offset)
    total = offsets.offset + moved - moved.mean(axis=0)
    return MeasuredGroup(replace(offsets, offset=total), cut.places, pieces)


_MEASUREMENT = Measurement("spectra", _measured, (MeasuredGroup, SpectralOffsets, SpectrumPiece))


def compare_spectra(
    groups: Sequence[SpectralGroup], executor: Executor
) -> tuple[list[tuple[SpectralGroup, MeasuredGroup | None]], dict[str, SpectraMissing]]:
    """Measure groups without the exposures that don't show their spectra, and tell which these are.

    Spectra of another place lead those astray that they are compared with: without the exposures that are
    most unlike the others, a group is measured again.
    """
    compared = list(zip(groups, _measured_groups(groups, executor), strict=True))
    missing: dict[str, SpectraMissing] = {}
    while True:
        unlike = {number: found for number, one in enumerate(compared) if (found := _unlike(*one))}
        if not unlike:
            return compared, missing
        missing.update(each for found in unlike.values() for each in found.items())
        left = [compared[number][0].without(found) for number, found in unlike.items()]
        for number, group, one in zip(unlike, left, _measured_groups(left, executor), strict=True):
            compared[number] = group, one


def _measured_groups(groups: Sequence[SpectralGroup], executor: Executor) -> list[MeasuredGroup | None]:
    named = {", ".join(group.keys): group for group in groups if len(group.jobs) > 1}
    found = dict(zip(named, executor.map(_MEASUREMENT, named, "Measuring the spectra of"), strict=True))
    return [found.get(", ".join(group.keys)) for group in groups]


def _unlike(group: SpectralGroup, measured: MeasuredGroup | None) -> dict[str, SpectraMissing]:
    """Return the exposures that are most unlike the others, if any are.

    Of two that are unlike each other, either may be the one that doesn't show the spectra.
    """
    if measured is None:
        return {}
    odd, is_told = measured.oddness, measured.is_told
    most = np.max(odd[is_told], initial=0.0)
    if np.isfinite(odd).sum() > 2:
        is_unlike = is_told & (odd > max(1.0, 0.5 * most))
    else:
        is_unlike = np.isfinite(odd) & (most > _PAIR)
    return {
        group.keys[number]: SpectraMissing(float(measured.offsets.strength[number]))
        for number in np.flatnonzero(is_unlike)
    }


def shows_spectra(strength: float) -> bool:
    """Tell whether spectra that are so strong, in units of others', are those that should be there."""
    return bool(_oddness(np.array(strength), np.array(np.nan)) < 1.0)


def _oddness(strength: NDArray[np.float64], likeness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how unlike others spectra are, in units of what is not believed; NaN without a strength."""
    stronger, weaker = (np.log(np.maximum(each, _LEAST_RATIO)) for each in (strength, likeness))
    by_strength = np.abs(stronger) / np.log(_STRENGTH)
    by_likeness = np.nan_to_num(-weaker / np.log(_LIKENESS))
    return np.asarray(np.maximum(by_strength, by_likeness))
