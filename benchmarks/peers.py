"""grism_align against tweakwcs, drizzlepac's TweakReg and grizli, in one run on the same files.

    python benchmarks/peers.py                          # ten simulated fields, an hour or two
    python benchmarks/peers.py --quick                  # one small field and one setting each: a smoke run
    python benchmarks/peers.py FOLDER... --seeds 0      # sets of your own, see below

The fields are Case A: two visits of four F140W and four G141 exposures of WFC3/IR, full chips. A set of your
own is a folder with RAW/*.fits and truth.ecsv, whose columns `benchmarks/_truth.py` describes.

grism_align runs once, with its defaults. A peer runs with every one of its settings (18 for tweakwcs and
TweakReg) on the first simulated fields (``--full``) and on all sets of your own, and on the other fields with
the three that were best there. Its best result is chosen with the truth, which no user has: the median says
what to expect. Each run is a process of its own with a time limit, on copies of the files; grizli may live in
another environment (``--grizli-python``).

The error is the rms over pixels and direct exposures of the distance to the true place, after one shift,
rotation and scale of all, in mas. "Off" counts runs that ended well but left a chip more than 0.1 pixel off;
"failed" those that gave nothing. Seconds are those of the whole process, import and detection included;
grism_align's include the grism exposures besides.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _truth import score_outputs, write_truth

Settings = dict[str, Any]
Run = dict[str, Any]

_WORKER = Path(__file__).with_name("_peers.py")


def _grid(**choices: tuple[Any, ...]) -> list[Settings]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


SETTINGS: dict[str, list[Settings]] = {
    "ours": [{}],
    "tweakwcs": _grid(
        centroid=("gaussian", "windowed", "dao"), threshold=(10.0, 5.0, 20.0), searchrad=(3.0, 2.0)
    ),
    "tweakreg": _grid(searchrad=(2.0, 3.0), conv_width=(2.5, 3.5, 4.5), threshold=(1.0, 3.0, 10.0)),
    "grizli": _grid(threshold=(1.5,), clip=(60,), simple=(True, False)),
}
_MODULES = {"ours": "grism_align", "tweakwcs": "tweakwcs", "tweakreg": "drizzlepac", "grizli": "grizli"}


def simulated_set(folder: Path, seed: int, size: int | None) -> Path:
    """Make a field of Case A with its truth, unless it is there."""
    from grism_align.simulation import case_a, simulate

    if not (folder / "truth.ecsv").exists():
        truth = simulate(case_a(size=size, n_pairs=4), folder / "RAW", np.random.default_rng(seed))
        write_truth(truth, folder / "truth.ecsv")
    return folder


def run_once(peer: str, folder: Path, settings: Settings, python: str, limit: float) -> Run:
    """One run of one peer on copies of a set's files, scored."""
    run: Run = {"set": folder.name, "peer": peer, "settings": settings}
    with tempfile.TemporaryDirectory() as output:
        command = [python, str(_WORKER), peer, str(folder / "RAW"), output, json.dumps(settings)]
        start = time.perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
        except subprocess.TimeoutExpired:
            return run | {"seconds": limit, "error": f"more than {limit:g} s"}
        run["seconds"] = time.perf_counter() - start
        if done.returncode:
            return run | {"error": (done.stderr.strip() or "no message").splitlines()[-1][:200]}
        try:
            score = score_outputs(folder, Path(output))
        except (OSError, KeyError, ValueError) as error:
            return run | {"error": f"{type(error).__name__}: {error}"}
    return run | {"error": "", "rms": score.rms, "worst": score.worst, "off": score.n_off}


def best_settings(runs: list[Run], peer: str, number: int) -> list[Settings]:
    """The settings of a peer with the lowest geometric mean of errors, of those tried on most sets."""
    errors: dict[str, list[float]] = {}
    for run in runs:
        if run["peer"] == peer:
            errors.setdefault(json.dumps(run["settings"]), []).append(np.log(run.get("rms", 1e4)))
    most = max(map(len, errors.values()), default=0)
    full = {key: float(np.mean(values)) for key, values in errors.items() if len(values) == most}
    return [json.loads(key) for key in sorted(full, key=lambda key: full[key])[:number]]


def summary(runs: list[Run]) -> dict[str, Any]:
    """What the runs of one peer on one set came to."""
    errors = [run["rms"] for run in runs if not run["error"]] or [float("inf")]
    return {
        "n": len(runs),
        "best": float(min(errors)),
        "median": float(np.median(errors)),
        "worst": float(max(errors)),
        "off": sum(run.get("off", 0) > 0 for run in runs),
        "failed": sum(bool(run["error"]) for run in runs),
        "seconds": float(np.median([run["seconds"] for run in runs])),
    }


