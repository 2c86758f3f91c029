"""Measurements taken over: once made, whoever asks, and only where all is the same."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from grism_align.io.measurements.store import MeasurementStore
from grism_align.values.errors import InputError, WorkerError
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.keeping import KeepingExecutor, Measurement

logger = logging.getLogger("grism_align.test")


def _square(number):
    logger.warning("squaring %d", number)
    return InputError("x", "y", "z") if number < 0 else np.array([number**2])


SQUARE = Measurement("squares", _square, ())


@pytest.fixture
def store(tmp_path):
    return MeasurementStore(tmp_path / "kept", 1 << 20)


def executor(store):
    return KeepingExecutor(SerialExecutor(), store)


def run(store, *numbers, measurement=SQUARE):
    one = executor(store)
    found = list(one.map(measurement, {str(number): number for number in numbers}, "Squaring"))
    return found, one.n_kept


def test_a_measurement_is_made_once(store):
    assert run(store, 2, 3) == ([4, 9], 0)
    assert run(store, 2, 3, 4) == ([4, 9, 16], 2)
    assert run(None, 2, 3) == ([4, 9], 0)


def test_other_measurements_are_others(store):
    run(store, 2)
    assert run(store, 2, measurement=replace(SQUARE, name="squares, another way"))[1] == 0


def test_it_says_what_it_said(store, caplog):
    for _ in range(2):
        caplog.clear()
        run(store, 2)
        assert [(one.name, one.getMessage()) for one in caplog.records] == [
            ("grism_align.test", "squaring 2")
        ]


def test_where_nobody_listens_nothing_is_kept(store, monkeypatch):
    monkeypatch.setattr(logging.getLogger("grism_align"), "level", logging.ERROR)
    run(store, 2)
    monkeypatch.undo()
    assert run(store, 2)[1] == 0


def test_errors_and_what_has_no_fingerprint_are_not_kept(store):
    for _ in range(2):
        [found], n_kept = run(store, -1)
        assert isinstance(found, InputError)
        assert n_kept == 0
    unknown = Measurement("squares", _square, (), lambda number: object())
    assert [run(store, 2, measurement=unknown)[1] for _ in range(2)] == [0, 0]


def test_only_what_it_is_about_counts(store):
    by_size = Measurement("squares", _square, (), abs)
    run(store, 2, measurement=by_size)
    assert run(store, -2, measurement=by_size) == ([4], 1)


def test_damaged_ones_are_made_again(store):
    run(store, 2)
    other = replace(store)
    [path] = store.folder.rglob("*.kept")
    key = path.stem
    other.keep(key, b"[1")
    assert run(store, 2) == ([4], 0)
    assert run(store, 2) == ([4], 1)


def test_what_cannot_be_written_costs_a_warning(store, caplog, monkeypatch):
    def full(path, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("grism_align.io.measurements.store.atomic_path", full)
    assert run(store, 2, 3) == ([4, 9], 0)
    assert "Squaring: 2 measurements are not kept (No space left on device)" in caplog.text
    assert not list(Path(store.folder).rglob("*.kept"))


class Deadly:
    """An executor whose workers die of negative numbers."""

    def map(self, function, items, label, instead=None):
        for name, item in items.items():
            yield instead(WorkerError(f"{label} {name}", "it was ended")) if item < 0 else function(item)


def test_what_is_instead_of_a_lost_measurement_is_not_kept(store):
    for n_kept in (0, 1):
        one = KeepingExecutor(Deadly(), store)
        found = list(one.map(SQUARE, {"2": 2, "-1": -1}, "Squaring", lambda error: error.what))
        assert found == [4, "Squaring -1"]
        assert one.n_kept == n_kept


def test_other_work_goes_through(store):
    assert list(executor(store).map(str, {"a": 1}, "Writing")) == ["1"]
