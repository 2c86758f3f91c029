"""Executors: order, errors, words from afar, and processes that are gone when they should be."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import remote_jobs as jobs

from grism_align.values import errors
from grism_align.values.errors import GrismAlignError, InputError, VersionsError, WorkerError
from grism_align.values.settings import ExecutionSettings
from grism_align.workflows import workers
from grism_align.workflows.executors import FuturesExecutor, SerialExecutor, executor_for
from grism_align.workflows.tasks import Task, host_name, run_sent, run_task
from grism_align.workflows.versions import versions_here


def quiet(names, label):
    return names


def numbered(n):
    return {f"n{number}": number for number in range(n)}


#: How processes start that are not to measure: without what most work needs, which takes seconds to import.
_COLD = workers._START.replace(
    "serve()", "import grism_align.workflows.workers as w; w._warm_up = int; serve()"
)
assert _COLD != workers._START


@pytest.fixture(autouse=True, scope="module")
def _cold_starts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_START", _COLD)
        yield


@pytest.fixture(scope="module")
def pool():
    """Two processes for the tests that leave them alive."""
    with workers.WorkerPool(2) as made:
        yield made


@pytest.fixture
def executor(pool):
    return FuturesExecutor(pool, 4, quiet)


# --- results ---


def test_results_come_in_order_from_other_processes(executor):
    assert list(executor.map(jobs.square, numbered(20), "Squaring")) == [n * n for n in range(20)]
    processes = set(executor.map(jobs.process_of, numbered(20), "Asking"))
    assert os.getpid() not in processes
    assert len(processes) <= 2
    assert list(executor.map(jobs.square, {}, "Squaring")) == []


def test_progress_is_told_of_every_item(pool):
    seen = []

    def track(names, label):
        for name in names:
            seen.append((label, name))
            yield name

    for executor in (SerialExecutor(track), FuturesExecutor(pool, 2, track)):
        seen.clear()
        assert list(executor.map(jobs.square, numbered(3), "Squaring")) == [0, 1, 4]
        assert seen == [("Squaring", f"n{number}") for number in range(3)]


class _Counting:
    """A pool that does the work when it is asked, and counts."""

    def __init__(self):
        self.submitted = 0

    def submit(self, function, *args):
        self.submitted += 1
        future = Future()
        future.set_result(function(*args))
        return future


def test_no_more_is_held_than_was_said():
    counting = _Counting()
    results = FuturesExecutor(counting, 3, quiet).map(jobs.square, numbered(10), "Squaring")
    for taken, _ in enumerate(results, start=1):
        assert counting.submitted == min(10, taken + 3)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_executors_of_others_will_do(kind, caplog):
    caplog.set_level(logging.INFO)
    context = multiprocessing.get_context("spawn")
    pool = ThreadPoolExecutor(2) if kind == "threads" else ProcessPoolExecutor(2, mp_context=context)
    with pool, pytest.warns(RuntimeWarning, match="beware of 0"):
        assert list(FuturesExecutor(pool, 2, quiet).map(jobs.talk, numbered(1), "Talking")) == [0]
    assert [record.message for record in caplog.records] == ["looked at 0"]


@pytest.mark.parametrize("nproc", [None, 1])
def test_with_one_process_nothing_is_started(nproc, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with executor_for(ExecutionSettings(nproc)) as executor:
        assert set(executor.map(jobs.process_of, numbered(3), "Asking")) == {os.getpid()}


def test_as_many_processes_as_were_asked_for(monkeypatch):
    monkeypatch.setattr("grism_align.workflows.workload.usable_cores", lambda: 3)
    monkeypatch.setattr(workers, "_Worker", lambda: None)
    monkeypatch.setattr(workers.WorkerPool, "shutdown", lambda self, wait: None)
    for nproc, n in ((0, 3), (5, 5)):
        with executor_for(ExecutionSettings(nproc)) as executor:
            assert executor.pool._max_workers == n
            assert executor.ahead() == 2 * n
    assert workers.usable_cores() >= 1


def test_numerical_libraries_have_one_thread(executor, monkeypatch):
    assert list(executor.map(jobs.threads, numbered(2), "Asking")) == 2 * [["1", "1", "1"]]


# --- workers that are lost, and workers that are not as here ---


class _Losing(_Counting):
    """A pool whose workers are lost a few times."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def submit(self, function, *args):
        if self.submitted >= self.times:
            return super().submit(function, *args)
        self.submitted += 1
        future = Future()
        future.set_exception(TimeoutError("no heartbeat"))
        return future