def table(runs: list[Run], absent: dict[str, str]) -> str:
    """All results as Markdown: a row for each set and peer, then the medians over the sets."""
    lines = [
        "| set | peer | runs | best | median | worst | off | failed | seconds | best / ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    names = list(dict.fromkeys(run["set"] for run in runs))
    peers = list(dict.fromkeys(run["peer"] for run in runs))
    found = {
        (name, peer): summary(own)
        for name in names
        for peer in peers
        if (own := [run for run in runs if (run["set"], run["peer"]) == (name, peer)])
    }
    for (name, peer), values in found.items():
        ours = found.get((name, "ours"))
        ratio = f"{values['best'] / ours['best']:.1f}" if ours and np.isfinite(ours["best"]) else ""
        lines.append(
            f"| {name} | {peer} | {values['n']} | {values['best']:.2f} | {values['median']:.2f} "
            f"| {values['worst']:.1f} | {values['off']} | {values['failed']} | {values['seconds']:.1f} "
            f"| {ratio} |"
        )
    lines += ["", "| peer | sets | median of the best | median of the medians | worst | seconds |"]
    lines.append("|---|---|---|---|---|---|")
    for peer in peers:
        own = [values for (_, who), values in found.items() if who == peer]
        best, median, seconds = (np.median([v[key] for v in own]) for key in ("best", "median", "seconds"))
        worst = max(v["worst"] for v in own)
        lines.append(f"| {peer} | {len(own)} | {best:.2f} | {median:.2f} | {worst:.1f} | {seconds:.1f} |")
    lines += [f"| {peer} | {why} | | | | |" for peer, why in absent.items()]
    # the same error with other numbers is one
    errors = Counter(f"{run['peer']}: {re.sub(r'[0-9]+', 'N', run['error'])}" for run in runs if run["error"])
    return "\n".join([*lines, "", *(f"Failed, {number} of {error}" for error, number in errors.items())])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folders", nargs="*", type=Path, help="sets of your own")
    add("--seeds", type=int, default=10, help="simulated fields")
    add("--first-seed", type=int, default=1)
    add("--size", type=int, help="pixels of a cut of the chips; whole chips by default")
    add("--full", type=int, default=3, help="sets on which all settings are tried")
    add("--settings", type=int, default=100, help="most settings of a peer")
    add("--quick", action="store_true", help="one field of 500 pixels, one setting each")
    add("--peers", default=",".join(SETTINGS), help="which, with commas between")
    add("--grizli-python", default=sys.executable, help="interpreter of an environment with grizli")
    add("--limit", type=float, default=600.0, help="seconds after which a run counts as failed")
    add("--work", type=Path, help="folder of the simulated fields, kept; temporary by default")
    add("--output", type=Path, default=Path("peers.json"), help="where all runs go")
    add("--resume", action="store_true", help="don't repeat the runs that OUTPUT has")
    arguments = parser.parse_args()
    arguments.peers = arguments.peers.split(",")
    if unknown := set(arguments.peers) - set(SETTINGS):
        parser.error(f"no peers: {', '.join(sorted(unknown))}; there are {', '.join(SETTINGS)}")
    if arguments.quick:
        arguments.seeds, arguments.size, arguments.settings = 1, arguments.size or 500, 1
    return arguments


def _absent(arguments: argparse.Namespace) -> dict[str, str]:
    """Peers that are not installed, and what to say of them."""
    absent = {}
    for peer in arguments.peers:
        if peer == "grizli":
            code = "import importlib.util as u, sys; sys.exit(u.find_spec('grizli') is None)"
            # isolated: a folder of that name is no package
            found = subprocess.run([arguments.grizli_python, "-I", "-c", code], check=False)
            missing = found.returncode != 0
        else:
            missing = find_spec(_MODULES[peer]) is None
        if missing:
            absent[peer] = "not installed"
    return absent


def _compare(arguments: argparse.Namespace, work: Path) -> tuple[list[Run], dict[str, str]]:
    resumed = arguments.resume and arguments.output.exists()
    runs: list[Run] = json.loads(arguments.output.read_text()) if resumed else []
    known = {json.dumps([run["set"], run["peer"], run["settings"]]) for run in runs}
    absent = _absent(arguments)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    sets: list[tuple[str, int | Path]] = [(f"case_a_{seed}", seed) for seed in seeds]
    sets += [(folder.name, folder.resolve()) for folder in arguments.folders]
    for number, (name, source) in enumerate(sets):
        print(f"{name} ({number + 1} of {len(sets)})", file=sys.stderr, flush=True)
        folder = source if isinstance(source, Path) else simulated_set(work / name, source, arguments.size)
        for peer in (p for p in arguments.peers if p not in absent):
            python = arguments.grizli_python if peer == "grizli" else sys.executable
            few = number >= arguments.full and isinstance(source, int)
            chosen = best_settings(runs, peer, 3) if few else SETTINGS[peer]
            for settings in chosen[: arguments.settings]:
                if json.dumps([name, peer, settings]) in known:
                    continue
                runs.append(run_once(peer, folder, settings, python, arguments.limit))
                arguments.output.write_text(json.dumps(runs, indent=1))
        if isinstance(source, int) and arguments.work is None:
            shutil.rmtree(folder)
    return runs, absent


def main() -> None:
    """Run the comparison and print its tables."""
    arguments = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with tempfile.TemporaryDirectory() as temporary:
        runs, absent = _compare(arguments, arguments.work or Path(temporary))
    print(table(runs, absent))


if __name__ == "__main__":
    main()
