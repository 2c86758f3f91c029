"""Damaged headers: is every one refused in words, or read right?

    python benchmarks/headers.py                  # 3000 headers through `associate`, 200 through all
    python benchmarks/headers.py --associate 300 --runs 0
    python benchmarks/headers.py --runs 50 --seed 7

Each card of simulated exposures of WFC3/IR (a direct one and a grism) and ACS/WFC is damaged in each of some
thirty ways (`grism_align.simulation.damage`): deleted, stated twice, NaN, INDEF, a decimal comma, another
type, out of range, characters that headers don't have, a rival beside it. `grism-align associate` runs on
each in this process, together with an exposure that is whole. It must end with a code of its own and, where
that is not 0, name the file.

Whole runs align four exposures, one of them damaged, to their true catalog. Every exposure that is ALIGNED
afterwards is compared with the truth on a grid, in units of the error that its fit claims there: none may be
off by more than five. *Undefined* is what leaves a valid header of another distortion: a coefficient that is
missing or has another value, and nothing in the file that contradicts it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.cli import main as command
from grism_align.simulation import Truth, case_a, simulate
from grism_align.simulation.damage import Damage, damages
from grism_align.values.errors import GrismAlignError
from grism_align.values.transform import TangentPlane

_LIMIT = 5.0
# Longer than this a command hangs.
_SECONDS = 60


def _hang(*_: object) -> None:
    raise TimeoutError


def associate(truth: Truth, damage: Damage, target: Path, folder: Path) -> str:
    """Run the command on a damaged exposure and a whole one; return what went wrong, or the exit code."""
    target.write_bytes(damage.applied(_original(truth, target).read_bytes()))
    whole = next(path for path in truth.paths if path.name != target.name)
    said = io.StringIO()
    words = ["associate", str(target), str(whole), "-o", str(folder / "x_asn.json"), "--overwrite"]
    signal.alarm(_SECONDS)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = command(words)
    except Exception:  # noqa: BLE001  # what is looked for
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    if code and target.name not in said.getvalue():
        return f"no file is named: {said.getvalue()}"
    return f"exit {code}"


def _original(truth: Truth, target: Path) -> Path:
    return next(path for path in truth.paths if path.name == target.name)


def all_associations(count: int, seed: int) -> Counter[str]:
    """Damage cards and associate."""
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = []
        for camera, size in (("wfc3_ir", 64), ("acs_wfc", (48, 64))):
            truth = simulate(case_a(camera, size, n_pairs=1, n_visits=1), folder / camera, rng)
            cases += [(truth, path, damage) for path in truth.paths for damage in damages(path)]
        chosen = _sample([damage for _, _, damage in cases], count, rng)
        (folder / "damaged").mkdir()
        for number in chosen:
            truth, path, damage = cases[number]
            outcome = associate(truth, damage, folder / "damaged" / path.name, folder)
            if not outcome.startswith("exit"):
                print(f"\n{path.name} {damage}: {outcome}")
                outcome = outcome.strip().splitlines()[-1][:60]
            outcomes[outcome] += 1
    return outcomes


def _sample(found: list[Damage], count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose some, three times as often of the primary and the science headers, of which most is read."""
    weights = np.array([3.0 if damage.extension in ("0", "SCI,1", "SCI,2") else 1.0 for damage in found])
    return rng.choice(len(found), min(count, len(found)), replace=False, p=weights / weights.sum())


def run(paths: list[Path], catalog: Path, folder: Path) -> object:
    """Align exposures to a catalog and write them."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    return GrismAlignPipeline.call(
        [str(path) for path in paths],
        output_dir=str(folder),
        save_results=True,
        report=False,
        steps={"absolute_align": {"catalog": str(catalog)}},
    )


def pulls(truth: Truth, result: object, folder: Path) -> dict[str, float]:
    """The largest error of each aligned exposure, in units of the claimed one."""
    found = {}
    for exposure in result.exposures:
        fit = result.fit(exposure.key)
        if fit.status.value != "ALIGNED":
            continue
        true = truth.exposures[exposure.key]
        with fits.open(folder / Path(exposure.source).name) as hdus:
            for number, chip in true.chips.items():
                found[exposure.key] = max(found.get(exposure.key, 0.0), _pull(hdus, number, chip, fit))
    return found


def _pull(hdus: fits.HDUList, number: int, chip: object, fit: object) -> float:
    ny, nx = chip.shape
    xy = np.array([(x, y) for x in np.linspace(0, nx - 1, 3) for y in np.linspace(0, ny - 1, 3)])
    sky = WCS(hdus["SCI", number].header, hdus).all_pix2world(xy, 0)
    true = chip.to_sky(xy)
    worst = 0.0
    for given, right in zip(sky, true, strict=True):
        plane = TangentPlane(*right)
        claimed = fit.transform.at(plane).axis_error
        worst = max(worst, float(np.abs(plane.to_plane(given[None])).max() / claimed))
    return worst


def all_runs(count: int, seed: int) -> Counter[str]:
    """Damage cards and run the whole pipeline."""
    rng = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = simulate(case_a("wfc3_ir", 200, n_pairs=1), folder / "in", rng)
        truth.catalog.write(folder / "truth.ecsv", format="ascii.ecsv")
        clean = pulls(truth, run(truth.paths, folder / "truth.ecsv", folder / "out"), folder / "out")
        print("Undamaged:", {key: round(pull, 1) for key, pull in clean.items()})
        cases = [(path, damage) for path in truth.paths for damage in damages(path)]
        for number in _sample([damage for _, damage in cases], count, rng):
            path, damage = cases[number]
            outcome = _one_run(truth, path, damage, folder)
            outcomes[outcome] += 1
            print(f"{path.name} {damage}: {outcome}", flush=True)
    return outcomes


def _one_run(truth: Truth, path: Path, damage: Damage, folder: Path) -> str:
    whole = path.read_bytes()
    path.write_bytes(damage.applied(whole))
    try:
        with tempfile.TemporaryDirectory(dir=folder) as out:
            result = run(truth.paths, folder / "truth.ecsv", Path(out))
            is_in = path.name in {Path(exposure.source).name for exposure in result.exposures}
            off = {key: pull for key, pull in pulls(truth, result, Path(out)).items() if pull > _LIMIT}
    except GrismAlignError as error:
        return "refused" if path.name in str(error) else f"no file is named: {error}"
    except Exception:  # noqa: BLE001  # what is looked for
        print(traceback.format_exc())
        return "traceback"
    finally:
        path.write_bytes(whole)
    if off:
        return f"OFF {off}"
    return "right" if is_in else "left out"


def main() -> None:
    """Run both and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--associate", type=int, default=3000, help="how many headers to associate")
    parser.add_argument("--runs", type=int, default=200, help="how many whole runs")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _hang)
    print(f"Seed {options.seed}")
    for title, outcomes in (
        ("associate", all_associations(options.associate, options.seed)),
        ("whole runs", all_runs(options.runs, options.seed)),
    ):
        print(f"\n{title}: {outcomes.total()}")
        for outcome, count in outcomes.most_common():
            print(f"| {count} | {outcome} |")


if __name__ == "__main__":
    main()
