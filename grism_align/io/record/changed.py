"""Whether the products that a record speaks of are still those that were written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.fits import is_fits
from grism_align.io.files.kinds import ASDF, what_is
from grism_align.io.files.sources import is_file

if TYPE_CHECKING:
    from grism_align.values.record import Record


def changed_exposures(record: Record, folder: Path) -> tuple[str, ...]:
    """Return the exposures whose products have changed since the record was written.

    Parameters
    ----------
    record : Record
        What was done.
    folder : Path
        The record's. Products are looked for there, and then where they were.

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
        path = next((one for one in (folder / written.name, written) if is_file(one)), None)
        # a record may name any file of the disk: what is no exposure isn't read to its end
        if path is not None and not (_may_be_one(path) and sha256_of(path) == exposure.output.sha256):
            changed.append(key)
    return tuple(changed)


def _may_be_one(path: Path) -> bool:
    """Tell whether a file begins as exposures do, FITS or ASDF."""
    return is_fits(path) or what_is(path) == ASDF
