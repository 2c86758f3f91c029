"""Whether the products that a record speaks of are still those that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of

if TYPE_CHECKING:
    from grism_align.values.record import Record


def changed_exposures(record: Record, folder: Path) -> tuple[str, ...]:
    """Return the exposures whose products have changed since the record was written.

    Parameters
    ----------
    record : Record
        What was done.
    folder : Path
        The record's, where products are that are no longer where they were.

    Returns
    -------
    tuple of str
        Keys. Products that are not to be found are not among them: nothing is known of these.
    """
    changed = []
    for key, exposure in record.exposures.items():
        if exposure.output is None:
            continue
        written = Path(exposure.output.path)
        path = written if written.is_file() else folder / written.name
        if path.is_file() and sha256_of(path) != exposure.output.sha256:
            changed.append(key)
    return tuple(changed)
