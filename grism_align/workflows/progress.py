"""Progress of long work: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


logger = logging.getLogger(__name__)


def track(names: Collection[str], label: str) -> Iterator[str]:
    """Go through what is worked on and show how far the work is.

    Parameters
    ----------
    names : collection of str
        Exposures or mosaics.
    label : str
        What is done, such as ``Writing``.
    """
    if sys.stderr.isatty():
        yield from _bar(names, label)
    else:
        yield from _told(names, label, logging.INFO)


def _told(names: Collection[str], label: str, level: int) -> Iterator[str]:
    for number, name in enumerate(names, start=1):
        logger.log(level, "%s %s (%d of %d)", label, name, number, len(names))
        yield name


def _bar(names: Collection[str], label: str) -> Iterator[str]:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    redirected = logging_redirect_tqdm([logging.root] if _is_on_console(logging.root) else [])
    with redirected, tqdm(total=len(names), desc=label, unit="exposure", leave=False) as bar:
        for name in _told(names, label, logging.DEBUG):
            bar.set_postfix_str(name)
            yield name
            bar.update()


def _is_on_console(one: logging.Logger) -> bool:
    """Tell whether messages are written where the bar is, by a handler that knows of none."""
    streams = {sys.stdout, sys.stderr}
    return any(isinstance(each, logging.StreamHandler) and each.stream in streams for each in one.handlers)