def test_work_of_lost_workers_is_done_again(caplog):
    executor = FuturesExecutor(_Losing(2), 1, quiet, (TimeoutError,), attempts=3)
    assert list(executor.map(jobs.square, numbered(2), "Squaring")) == [0, 1]
    assert caplog.messages == 2 * ["Squaring n0: its worker was lost (no heartbeat); it is done again"]


def test_work_that_an_engine_takes_back_is_lost():
    """As dask does when its scheduler has ended."""

    class Ending(_Counting):
        def submit(self, function, *args):
            future = Future()
            future.cancel()
            return future

    with pytest.raises(WorkerError, match=r"Squaring n0: .*CancelledError"):
        list(FuturesExecutor(Ending(), 2, quiet).map(jobs.square, numbered(2), "Squaring"))


def test_work_that_is_lost_each_time_is_named():
    executor = FuturesExecutor(_Losing(3), 1, quiet, (TimeoutError,), attempts=3)
    with pytest.raises(WorkerError, match=r"Squaring n0: .*no heartbeat"):
        list(executor.map(jobs.square, numbered(2), "Squaring"))


def test_others_go_on_where_something_can_stand_for_what_was_lost():
    executor = FuturesExecutor(_Losing(1), 2, quiet, (TimeoutError,))
    found = executor.map(jobs.square, numbered(3), "Squaring", instead=lambda error: error.what)
    assert list(found) == ["Squaring n0", 1, 4]


def test_a_pool_that_takes_nothing_more_is_a_lost_worker():
    class Broken(_Counting):
        def submit(self, function, *args):
            raise BrokenExecutor("it is broken")

    with pytest.raises(WorkerError, match="it is broken"):
        list(FuturesExecutor(Broken(), 2, quiet).map(jobs.square, numbered(1), "Squaring"))


def test_workers_with_other_versions_do_nothing():
    wanted = {**versions_here(), "numpy": "1.0", "python": "2.7"}
    refused = run_sent(wanted, b"not read")
    with pytest.raises(VersionsError, match=r"numpy .* instead of 1.0") as caught:
        refused.given_back()
    assert len(caught.value.differences) == 2
    assert "python" in str(caught.value)


def test_files_that_another_machine_does_not_see(tmp_path):
    """As a worker on another one has them, but here."""
    for function, item in ((jobs.open_it, tmp_path / "none"), (jobs.find_changed, str(tmp_path / "none"))):
        unseen = run_task(Task(function, item, "Reading", logging.INFO, "elsewhere", "there"))
        assert isinstance(unseen.error, InputError)
        assert "which works for there, does not see it" in str(unseen.error)
        here = run_task(Task(function, item, "Reading", logging.INFO, "elsewhere", host_name()))
        assert not isinstance(here.error, InputError)


# --- what is said on the way ---


def test_log_and_warnings_reach_this_process_in_order(executor, caplog, capfd):
    caplog.set_level(logging.INFO)
    with pytest.warns(RuntimeWarning) as caught:
        # what was said of one is heard before what was found of it
        heard = [caplog.records[-1].getMessage() for _ in executor.map(jobs.talk, numbered(3), "Talking")]
    assert heard == [f"looked at {number}" for number in range(3)]
    assert [str(one.message) for one in caught] == [f"beware of {number}" for number in range(3)]
    assert caught[0].filename == jobs.__file__
    assert [(r.name, r.levelname) for r in caplog.records] == 3 * [("grism_align.remote_jobs", "INFO")]
    assert capfd.readouterr().out == ""


def test_loggers_that_want_less_are_told_less(executor, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="grism_align.remote_jobs")
    with pytest.warns(RuntimeWarning):
        list(executor.map(jobs.talk, numbered(1), "Talking"))
    assert [record.getMessage() for record in caplog.records] == ["looked at 0"]


def test_what_is_said_in_a_process_is_kept_for_the_one_that_asked(caplog):
    """As a worker does it, but here."""
    before = logging.getLogger().level
    outcome = run_task(Task(jobs.talk, 7, "Talking n7", logging.INFO, "elsewhere", "there"))
    assert (outcome.value, outcome.error, logging.getLogger().level) == (7, None, before)
    assert [record.getMessage() for record in outcome.records] == ["looked at 7"]
    assert [one[0] for one in outcome.warned] == ["beware of 7"]
    failed = run_task(Task(jobs.fail_oddly, 7, "Failing n7", logging.INFO, "elsewhere", "there"))
    assert isinstance(failed.error, RuntimeError)
    refused = run_task(Task(jobs.refuse, 2, "Reading n2", logging.INFO, "elsewhere", "there"))
    assert isinstance(refused.error, InputError)
    with pytest.raises(InputError, match="it is odd"):
        refused.given_back()


