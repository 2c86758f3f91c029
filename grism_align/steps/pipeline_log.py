"""What is said within pipelines of telescopes, which show what some packages log, and not this one."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logged_by_pipeline() -> Iterator[None]:
    """Log in the block where stpipe itself logs, on its level; nothing changes where that is everywhere."""
    ours, theirs = logging.getLogger("grism_align"), logging.getLogger("stpipe")
    added = [handler for handler in theirs.handlers if handler not in ours.handlers]
    level = ours.level
    for handler in added:
        ours.addHandler(handler)
    if added:
        ours.setLevel(theirs.level)
    try:
        yield
    finally:
        for handler in added:
            ours.removeHandler(handler)
        ours.setLevel(level)
