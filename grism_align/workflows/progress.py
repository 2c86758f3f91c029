"""Progress of long work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from grism_align.values.exposure import Exposure

__all__ = ["track"]

logger = logging.getLogger(__name__)


def track(exposures: Iterable[Exposure], label: str) -> Iterator[Exposure]:
    """Go through exposures and show how far the work is.

    Parameters
    ----------
    exposures : iterable of Exposure
        What is worked on.
    label : str
        What is done, such as ``Writing``.
    """
    items = list(exposures)
    if sys.stderr.isatty():
        yield from _bar(items, label)
        return
    for number, exposure in enumerate(items, start=1):
        logger.info("%s %s (%d of %d)", label, exposure.key, number, len(items))
        yield exposure


def _bar(items: Sequence[Exposure], label: str) -> Iterator[Exposure]:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with logging_redirect_tqdm(), tqdm(total=len(items), desc=label, unit="exposure", leave=False) as bar:
        for exposure in items:
            bar.set_postfix_str(exposure.key)
            yield exposure
            bar.update()
