"""Engines: by name, from other packages, and a real one of dask."""

from __future__ import annotations

import os
import shutil
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import remote_jobs as jobs

from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import ExecutorError, SettingsError
from grism_align.values.executor import Workers
from grism_align.values.settings import ExecutionSettings
from grism_align.workflows import engines
from grism_align.workflows.executors import executor_for
from tests.support.outputs import contents


@contextmanager
def open_threads(settings):
    """What another package would bring."""
    with ThreadPoolExecutor(2) as pool:
        yield Workers(pool, lambda: 2)


@pytest.fixture
def brought(monkeypatch):
    """Have another package bring an engine."""

    def bring(name, value):
        entry = EntryPoint(name, value, engines.GROUP)
        monkeypatch.setattr(engines, "entry_points", lambda group: [entry])
        engines._known.cache_clear()

    yield bring
    engines._known.cache_clear()


def numbered(n):
    return {f"n{number}": number for number in range(n)}


def test_engines_of_other_packages(brought, monkeypatch):
    monkeypatch.setitem(sys.modules, "outsider", sys.modules[__name__])
    brought("threads", "outsider:open_threads")
    with executor_for(ExecutionSettings(executor="threads")) as executor:
        assert executor.ahead() == 4
        assert list(executor.map(jobs.square, numbered(5), "Squaring")) == [0, 1, 4, 9, 16]


def test_an_engine_that_there_is_not():
    with (
        pytest.raises(SettingsError, match="did you mean dask"),
        executor_for(ExecutionSettings(executor="dsak")),
    ):
        pass


def test_an_engine_that_can_not_be_loaded(brought):
    brought("odd", "no_such_module:open")
    with (
        pytest.raises(ExecutorError, match="no_such_module"),
        executor_for(ExecutionSettings(executor="odd")),
    ):
        pass


@pytest.mark.parametrize(("name", "module"), [("dask", "distributed"), ("parsl", "parsl"), ("mpi", "mpi4py")])
def test_what_is_not_installed_is_said(name, module, monkeypatch):
    for found in [one for one in sys.modules if one.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, found)
    monkeypatch.setitem(sys.modules, module, None)
    settings = ExecutionSettings(executor=name)
    with pytest.raises(ExecutorError, match=rf"pip install 'grism_align\[{name}\]'"), executor_for(settings):
        pass


# --- dask ---


@pytest.fixture(scope="module")
def cluster():
    """A scheduler, and two workers that are processes, each watched by one that starts it again."""
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=50,
    ) as made:
        yield made


@pytest.fixture
def dask(cluster):
    with executor_for(ExecutionSettings(executor="dask", dask_address=cluster.scheduler_address)) as made:
        yield made


def test_workers_of_dask(dask, caplog):
    caplog.set_level("INFO")
    assert dask.ahead() == 4
    with pytest.warns(RuntimeWarning, match="beware of 0"):
        assert list(dask.map(jobs.talk, {"n0": 0}, "Talking")) == [0]
    assert "looked at 0" in caplog.messages
    assert os.getpid() not in set(dask.map(jobs.process_of, numbered(4), "Asking"))
    # twice is twice: files are written by it
    with pytest.raises(Exception, match="file2: it is odd"):
        list(dask.map(jobs.refuse, numbered(4), "Reading"))


def test_a_worker_of_dask_that_is_killed(dask, tmp_path):
    paths = {f"n{number}": tmp_path / f"{number}" for number in range(4)}
    for name in ("n0", "n2", "n3"):
        paths[name].touch()
    assert list(dask.map(jobs.die_once, paths, "Dying")) == ["0", "1", "2", "3"]


@pytest.mark.slow
def test_the_same_files_when_a_worker_is_killed(cluster, truths, tmp_path, monkeypatch):
    """Of a step, with its worker killed while it measures."""
    for path in truths["wfc3_ir"].paths:
        shutil.copy(path, tmp_path / path.name)
    files = [str(tmp_path / path.name) for path in truths["wfc3_ir"].paths]
    given = {"output_dir": str(tmp_path / "out"), "configure_log": False}
    SourceCatalogStep.call(files, **given)
    serial = contents(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "serial")
    monkeypatch.setattr("grism_align.workflows.measure._MEASUREMENT", jobs.measure_or_die)
    SourceCatalogStep.call(files, executor="dask", dask_address=cluster.scheduler_address, **given)
    assert (tmp_path / "died").exists()
    assert contents(tmp_path / "out") == serial


