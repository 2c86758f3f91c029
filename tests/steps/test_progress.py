"""What a user sees of the work: progress and the closing table."""

from __future__ import annotations

import io
import logging
import sys

import numpy as np
import pytest

from grism_align.values.record import Activity
from grism_align.workflows.load import load
from grism_align.workflows.progress import track
from grism_align.workflows.summary_table import summary_table


@pytest.fixture
def exposures(field_a):
    return load(field_a.association)


@pytest.fixture
def names(exposures):
    return [exposure.key for exposure in exposures.direct]


def test_log_lines_where_there_is_no_terminal(names, caplog):
    caplog.set_level(logging.INFO)
    assert list(track(names, "Measuring")) == names
    first, second = names
    assert [r.message for r in caplog.records] == [
        f"Measuring {first} (1 of 2)",
        f"Measuring {second} (2 of 2)",
    ]


def test_a_bar_on_a_terminal(names, caplog, monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    caplog.set_level(logging.INFO)
    assert list(track(names, "Measuring")) == names
    assert "Measuring" in terminal.getvalue()
    assert not caplog.records


def test_the_table_has_every_exposure_in_time_order(output_a):
    result, _ = output_a
    lines = summary_table(result).splitlines()
    assert [line.split()[0] for line in lines[2:6]] == [e.key for e in result.exposures]
    widths = {len(line) for line in lines[:2]}
    assert len(widths) == 1
    for line, exposure in zip(lines[2:6], result.exposures, strict=True):
        fit = result.fit(exposure.key)
        east = 1e3 * fit.transform.at(exposure.plane).shift[0]
        assert f"{east:+.1f}," in line
        assert (",".join(fit.governors) or "-") in line.split()
    assert lines[-1].startswith(f"frame 1 on {result.absolute.reference}: ")


def test_the_table_has_the_error_of_each_correction(output_a):
    result, _ = output_a
    heading, _, *lines = summary_table(result).splitlines()
    at = heading.index("error [mas]")
    for line, exposure in zip(lines, result.exposures, strict=False):
        error = 1e3 * np.sqrt(np.mean(result.fit(exposure.key).transform.shift_error ** 2))
        assert float(line[at:].split()[0]) == pytest.approx(error, abs=0.051)


def test_the_lines_below_the_table_count_each_star_once(output_a):
    result, _ = output_a
    [line] = summary_table(result).splitlines()[6:]
    used = {
        name
        for fit in result.absolute.fits.values()
        for name in fit.residuals.matched[fit.residuals.weight > 0].tolist()
    }
    assert line.startswith(f"frame 1 on {result.absolute.reference}: {len(used)} of ")


@pytest.mark.parametrize("solve", ["visit", "exposure"])
def test_parts_that_are_tied_by_themselves_are_named(output_a, solve):
    result, _ = output_a
    result = result.with_activity(Activity("absolute_align", "done", settings={"solve": solve}))
    lines = summary_table(result).splitlines()[6:]
    names = sorted({e.visit if solve == "visit" else e.key for e in result.direct})
    on = f"on {result.absolute.reference}: "
    assert [line.split(on)[0] for line in lines] == [f"frame 1, {name}, " for name in names]


def test_the_table_of_what_is_not_fitted_yet(exposures):
    assert summary_table(exposures).count("not fitted yet") == 4
