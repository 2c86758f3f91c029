"""A disk that fills up, at any point: a clean message, nothing left, and the exposures as they were?

    python benchmarks/full_disk.py           # 50 points
    python benchmarks/full_disk.py --quick   # 6

Runs get less room than they need: a small file system in memory (tmpfs, which takes the rights of root to
mount) with as many bytes as a part of what they write, or a limit on the size of a file (RLIMIT_FSIZE). They
run the pipeline with mosaics into a folder, with one process or two, `grism-align align` with its log, or put
corrections on record onto files in place. Each must end with the exit code 1 and an error that names a file
and the room; all exposures must be as they were, byte by byte, and no other file but the log of `align` may
be there. Points at which the room was enough are not counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import resource
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from kill import _PRODUCT, LOG, Job, Run, _prepare, quiet_start

from grism_align.simulation import case_a, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

_KINDS = (
    ("mosaics", False, 1),
    ("mosaics", False, 2),
    ("apply", True, 1),
    ("shift", False, 1),
    ("align", False, 1),
)


class _Limited(Job):
    """A job that may not write files larger than so many bytes."""

    limit = 0

    def run(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.limit))
        super().run()


@contextlib.contextmanager
def _small(place: Path, size: int) -> Iterator[None]:
    """Have a small file system in a folder."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def _outcome(job: Job, before: dict[str, str]) -> str:
    """What came of a run without enough room."""
    run = Run(job)
    code, said = run.ended(), run.said()
    if code == 0:
        return "enough"
    words = said.strip().splitlines()
    if code != 1 or "can't be written" not in said or "Traceback" in said:
        return f"WRONG: exit code {code}, {words[-1:]}"
    if _sums(job.folder) != before:
        return f"WRONG: {sorted(set(_sums(job.folder)) ^ set(before))} or changed exposures"
    if job.output is not None and job.output.exists():
        left = [path.name for path in job.output.iterdir() if path.name != LOG]
        return f"WRONG: left {left}" if left else "clean"
    return "clean"


def points(base: Path, kind: tuple[str, bool, int], count: int, rng: np.random.Generator) -> Counter[str]:
    """Run with too little room so many times."""
    what, in_place, nproc = kind
    whole = _job(base, "whole", what, None if in_place else "out", nproc)
    room = -_bytes(whole.folder)
    with contextlib.redirect_stdout(io.StringIO()):
        # in this process, which so knows all that its children are to import
        whole.run()
    room = _bytes(whole.products) if not in_place else _bytes(whole.products) + room + _bytes(base / "start")
    largest = max(path.stat().st_size for path in whole.products.iterdir())
    counts: Counter[str] = Counter()
    number = 0
    while sum(counts.values()) - counts["enough"] < count:
        number += 1
        home = base / str(number)
        is_small = os.geteuid() == 0 and number % 2 == 0
        share = rng.uniform(0.02, 1.0)
        found = (
            _on_a_small_disk(base, home, kind, int(share * room))
            if is_small
            else _with_small_files(base, home, kind, int(share * largest))
        )
        counts[found] += 1
        if found.startswith("WRONG"):
            print(f"{what} {share:.3f} {'tmpfs' if is_small else 'limit'}: {found}", flush=True)
        shutil.rmtree(home)
    return counts


def _job(base: Path, name: str, what: str, output: str | None, nproc: int) -> Job:
    home = base / name
    shutil.copytree(base / "start", home)
    return Job(home / _PRODUCT, home / output if output else None, what, nproc)


def _with_small_files(base: Path, home: Path, kind: tuple[str, bool, int], limit: int) -> str:
    what, in_place, nproc = kind
    job = _job(base, home.name, what, None if in_place else "out", nproc)
    limited = _Limited(job.folder, job.output, what, nproc)
    object.__setattr__(limited, "limit", max(limit, 4096))
    return _outcome(limited, _sums(job.folder))


def _on_a_small_disk(base: Path, home: Path, kind: tuple[str, bool, int], room: int) -> str:
    what, in_place, nproc = kind
    size = room + (_bytes(base / "start") + 65536 if in_place else 0)
    with _small(home / "disk", size):
        place = home / "disk" / "in" if in_place else home
        for path in (base / "start").iterdir():
            target = place / path.name
            (shutil.copytree if path.is_dir() else shutil.copyfile)(path, _there(target))
        output = None if in_place else home / "disk" / "out"
        job = Job(place / _PRODUCT, output, what, nproc)
        return _outcome(job, _sums(job.folder))


def _there(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def main() -> None:
    """Run and print the table."""
    count, rng = quiet_start(__doc__, ("--points", "runs without enough room", 50))
    print("| what | processes | points | clean | enough room |\n|---|---|---|---|---|", flush=True)
    for index, kind in enumerate(_KINDS):
        number = count // len(_KINDS) + (index < count % len(_KINDS))
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder)
            simulate(case_a(size=300, n_pairs=1, n_visits=2), base / "start" / _PRODUCT, rng)
            _prepare(kind[0], base / "start")
            found = points(base, kind, number, rng)
        name = f"{kind[0]}, {'in place' if kind[1] else 'into a folder'}"
        print(f"| {name} | {kind[2]} | {number} | {found['clean']} | {found['enough']} |", flush=True)


if __name__ == "__main__":
    main()
