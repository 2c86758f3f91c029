"""What is said within a pipeline of a telescope is where the pipeline logs."""

from __future__ import annotations

import logging

import pytest

from grism_align.steps.pipeline_log import logged_by_pipeline

OURS = logging.getLogger("grism_align.steps.some")


class Kept(logging.Handler):
    """Keeps what is said."""

    def __init__(self):
        super().__init__()
        self.said = []

    def emit(self, record):
        self.said.append(record.getMessage())


@pytest.fixture
def pipeline_log():
    """A handler where jwst's pipelines have theirs, at the level INFO."""
    stpipe, handler = logging.getLogger("stpipe"), Kept()
    level = stpipe.level
    stpipe.addHandler(handler)
    stpipe.setLevel(logging.INFO)
    yield handler
    stpipe.removeHandler(handler)
    stpipe.setLevel(level)


def test_in_the_block_and_not_after_it(pipeline_log):
    ours = logging.getLogger("grism_align")
    before = ours.level, list(ours.handlers)
    with logged_by_pipeline():
        OURS.info("one")
        # of a step within a step, once
        with logged_by_pipeline():
            OURS.info("two")
        OURS.info("three")
        OURS.debug("four")
    OURS.warning("five")
    assert pipeline_log.said == ["one", "two", "three"]
    assert (ours.level, ours.handlers) == before


def test_an_error_leaves_nothing_behind(pipeline_log):
    before = list(logging.getLogger("grism_align").handlers)

    def fail():
        with logged_by_pipeline():
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # our own
        fail()
    assert logging.getLogger("grism_align").handlers == before


def test_nothing_changes_where_stpipe_has_no_log_of_its_own():
    """As under our own `strun`, where all is logged at the root."""
    ours = logging.getLogger("grism_align")
    before = ours.level, list(ours.handlers)
    with logged_by_pipeline():
        assert (ours.level, ours.handlers) == before
