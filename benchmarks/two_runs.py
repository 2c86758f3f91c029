"""Two runs at once on the same exposures: does one win whole, and does the other say so?

    python benchmarks/two_runs.py              # 100 interleavings, half of them in place
    python benchmarks/two_runs.py --quick      # 6

Two runs with different corrections of the same exposures are started, the second a random moment after the
first, and one of them stands still (SIGSTOP) for a while at another: so either is overtaken at any place.
They write corrections that are made up; in half of the cases the second is `grism-align align`.
When both have ended, all exposures must have the corrections of one and the same run, the record must be of
these very files, and nothing else may be left. A run that wrote nothing must have said why.

In the table, *one after the other* are those where the second began when the first was done, or waited for
it; *refused* those where one wrote nothing, and *by* whom it was told so.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from kill import _PRODUCT, Job, Run, Truth, _data_sum, _finished, _sky, quiet_start

from grism_align.io.files import claims
from grism_align.simulation import case_a, simulate

if TYPE_CHECKING:
    import numpy as np

_SHIFTS = (1.0, 1.7)
_PAIRS = (("write", "write"), ("write", "align"))


def interleavings(
    base: Path, count: int, rng: np.random.Generator, kinds: tuple[str, str], *, in_place: bool
) -> Counter[str]:
    """Run two at once so many times; what came of it."""

    def make(name: str) -> tuple[Job, Job]:
        home = base / name
        shutil.copytree(base / "start", home)
        output = None if in_place else home / "out" / "aligned"
        first, second = (
            Job(home / _PRODUCT, output, *each) for each in zip(kinds, (1, 1), _SHIFTS, strict=True)
        )
        return first, second

    truths, length = [], 0.0
    for number in range(2):
        job = make(f"truth{number}")[number]
        paths = sorted(job.folder.glob("*.fits"))
        data, before = {p.name: _data_sum(p) for p in paths}, {p.name: _sky(p) for p in paths}
        began = time.perf_counter()
        Run(job).ended()
        length = time.perf_counter() - began
        truths.append(Truth(data, before, {p.name: _sky(job.products / p.name) for p in paths}))
        shutil.rmtree(job.folder.parent)
    counts: Counter[str] = Counter()
    for number in range(count):
        jobs = make(str(number))
        words = _outcome(jobs, truths, length, rng)
        counts[words] += 1
        if words.startswith("WRONG"):
            print(f"{number}: {words}", flush=True)
        shutil.rmtree(jobs[0].folder.parent)
    return counts


def _outcome(jobs: tuple[Job, Job], truths: list[Truth], length: float, rng: np.random.Generator) -> str:
    runs = [Run(jobs[0])]
    time.sleep(rng.uniform(0.0, length))
    runs.append(Run(jobs[1]))
    time.sleep(rng.uniform(0.0, length))
    runs[rng.integers(2)].stop_for(rng.uniform(0.0, length))
    codes = [run.ended() for run in runs]
    said = [run.said() for run in runs]
    wrong = [_finished(job, truth) for job, truth in zip(jobs, truths, strict=True)]
    winners = [number for number in (0, 1) if not wrong[number]]
    if len(winners) != 1 or codes[winners[0]] != 0:
        return f"WRONG: exit codes {codes}, {wrong}"
    if codes == [0, 0]:
        return "one after the other"
    loser = said[1 - winners[0]]
    for words, told in (("another run", "refused, by who has it"), ("it changed", "refused, by the files")):
        if words in loser:
            return told
    return f"WRONG: it said {loser[-300:]}"


def main() -> None:
    """Run and print the table."""
    count, rng = quiet_start(__doc__, ("--count", "interleavings", 100))
    # some wait for the other to end, and some give up before
    claims.PATIENCE = 0.5
    print("| runs | results | interleavings | outcome |\n|---|---|---|---|", flush=True)
    for kinds, in_place in product(_PAIRS, (False, True)):
        with tempfile.TemporaryDirectory() as folder:
            start = Path(folder) / "start" / _PRODUCT
            simulate(case_a(size=160, n_pairs=1, n_visits=2), start, rng)
            found = interleavings(Path(folder), count // 4, rng, kinds, in_place=in_place)
        name = "in place" if in_place else "into a folder"
        told = ", ".join(f"{number} {words}" for words, number in found.most_common())
        print(f"| {' and '.join(kinds)} | {name} | {count // 4} | {told} |", flush=True)


if __name__ == "__main__":
    main()
