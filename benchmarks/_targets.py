"""What hostile files are given to: each reader and each command, with what else it needs."""

from __future__ import annotations

import gc
import gzip
import importlib.util
import os
import pickle
import shutil
import sys
import tempfile
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _hostile as hostile
import numpy as np

from grism_align.cli import main as command
from grism_align.simulation import case_a, simulate
from grism_align.values.errors import GrismAlignError

if TYPE_CHECKING:
    from collections.abc import Callable

    Rng = np.random.Generator

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
from tap_responder import Answer, TapResponder, stars, votable

_TABLES = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "xml": "votable", "txt": "ascii.basic"}


@dataclass(frozen=True)
class Case:
    """One input.

    Parameters
    ----------
    kind, target : str
        What it is and what it is given to.
    name : str
        What an error must name.
    work : callable
        Gives it; returns the exit code.
    """

    kind: str
    target: str
    name: str
    work: Callable[[], int]


@dataclass
class Arena:
    """The folders of an attack, with good files of every kind.

    Parameters
    ----------
    folder : Path
        Of all.
    keep : Path or None
        Where good files are, or will be; made anew without one.
    """

    folder: Path
    keep: Path | None = None
    addresses: list[str] = field(default_factory=list)
    fresh: dict[Path, tuple[int, int, int]] = field(default_factory=dict)

    def __enter__(self) -> Arena:
        self.good = (self.keep or self.folder / "good").resolve()
        self.inputs, self.output, self.victim, self.home, self.cache = (
            self.folder / name for name in ("in", "out", "victim", "home", "cache")
        )
        if not (self.good / "out").is_dir():
            _make_good_files(self.good)
        self.held = ExitStack()
        self.server = self.held.enter_context(TapResponder())
        self.addresses = [f"127.0.0.1', {self.server.url.split(':')[2].split('/')[0]})"]
        self.home.mkdir()
        os.environ |= {"HOME": str(self.home), "GRISM_ALIGN_CACHE": str(self.cache), "SECRET": "victim/x"}
        os.environ |= {"MPLCONFIGDIR": str(self.home), "TMPDIR": str(self.home), "no_proxy": "127.0.0.1"}
        tempfile.tempdir = str(self.home)
        os.chdir(self.home)
        self.output.mkdir()
        _warm_up(self)
        gc.freeze()
        return self

    def __exit__(self, *_: object) -> None:
        self.held.close()

    def refresh(self) -> None:
        """Put good files in place of those that an input has spoilt."""
        if self.fresh and self.state() == self.fresh:
            for folder in (self.output, self.cache):
                shutil.rmtree(folder, ignore_errors=True)
            self.output.mkdir()
            return
        for folder in (self.inputs, self.output, self.victim, self.cache):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.good / "in", self.inputs)
        self.output.mkdir()
        self.victim.mkdir()
        for name in ("x", "x.asdf", "x_flt.fits", "x_cat.ecsv", "rows.bin", "x_provenance.asdf"):
            (self.victim / name).write_text("secret")
        self.fresh = self.state()

    def state(self) -> dict[Path, tuple[int, int, int]]:
        """Return size, time and node of each file that nothing may change."""
        paths = (path for folder in (self.inputs, self.victim) for path in folder.rglob("*"))
        found = {path: path.lstat() for path in paths}
        return {path: (one.st_size, one.st_mtime_ns, one.st_ino) for path, one in found.items()}

    def spoilt(self, name: str, content: bytes) -> Path:
        """Write an input."""
        path = self.inputs / name
        path.write_bytes(content)
        return path

    def product(self, name: str) -> bytes:
        """Return a product of the run that made the good files."""
        return (self.good / "out" / name).read_bytes()


