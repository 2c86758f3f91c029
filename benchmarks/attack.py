"""Attack all readers and commands with files made to do harm: does anything give way?

    python benchmarks/attack.py                       # 10 000 inputs, an hour on one core
    python benchmarks/attack.py --inputs 500 --seed 7
    python benchmarks/attack.py --kinds record,votable --inputs 200
    python benchmarks/attack.py --only 1234           # one input once more, with all that it says

Good files of each kind are made once: exposures, a record, associations, catalogs in all formats, answers of
services, parameter files. Each input is one of them, damaged or made to do harm (`_hostile.py`), and is given
to a reader or to a command (`_targets.py`) in a process of its own (`_sandbox.py`), in which Python's audit
hooks tell every file that is opened or changed and every connection. An input gets through if the process

- shows a traceback of anything but this package's own errors, or dies;
- takes more than 20 s of a core, or 1 GB;
- changes a file outside the output folder and the cache, or one of the inputs;
- opens the files that stand for somebody's secrets (but for members that an association lists), or connects
  to any but the service that it was given;
- or ends with an error that names no file of its input.

The table counts inputs by kind and what became of them. Each that gets through is shown with its number.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import _sandbox as sandbox
import numpy as np
from _targets import KINDS, Arena, Case

LIMITS = sandbox.Limits(seconds=20.0, megabytes=1000.0)
# What processes open for themselves, in their own folders or to write nothing.
_ALLOWED = ("/dev/", "/proc/self/", "/proc/sys/")


@dataclass(frozen=True)
class Verdict:
    """What became of an input, and what is wrong with that; empty if nothing is."""

    outcome: str
    problem: str = ""


def judge(case: Case, arena: Arena, outcome: sandbox.Outcome, before: dict[Path, str]) -> Verdict:
    """Say what became of an input."""
    word = {0: "done", 1: "refused", 3: "done with reservations", 2: "refused"}.get(outcome.code, "died")
    own = [arena.output, arena.home, arena.cache, arena.folder / "said", arena.folder / "told"]
    touched = [path for path in map(_plain, outcome.touched) if not _is_below(path, own)]
    secrets = [path for path in map(_plain, outcome.read) if str(arena.victim) in path]
    known = (*arena.addresses, "fc-list")
    away = [one for one in outcome.connected if not any(each in one for each in known)]
    checks = (
        (outcome.seconds > LIMITS.seconds, f"{outcome.seconds:.0f} s"),
        (outcome.megabytes > LIMITS.megabytes, f"{outcome.megabytes:.0f} MB"),
        (word == "died" or bool(outcome.error), outcome.error or f"exit code {outcome.code}"),
        (bool(touched), f"changed {touched[:3]}"),
        (bool(secrets) and case.kind != "association", f"opened {secrets[:3]}"),
        (bool(away), f"connected to {away[:3]}"),
        (arena.state() != before, "files of others were changed"),
        (word == "refused" and case.name not in outcome.said, "the error names no file"),
    )
    return Verdict(word, "; ".join(text for holds, text in checks if holds))


def _plain(text: str) -> str:
    return text[1:-1] if text[:1] in "'\"" else text


def _is_below(path: str, folders: list[Path]) -> bool:
    if not path.startswith("/"):
        # of the home, which is the current folder, or of an open folder that is being removed
        return ".." not in Path(path).parts
    return path.startswith(_ALLOWED) or any(path.startswith(str(folder)) for folder in folders)


def attack(number: int, kinds: list[str], arena: Arena, seed: int) -> tuple[Case, Verdict, sandbox.Outcome]:
    """Make an input, give it to its target, and judge."""
    rng = np.random.default_rng([seed, number])
    arena.refresh()
    case = KINDS[kinds[number % len(kinds)]](rng, arena)
    before = arena.state()
    outcome = sandbox.run(case.work, arena.folder, LIMITS)
    return case, judge(case, arena, outcome, before), outcome


def main() -> int:
    """Attack and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--only", type=int, help="number of one input")
    parser.add_argument("--keep", type=Path, help="folder of the good files, made once")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    kinds = options.kinds.split(",")
    numbers = range(options.first, options.first + options.inputs)
    if options.only is not None:
        numbers = range(options.only, options.only + 1)
    print(f"Seed {options.seed}, inputs {numbers[0]} to {numbers[-1]}", flush=True)
    through = 0
    counts: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as name, Arena(Path(name), options.keep) as arena:
        for number in numbers:
            case, verdict, outcome = attack(number, kinds, arena, options.seed)
            counts.setdefault(case.kind, Counter())[verdict.outcome] += 1
            if verdict.problem:
                through += 1
                print(f"{number} {case.kind} to {case.target}: {verdict.problem}", flush=True)
            if number % 100 == 99:
                print(f"{number + 1 - numbers[0]} done, {through} got through", flush=True)
            if options.only is not None:
                print(outcome.said, outcome, verdict, sep="\n")
    print("\n| kind | inputs | done | with reservations | refused | died |\n|---|---|---|---|---|---|")
    for kind, found in sorted(counts.items()):
        words = ("done", "done with reservations", "refused", "died")
        print(f"| {kind} | {found.total()} | " + " | ".join(str(found[word]) for word in words) + " |")
    print(f"\n{through} of {len(numbers)} got through")
    return 1 if through else 0


if __name__ == "__main__":
    sys.exit(main())
