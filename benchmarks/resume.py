"""Runs that go on: kill -9 at random moments and run again, and a visit more in a finished field.

    python benchmarks/resume.py                       # 20 kills of a run of 40 exposures, and the visit
    python benchmarks/resume.py --spectra --kills 6   # with spectra, which take most of the time
    python benchmarks/resume.py --only visit --size 1014

Exposures of Case A are simulated. Each run is one process that is forked when all has been imported, with a
cache of its own. All times are CPU time, so that others may use the machine too. The first run is left in
peace: it tells the time of each measurement, in order. Then runs are killed when they have used a random part
of its time, and started again with the same cache; they must write what a run with an empty cache writes, bit
for bit but for times and for how much was taken over. *Cost* is the time of the second run in units of what
was missing: that of the run in peace less that of what the killed one had kept. *Lost* is the time of both
beyond that of the run in peace, which is its unit.

For the visit, ten visits are run, and the same ten with one more into the same folder. CPU times are those of
that run, of the new visit alone and of all eleven from the beginning.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import os
import re
import resource
import shutil
import signal
import tempfile
import time
import warnings
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from parallel import parts

from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.workflows.keeping import Measurement

_PRODUCT = "raw"
# How much was taken over, in the record and on the page.
_TAKEN_OVER = re.compile(
    rb"n_kept: \d+|<p>\d+ measurements? (?:are those|is that) of an earlier run.*?</p>\n"
)


@dataclass(frozen=True)
class Job:
    """One run: exposures, where results go, the cache, and whether spectra are measured."""

    raw: Path
    out: Path
    cache: Path
    spectra: bool

    def cost(self, times: Path | None = None) -> float:
        """Run it to its end; its CPU time, s. The time of each measurement goes to a file."""
        code, spent = self._run(times)
        if code:
            msg = f"a run that was not killed ended with {code}"
            raise SystemExit(msg)
        return spent

    def killed(self, after: float) -> float | None:
        """Kill it when it has used so much CPU time, s; what it used, or None where it had ended by then."""
        code, spent = self._run(after=after)
        return spent if code == -signal.SIGPROF else None

    def _run(self, times: Path | None = None, after: float = 0.0) -> tuple[int, float]:
        before = _cpu_of_children()
        process = get_context("fork").Process(target=_work, args=(self, times, after))
        process.start()
        process.join()
        return process.exitcode or 0, _cpu_of_children() - before

    def contents(self) -> dict[str, list[str]]:
        """What was written, besides times and how much was taken over: sums of the parts of each file."""
        home = str(self.out).encode()
        return {
            path.name: [hashlib.sha256(_TAKEN_OVER.sub(b"", part)).hexdigest() for part in parts(path, home)]
            for path in sorted(self.out.iterdir())
        }

    def kept(self) -> int:
        """How many measurements the cache has."""
        return len(list(self.cache.rglob("*.kept")))


def _work(job: Job, times: Path | None = None, after: float = 0.0) -> None:
    # as kill -9 does, this signal ends a process without a word
    signal.setitimer(signal.ITIMER_PROF, after)
    os.environ["GRISM_ALIGN_CACHE"] = str(job.cache)
    if times is not None:
        _tell_times(times)
    # as a program does: what was imported is no garbage
    gc.freeze()
    steps = {
        "visit_mosaic": {"skip": True},
        "grism_wcs_propagate": {"spectra": "auto" if job.spectra else "off"},
    }
    GrismAlignPipeline.call(str(job.raw), output_dir=str(job.out), nproc=1, configure_log=False, steps=steps)


def _tell_times(path: Path) -> None:
    """Have each measurement add its CPU time to a file."""
    original = Measurement.__call__

    def timed(self: Measurement[Any, Any], item: Any) -> Any:
        began = time.process_time()
        found = original(self, item)
        with path.open("a") as stream:
            stream.write(json.dumps(time.process_time() - began) + "\n")
        return found

    Measurement.__call__ = timed  # type: ignore[method-assign]


def _cpu_of_children() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def kills(base: Path, raw: Path, count: int, rng: np.random.Generator, *, spectra: bool) -> None:
    """Kill runs, run them again, and print what became of them."""
    out, cache, times = base / "out", base / "cache", base / "times"
    job = Job(raw, out, cache, spectra)
    fresh = job.cost(times)
    steps = [float(line) for line in times.read_text().splitlines()]
    expected = job.contents()
    shutil.rmtree(out)
    all_kept = job.cost()
    if job.contents() != expected:
        msg = "a run that took everything over wrote other files"
        raise SystemExit(msg)
    print(
        f"{len(steps)} measurements take {sum(steps):.1f} of {fresh:.1f} s; with all of them kept a run "
        f"takes {all_kept:.1f} s: {all_kept / (fresh - sum(steps)):.2f} of the rest"
    )
    costs, lost, had, same = [], [], [], 0
    while len(had) < count:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(cache)
        spent = job.killed(rng.uniform(0.0, fresh))
        if spent is None:
            continue
        had.append(job.kept())
        second = job.cost()
        costs.append(second / (fresh - sum(steps[: had[-1]])))
        lost.append((spent + second) / fresh - 1.0)
        same += job.contents() == expected
    print("| kills | kept at the kill | same outputs | cost of the second run | lost, of a run |")
    print("|---|---|---|---|---|")
    print(f"| {count} | {np.median(had):.0f} of {len(steps)} ({min(had)}-{max(had)}) | {same} "
          f"| {np.median(costs):.2f} ({max(costs):.2f}) | {np.median(lost):.2f} ({max(lost):.2f}) |",
          flush=True)  # fmt: skip


def one_more(base: Path, whole: Path, *, spectra: bool) -> None:
    """Add the last visit to a finished field, and print what that costs."""
    paths = sorted(whole.iterdir())
    last = paths[-1].name[:6]
    ten, alone = base / "ten" / _PRODUCT, base / "alone" / _PRODUCT
    for folder, is_last in ((ten, False), (alone, True)):
        folder.mkdir(parents=True)
        for path in paths:
            if path.name.startswith(last) == is_last:
                (folder / path.name).symlink_to(path)
    cache, out = base / "cache", base / "out"
    first = Job(ten, out, cache, spectra).cost()
    job = Job(whole, out, cache, spectra)
    added = job.cost()
    record = read_record(out / f"{_PRODUCT}_provenance.asdf")
    by_itself = Job(alone, base / "one", base / "other", spectra).cost()
    anew = Job(whole, base / "anew", base / "another", spectra).cost()
    print(record.moved)
    print({one.step: one.n_kept for one in record.activities if one.n_kept})
    print(
        "| ten visits, s | one added, s | that visit alone, s | ratio | all from the beginning, s | ratio |"
    )
    print("|---|---|---|---|---|---|")
    print(
        f"| {first:.1f} | {added:.1f} | {by_itself:.1f} | {added / by_itself:.2f} | {anew:.1f} "
        f"| {added / anew:.2f} |"
    )


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="runs that are killed (20)")
    parser.add_argument("--size", type=int, default=256, help="side of the exposures, pixels (256)")
    parser.add_argument("--pairs", type=int, default=10, help="of exposures, in each of two visits (10)")
    parser.add_argument("--pairs-added", type=int, default=2, help="the same of the eleven visits (2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spectra", action="store_true", help="measure spectra too")
    parser.add_argument("--only", choices=("kills", "visit"), help="one of the two")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    logging.getLogger("grism_align").addHandler(logging.NullHandler())
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        _warm_up(base / "warm", spectra=options.spectra)
        if options.only != "visit":
            raw = base / "kills" / _PRODUCT
            simulate(case_a("wfc3_ir", options.size, n_pairs=options.pairs, n_visits=2), raw, rng)
            kills(base / "kills", raw, options.kills, rng, spectra=options.spectra)
        if options.only != "kills":
            raw = base / "visit" / _PRODUCT
            simulate(case_a("wfc3_ir", options.size, n_pairs=options.pairs_added, n_visits=11), raw, rng)
            one_more(base / "visit", raw, spectra=options.spectra)


def _warm_up(base: Path, *, spectra: bool) -> None:
    """Have this process know all that its children are to import."""
    raw = base / _PRODUCT
    simulate(case_a("wfc3_ir", 128, n_pairs=2, n_visits=1), raw, np.random.default_rng(1))
    _work(Job(raw, base / "out", base / "cache", spectra))


if __name__ == "__main__":
    main()
