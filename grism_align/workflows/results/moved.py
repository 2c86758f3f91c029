"""How far a run puts exposures from where an earlier run of the same field put them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.record.file import record_at
from grism_align.values.errors import InputError
from grism_align.values.moved import Moved
from grism_align.values.record import EarlierRecord

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from grism_align.values.field import ExposureSet
    from grism_align.values.record import ExposureRecord, Record
    from grism_align.workflows.results.destination import Destination


_MAS = 3.6e6  # of a degree

logger = logging.getLogger(__name__)


def record_before(exposures: ExposureSet, destination: Destination) -> EarlierRecord | None:
    """Return the record that a run goes on from, or is about to replace; None where there is none.

    Parameters
    ----------
    exposures : ExposureSet
        The exposures.
    destination : Destination
        Where results are to go.
    """
    if exposures.record is not None:
        return exposures.record
    path = destination.provenance(exposures.product)
    if not path.is_file():
        return None
    try:
        return EarlierRecord(str(path), record_at(path))
    except InputError as error:
        logger.debug("%s", error)
        return None


def moved_since(earlier: EarlierRecord | None, record: Record) -> Moved | None:
    """Compare where two runs put the exposures that both corrected.

    Parameters
    ----------
    earlier : EarlierRecord or None
        What the run before has on record.
    record : Record
        What this one has.

    Returns
    -------
    Moved or None
        None where there was none before, or of other steps or of other exposures.
    """
    if earlier is None or _steps(earlier.record) != _steps(record):
        return None
    before, now = earlier.record.exposures, record.exposures
    common = [key for key in now if key in before]
    moves = {key: move for key in common if (move := _move(before[key], now[key])) is not None}
    if not moves:
        return None
    shift = np.array([each.mean(axis=0) for each in moves.values()])
    return Moved(
        record=Path(earlier.path).name,
        created=earlier.record.created,
        exposure=np.array(list(moves), dtype=np.str_),
        east=shift[:, 0],
        north=shift[:, 1],
        most=np.array([float(np.hypot(*each.T).max()) for each in moves.values()]),
        added=tuple(key for key in now if key not in before),
    )


def _steps(record: Record) -> set[str]:
    return {activity.step for activity in record.activities}


def _move(before: ExposureRecord, now: ExposureRecord) -> NDArray[np.float64] | None:
    """Return by how much pixels lie farther east and north, (N, 2) mas; None without two corrections."""
    old, new = _places(before), _places(now)
    if old is None or new is None or old.shape != new.shape:
        return None
    east = ((new - old)[:, 0] + 180.0) % 360.0 - 180.0
    return _MAS * np.column_stack([east * np.cos(np.radians(old[:, 1])), (new - old)[:, 1]])


def _places(entry: ExposureRecord) -> NDArray[np.float64] | None:
    """Return where pixels of all chips lie by the corrected WCS, (N, 2) deg."""
    total = entry.total
    if total is None or total.transform is None:
        return None
    sky = np.concatenate([chip.sky for chip in entry.input_wcs.chips])
    return np.asarray(total.transform.apply_to_sky(sky))
