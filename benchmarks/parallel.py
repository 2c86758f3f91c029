"""What a second process gains: the pipeline with nproc=1 and with more, by turns, and whether they agree.

    python benchmarks/parallel.py                          # 4 direct, 4 grism exposures of ACS/WFC
    python benchmarks/parallel.py --folder RAW --repeat 5  # exposures of your own
    python benchmarks/parallel.py --nproc 4 --mosaics --traces

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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

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


def run(source: Path, out: Path, nproc: int, options: list[str]) -> Turn:
    """Run the pipeline in a process of its own."""
    command = [
        "grism_align_pipeline",
        str(source),
        f"--output_dir={out}",
        f"--nproc={nproc}",
        "--resume=false",
        *options,
    ]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    python = [sys.executable, "-c", _RUN]
    done = subprocess.run([*python, *command], capture_output=True, env=environment, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(wall, cpu, after.ru_maxrss / 1024)


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


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, help="exposures, or an association (simulated by default)")
    parser.add_argument("--nproc", type=int, default=2, help="processes (2)")
    parser.add_argument("--repeat", type=int, default=3, help="turns of each (3)")
    parser.add_argument("--mosaics", action="store_true", help="make mosaics too")
    parser.add_argument("--traces", action="store_true", help="verify spectra too")
    options = parser.parse_args()
    extra = ["--steps.visit_mosaic.skip=true"] * (not options.mosaics)
    extra += ["--steps.grism_wcs_propagate.spectra=off"] * (not options.traces)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        source = options.folder
        if source is None:
            source = base / "raw"
            simulate(case_a("acs_wfc", n_pairs=2, n_visits=2), source, np.random.default_rng(1))
        for path in source.glob("*.fits") if source.is_dir() else ():
            path.read_bytes()
        turns: dict[int, list[Turn]] = {1: [], options.nproc: []}
        first = None
        for _ in range(options.repeat):
            for nproc, found in turns.items():
                out = base / "out"
                found.append(run(source.resolve(), out, nproc, extra))
                written = contents(out)
                if first is not None and written != first:
                    differ = [one for one in first if written.get(one) != first[one]]
                    msg = f"nproc={nproc} wrote other files: {differ}"
                    raise SystemExit(msg)
                first = written
                shutil.rmtree(out)
    single = min(turn.wall for turn in turns[1])
    print("| nproc | wall [s] | of one process | CPU [s] | memory of the largest process [MB] |")
    print("|---|---|---|---|---|")
    for nproc, found in turns.items():
        wall = min(turn.wall for turn in found)
        cpu, memory = min(turn.cpu for turn in found), max(turn.memory for turn in found)
        print(f"| {nproc} | {wall:.1f} | {wall / single:.2f} | {cpu:.1f} | {memory:.0f} |")
    print(f"{len(first or {})} files, the same in all runs")


if __name__ == "__main__":
    main()
