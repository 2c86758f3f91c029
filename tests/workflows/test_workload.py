"""How many processes work is worth."""

from __future__ import annotations

import pytest

from grism_align.workflows import workload
from grism_align.workflows.load import load
from grism_align.workflows.workload import Workload, process_count, workload_of, writing_of
from tests.support.runs import make_exposures

MUCH = Workload(40, 1000.0)


@pytest.fixture(autouse=True)
def _machine(monkeypatch):
    monkeypatch.setattr(workload, "usable_cores", lambda: 8)
    monkeypatch.setattr(workload, "_free_memory", lambda: 16e9)


@pytest.mark.parametrize(
    ("nproc", "work", "n"),
    [
        (None, None, 1),
        (0, None, 8),
        (3, None, 3),
        (None, MUCH, 8),
        (3, MUCH, 3),
        (64, MUCH, 40),
        (None, Workload(5, 1000.0), 5),
        (None, Workload(40, 5.0), 1),
        (None, Workload(40, 10.0), 3),
        (2, Workload(40, 0.1), 2),
        (None, Workload(40, 1000.0, 4e9), 3),
        (None, Workload(40, 1000.0, 40e9), 1),
        (0, Workload(40, 0.1, 40e9), 8),
    ],
)
def test_processes(nproc, work, n):
    assert process_count(nproc, work) == n


def test_memory_that_nobody_tells_is_no_limit(monkeypatch):
    monkeypatch.setattr(workload, "_free_memory", lambda: None)
    assert process_count(None, Workload(40, 1000.0, 40e9)) == 8


def test_work_is_in_the_headers(tmp_path):
    paths = make_exposures(tmp_path)
    exposures = load(tmp_path)
    writing = workload_of(exposures)
    assert writing.n_items == 3
    assert writing.seconds == pytest.approx(writing_of(paths).seconds)
    measuring = workload_of(exposures, ["source_catalog"])
    assert workload_of(exposures, ["source_catalog", "grism_wcs_propagate"]).seconds > measuring.seconds
    assert measuring.seconds > writing.seconds
    assert workload_of(exposures, ["source_catalog", "visit_mosaic"]).memory > 2 * measuring.memory


def test_memory_is_that_of_the_machine_or_of_the_container(monkeypatch):
    told = {
        "/proc/meminfo": ["MemTotal: 9 kB", "MemAvailable: 2000 kB"],
        "/sys/fs/cgroup/memory.max": ["1500000"],
        "/sys/fs/cgroup/memory.current": ["500000"],
    }
    monkeypatch.undo()
    monkeypatch.setattr(workload, "_lines", lambda path: told.get(path, []))
    assert workload._free_memory() == 1e6
    told["/sys/fs/cgroup/memory.max"] = ["max"]
    assert workload._free_memory() == 2048000
    told.clear()
    assert workload._free_memory() is None
