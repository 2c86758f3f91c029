"""The files of a run's results, claimed from the first look at them until they are written."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from grism_align.io.files.claims import claimed
from grism_align.io.missions import require_unchanged
from grism_align.values.errors import ChangedError
from grism_align.workflows.results.earlier_records import with_free_product

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from grism_align.values.field import ExposureSet
    from grism_align.workflows.results.destination import Destination


logger = logging.getLogger(__name__)


@contextmanager
def claimed_results(exposures: ExposureSet, destination: Destination) -> Iterator[ExposureSet]:
    """Keep other runs from writing the results of exposures during the block.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    destination : Destination
        Where results are to go.

    Yields
    ------
    ExposureSet
        The input under a product name that is free.

    Raises
    ------
    OutputError
        If another run is about to write them.
    ChangedError
        If the input is no longer what was read.
    """
    with ExitStack() as held:
        yield claim_results(exposures, destination, held)


def claim_results(
    exposures: ExposureSet,
    destination: Destination,
    held: ExitStack,
    again: Callable[[], ExposureSet | None] = lambda: None,
) -> ExposureSet:
    """Claim the results of exposures, as `claimed_results` does, until something ends.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    destination : Destination
        Where results are to go.
    held : ExitStack
        Ends the claim.
    again : callable, optional
        Reads the input once more, where another run, which had claimed it before, has replaced it; None where
        that can't be.
    """
    wanted = with_free_product(exposures, destination)
    while True:
        held.enter_context(claimed(destination.files(wanted)))
        # the run that was waited for may have left a record of its own
        now = with_free_product(exposures, destination)
        if now.product == wanted.product:
            break
        wanted = now
    try:
        require_unchanged(wanted.exposures)
    except ChangedError:
        fresh = again()
        if fresh is None:
            raise
        logger.info("Files were replaced by the run that had them before; they are read again")
        return with_free_product(fresh, destination)
    return wanted
