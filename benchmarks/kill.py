"""Kill -9 at random moments: is every file whole, and does a second run finish the job?

    python benchmarks/kill.py                                 # 50 kills of writing 20 files, and 50 in place
    python benchmarks/kill.py --what pipeline --kills 10      # the whole pipeline instead of its last part
    python benchmarks/kill.py --what undo --quick             # 6 kills, small exposures
    python benchmarks/kill.py --what all --nproc 2 --kills 30 # everything; its processes are killed, or it
    python benchmarks/kill.py --instrument niriss             # exposures of JWST, with the extra jwst

Exposures of Case A are simulated. A child process aligns, writes, corrects or undoes them and is killed: half
of the times at a moment of the clock, half of the times within the instant in which the new files take their
names, before or after one of the renamings (the clock would hardly ever find it). After each kill the script
looks at every exposure: it must open, have its pixels bit for bit, and the WCS from before or the corrected
one (in an output folder: be absent or corrected). Then the same run is started again (after a `shift` in
place whose record is there, `apply`, as its error says) and must end with all corrected, the record fitting
the files, mosaics too, and no temporary file left.

For `undo` each exposure has two corrections, of which a child process undoes the second, and the same call
must end with all files as they were after the first: none still with the second, none without any. (Where
the kill came when all were undone the call was complete, and giving it again would undo the first.)

With `--nproc 2` one of the run's own processes is killed as well. The run must then say so and leave
everything as it was.

The table counts runs; *mixed* are those after which some files were new and others old, *strays* those that
left a file which is no product, or any at all where a process of theirs was killed, and *orphans* those of
which a process lived on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import logging
import os
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.cli import main as main_of_cli
from grism_align.io.missions import read_exposure, solution_name, write_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a, simulate
from grism_align.values.errors import GrismAlignError
from grism_align.values.mission import WcsLabel
from grism_align.values.settings import ExecutionSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.sphere import separation
from grism_align.values.transform import LinearTransform
from grism_align.workflows.executors import executor_for
from grism_align.workflows.load import load
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.claims import claimed_results
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from grism_align.workflows.resume import continued
from grism_align.workflows.undo import undo_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

_KINDS = ("write", "pipeline", "mosaics", "align", "undo", "apply", "shift")

# How near a WCS is to the one it should be, mas; the pipeline measures anew, on the same pixels.
_SAME = 0.01
_PRODUCT = "raw"
# What `align` leaves in any case: why it failed is there.
LOG = f"{_PRODUCT}_align.log"
_GIVEN = {"apply": "made/raw_provenance.asdf", "shift": "mine.csv"}


@dataclass(frozen=True)
class Job:
    """One run: where its exposures are, and where results go.

    Parameters
    ----------
    folder : Path
        Of the exposures.
    output : Path or None
        Of the products; None in place.
    kind : {'write', 'pipeline', 'mosaics', 'align', 'undo', 'apply', 'shift'}
        What runs.
    nproc : int
        Processes that write.
    by : float
        How large the corrections are that `write` makes up.
    """

    folder: Path
    output: Path | None
    kind: str
    nproc: int = 1
    by: float = 1.0

    @property
    def products(self) -> Path:
        return self.output or self.folder

    @property
    def record(self) -> Path:
        return self.products / f"{_PRODUCT}_provenance.asdf"

    def run(self) -> None:
        if self.kind in ("pipeline", "mosaics"):
            self._run_pipeline()
        elif self.kind in ("apply", "shift"):
            self._command(self.kind, self.folder.parent / _GIVEN[self.kind])
        elif self.kind == "align":
            self._command(self.kind)
        else:
            self._write_or_undo()

    def finish(self) -> None:
        """Do what a user does after a kill: run it again, or as the error says."""
        if self.kind == "shift" and self.output is None and self.record.exists():
            self._command("apply", self.record)
        else:
            self.run()

    def _command(self, name: str, *given: Path) -> None:
        where = ["--in_place"] if self.output is None else ["--output_dir", str(self.output)]
        code = main_of_cli(
            [name, *map(str, given), str(self.folder), *where, "--nproc", str(self.nproc), "--quiet"]
        )
        if code:
            sys.exit(code)

    def _write_or_undo(self) -> None:
        with executor_for(ExecutionSettings(self.nproc)) as executor:
            self._write(executor)

    def _write(self, executor: Executor) -> None:
        if self.kind == "undo":
            undo_files(sorted(self.folder.glob("*.fits")), in_place=True, executor=executor)
            return
        destination = Destination(self.products, in_place=self.output is None)
        loaded = continued(load(self.folder), destination)
        with claimed_results(loaded, destination) as exposures:
            check_destination(exposures, destination)
            write_results(_corrected(exposures, self.by), destination, executor)

    def _run_pipeline(self) -> None:
        from grism_align.steps.pipeline import GrismAlignPipeline

        where = {"in_place": True} if self.output is None else {"output_dir": str(self.output)}
        steps = {"visit_mosaic": {"skip": self.kind != "mosaics", "scale": 0.1}}
        GrismAlignPipeline.call(
            str(self.folder), configure_log=False, resume=False, nproc=self.nproc, steps=steps, **where
        )


def _corrected(loaded: ExposureSet, by: float) -> ExposureSet:
    """The exposures with a correction each, the same in every run."""

    def fits_of(exposures: tuple[Exposure, ...]) -> AlignmentSolution:
        return AlignmentSolution({e.key: _fit(e, by) for e in exposures}, "made up")

    return loaded.with_activity(
        loaded.activities[0] if loaded.activities else _activity(),
        relative=fits_of(loaded.direct),
        absolute=AlignmentSolution(),
        grism=fits_of(loaded.grisms),
    )


def _activity():
    from grism_align.values.record import Activity

    return Activity("relative_align", "done")


def _fit(exposure: Exposure, by: float = 1.0) -> ExposureFit:
    number = int.from_bytes(hashlib.sha256(exposure.key.encode()).digest()[:2], "big") / 65536
    move = LinearTransform.from_parameters(exposure.plane, (by * (0.3 + number), -0.5), 0.01 * number)
    return ExposureFit(FitStatus.ALIGNED, move, "made up", n_used=9, rms=4.0)


def _correct_once_more(folder: Path) -> None:
    """Give each exposure one more correction, in place."""
    for path in folder.glob("*.fits"):
        exposure = read_exposure(path)
        label = WcsLabel(
            "NONE", solution_name(exposure, "NONE", exposure.taken_names), 9, (4.0, 4.0), "rshift"
        )
        write_exposure(exposure, _fit(exposure), path, label)


def _child(job: Job, rename: tuple[int, bool] | None, held: int, *, again: bool) -> None:
    """Run in a process that is killed from outside, or kills itself at a renaming.

    Its standard error, which its own processes have too, is a pipe: that ends when the last of them does.
    """
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
    os.dup2(held, 2)
    os.close(held)
    warnings.simplefilter("ignore")
    # what is logged is part of the work of `align`
    logging.disable(logging.NOTSET if job.kind == "align" else logging.CRITICAL)
    if rename is not None:
        _die_at(*rename)
    try:
        (job.finish if again else job.run)()
    except GrismAlignError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)


def _die_at(count: int, after: bool) -> None:
    original, seen = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if str(target.parent.name).startswith("."):
            # a file of its own in a hidden folder
            return original(self, target)
        seen.append(target)
        if len(seen) == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(self, target)
        if len(seen) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    Path.replace = replace  # type: ignore[method-assign]


class Run:
    """A run in a process of its own."""

    def __init__(self, job: Job, rename: tuple[int, bool] | None = None, *, again: bool = False) -> None:
        self._read, held = os.pipe()
        self._process = get_context("fork").Process(
            target=_child, args=(job, rename, held), kwargs={"again": again}
        )
        self._process.start()
        os.close(held)

    def kill(self) -> None:
        self._process.kill()

    def kill_one(self, rng: np.random.Generator) -> bool:
        """Kill one of its processes, if it has any; whether it had."""
        path = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        children = path.read_text().split() if path.exists() else []
        if children:
            os.kill(int(rng.choice(children)), signal.SIGKILL)
        return bool(children)

    def ended(self) -> int:
        """The exit code, once it ended."""
        self._process.join()
        return self._process.exitcode or 0

    def stop_for(self, seconds: float) -> None:
        """Have it stand still."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(self._process.pid, signal.SIGCONT)

    def said(self) -> str:
        """What it wrote on its standard error, once it ended."""
        with os.fdopen(self._read, errors="replace") as stream:
            return stream.read()

    def left_orphans(self) -> bool:
        """Whether one of its processes lives on for more than ten seconds."""
        end = time.monotonic() + 10
        while (rest := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._read], [], [], rest)
            if ready and not os.read(self._read, 65536):
                os.close(self._read)
                return False
        return True