def _make_good_files(folder: Path) -> None:
    """Simulate two visits, align them, and write their catalog in all formats."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    truth = simulate(case_a("wfc3_ir", 100, n_pairs=1, n_visits=2), folder / "in", np.random.default_rng(1))
    (folder / "tables").mkdir()
    stars = truth.catalog[:200]
    for ending, form in _TABLES.items():
        stars.write(folder / "tables" / f"stars.{ending}", format=form)
    GrismAlignPipeline.call(
        str(folder / "in"),
        output_dir=str(folder / "out"),
        configure_log=False,
        steps={"absolute_align": {"catalog": str(folder / "tables" / "stars.ecsv")}},
    )
    _write_parquet(stars, folder / "tables" / "stars.parquet")
    if importlib.util.find_spec("jwst"):
        simulate(case_a("niriss", 128, n_pairs=1, n_visits=1), folder / "jwst", np.random.default_rng(1))


def _write_parquet(table: Any, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({name: np.asarray(table[name]).tolist() for name in table.colnames}), path)


def _warm_up(arena: Arena) -> None:
    """Give good files to the targets, so that what these import is in memory before each fork."""
    from grism_align.io.missions import read_corrections, read_exposure, read_pixels

    out, products = arena.output, arena.good / "out"
    record, exposure = products / "in_provenance.asdf", arena.good / "in" / "idem01a1q_flt.fits"
    table = arena.folder / "t.csv"
    table.write_text("visit,dra,ddec\nidem01,0.1,0.1\n")
    arena.server.answer(Answer(votable(_gaia())))
    works = [
        _read(lambda: list(read_pixels(read_exposure(exposure)))),
        _read(lambda: read_corrections(products / exposure.name)),
        *(_catalog(path) for path in (*(arena.good / "tables").iterdir(), record)),
        _run("check", arena.good / "in"),
        _run("associate", arena.good / "in", "-o", out / "a_asn.json"),
        _run("undo", products / exposure.name, "--output_dir", out / "undone"),
        _run("shift", table, exposure, "--output_dir", out / "shifted", "--headerlets", "file"),
        _run("apply", record, exposure, "--output_dir", out / "applied"),
        _run("report", record, "-o", out / "r.html", "--regions", out),
        _run("grizli-visits", record, "-o", out / "visits.yaml"),
        _run("table", record, "matches", "-o", out / "t.fits"),
        _run("table", record, "--columns", "all"),
        _run("align", arena.good / "in", "-o", out / "aligned"),
        _run("fetch-catalog", arena.good / "in", "--service_url", arena.server.url, "--retries", "0"),
    ]
    if importlib.util.find_spec("jwst"):
        paths = sorted((arena.good / "jwst").glob("*.fits"))
        works += [_read(lambda path=path: list(read_pixels(read_exposure(path)))) for path in paths]
    with (arena.folder / "said").open("w") as said, redirect_stdout(said), redirect_stderr(said):
        for work in works:
            work()


def _read(function: Callable[[], object]) -> Callable[[], int]:
    """Do what a reader is for; say its error as commands do."""

    def work() -> int:
        try:
            function()
        except GrismAlignError as error:
            print(error)
            return 1
        return 0

    return work


def _run(*words: object) -> Callable[[], int]:
    return lambda: command([str(word) for word in words])


def _pipeline(arena: Arena, source: Path, **parameters: Any) -> Callable[[], int]:
    from grism_align.steps.pipeline import GrismAlignPipeline

    def align() -> None:
        GrismAlignPipeline.call(
            str(source), output_dir=str(arena.output), configure_log=False, report=False, **parameters
        )

    return _read(align)


def _chosen(rng: Rng, targets: dict[str, tuple[float, Callable[[], int]]]) -> tuple[str, Callable[[], int]]:
    """Choose a target, the quick ones more often."""
    weights = np.array([weight for weight, _ in targets.values()])
    name = list(targets)[int(rng.choice(len(targets), p=weights / weights.sum()))]
    return name, targets[name][1]


def _exposure(rng: Rng, arena: Arena) -> Case:
    from grism_align.io.missions import read_corrections, read_exposure, read_instrument, read_pixels

    is_product = rng.random() < 0.4
    name = f"idem0{int(rng.integers(1, 3))}a{int(rng.integers(1, 3))}q_flt.fits"
    good = arena.product(name) if is_product else (arena.inputs / name).read_bytes()
    (arena.inputs / name).unlink()
    ending = "" if rng.random() < 0.8 else (".gz" if rng.random() < 0.5 else ".fz")
    path = arena.spoilt(name + ending, hostile.fits_file(rng, good))
    table = arena.spoilt("t.csv", b"visit,dra,ddec\nidem01,0.1,0.1\nidem02,0.1,0.1\n")
    record = arena.good / "out" / "in_provenance.asdf"
    targets = {
        "read": (6, _read(lambda: list(read_pixels(read_exposure(path))))),
        "instrument": (2, _read(lambda: read_instrument(path))),
        "corrections": (2, _read(lambda: read_corrections(path))),
        "check": (3, _run("check", arena.inputs)),
        "associate": (2, _run("associate", arena.inputs, "-o", arena.output / "a_asn.json")),
        "undo": (2, _run("undo", path, "--output_dir", arena.output)),
        "shift": (0.5, _run("shift", table, path, "--output_dir", arena.output, "--headerlets", "file")),
        "apply": (0.5, _run("apply", record, path, "--output_dir", arena.output)),
        "plan": (2, _run("plan", arena.inputs, "-o", arena.output)),
        "align": (0.2, _run("align", arena.inputs, "-o", arena.output, "--csv", "--regions")),
        "pipeline": (0.1, _pipeline(arena, arena.inputs, steps={"visit_mosaic": {"skip": False}})),
    }
    target, work = _chosen(rng, targets)
    return Case("exposure", target, "idem0", work)


@cache
def _tree(path: Path) -> bytes:
    import asdf

    with asdf.open(path, lazy_load=False, memmap=False) as file:
        return pickle.dumps(dict(file.tree))


def _plain_tree(path: Path) -> dict[str, Any]:
    """Return a record's tree, a new one each time."""
    tree: dict[str, Any] = pickle.loads(_tree(path))
    return tree


