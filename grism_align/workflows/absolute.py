"""Reference catalogs from wherever the user has them, tried in turn until one ties the exposures."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.algorithms.absolute.align import AbsoluteResult, align_absolute
from grism_align.algorithms.absolute.selection import field_cones
from grism_align.values.catalog import CatalogAttempt
from grism_align.values.errors import CatalogServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.io.catalogs.candidates import CatalogSource
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import AbsoluteSettings

    Opened = tuple[ReferenceCatalog, tuple[CatalogAttempt, ...]]


__all__ = ["AbsoluteOutcome", "align_to_first"]


logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class AbsoluteOutcome:
    """What came of all catalogs that were tried.

    Parameters
    ----------
    result : AbsoluteResult or None
        The alignment that tied most exposures, the first of equals; None where no catalog was to be had.
    attempts : tuple of CatalogAttempt
        Every try, in order.
    reasons : tuple of str
        Why catalogs could not be had.
    """

    result: AbsoluteResult | None
    attempts: tuple[CatalogAttempt, ...]
    reasons: tuple[str, ...]

    def last_attempts(self) -> tuple[CatalogAttempt, ...]:
        """The last try of each catalog."""
        return tuple({attempt.catalog: attempt for attempt in self.attempts}.values())


def align_to_first(
    exposures: ExposureSet, sources: Sequence[CatalogSource], settings: AbsoluteSettings
) -> AbsoluteOutcome:
    """Align to the first catalog that ties every exposure, else to the one that ties most.

    Parameters
    ----------
    exposures : ExposureSet
        With the relative solution.
    sources : sequence of CatalogSource
        In the order in which they are tried.
    settings : AbsoluteSettings
        The parameters.

    Returns
    -------
    AbsoluteOutcome
    """
    cones = field_cones(exposures.direct, settings.selection.margin)
    best: AbsoluteResult | None = None
    attempts: list[CatalogAttempt] = []
    reasons: list[str] = []
    for source in sources:
        try:
            catalog, tries = source.open(cones)
        except CatalogServiceError as error:
            logger.warning("%s", error)
            attempts += error.attempts
            reasons.append(str(error))
            continue
        result = align_absolute(exposures, catalog, settings)
        attempts += [*tries, _tie_attempt(catalog, result)]
        if best is None or result.n_tied > best.n_tied:
            best = result
        if result.is_complete:
            break
    return AbsoluteOutcome(best, tuple(attempts), tuple(reasons))


def _tie_attempt(catalog: ReferenceCatalog, result: AbsoluteResult) -> CatalogAttempt:
    """What came of aligning to one catalog."""
    n = len(result.solution.fits)
    reason = "; ".join([f"{result.n_tied} of {n} exposures", *result.warnings])
    outcome = "tied" if result.n_tied else "not tied"
    return CatalogAttempt(catalog.name, "", catalog.origin, outcome, reason, len(result.reference))
