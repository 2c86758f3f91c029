"""Go on from the record of an earlier run in place, finished or killed, without being given it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.io.files.sources import path_of
from grism_align.io.missions import file_sum
from grism_align.io.record.file import read_record
from grism_align.values.errors import InputError
from grism_align.values.record import EarlierRecord
from grism_align.workflows.restore import restore

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record
    from grism_align.workflows.results.destination import Destination


logger = logging.getLogger(__name__)


def continued(exposures: ExposureSet, destination: Destination) -> ExposureSet:
    """Return the exposures with the results on record, where they were aligned in place before.

    The record of a run in place takes its name before the first exposure is replaced, and has the SHA-256 of
    each as it was and as it would be. So after a kill it tells which is which, and a second run starts from
    the WCS that all had before the first.

    Parameters
    ----------
    exposures : ExposureSet
        As read.
    destination : Destination
        Where results are to go.

    Returns
    -------
    ExposureSet
        The same, unless results go in place, an exposure was written by this package and a record beside
        it, or in the destination's folder, knows every such exposure as it is.
    """
    products = [exposure for exposure in exposures.exposures if exposure.is_product]
    if not destination.in_place or not products or exposures.record is not None:
        return exposures
    sums = {exposure.key: file_sum(exposure) for exposure in products}
    for path in _candidates(exposures, destination):
        record = _read(path)
        if record is not None and all(_knows(record, key, checksum) for key, checksum in sums.items()):
            return _from_record(exposures, EarlierRecord(str(path.resolve()), record))
    return exposures


def tell_of_products(exposures: ExposureSet) -> None:
    """Say so where files that this package wrote come without their record.

    Parameters
    ----------
    exposures : ExposureSet
        As read, with the results on record.
    """
    known = exposures.relative.fits.keys() | exposures.grism.fits.keys()
    written = [e.key for e in exposures.exposures if e.is_product and e.key not in known]
    if written:
        logger.warning(
            "%d exposures were aligned before and come without that record, %s among them; they are aligned "
            "again from where they are. Give the association of those products to start from before it",
            len(written),
            written[0],
        )


def _candidates(exposures: ExposureSet, destination: Destination) -> list[Path]:
    """List the records that could be theirs, the one of the same name first."""
    folders = [destination.folder, *(path_of(exposure.source).parent for exposure in exposures.exposures)]
    beside = [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*_provenance.asdf"))]
    named = destination.provenance(exposures.product)
    return [path for path in dict.fromkeys([named, *beside]) if path.is_file()]


def _read(path: Path) -> Record | None:
    try:
        return read_record(path)
    except InputError as error:
        logger.debug("%s", error)
        return None


def _knows(record: Record, key: str, checksum: str) -> bool:
    """Whether an exposure is the product on record, or one that the run it is of did not come to replace."""
    known = record.exposures.get(key)
    return known is not None and checksum in [file.sha256 for file in (known.input, known.output) if file]


def _from_record(exposures: ExposureSet, earlier: EarlierRecord) -> ExposureSet:
    replaced = sum(exposure.is_product for exposure in exposures.exposures)
    logger.info(
        "%d of %d exposures were aligned in place before; going on from their record, %s: every fit starts "
        "from the WCS before",
        replaced,
        len(exposures.exposures),
        earlier.path,
    )
    return restore(exposures, earlier)
