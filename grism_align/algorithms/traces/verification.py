"""What the spectra of all grism exposures say about their corrections."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from grism_align.algorithms.traces.offsets import TraceOffsets
    from grism_align.values.trace import TraceCheck, TraceModel


@dataclass(frozen=True, eq=False)
class GrismOffsets:
    """What was measured of the exposures of one grism.

    Parameters
    ----------
    keys : tuple of str
        The exposures.
    offsets : TraceOffsets
        Theirs, in this order, before any reference is taken off.
    moved : (N,) ndarray, pixels
        By how much the corrections moved the predicted traces up.
    config : str
        Name of the configuration; empty where there is none, and only differences have a meaning.
    models : mapping of int to TraceModel
        Where its spectra lie, by chip; empty where that is not known.
    notes : mapping of str to str
        Why exposures have no offset.
    displaced : mapping of str to float, pixels
        Exposures whose traces lie elsewhere, and how far across from where more than half of those that show
        theirs have them. Where no place has more than half, all of them are. Of those with a correction that
        claims to be near enough alone.
    """

    keys: tuple[str, ...]
    offsets: TraceOffsets
    moved: NDArray[np.float64]
    config: str
    models: Mapping[int, TraceModel] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    displaced: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TraceVerification:
    """What the traces of all grism exposures say.

    Parameters
    ----------
    checks : mapping of str to TraceCheck
        By exposure key.
    grisms : tuple of GrismOffsets
        One for each instrument and grism that could be measured.
    unused : tuple of str
        Configurations that were not needed: for other grisms, or not for all chips of a grism.
    """

    checks: Mapping[str, TraceCheck]
    grisms: tuple[GrismOffsets, ...] = field(default=())
    unused: tuple[str, ...] = field(default=())
