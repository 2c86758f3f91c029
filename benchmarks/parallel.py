"""What a second process gains: the pipeline with nproc=1 and with more, by turns, and whether they agree.

With --dask a scheduler of dask and as many workers, each a process, take turns too; with --kill one of them
is killed in the middle of its turn. With --warm these have started and imported all before, as those of a
cluster that is there anyway, and that is not counted.

    python benchmarks/parallel.py                          # 4 direct, 4 grism exposures of ACS/WFC
    python benchmarks/parallel.py --folder RAW --repeat 5  # exposures of your own
    python benchmarks/parallel.py --nproc 4 --mosaics --traces
    python benchmarks/parallel.py --dask --kill

Each run is a process of its own, as under strun, and writes to a new folder; the inputs are read once before.
The table has the least of `--repeat` turns, and the memory of the largest process. *Efficiency* is the wall
time of one process over that of all, times their number; start and fits, which are not shared out, included.
It says nothing where others use the machine. *Shared* is, for one process, the CPU time of the work that
others would share; for several, what handing it out takes in the first. *Workers* is the CPU time of all
other processes, with their start and dask's scheduler. *Bound* is the efficiency of the shared work by these:
what it takes alone over that of the workers and, as often as there are of them, of handing it out.

A run whose files differ from the first's by more than times, and checksums of what has them, ends it all.
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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import asdf
import numpy as np
from asdf.tags.core import NDArrayType
from asdf.treeutil import walk
from astropy.io import fits
from distributed import Client
from psutil import Process
from stpipe import Step

from grism_align.simulation import case_a, simulate
from grism_align.workflows.executors import FuturesExecutor, SerialExecutor
from grism_align.workflows.workers import _warm_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_TIMES = re.compile(
    rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00| UTC)?"  # of a run
    rb"|[0-9a-f]{64}"  # checksums of files that have them
)
_ONE_RUN = "--one-run"


@dataclass(frozen=True)
class Turn:
    """One run: wall time, CPU time of all, of shared work and of workers, s; memory of the largest, MB."""

    wall: float
    cpu: float
    shared: float
    workers: float
    memory: float


def one_run(arguments: list[str]) -> None:
    """Run the pipeline as strun does, and print the CPU time of what is shared out, and of this process."""
    spent = 0.0

    def timed(original: Callable[..., Iterator[object]]) -> Callable[..., Iterator[object]]:
        def work(*args: Any) -> Iterator[object]:
            nonlocal spent
            results = original(*args)
            while True:
                began = time.process_time()
                try:
                    found = next(results)
                except StopIteration:
                    return
                finally:
                    spent += time.process_time() - began
                yield found

        return work

    for executor in (SerialExecutor, FuturesExecutor):
        executor.map = timed(executor.map)  # type: ignore[attr-defined]
    sys.argv[0] = "strun"
    Step.from_cmdline(arguments)
    print(f"\n{spent} {time.process_time()}")


def run(source: Path, out: Path, options: list[str], around: AbstractContextManager[float]) -> Turn:
    """Run the pipeline in a process of its own, while something else is there, whose start took so many s."""
    command = ["grism_align_pipeline", str(source), f"--output_dir={out}", "--resume=false", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with around as started:
        began = time.perf_counter()
        python = [sys.executable, __file__, _ONE_RUN]
        done = subprocess.run([*python, *command], capture_output=True, env=environment, check=False)
        wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - started
    shared, first = map(float, done.stdout.split()[-2:])
    return Turn(wall, cpu, shared, cpu - first, after.ru_maxrss / 1024)


@contextmanager
def dask_cluster(n: int, file: Path, kill_after: float | None, *, is_warm: bool) -> Iterator[float]:
    """Have a scheduler and workers, processes with one thread; one worker is killed after some seconds.

    Yields the CPU time of their start, s, where that is not to be counted.
    """
    python, environment = [sys.executable, "-m"], {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "env": environment,
        "cwd": file.parent,
    }
    where = ["--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen([*python, "distributed.cli.dask_scheduler", *where, "--port", "0"], **quiet)
    worker = [*python, "distributed.cli.dask_worker", *where, "--nthreads", "1", "--no-nanny"]
    workers = [subprocess.Popen(worker, **quiet) for _ in range(n)]
    try:
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(n)
            if is_warm:
                client.run(_warm_up)
        started = sum(sum(Process(one.pid).cpu_times()[:2]) for one in (*workers, scheduler))
        if kill_after is not None:
            timer = Timer(kill_after, workers[0].kill)
            timer.daemon = True
            timer.start()
        yield started if is_warm else 0.0
    finally:
        for one in (*workers, scheduler):
            one.kill()
            one.wait()
        file.unlink()


def contents(folder: Path) -> dict[str, list[str]]:
    """What the files of a folder hold besides times, by name: of each part its sum."""
    home = str(folder).encode()
    return {
        path.name: [hashlib.sha256(part).hexdigest() for part in parts(path, home)]
        for path in sorted(folder.iterdir())
    }


def parts(path: Path, home: bytes) -> Iterator[bytes]:
    """Headers of FITS files without times, and data as they are; other files without times.

    Arrays of records are unpacked first: packed, two that differ by times alone are unlike.
    """
    whole = path.read_bytes()
    if path.suffix == ".asdf":
        whole = whole.partition(b"\n...")[0] + b"".join(arrays(path))
    if path.suffix != ".fits":
        yield _TIMES.sub(b"", whole).replace(home, b"")
        return
    with fits.open(path) as hdus:
        for info in (hdu.fileinfo() for hdu in hdus):
            yield _TIMES.sub(b"", whole[info["hdrLoc"] : info["datLoc"]])
            yield whole[info["datLoc"] : info["datLoc"] + info["datSpan"]]


def arrays(path: Path) -> list[bytes]:
    """Return what the arrays of an ASDF file hold."""
    found: list[bytes] = []

    def gather(node: object) -> None:
        if isinstance(node, NDArrayType):
            found.append(np.asarray(node).tobytes())

    with asdf.open(path) as file:
        walk(file.tree, gather)
    return found


def turn_of(
    way: str, source: Path, out: Path, extra: list[str], options: argparse.Namespace, single: list[Turn]
) -> Turn:
    """Run once: in so many processes, or with workers of dask."""
    if way != "dask":
        return run(source, out, [f"--nproc={way}", *extra], nullcontext(0.0))
    after = 0.4 * min(turn.wall for turn in single) if options.kill else None
    file = out.parent / "scheduler.json"
    cluster = dask_cluster(options.nproc, file, after, is_warm=options.warm)
    return run(source, out, ["--executor=dask", f"--dask_address={file}", *extra], cluster)


def main() -> None:
    """Run and print the table."""
    if sys.argv[1:2] == [_ONE_RUN]:
        one_run(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="exposures, or an association (simulated by default)")
    parser.add_argument("--nproc", type=int, default=2, help="processes (2)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each (3)")
    parser.add_argument("--mosaics", action="store_true", help="make mosaics too")
    parser.add_argument("--traces", action="store_true", help="verify spectra too")
    parser.add_argument("--dask", action="store_true", help="workers of dask, too")
    parser.add_argument("--warm", action="store_true", help="that have imported all before, uncounted")
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
    print("| processes | wall [s] | efficiency | CPU [s] | shared [s] | workers [s] | bound | memory [MB] |")
    print("|---|---|---|---|---|---|---|---|")
    for way, found in turns.items():
        n = 1 if way == "1" else options.nproc
        wall, cpu, shared, workers = (
            min(getattr(turn, name) for turn in found) for name in ("wall", "cpu", "shared", "workers")
        )
        if way == "1":
            alone, wall_alone, workers = shared, wall, 0.0
        print(
            f"| {way} | {wall:.1f} | {wall_alone / wall / n:.2f} | {cpu:.1f} | {shared:.1f} | {workers:.1f} "
            f"| {alone / (n * shared + workers):.2f} | {max(turn.memory for turn in found):.0f} |"
        )
    print(f"{len(first or {})} files, the same in all runs")


if __name__ == "__main__":
    main()