def _record(rng: Rng, arena: Arena) -> Case:
    name = "in_provenance.asdf"
    if rng.random() < 0.5:
        content = hostile.record(rng, _plain_tree(arena.good / "out" / name))
    else:
        content = hostile.asdf_file(rng, arena.product(name), arena.victim)
    return _of_record(rng, arena, arena.spoilt(name, content))


def _of_record(rng: Rng, arena: Arena, path: Path) -> Case:
    from grism_align.io.record.file import read_record

    files = [arena.inputs / f"idem0{n}a{k}q_flt.fits" for n in (1, 2) for k in (1, 2)]
    if rng.random() < 0.3:
        files = [arena.good / "out" / file.name for file in files]
    page = ("report", path, "-o", arena.output / "r.html", "--regions", arena.output)
    targets = {
        "read": (4, _read(lambda: read_record(path))),
        "report": (0.7, _run(*page)),
        "apply": (1.5, _run("apply", path, *files, "--output_dir", arena.output, "--rebase")),
        "grizli-visits": (1, _run("grizli-visits", path, "-o", arena.output / "visits.yaml")),
        "table": (1, _run("table", path, "matches", "-o", arena.output / "t.fits")),
        "printed": (1, _run("table", path, "--columns", "all")),
        "catalog": (2, _catalog(path)),
    }
    target, work = _chosen(rng, targets)
    return Case("record", target, "_provenance.asdf" if target != "apply" else "i", work)


def _catalog(path: Path) -> Callable[[], int]:
    from grism_align.io.catalogs.candidates import catalog_sources
    from grism_align.values.settings import ReferenceSettings, ServiceSettings

    return _read(lambda: catalog_sources(ReferenceSettings(catalog=str(path)), ServiceSettings()))