def test_the_client_that_there_is(cluster):
    from distributed import Client

    with Client(cluster) as client, executor_for(ExecutionSettings(executor="dask")) as executor:
        assert list(executor.map(jobs.square, numbered(3), "Squaring")) == [0, 1, 4]
        assert client.status == "running"


def test_no_scheduler(monkeypatch, tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    settings = ExecutionSettings(executor="dask")
    with pytest.raises(ExecutorError, match="Give dask_address"), executor_for(settings):
        pass
    settings = ExecutionSettings(executor="dask", dask_address=str(tmp_path / "none.json"))
    with pytest.raises(ExecutorError, match="no scheduler has written"), executor_for(settings):
        pass


# --- parsl and MPI, which are large: in their place, what of them is called ---


@pytest.fixture
def installed(monkeypatch):
    """Have a package installed, its modules by name with what they hold."""

    def install(**modules):
        for name, content in modules.items():
            module = types.ModuleType(name.replace("__", "."))
            vars(module).update(content)
            monkeypatch.setitem(sys.modules, module.__name__, module)

    return install


@pytest.fixture
def parsl(installed):
    """Two workers that are threads; `loaded` and `cleaned_up` are told."""
    threads = ThreadPoolExecutor(2)
    told = SimpleNamespace(loaded=[], n_cleaned_up=0)

    class NoKernelError(Exception):
        pass

    class Kernel:
        def __init__(self):
            internal = SimpleNamespace(max_threads=1)
            self.executors = {"work": SimpleNamespace(connected_workers=2), "_parsl_internal": internal}

        def cleanup(self):
            told.n_cleaned_up += 1

    def load(config):
        told.loaded.append(config)
        return Kernel()

    def no_kernel():
        raise NoKernelError

    def app(function, data_flow_kernel):
        return lambda *args: threads.submit(function, *args)

    lost = {name: type(name, (Exception,), {}) for name in ("ManagerLost", "WorkerLost")}
    installed(
        parsl={"load": load, "dfk": no_kernel, "clear": lambda: None},
        parsl__errors={"NoDataFlowKernelError": NoKernelError},
        parsl__executors={},
        parsl__executors__high_throughput={},
        parsl__executors__high_throughput__errors=lost,
        parsl__app={},
        parsl__app__python={"PythonApp": app},
    )
    told.kernel = Kernel
    yield told
    threads.shutdown()


def test_workers_of_parsl(parsl, tmp_path):
    path = tmp_path / "config.py"
    path.write_text("config = 'two nodes'")
    with executor_for(ExecutionSettings(executor="parsl", executor_config=str(path))) as executor:
        assert executor.ahead() == 4
        assert list(executor.map(jobs.square, numbered(5), "Squaring")) == [0, 1, 4, 9, 16]
        with pytest.raises(Exception, match="file2: it is odd"):
            list(executor.map(jobs.refuse, numbered(4), "Reading"))
    assert (parsl.loaded, parsl.n_cleaned_up) == (["two nodes"], 1)


def test_what_of_parsl_is_loaded_stays(parsl, monkeypatch):
    monkeypatch.setattr(sys.modules["parsl"], "dfk", parsl.kernel)
    with executor_for(ExecutionSettings(executor="parsl")) as executor:
        assert list(executor.map(jobs.square, numbered(2), "Squaring")) == [0, 1]
    assert (parsl.loaded, parsl.n_cleaned_up) == ([], 0)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "no configuration is loaded"), ("", "defines no config"), ("1 / 0", "ZeroDivisionError")],
)
@pytest.mark.usefixtures("parsl")
def test_without_a_configuration_of_parsl(content, problem, tmp_path):
    path = tmp_path / "config.py"
    path.write_text(content or "")
    settings = ExecutionSettings(executor="parsl", executor_config=None if content is None else str(path))
    with pytest.raises(ExecutorError, match=problem), executor_for(settings):
        pass


@pytest.mark.parametrize("n", [0, 2])
def test_processes_of_mpi(n, installed):
    class MPIPoolExecutor(ThreadPoolExecutor):
        num_workers = n

    installed(mpi4py={}, mpi4py__futures={"MPIPoolExecutor": MPIPoolExecutor})
    settings = ExecutionSettings(executor="mpi")
    if not n:
        with pytest.raises(ExecutorError, match="no process beside this one"), executor_for(settings):
            pass
        return
    with executor_for(settings) as executor:
        assert list(executor.map(jobs.square, numbered(5), "Squaring")) == [0, 1, 4, 9, 16]
