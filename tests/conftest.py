from __future__ import annotations

import logging

import pytest
from hypothesis import settings

settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _levels_of_loggers():
    """Put back what a step that sets up logging changes, so that no test sees another's messages."""
    loggers = [logging.getLogger(name) for name in (None, "grism_align", "stpipe")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
