"""Records of earlier runs in the folder of the products: one of other exposures is not replaced."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.checksums import sha256_of
from grism_align.io.record.file import record_at
from grism_align.values.errors import InputError, OutputError

if TYPE_CHECKING:
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import ExposureRecord
    from grism_align.workflows.results.destination import Destination


_SHOWN = 3

logger = logging.getLogger(__name__)


def with_free_product(exposures: ExposureSet, destination: Destination) -> ExposureSet:
    """Return the exposures under a product name whose record is not of other exposures.

    The names of folders, and ``aligned`` for exposures that were named one by one, are nobody's choice: where
    one is taken, the next of ``aligned_2``, ``aligned_3``, ... that isn't takes its place. Names from an
    association stay.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    destination : Destination
        Where results are to go.
    """
    if exposures.association.origin:
        return exposures
    names = (f"{exposures.product}_{number}" for number in count(2))
    product = exposures.product
    while would_be_lost(exposures, destination, product):
        product = next(names)
    if product != exposures.product:
        taken = destination.provenance(exposures.product)
        logger.warning("%s is the record of other exposures; the products of these are %s_*", taken, product)
    return replace(exposures, product=product)


def check_record(exposures: ExposureSet, destination: Destination) -> None:
    """Refuse to replace a record of other exposures, which tells how they came to be as they are.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    destination : Destination
        Where results are to go.

    Raises
    ------
    OutputError
        If the record of their product's name is of others.
    """
    others = would_be_lost(exposures, destination, exposures.product)
    if others:
        names = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if others[_SHOWN:] else "")
        problem = f"it is the record of {names}, which are not among these exposures, and would be replaced"
        remedy = "Give the association another product name, or another output_dir"
        raise OutputError(destination.provenance(exposures.product), problem, remedy)


def would_be_lost(exposures: ExposureSet, destination: Destination, product: str) -> list[str]:
    """Return the exposures that would be without a record if that of a product's name were replaced.

    Those whose files have changed since are not of that record any more. Of an earlier run of the same field
    into a folder, files that are not written anew are moved aside, and not lost.
    """
    path = destination.provenance(product)
    try:
        earlier = record_at(path).exposures
    except InputError:
        return []
    own = {exposure.key for exposure in exposures.exposures}
    is_same_field = not own.isdisjoint(earlier)
    return [
        key
        for key, one in earlier.items()
        if key not in own and not (is_same_field and is_made(one)) and _is_as_left(one, path.parent)
    ]


def is_made(one: ExposureRecord) -> bool:
    """Whether a run made a new file, and did not correct one in place.

    Parameters
    ----------
    one : ExposureRecord
        What is on record of the exposure.
    """
    return one.output is not None and one.output.path != one.input.path


def _is_as_left(one: ExposureRecord, folder: Path) -> bool:
    """Whether a file is as the run left it, be it in the folder that the record has since been moved to."""
    if one.output is None:
        return False
    path = Path(one.output.path)
    places = (path, folder / path.name)
    return any(place.is_file() and sha256_of(place) == one.output.sha256 for place in places)