def _table(rng: Rng, arena: Arena) -> Case:
    from grism_align.io.catalogs.recorded import exposures_behind
    from grism_align.io.catalogs.sources import read_source_catalog

    ending = ("csv", "ecsv", "txt", "fits", "parquet")[int(rng.integers(5))]
    content = (arena.good / "tables" / f"stars.{ending}").read_bytes()
    if rng.random() < 0.2 and ending == "ecsv":
        content = arena.product("idem01a1q_cat.ecsv")
    name = f"stars.{ending}" if rng.random() < 0.7 else "stars.cat"
    path = arena.spoilt(name, content)
    if ending == "parquet":
        hostile.Parquet().written(rng, content, path)
    elif ending == "fits":
        path.write_bytes(hostile.fits_file(rng, content))
    elif ending == "ecsv" and rng.random() < 0.2:
        lines = content.decode().split("\n")
        lines.insert(2, "# meta:\n#   x:\n" + hostile.yaml_bomb("#     ").rstrip("\n"))
        path.write_text("\n".join(lines))
    else:
        path.write_bytes(hostile.text_table(rng, content))
    targets = {
        "catalog": (6, _catalog(path)),
        "behind": (1, _read(lambda: exposures_behind(path))),
        "sources": (2, _read(lambda: read_source_catalog(path))),
        "shift": (2, _run("shift", path, arena.inputs, "--output_dir", arena.output)),
        "align": (0.2, _run("align", arena.inputs, "-o", arena.output, "--catalog", path, "--no-report")),
        "pipeline": (0.1, _pipeline(arena, arena.inputs, steps={"absolute_align": {"catalog": str(path)}})),
    }
    target, work = _chosen(rng, targets)
    return Case("table", target, name, work)


def _votable(rng: Rng, arena: Arena) -> Case:
    content = hostile.votable(rng, (arena.good / "tables" / "stars.xml").read_bytes(), arena.victim)
    path = arena.spoilt("stars.xml", content)
    return Case("votable", "catalog", path.name, _catalog(path))


@cache
def _gaia() -> dict[str, list[Any]]:
    """Return three stars with all columns that Gaia is asked for."""
    from grism_align.io.catalogs.services import find_service
    from grism_align.values.settings import ServiceSettings

    service = find_service("GAIADR3", ServiceSettings())
    assert service is not None
    return {name: [0.0] * 3 for name in service.mirrors[0].selected} | stars(3, ra=150.1, dec=2.2)


def _service(rng: Rng, arena: Arena) -> Case:
    """Give an answer of a service, and have it send elsewhere."""
    good = votable(_gaia())
    headers = (
        {},
        {"Location": "http://localhost:9/x"},
        {"Location": f"file://{arena.victim}/x"},
        {"Location": "//127.0.0.2/x"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "gzip, gzip"},
        {"Content-Encoding": "br"},
        {"Retry-After": "99999999999999999999"},
        {"Content-Length": "99999999999"},
    )[int(rng.integers(9))]
    body = hostile.votable(rng, good, arena.victim)
    if "Content-Encoding" in headers:
        body = hostile.gzip_of_zeros(rng, body, 800) if rng.random() < 0.3 else gzip.compress(body)
    status = (200, 200, 301, 302, 303, 307, 500, 503, 400)[int(rng.integers(9))]
    arena.server.answer(Answer(body, status=status, headers=headers))
    words = ("--service_url", arena.server.url, "--timeout", "4", "--retries", "0", "--refresh")
    return Case("service", "fetch-catalog", "", _run("fetch-catalog", arena.inputs, *words))


def _association(rng: Rng, arena: Arena) -> Case:
    from grism_align.io.associations import read_association

    names = [path.name for path in sorted(arena.inputs.glob("*.fits"))]
    if rng.random() < 0.5:
        for file in ("in_provenance.asdf", "idem01a1q_cat.ecsv", "idem02a1q_cat.ecsv"):
            arena.spoilt(file, arena.product(file))
        path = arena.spoilt("x_asn.json", hostile.association(rng, arena.product("in_asn.json")))
    else:
        path = arena.spoilt("x.txt", hostile.listing(rng, names))
    targets = {
        "read": (5, _read(lambda: read_association(path))),
        "check": (3, _run("check", path)),
        "associate": (2, _run("associate", path, "-o", arena.output / "a_asn.json")),
        "plan": (2, _run("plan", path, "-o", arena.output)),
        "align": (0.2, _run("align", path, "-o", arena.output, "--no-report")),
        "pipeline": (0.1, _pipeline(arena, path)),
    }
    target, work = _chosen(rng, targets)
    return Case("association", target, "", work)


