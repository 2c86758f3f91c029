"""What a second process gains: the pipeline with nproc=1 and with more, by turns, and whether they agree.

With --dask a scheduler of dask and as many workers, each a process, take turns too; with --kill one of them
is killed in the middle of its turn. Efficiency is the wall time of one process over that of all, times their
number; start and fits, which are not shared out, included.

    python benchmarks/parallel.py                          # 4 direct, 4 grism exposures of ACS/WFC
    python benchmarks/parallel.py --folder RAW --repeat 5  # exposures of your own
    python benchmarks/parallel.py --nproc 4 --mosaics --traces
    python benchmarks/parallel.py --dask --kill

Each run is a process of its own, as under strun, and writes to a new folder; the inputs are read once before.
The table has the least wall time of `--repeat` turns, its ratio, the CPU time of all processes, and the
memory of the largest. A run whose files differ from the first's by more than times (and what depends on
them, checksums) ends the benchmark.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from distributed import Client

from grism_align.simulation import case_a, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00| UTC)?"  # of a run
    rb"|[0-9a-f]{64}"  # checksums of files that have them
)
_RUN = "import sys; from stpipe import Step; Step.from_cmdline(sys.argv[1:])"


@dataclass(frozen=True)
class Turn:
    """One run: wall time and CPU time of all its processes, s, and memory of the largest, MB."""

    wall: float
    cpu: float
    memory: float


def run(source: Path, out: Path, options: list[str]) -> Turn:
    """Run the pipeline in a process of its own."""
    command = ["grism_align_pipeline", str(source), f"--output_dir={out}", "--resume=false", *options]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-c", _RUN]
    done = subprocess.run([*python, *command], capture_output=True, env=environment, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(wall, cpu, after.ru_maxrss / 1024)


@contextmanager
def dask_cluster(n: int, home: Path) -> Iterator[Cluster]:
    """A scheduler and workers, each a process with one thread that does not start again."""
    file = home / "scheduler.json"
    python, environment = [sys.executable, "-m"], {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "cwd": home}
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen([*python, "distributed.cli.dask_scheduler", *where, "--port", "0"], **quiet)
    worker = [*python, "distributed.cli.dask_worker", *where, "--nthreads", "1", "--no-nanny"]
    cluster = Cluster(file, [subprocess.Popen(worker, **quiet) for _ in range(n)])
    try:
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(n)
        yield cluster
    finally:
        for one in (*cluster.workers, scheduler):
            one.kill()
            one.wait()


@dataclass(frozen=True)
class Cluster:
    """A scheduler's file, and the processes of its workers."""

    file: Path
    workers: list[subprocess.Popen[bytes]]

    def kill_one_after(self, seconds: float) -> None:
        """Kill a worker in the middle of a run."""
        timer = Timer(seconds, self.workers[0].kill)
        timer.daemon = True
        timer.start()


def contents(folder: Path) -> dict[str, list[str]]:
    """What the files of a folder hold besides times, by name: of each part its sum."""
    home = str(folder).encode()
    return {
        path.name: [hashlib.sha256(part).hexdigest() for part in parts(path, home)]
        for path in sorted(folder.iterdir())
    }


def parts(path: Path, home: bytes) -> Iterator[bytes]:
    """Headers of FITS files without times, and data as they are; other files without times."""
    whole = path.read_bytes()
    if path.suffix != ".fits":
        yield _TIMES.sub(b"", whole).replace(home, b"")
        return
    with fits.open(path) as hdus:
        for info in (hdu.fileinfo() for hdu in hdus):
            yield _TIMES.sub(b"", whole[info["hdrLoc"] : info["datLoc"]])
            yield whole[info["datLoc"] : info["datLoc"] + info["datSpan"]]


def turn_of(
    way: str, source: Path, out: Path, extra: list[str], options: argparse.Namespace, single: list[Turn]
) -> Turn:
    """Run once: in so many processes, or with workers of dask."""
    if way != "dask":
        return run(source, out, [f"--nproc={way}", *extra])
    with dask_cluster(options.nproc, out.parent) as cluster:
        if options.kill:
            cluster.kill_one_after(0.4 * min(turn.wall for turn in single))
        return run(source, out, ["--executor=dask", f"--dask_address={cluster.file}", *extra])


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="exposures, or an association (simulated by default)")
    parser.add_argument("--nproc", type=int, default=2, help="processes (2)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each (3)")
    parser.add_argument("--mosaics", action="store_true", help="make mosaics too")
    parser.add_argument("--traces", action="store_true", help="verify spectra too")
    parser.add_argument("--dask", action="store_true", help="workers of dask, too")
    parser.add_argument("--kill", action="store_true", help="kill one of them in the middle")
    parser.add_argument("--size", type=int, help="side of simulated exposures, pixels (all of the detector)")
    parser.add_argument("--instrument", default="acs_wfc", help="of simulated exposures (acs_wfc)")
    parser.add_argument("--pairs", type=int, default=2, help="direct and grism exposures of each visit (2)")
    options = parser.parse_args()
    extra = ["--steps.visit_mosaic.skip=true"] * (not options.mosaics)
    extra += ["--steps.grism_wcs_propagate.spectra=off"] * (not options.traces)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        source = options.folder
        if source is None:
            source = base / "raw"
            made = case_a(options.instrument, options.size, n_pairs=options.pairs, n_visits=2)
            simulate(made, source, np.random.default_rng(1))
        for path in source.glob("*.fits") if source.is_dir() else ():
            path.read_bytes()
        ways = ["1", str(options.nproc), *(["dask"] if options.dask else [])]
        turns: dict[str, list[Turn]] = {way: [] for way in ways}
        first = None
        for _ in range(options.repeat):
            for way, found in turns.items():
                out = base / "out"
                found.append(turn_of(way, source.resolve(), out, extra, options, turns["1"]))
                written = contents(out)
                if first is not None and written != first:
                    differ = [one for one in first if written.get(one) != first[one]]
                    msg = f"{way} wrote other files: {differ}"
                    raise SystemExit(msg)
                first = written
                shutil.rmtree(out)
    single = min(turn.wall for turn in turns["1"])
    print("| processes | wall [s] | of one | efficiency | CPU [s] | memory of the largest [MB] |")
    print("|---|---|---|---|---|---|")
    for way, found in turns.items():
        wall = min(turn.wall for turn in found)
        cpu, memory = min(turn.cpu for turn in found), max(turn.memory for turn in found)
        n = 1 if way == "1" else options.nproc
        share = f"{wall / single:.2f} | {single / wall / n:.2f}"
        print(f"| {way} | {wall:.1f} | {share} | {cpu:.1f} | {memory:.0f} |")
    print(f"{len(first or {})} files, the same in all runs")


if __name__ == "__main__":
    main()
