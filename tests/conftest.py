from __future__ import annotations

import os

# numpy looks at it when it is imported. A process on each core, each with threads on all cores, takes several
# times as long as with one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import gc
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from grism_align.io.measurements import store
from grism_align.io.missions.registry import GROUP, missions
from grism_align.simulation import Truth, case_a, simulate
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from tests.support.fields import SMALL
from tests.support.plots import leave_out_plots

#: Rooms whose tests take longest, which come first: at the end no process has much left when another is done.
_LONG = ("steps", "commands", "workflows", "simulation", "algorithms", "io")

_HERE = Path(__file__).parent

_MEASUREMENT_STORE = store.measurement_store

settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the rooms with long tests come first."""
    items.sort(key=lambda item: _turn_of(item.path.relative_to(_HERE).parts[0]))


def _turn_of(room: str) -> int:
    return _LONG.index(room) if room in _LONG else len(_LONG)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give whole files to a process, in order: what the tests of a file share is made once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


@pytest.fixture(autouse=True, scope="module")
def _imports_are_no_garbage():
    """Leave what was imported out of the search for garbage that stpipe makes at every step."""
    with warnings.catch_warnings():
        # what libraries left open in another file's tests
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _levels_of_loggers():
    """Put back what a step that sets up logging changes, so that no test sees another's messages."""
    loggers = [logging.getLogger(name) for name in (None, "grism_align", "stpipe")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _without_mosaics(cls, *given, **options):
    spec = super(GrismAlignPipeline, cls).load_spec_file(*given, **options)
    spec["steps"]["visit_mosaic"]["skip"] = "boolean(default=True)"
    return spec


def _with_few_spectra(cls, *given, **options):
    spec = super(GrismWCSPropagateStep, cls).load_spec_file(*given, **options)
    spec["spectra_sources"] = "integer(min=5, max=1000, default=12)"
    return spec


@pytest.fixture(scope="session", autouse=True)
def _short_runs():
    """Have the pipeline leave out mosaics and most spectra in this process: tests of them ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(GrismAlignPipeline, "load_spec_file", classmethod(_without_mosaics))
        patch.setattr(GrismWCSPropagateStep, "load_spec_file", classmethod(_with_few_spectra))
        yield


@pytest.fixture(scope="session", autouse=True)
def _reports_without_plots():
    """Have reports made without plots: tests of them ask for them."""
    with pytest.MonkeyPatch.context() as patch:
        leave_out_plots(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_core():
    """Have steps start processes where a test asks for them, as tests of others run at the same time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("grism_align.workflows.workload.usable_cores", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_kept(tmp_path_factory):
    """Have each test measure anew, and none come near the user's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRISM_ALIGN_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(store, "measurement_store", lambda most: None)
        yield


@pytest.fixture
def kept(monkeypatch, tmp_path):
    """The folder of measurements that are kept, as users have it."""
    monkeypatch.setenv("GRISM_ALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "measurement_store", _MEASUREMENT_STORE)
    return tmp_path / "cache" / "measurements"


@pytest.fixture
def everything_by_default(monkeypatch):
    """The pipeline as users have it."""
    monkeypatch.delattr(GrismAlignPipeline, "load_spec_file")
    monkeypatch.delattr(GrismWCSPropagateStep, "load_spec_file")


@pytest.fixture(scope="session")
def truths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Truth]:
    """One direct and one grism exposure of each instrument."""
    return {
        name: simulate(
            case_a(name, size, n_pairs=1, n_visits=1),
            tmp_path_factory.mktemp(name),
            np.random.default_rng(3),
        )
        for name, size in SMALL.items()
    }


@pytest.fixture(params=["acs_wfc", "wfc3_ir", pytest.param("wfc3_uvis", marks=pytest.mark.slow)])
def truth(request: pytest.FixtureRequest, truths: dict[str, Truth]) -> Truth:
    """The exposures of one instrument after the other; files of WFC3/UVIS are as those of ACS."""
    return truths[request.param]


@pytest.fixture
def direct_path(truths):
    """A direct WFC3/IR exposure; not to be changed."""
    return truths["wfc3_ir"].paths[0]


@pytest.fixture
def two_chip_path(truths):
    """A direct ACS/WFC exposure; not to be changed."""
    return truths["acs_wfc"].paths[0]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a package with entry points of missions, by name."""

    def installed(**entries: str) -> None:
        folder = tmp_path / "site" / "outsider-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
        lines = [f"{name} = {where}" for name, where in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
        monkeypatch.syspath_prepend(folder.parent)
        missions.cache_clear()

    yield installed
    missions.cache_clear()