def _settings(rng: Rng, arena: Arena) -> Case:
    """Give a grism configuration, a file of services, one of parameters, or an entry of the cache."""
    from grism_align.io.catalogs.services import find_service, load_services
    from grism_align.io.catalogs.services.cache import Cache
    from grism_align.io.grism_configs import read_trace_configs
    from grism_align.values.region import Cone
    from grism_align.values.settings import ServiceSettings

    good = {
        "configuration": b"GFILTER G141\nBEAMA 15 196\nDYDX_A_0 1.9 0.0\nDYDX_A_1 0.01\nXOFF_A 0\nYOFF_A 0\n",
        "services": b'[X.columns]\nra = "ra"\ndec = "dec"\n[[X.mirrors]]\nurl = "http://a.b/"\ntable = "t"\n',
        "cache": gzip.compress(arena.product("in_refcat.ecsv")),
        "toml": b'nproc = 1\n[relative_align]\nsearch_radius = 20.0\nreference = "idem01"\n',
        "cfg": b'name = "x"\nclass = "grism_align.steps.pipeline.GrismAlignPipeline"\n'
        b"[steps]\n[[relative_align]]\nsearch_radius = 20.0\n",
    }
    kind = list(good)[int(rng.integers(len(good)))]
    damaged = good[kind]
    content = hostile.bytes_of(rng, damaged) if rng.random() < 0.9 else hostile.gzip_of_zeros(rng, damaged)
    path = arena.spoilt("x.toml" if kind == "toml" else "x.file", content)
    if kind in {"toml", "cfg"}:
        return Case("settings", kind, path.name, _run("plan", arena.inputs, "--parameters", path))
    if kind == "configuration":
        return Case("settings", kind, path.name, _read(lambda: read_trace_configs([str(path)])))
    if kind == "services":
        settings = ServiceSettings(services=str(path))
        return Case("settings", kind, path.name, _read(lambda: load_services(settings)))

    def look() -> None:
        service, cone = find_service("GAIADR3", ServiceSettings()), Cone(150.0, 2.0, 0.1)
        assert service is not None
        cache = Cache(service, ServiceSettings())
        cache.folder.mkdir(parents=True)
        cache.path(cone).write_bytes(content)
        cache.find(cone)

    return Case("settings", kind, "", _read(look))


def _jwst(rng: Rng, arena: Arena) -> Case:
    from grism_align.io.missions import check_undo, read_exposure, read_instrument, read_pixels

    paths = sorted((arena.good / "jwst").glob("*.fits"))
    good = paths[int(rng.integers(len(paths)))]
    content = good.read_bytes()
    if rng.random() < 0.4:
        content = hostile.fits_file(rng, content)
    else:
        content = hostile.asdf_in_fits(rng, content, arena.victim)
    path = arena.spoilt(good.name, content)
    table = arena.spoilt("t.csv", b"visit,dra,ddec\njw09900001001,0.1,0.1\n")
    targets = {
        "read": (6, _read(lambda: list(read_pixels(read_exposure(path))))),
        "instrument": (1, _read(lambda: read_instrument(path))),
        "check": (2, _run("check", path)),
        "undo": (2, _read(lambda: check_undo(path))),
        "plan": (1, _run("plan", path)),
        "shift": (1, _run("shift", table, path, "--output_dir", arena.output)),
    }
    target, work = _chosen(rng, targets)
    return Case("jwst", target, "jw0990", work)


#: What makes an input of each kind; exposures and records, of which most is read, come twice.
KINDS: dict[str, Callable[[Rng, Arena], Case]] = {
    "exposure": _exposure,
    "record": _record,
    "table": _table,
    "association": _association,
    "exposures": _exposure,
    "votable": _votable,
    "records": _record,
    "service": _service,
    "settings": _settings,
}
if importlib.util.find_spec("jwst"):
    KINDS["jwst"] = _jwst
