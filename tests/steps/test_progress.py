"""What a user sees of the work: progress and the closing table."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from grism_align.io.load import load_exposures
from grism_align.steps.progress import track
from grism_align.steps.table import closing_table


@pytest.fixture
def exposures(field_a):
    return load_exposures(field_a.association)


def test_log_lines_where_there_is_no_terminal(exposures, caplog):
    caplog.set_level(logging.INFO)
    assert list(track(exposures.direct, "Measuring")) == list(exposures.direct)
    first, second = (e.key for e in exposures.direct)
    assert [r.message for r in caplog.records] == [
        f"Measuring {first} (1 of 2)",
        f"Measuring {second} (2 of 2)",
    ]


def test_a_bar_on_a_terminal(exposures, caplog, monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    caplog.set_level(logging.INFO)
    assert list(track(exposures.direct, "Measuring")) == list(exposures.direct)
    assert "Measuring" in terminal.getvalue()
    assert not caplog.records


def test_the_table_has_every_exposure_in_time_order(output_a):
    result, _ = output_a
    lines = closing_table(result).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == [e.key for e in result.exposures]
    widths = {len(line) for line in lines[:2]}
    assert len(widths) == 1
    for line, exposure in zip(lines[2:6], result.exposures, strict=True):
        fit = result.fit(exposure.key)
        east = 1e3 * fit.transform.in_plane(exposure.plane).shift[0]
        assert f"{east:+.1f}," in line
        assert (",".join(fit.governed_by) or "-") in line.split()
    assert lines[-1].startswith(f"frame 1 on {result.absolute.reference}: ")


def test_the_table_of_what_is_not_fitted_yet(exposures):
    assert closing_table(exposures).count("not fitted yet") == 4
