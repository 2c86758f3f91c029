"""What a run leaves behind at size: seconds, memory and megabytes of record, report, tables and association.

    python benchmarks/products.py                              # 100, 1000 and 10 000 exposures
    python benchmarks/products.py --exposures 1000 --profile   # one size, and where the time goes
    python benchmarks/products.py --field demo/aligned         # exposures after those of a run of your own

The demo is simulated and aligned, and its record made larger: copies of its exposures, direct ones with some
200 sources each and grism ones, are laid out as the visits of a survey, under names of their own. Of them
one in fifty failed, one in thirty has only its prior, and one in forty has remarks. The exposures of the demo
itself stay among them, so that corrections can be taken off and put on through the record.

Each row is a process of its own, with its own peak memory (Python and packages included): the products as a
run makes them of values in memory, and then commands on the files. A browser shows the report, if there is
one: *first paint* is what it states itself (first contentful paint), from the file.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.associations import association_text
from grism_align.io.files.tables import write_table
from grism_align.io.missions import file_source
from grism_align.io.record.file import read_record, write_record
from grism_align.io.report import report_html
from grism_align.values.exposure import Chip
from grism_align.values.failure import SpectraOff, TooFewMatches
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.tables import TABLES, results_table
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.associate import build_association
from grism_align.workflows.load import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from grism_align.values.exposure import Exposure
    from grism_align.values.record import ExposureRecord, Record

# Distance of visits, deg; days between them.
_STEP, _DAYS = 0.03, 0.5
# The command, in the Python that runs this.
_PROGRAM = ("-c", "import sys; from grism_align.cli import main; sys.exit(main())")
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PAINT = (
    "<script>addEventListener('load',()=>setTimeout(()=>{document.title='PAINT '+JSON.stringify({"
    "paint:performance.getEntriesByName('first-contentful-paint')[0]?.startTime,"
    "loaded:performance.getEntriesByType('navigation')[0].loadEventEnd,"
    "rows:document.querySelectorAll('#exposures tbody tr').length})},300))</script>"
)


class _Tan:
    """Square pixels about a point of the sky."""

    def __init__(self, plane: TangentPlane) -> None:
        self.plane = plane

    def to_sky(self, xy: Any) -> Any:
        return self.plane.to_sky((np.asarray(xy) - 507.0) * 0.128)

    def to_pixel(self, sky: Any) -> Any:
        return self.plane.to_plane(sky) / 0.128 + 507.0

    def footprint(self) -> Any:
        return self.to_sky([[-0.5, -0.5], [1013.5, -0.5], [1013.5, 1013.5], [-0.5, 1013.5]])


def enlarged(record: Record, n: int) -> Record:
    """A record with copies of its exposures, of their sources and of the catalog, up to a number."""
    base = list(record.exposures.items())
    visits = list(dict.fromkeys(one.visit for _, one in base))
    n_sources = len(record.sources)
    exposures, sources = dict(base), list(record.sources)
    positions = dict(record.reference_catalog.exposures) if record.reference_catalog else {}
    copy = 0
    while len(exposures) < n:
        copy += 1
        side = int(np.ceil(np.sqrt(n / len(base))))
        offset = np.array([copy % side, copy // side]) * _STEP
        sources += [
            replace(one, number=one.number + copy * n_sources, ra=one.ra + offset[0], dec=one.dec + offset[1])
            for one in record.sources
        ]
        for key, one in base[: n - len(exposures)]:
            name = f"i{copy:04x}{key[5:]}"
            moved = _copied(one, copy, offset, n_sources, visits.index(one.visit))
            exposures[name] = _spoilt(moved, len(exposures))
            if key in positions:
                seen = positions[key]
                positions[name] = replace(seen, reference_position=seen.reference_position + offset)
    catalog = record.reference_catalog and replace(record.reference_catalog, exposures=positions)
    return replace(record, exposures=exposures, sources=tuple(sources), reference_catalog=catalog)


def _copied(one: ExposureRecord, copy: int, offset: np.ndarray, n_sources: int, visit: int) -> ExposureRecord:
    chips = tuple(replace(chip, sky=chip.sky + offset) for chip in one.input_wcs.chips)
    plane = TangentPlane(one.plane.ra + offset[0], one.plane.dec + offset[1])
    name = f"i{copy:04x}{visit}"
    detections = one.detections and replace(
        one.detections,
        source=one.detections.source + copy * n_sources,
        ra=one.detections.ra + offset[0],
        dec=one.detections.dec + offset[1],
    )
    return replace(
        one,
        visit=name,
        group=f"{name}:{one.group}",
        pointing=f"{name}{one.pointing}",
        plane=plane,
        input_wcs=replace(one.input_wcs, chips=chips),
        start=one.start + copy * _DAYS,
        end=one.end + copy * _DAYS,
        relative=_moved(one.relative, plane, copy * n_sources, is_relative=True),
        absolute=_moved(one.absolute, plane, copy * n_sources, is_relative=False),
        grism=_moved(one.grism, plane, copy * n_sources, is_relative=True, visit=f"i{copy:04x}"),
        input=replace(one.input, path=one.input.path.replace("idem", f"i{copy:04x}")),
        output=one.output and replace(one.output, path=one.output.path.replace("idem", f"i{copy:04x}")),
        detections=detections,
    )


def _moved(
    fit: ExposureFit | None, plane: TangentPlane, number: int, *, is_relative: bool, visit: str = ""
) -> ExposureFit | None:
    """A fit elsewhere on the sky: the same shift and roll about there, of sources with other numbers."""
    if fit is None or fit.transform is None:
        return fit
    own = fit.transform
    center = own.plane.to_plane([plane.ra, plane.dec])
    there = LinearTransform.from_parameters(own.plane, 0.2 * own.shift, 0.2 * own.roll, center=center)
    found = fit.residuals
    if found is not None and is_relative:
        found = replace(found, matched=found.matched + number)
    elif found is not None:
        found = replace(found, source=found.source + number)
    governed = fit.governed and replace(
        fit.governed, exposures=tuple(visit + one[5:] for one in fit.governed.exposures)
    )
    transform = replace(there, covariance=own.covariance)
    return replace(fit, transform=transform, residuals=found, governed=governed)


def _spoilt(one: ExposureRecord, number: int) -> ExposureRecord:
    step = "relative" if one.is_direct else "grism"
    fit: ExposureFit = getattr(one, step)
    if number % 50 == 13:
        failed = ExposureFit.failed(TooFewMatches(number % 9, 10), reference=fit.reference)
        return replace(one, **{step: failed}, absolute=None)
    if number % 30 == 7:
        return replace(
            one, **{step: replace(fit, status=FitStatus.PRIOR_ONLY, remarks=(TooFewMatches(3, 10),))}
        )
    if number % 40 == 11 and not one.is_direct:
        return replace(one, **{step: fit.noted(SpectraOff(0.3 + number / 1e5, 0.05, "", 9))})
    return one


def _exposures(record: Record, field: Path) -> list[Exposure]:
    """Exposures as a run of that record has them in memory."""
    models = {one.key: one for one in load([str(field)], with_results=False).exposures}
    any_direct, any_grism = (
        next(one for one in models.values() if one.is_direct is is_direct) for is_direct in (True, False)
    )
    found = []
    for key, entry in record.exposures.items():
        model = any_direct if entry.is_direct else any_grism
        chip = Chip(1, entry.input_wcs.chips[0].shape, _Tan(entry.plane))
        governors = entry.grism.governors if entry.grism else ()
        known = {name: getattr(entry, name) for name in ("visit", "group", "pointing", "start", "end")}
        source = file_source(Path(entry.output.path if entry.output else entry.input.path))
        found.append(replace(model, key=key, source=source, chips=(chip,), governors=governors, **known))
    return found


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    what: str
    n: int
    field: Path
    folder: Path
    profiled: int


def _measured(job: Job, run: Callable[[], Any], path: Path | None = None) -> str:
    profile = cProfile.Profile(time.process_time)
    # what was there before the work: values of the run in memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, busy = time.perf_counter(), time.process_time()
    if job.profiled:
        profile.runcall(run)
    else:
        run()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if job.profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(job.profiled)
        pstats.Stats(profile).sort_stats("tottime").print_stats(job.profiled)
    size = "" if path is None else f"{path.stat().st_size / 1e6:.2f}"
    return f"| {job.what} | {job.n} | {seconds:.1f} | {busy:.1f} | {before:.0f} | {peak:.0f} | {size} |"


def _make(job: Job) -> str:
    """Make a product of values in memory, as a run does."""
    original = next(job.field.glob("*_provenance.asdf"))
    record = enlarged(read_record(original), job.n)
    target = job.folder / f"{job.what}-{job.n}"
    if job.what == "record":
        return _measured(job, lambda: write_record(target, record), target)
    if job.what == "report":
        page = target.with_suffix(".html")
        return _measured(job, lambda: page.write_text(report_html(record), encoding="utf-8"), page)
    if job.what in TABLES:
        path = target.with_suffix(".ecsv")
        return _measured(
            job, lambda: write_table(results_table(job.what, record.exposures, record.product), path), path
        )
    exposures = _exposures(record, job.field)

    def associate() -> None:
        made = build_association(exposures, "big")
        target.write_text(association_text(made, target), encoding="utf-8")

    return _measured(job, associate, target)


def _read(job: Job) -> str:
    """Read the record, or one exposure of it."""
    path = job.folder / f"record-{job.n}"
    first = next(job.field.glob("*_flt.fits")).name.partition("_")[0]
    if job.what == "open":
        return _measured(job, lambda: read_record(path).exposures[first])
    return _measured(job, lambda: results_table("fits", read_record(path).exposures))


def _command(job: Job) -> str:
    """Run a command on the record."""
    path, out = job.folder / f"record-{job.n}", job.folder / f"{job.what.split()[-1]}-{job.n}"
    file = next(job.field.glob("*_flt.fits"))
    shutil.rmtree(out, ignore_errors=True)
    before = job.folder / "before"
    words = {
        "grism-align table": ["table", str(path), "-o", f"{out}.ecsv"],
        "grism-align report": ["report", str(path), "-o", f"{out}.html"],
        "grism-align undo": ["undo", str(file), "--output_dir", str(before)],
        "grism-align apply": [
            "apply", str(path), str(before / file.name), "--output_dir", str(out),
        ],
    }[job.what]  # fmt: skip
    if job.what.endswith("undo"):
        shutil.rmtree(before, ignore_errors=True)
    return _child(job, [*_PROGRAM, *words])


def _child(job: Job, words: list[str]) -> str:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    note = "" if done.returncode == 0 else f" {done.stderr.strip()[-200:]}"
    return (
        f"| {job.what}{note} | {job.n} | {seconds:.1f} | {used.ru_utime + used.ru_stime:.1f} | | "
        f"{used.ru_maxrss / 1024:.0f} | |"
    )


def _paint(job: Job) -> str:
    """Show the report in a browser."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        return f"| {job.what}: no browser | {job.n} | | | | | |"
    page = (job.folder / f"report-{job.n}.html").read_text(encoding="utf-8")
    shown = job.folder.resolve() / f"shown-{job.n}.html"
    shown.write_text(page.replace("</body>", f"{_PAINT}</body>"), encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900",
            "--disable-background-networking", "--virtual-time-budget=20000",
            f"--user-data-dir={home}", "--dump-dom", shown.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    found = re.search(r"<title>PAINT (.*?)</title>", done.stdout)
    told = json.loads(found[1].replace("&quot;", '"')) if found else {}
    text = ", ".join(f"{name} {value:.0f}" for name, value in told.items() if value is not None)
    return f"| browser: {text} (ms) | {job.n} | {told.get('paint', 0) / 1e3:.2f} | | | | |"


def _row(job: Job) -> str:
    if job.what.startswith("grism-align"):
        return _command(job)
    return {"browser": _paint, "open": _read, "read fits": _read}.get(job.what, _make)(job)


_ROWS = (
    *("record", "report", "fits", "matches", "association", "open", "read fits"),
    *("grism-align table", "grism-align report", "grism-align undo", "grism-align apply", "browser"),
)


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exposures", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--field", type=Path, help="folder of a finished run (default: the demo's)")
    parser.add_argument("--only", nargs="+", choices=_ROWS, metavar="ROW", help=", ".join(_ROWS))
    parser.add_argument("--folder", type=Path, help="where products go (default: a temporary one)")
    parser.add_argument("--profile", type=int, nargs="?", const=25, default=0, help="lines of a profile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, field = options.folder or Path(temporary), options.field
        folder.mkdir(exist_ok=True)
        if field is None:
            words = [*_PROGRAM, "demo", "--output_dir", str(folder / "demo"), "-q"]
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            field = folder / "demo" / "aligned"
        print("| what | exposures | s | CPU s | MB before | peak MB | MB on disk |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for n in options.exposures:
            for what in options.only or _ROWS:
                job = Job(what, n, field, folder, options.profile)
                with ProcessPoolExecutor(1, get_context("spawn")) as process:
                    print(process.submit(_row, job).result(), flush=True)


if __name__ == "__main__":
    main()