# --- errors ---


@pytest.mark.parametrize("is_here", [True, False])
def test_errors_are_those_that_were_raised(executor, is_here):
    found = []
    where = SerialExecutor(quiet) if is_here else executor
    with pytest.raises(InputError, match="file2: it is odd") as caught:
        found.extend(where.map(jobs.refuse, numbered(5), "Reading"))
    assert (caught.value.path, caught.value.remedy) == ("file2", "Give another")
    if not is_here:
        [note] = caught.value.__notes__
        assert note.startswith("Reading n2, in process ")
        assert "in refuse" in note


def test_what_can_not_be_sent_is_told(executor):
    with pytest.raises(RuntimeError, match="UnsendableError: a cat on the keyboard"):
        list(executor.map(jobs.fail_oddly, numbered(1), "Reading"))


def test_every_error_survives_being_sent():
    for error in (
        InputError("p", "q", "r"),
        errors.OutputError("p", "q"),
        errors.SettingsError("name", 1, "allowed"),
        errors.NoRowsError("c", "p", "r", []),
        WorkerError("Measuring a", "it was ended by SIGKILL"),
    ):
        error.add_note("a note")
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
        assert isinstance(again, GrismAlignError)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (jobs.die, r"Measuring n2: .*ended by SIGKILL, as when memory runs out"),
        (jobs.leave, r"Measuring n0: .*ended with exit code 3"),
    ],
)
def test_a_process_that_dies_names_what_it_did(function, says):
    found = []
    with workers.WorkerPool(2) as pool, pytest.raises(WorkerError, match=says):
        found.extend(FuturesExecutor(pool, 4, quiet).map(function, numbered(6), "Measuring"))
    assert found == ([0, 1] if function is jobs.die else [])


# --- the end of processes ---


def _ended(pool):
    return [worker._process.poll() for worker in pool._workers]


def test_processes_end_with_the_block():
    with workers.WorkerPool(2) as pool:
        assert _ended(pool) == [None, None]
        pool.submit(jobs.hang, 0)
    assert _ended(pool) == 2 * [-signal.SIGKILL]


def test_an_interrupt_ends_them_at_once():
    def interrupted(names, label):
        for number, name in enumerate(names):
            if number:
                raise KeyboardInterrupt
            yield name

    with workers.WorkerPool(2) as pool:
        results = FuturesExecutor(pool, 4, interrupted).map(jobs.hang_later, numbered(4), "Waiting")
        assert next(results) == 0
        with pytest.raises(KeyboardInterrupt):
            next(results)
        assert _ended(pool) == 2 * [-signal.SIGKILL]


def test_what_is_not_asked_for_is_not_done(executor):
    """A generator that is closed takes back what has not begun, and waits for what has."""
    results = executor.map(jobs.square, numbered(100), "Squaring")
    assert next(results) == 0
    results.close()
    assert list(executor.map(jobs.square, numbered(2), "Squaring")) == [0, 1]


_PARENT = """
import sys
import remote_jobs as jobs
from grism_align.workflows.tasks import Task, host_name, run_sent, run_task
from grism_align.workflows.versions import versions_here
from grism_align.workflows.executors import FuturesExecutor
from grism_align.workflows import workers

workers._START = COLD
pool = workers.WorkerPool(2)
executor = FuturesExecutor(pool, 4, lambda names, label: names)
list(executor.map(jobs.square, {"a": 1, "b": 2}, "Squaring"))
for _ in range(2 * BUSY):
    pool.submit(jobs.hang, 0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("is_busy", [False, True])
def test_none_survives_a_parent_that_is_killed(is_busy):
    """Neither idle ones nor busy ones: all hold the parent's standard error, which ends with the last."""
    code = f"import sys; sys.path[:] = {sys.path!r}; BUSY, COLD = {is_busy}, {_COLD!r}\n{_PARENT}"
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert parent.stdout.readline() == b"ready\n"
    parent.kill()
    assert parent.stderr.read() == b""
    parent.communicate()
    assert parent.returncode == -signal.SIGKILL


def test_a_script_needs_no_guard(tmp_path):
    """It is not run again by the processes that it starts."""
    script = tmp_path / "script.py"
    script.write_text(
        f"BUSY, COLD = False, {_COLD!r}\n{_PARENT}".replace("sys.stdin.read()", "pool.shutdown()")
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, check=True, env=environment)
    assert done.stdout == b"ready\n"