@dataclass(frozen=True)
class Truth:
    """What the files must be: sums of the data, and WCSs before and after, by file name."""

    data: dict[str, str]
    before: dict[str, list[np.ndarray]]
    after: dict[str, list[np.ndarray]]

    def state(self, path: Path) -> str:
        """``old``, ``new``, ``absent`` or ``broken``."""
        if not path.exists():
            return "absent"
        try:
            if _data_sum(path) != self.data[path.name]:
                return "broken"
            found = _sky(path)
        except Exception:  # noqa: BLE001
            return "broken"
        same = [
            name
            for name, known in (("old", self.before), ("new", self.after))
            if _apart(found, known[path.name]) < _SAME
        ]
        if len(same) == 2:
            # what the others are aligned to keeps its WCS
            return "new" if "GALIGN" in fits.getheader(path) else "old"
        return same[0] if same else "broken"


def _apart(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Return how far two sets of positions are from each other at most, mas."""
    return max(3.6e6 * separation(one, other).max() for one, other in zip(first, second, strict=True))


def _data_sum(path: Path) -> str:
    digest = hashlib.sha256()
    with fits.open(path) as hdus:
        for hdu in hdus:
            # where JWST has the WCS
            if hdu.data is not None and hdu.name != "ASDF":
                digest.update(np.ascontiguousarray(hdu.data).tobytes())
    return digest.hexdigest()


def _sky(path: Path) -> list[np.ndarray]:
    return [chip.wcs.to_sky(chip.wcs.grid()) for chip in read_exposure(path).chips]


def _finished(job: Job, truth: Truth) -> str:
    """What is wrong after the second run; empty if nothing is."""
    states = {name: truth.state(job.products / name) for name in truth.data}
    if set(states.values()) != {"new"}:
        return f"after the second run: {dict(Counter(states.values()))}"
    left = [p.name for place in {job.products, job.folder} for p in place.iterdir() if p.name.startswith(".")]
    if left or job.kind == "undo":
        return f"left over: {left}" if left else ""
    record = read_record(job.record)
    for name, digest in ((name, one) for mosaic in record.mosaics for name, one in mosaic.files.items()):
        if hashlib.sha256((job.products / name).read_bytes()).hexdigest() != digest:
            return f"{name} is not the file on record"
    for made in (exposure.output for exposure in record.exposures.values()):
        path = Path(made.path)
        if hashlib.sha256(path.read_bytes()).hexdigest() != made.sha256:
            return f"{path.name} is not the file on record"
    return ""


def kills(
    make: Callable[[int], Job], truth: Truth, count: int, rng: np.random.Generator, victim: str
) -> dict[str, int]:
    """Kill runs and look at what they leave; the counts of the table."""
    whole = make(-1)
    given = {path.name for path in whole.folder.iterdir()}
    began = time.perf_counter()
    Run(whole).ended()
    length = time.perf_counter() - began
    problem = _finished(whole, truth)
    if problem:
        msg = f"a run that was not killed: {problem}"
        raise SystemExit(msg)
    products = {path.name for path in whole.products.iterdir()}
    renames = len(truth.data) + len(products - given)
    counts = Counter(kills=0, all_old=0, mixed=0, all_new=0, broken=0, strays=0, orphans=0, not_finished=0)
    number = -1
    # a run that ended before its moment came does not count
    while counts["kills"] < count:
        number += 1
        job = make(number)
        there = {path.name for path in job.products.iterdir()} if job.products.is_dir() else set()
        at_rename = victim == "run" and number % 2 == 1
        rename = (int(rng.integers(1, renames + 1)), bool(rng.integers(2))) if at_rename else None
        run, killed = Run(job, rename), True
        if not at_rename:
            time.sleep(rng.uniform(0.0, length))
            killed = run.kill_one(rng) if victim == "worker" else run.kill() is None
        code = run.ended()
        if not killed or code != (1 if victim == "worker" else -signal.SIGKILL):
            shutil.rmtree(job.folder.parent)
            continue
        states = {truth.state(job.products / name) for name in truth.data}
        counts["kills"] += 1
        counts["broken"] += "broken" in states
        kind = {
            frozenset({"new"}): "all_new",
            frozenset({"old"}): "all_old",
            frozenset({"absent"}): "all_old",
        }
        counts[kind.get(frozenset(states), "mixed")] += "broken" not in states
        counts["strays"] += bool(_strays(job, products, there, has_failed=victim == "worker"))
        counts["orphans"] += run.left_orphans()
        problem = _second(job, truth) if job.kind != "undo" or states != {"new"} else ""
        if problem:
            print(f"run {number} ({'rename ' + str(rename) if rename else 'clock'}): {problem}")
        counts["not_finished"] += bool(problem)
        shutil.rmtree(job.folder.parent)
    return dict(counts)


def _second(job: Job, truth: Truth) -> str:
    """Run again; what is wrong then."""
    run = Run(job, again=True)
    code, said = run.ended(), run.said()
    return _finished(job, truth) if code == 0 else f"exit code {code}: {said[-300:]}"


def _strays(job: Job, products: set[str], there: set[str], *, has_failed: bool) -> set[str]:
    """Files that should not be: after a run that failed any, else what is neither product nor hidden."""
    new = {path.name for path in job.products.iterdir()} - there if job.products.is_dir() else set()
    if has_failed:
        return new - {LOG}
    return {name for name in new - products if not name.startswith(".grism_align")}


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each kind of run (50)")
    parser.add_argument("--instrument", default="wfc3_ir", help="of the exposures (wfc3_ir)")
    parser.add_argument("--size", type=int, default=300, help="side of the exposures, pixels (300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5, help="of exposures in each visit (5)")
    parser.add_argument("--what", choices=(*_KINDS, "all"), default="write", help="what is killed (write)")
    parser.add_argument(
        "--where", choices=("both", "folder", "in_place"), default="both", help="results go (both)"
    )
    parser.add_argument("--nproc", type=int, default=1, help="processes that write (1)")
    parser.add_argument("--quick", action="store_true", help="6 kills, exposures of 96 pixels")
    options = parser.parse_args()
    if options.quick:
        options.kills, options.size = 6, 96
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(options.seed)
    logging.disable(logging.WARNING)
    print("| what | results | killed | runs | all old | mixed | all new | broken files | strays | orphans "
          "| second run not finished |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for kind in _KINDS if options.what == "all" else (options.what,):
        _row_of(kind, options, rng)


def quiet_start(text: str | None, counted: tuple[str, str, int]) -> tuple[int, np.random.Generator]:
    """Read a command line that says how often something is done, and keep quiet about all but the result.

    Parameters
    ----------
    text : str
        What the script does.
    counted : tuple of str, str and int
        The option, what it counts, and how many if not told; 6 with ``--quick``.
    """
    option, what, usual = counted
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(option, type=int, default=usual, dest="count", help=f"{what} ({usual})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="6 of them")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    return 6 if options.quick else options.count, np.random.default_rng(options.seed)


def _row_of(kind: str, options: argparse.Namespace, rng: np.random.Generator) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        plan = case_a(options.instrument, options.size, n_pairs=options.pairs, n_visits=2)
        simulate(plan, base / "start" / _PRODUCT, rng)
        _prepare(kind, base / "start")
        victims = ("run", "worker") if options.nproc > 1 else ("run",)
        for in_place, victim in product(_places(kind, options.where), victims):

            def make(number: int, in_place: bool = in_place) -> Job:
                home = base / f"{in_place}{number}"
                shutil.copytree(base / "start", home)
                output = None if in_place else home / "out" / "aligned"
                return Job(home / _PRODUCT, output, kind, options.nproc)

            # in this process, which so knows all that its children are to import
            warm = make(-3)
            with contextlib.redirect_stdout(io.StringIO()):
                warm.run()
            shutil.rmtree(warm.folder.parent)
            truth = _truth(make(-2))
            counts = kills(make, truth, options.kills, rng, victim)
            name = "in place" if in_place else "into a folder"
            words = (kind, name, victim, *map(str, counts.values()))
            print("| " + " | ".join(words) + " |", flush=True)
            shutil.rmtree(base / f"{in_place}-1")
            shutil.rmtree(base / f"{in_place}-2")


def _places(kind: str, where: str) -> tuple[bool, ...]:
    """Whether runs are in place."""
    if kind == "undo":
        return (True,)
    return {"both": (False, True), "folder": (False,), "in_place": (True,)}[where]


def _prepare(kind: str, home: Path) -> None:
    """Make what a command is given besides the exposures."""
    raw = home / _PRODUCT
    if kind == "undo":
        for _ in range(2):
            _correct_once_more(raw)
    elif kind == "shift":
        keys = [read_exposure(path).key for path in sorted(raw.iterdir())]
        rows = [f"{key},{0.1 + 0.01 * n},-0.2,0.01\n" for n, key in enumerate(keys)]
        (home / _GIVEN["shift"]).write_text("exposure,dra,ddec,roll\n" + "".join(rows))
    elif kind == "apply":
        Run(Job(raw, home / "made", "write")).ended()


def _truth(job: Job) -> Truth:
    """From one run that is left in peace."""
    paths = sorted(job.folder.glob("*.fits"))
    before = {path.name: _sky(path) for path in paths}
    data = {path.name: _data_sum(path) for path in paths}
    Run(job).ended()
    return Truth(data, before, {path.name: _sky(job.products / path.name) for path in paths})


if __name__ == "__main__":
    main()
