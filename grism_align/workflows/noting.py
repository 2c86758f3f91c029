"""Warnings that are kept with what they are about, and said again with it."""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_ROOT = "grism_align"


class _Ear(logging.Handler):
    """Hears what a thread warns of."""

    def __init__(self, words: list[tuple[str, str]]) -> None:
        super().__init__(logging.WARNING)
        self._words, self._thread = words, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        """Take down where a warning comes from and what it says."""
        if record.thread == self._thread:
            self._words.append((record.name, record.getMessage()))


@contextmanager
def heard() -> Iterator[list[tuple[str, str]] | None]:
    """Yield a list of what is warned of in the block, loggers and texts; None where nobody may warn."""
    logger = logging.getLogger(_ROOT)
    if not logger.isEnabledFor(logging.WARNING):
        yield None
        return
    words: list[tuple[str, str]] = []
    ear = _Ear(words)
    logger.addHandler(ear)
    try:
        yield words
    finally:
        logger.removeHandler(ear)


def say_again(words: Sequence[tuple[str, str]]) -> None:
    """Warn of what was warned of before.

    Parameters
    ----------
    words : sequence of (str, str)
        As `heard` has them.
    """
    for name, text in words:
        logging.getLogger(name).warning("%s", text)
