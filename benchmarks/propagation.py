"""How far grism exposures are from where they should be, by case, instrument and method, and what they cost.

    python benchmarks/propagation.py                    # 3 fields of each case and instrument
    python benchmarks/propagation.py --fields 1 --cut 300 --cost wfc3_ir      # a minute

Fields are simulated with pointing errors of visits and of dithers, and aligned from their pixels,
without what spectra correct.

Cases: the WCS error of each grism exposure, rms over its pixels after the one shift, roll and scale that
bring the direct exposures of the field closest to the truth, against that of the direct exposure whose
pointing error it shares. ``excess`` is the largest of a grism's error less 1.1 times its direct exposure's.

Drift: the same where the pointing drifts within an orbit, once for each method. Cases D and E have direct and
grism exposures in turns at one pointing, and the drift of E slows down; A has a direct exposure at each
dither, C few direct exposures, both with dither errors besides or without. In S dithers are small, and grism
exposures have the errors of their own dithers, where a direct exposure follows, or none. In G only the
exposures of a visit without direct ones count, which has the guide stars of another, acquired anew; of it
there are three times as many fields. ``pull`` is the rms of errors by what `auto` claims.

Cost: to read the headers of a grism exposure, propagate to it and write it with the checksums of both files,
against a plain copy of its file, and against one that is as safe on the disk.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.drift import learnt_errors
from grism_align.algorithms.propagation.propagate import propagate
from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import read_exposure, write_exposure
from grism_align.simulation import (
    PointingErrors,
    case_a,
    case_b,
    case_c,
    interleaved,
    score,
    simulate,
    small_dithers,
)
from grism_align.values.mission import WcsLabel
from grism_align.values.settings import GrismSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from grism_align.simulation import Simulation, Truth
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

_METHODS = ("previous", "nearest", "visit", "interpolate", "auto")
_INSTRUMENTS = ("wfc3_ir", "acs_wfc", "wfc3_uvis")
_DRIFT = PointingErrors(drift=0.2)
_CHANGING = PointingErrors(drift=0.35, drift_change=-0.35)


def aligned(field: Simulation, folder: Path, seed: int) -> tuple[Truth, ExposureSet]:
    """Simulate a field and align it in memory."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    truth = simulate(field, folder, np.random.default_rng(seed))
    steps = {"grism_wcs_propagate": {"spectra": "off"}}
    return truth, GrismAlignPipeline.call([str(path) for path in truth.paths], steps=steps)


def errors(truth: Truth, result: ExposureSet, grisms: AlignmentSolution) -> dict[str, float]:
    """Relative errors by key, mas."""
    fits: Mapping[str, ExposureFit] = {**result.relative.fits, **grisms.fits}

    def wcs_of(key: str, extver: int) -> object:
        [chip] = (chip for chip in result[key].chips if chip.number == extver)
        transform = fits[key].transform
        return chip.wcs if transform is None else chip.wcs.corrected(transform)

    return {key: found.relative for key, found in score(truth, wcs_of).items()}


def report_cases(fields: int, cut: int | None) -> str:
    """Errors of grism exposures and of the direct exposures that they share the pointing error with."""
    lines = ["| case | instrument | grisms | direct, rms [mas] | grism, rms [mas] | ratio | excess [mas] |"]
    lines.append("|---|---|---|---|---|---|---|")
    for name, case in (("A", case_a), ("B", case_b), ("C", case_c)):
        for instrument in _INSTRUMENTS:
            pairs = np.concatenate([_pairs(case(instrument, size=cut), seed) for seed in range(fields)])
            direct, grism = np.sqrt(np.mean(pairs**2, axis=0))
            excess = float(np.max(pairs[:, 1] - 1.1 * pairs[:, 0]))
            cells = (name, instrument, str(len(pairs)), f"{direct:.2f}", f"{grism:.2f}")
            lines.append(f"| {' | '.join(cells)} | {grism / direct:.2f} | {excess:+.2f} |")
    return "\n".join(lines)


def _pairs(field: Simulation, seed: int) -> np.ndarray:
    """Errors of the direct exposure and of the grism exposure, (N, 2) mas."""
    with tempfile.TemporaryDirectory() as folder:
        truth, result = aligned(field, Path(folder), seed)
    found = errors(truth, result, result.grism)
    return np.array([[found[e.governor], found[key]] for key, e in truth.exposures.items() if e.governor])


def drift_cases(cut: int | None) -> dict[str, Callable[[int], Simulation]]:
    """Fields by name, each made for a seed."""
    alone = replace(_DRIFT, jitter=0.0)
    return {
        "D, 0.2 pix/h": lambda _: interleaved(size=cut, errors=_DRIFT),
        "E, 0.35 pix/h slowing to 0": lambda _: interleaved(size=cut, errors=_CHANGING),
        "D without drift": lambda _: interleaved(size=cut, errors=PointingErrors()),
        "A, dithers and 0.2 pix/h": lambda _: case_a(size=cut, n_pairs=4, errors=_DRIFT),
        "A, dithers alone": lambda _: case_a(size=cut, n_pairs=4),
        "A, 0.2 pix/h alone": lambda _: case_a(size=cut, n_pairs=4, errors=alone),
        "C, dithers and 0.2 pix/h": lambda _: case_c(size=cut, errors=_DRIFT),
        "C, 0.2 pix/h alone": lambda _: case_c(size=cut, errors=alone),
        "S, dithers of 0.6 arcsec": lambda _: small_dithers(size=cut),
        "G, guide stars acquired anew": lambda seed: _reacquired(cut, seed),
    }


def _reacquired(cut: int | None, seed: int) -> Simulation:
    """Three visits of the same guide stars, each acquired 0.15 pixel off; the third has grisms alone."""
    made = case_a(size=cut, n_visits=3, errors=PointingErrors(grism_jitter=0.15))
    rng = np.random.default_rng([seed, 7])
    first = made.visits[0]
    grisms = tuple(exposure for exposure in first.exposures if made.element(exposure).is_grism)
    visits = tuple(
        replace(
            visit,
            exposures=visit.exposures if number < 2 else grisms,
            angle=first.angle,
            start=first.start + number,
            shift=tuple(np.array([0.4, -0.3]) + 0.15 * made.camera.pixel * rng.normal(size=2)),
            roll=0.01,
            guide_star="S7FV000123",
        )
        for number, visit in enumerate(made.visits)
    )
    return replace(made, visits=visits)


def report_drift(fields: int, cut: int | None) -> str:
    """Errors of grism exposures under drift, for each method."""
    head = ("case", "direct", *_METHODS, "claimed", "pull", "drift, dither")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, case in drift_cases(cut).items():
        seeds = range(3 * fields if name.startswith("G") else fields)
        rows = np.concatenate([_by_method(case(seed), seed) for seed in seeds])
        rms = np.sqrt(np.mean(rows**2, axis=0))
        learnt = " ".join(f"{value:.2g}" for value in np.median(rows[:, -2:], axis=0))
        cells = [f"{value:.2f}" for value in rms[:-2]]
        lines.append(f"| {name} | {' | '.join(cells)} | {learnt} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return "Rms over exposures and pixels, 2-D, mas\n\n" + "\n".join(lines)


def _by_method(field: Simulation, seed: int) -> np.ndarray:
    """By grism: rms of the direct ones, its error by method, what auto claims, the pull, what was learnt."""
    with tempfile.TemporaryDirectory() as folder:
        truth, result = aligned(field, Path(folder), seed)
    fits: dict[str, AlignmentSolution] = {}
    for method in _METHODS:
        given = learnt_errors(
            result.exposures, result.relative, GrismSettings(PropagationSettings(method=method))
        )
        fits[method] = propagate(result.grisms, result.direct, result.relative, given)
    found = {method: errors(truth, result, solution) for method, solution in fits.items()}
    directs = np.sqrt(np.mean([found["auto"][exposure.key] ** 2 for exposure in result.direct]))
    lent = [grism for grism in result.grisms if fits["auto"][grism.key].status is FitStatus.PRIOR_ONLY]
    rows = []
    for grism in lent or result.grisms:
        claimed = 1e3 * np.hypot(*_in_own_plane(fits["auto"][grism.key], grism.plane).shift_error)
        by_method = [found[method][grism.key] for method in _METHODS]
        learnt = (1e3 * given.propagation.drift_error, 1e3 * given.pointing.dither_error)
        rows.append([directs, *by_method, claimed, by_method[-1] / claimed, *learnt])
    return np.array(rows)


def _in_own_plane(fit: ExposureFit, plane: object) -> LinearTransform:
    assert fit.transform is not None
    return fit.transform.at(plane)


def report_cost(instrument: str, repeats: int = 7) -> str:
    """Time of reading, propagating and writing a whole grism exposure against copies of its file."""
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate(case_a(instrument, n_pairs=1, n_visits=1), Path(folder), np.random.default_rng(1))
        direct_path, grism_path = truth.paths
        direct = read_exposure(direct_path)
        fit = ExposureFit(
            FitStatus.ALIGNED, LinearTransform.from_parameters(direct.plane, (0.4, -0.3), 0.01), "GAIA"
        )
        target = Path(folder) / "out" / grism_path.name
        target.parent.mkdir()
        label = WcsLabel("GAIA", "FIT_REL_GAIA", 50, (1.0, 1.0), "rshift")
        lent = AlignmentSolution({direct.key: fit})

        def propagated(grism: Exposure) -> ExposureFit:
            return propagate([grism], [direct], lent, GrismSettings())[grism.key]

        def whole() -> None:
            grism = read_exposure(grism_path)
            write_exposure(grism, propagated(grism), target, label)

        read = read_exposure(grism_path)
        ready = propagated(read)
        steps = {
            "copy": lambda: shutil.copyfile(grism_path, target),
            "safe copy": lambda: _safe_copy(grism_path, target),
            "whole": whole,
            "read": lambda: read_exposure(grism_path),
            "propagate": lambda: propagated(read),
            "write": lambda: write_exposure(read, ready, target, label),
            "hash": lambda: sha256_of(grism_path),
        }
        best = _fastest(steps, repeats)
        size = grism_path.stat().st_size / 2**20
    names = ("whole", "read", "propagate", "write", "hash")
    ratios = [f"{best[name] / best['copy']:.2f}" for name in names]
    return f"| {instrument} | {size:.0f} | {' | '.join(ratios)} | {best['whole'] / best['safe copy']:.2f} |"


def _fastest(steps: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least time of each step, s; the steps take turns, as the machine may be busy for a while."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            times[name].append(time.perf_counter() - begin)
    return {name: min(seconds) for name, seconds in times.items()}


def _safe_copy(source: Path, target: Path) -> None:
    """As atomic as what is written: to a name of its own, flushed, and renamed."""
    temporary = target.with_suffix(".part")
    shutil.copyfile(source, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(target)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--fields", type=int, default=3, help="fields of each kind")
    parser.add_argument("--cut", type=int, default=500, help="pixels of a cut; 0 for whole chips")
    parser.add_argument("--cost", nargs="*", default=_INSTRUMENTS, help="instruments whose writing is timed")
    parser.add_argument("--only", choices=("cases", "drift", "cost"), help="one table")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    cut = arguments.cut or None
    if arguments.only in (None, "cases"):
        print(report_cases(arguments.fields, cut), end="\n\n")
    if arguments.only in (None, "drift"):
        print(report_drift(arguments.fields, cut), end="\n\n")
    if arguments.only in (None, "cost"):
        print("Times of a plain copy of the file; of a copy that is safe on the disk\n")
        print("| instrument | MB | whole | read | propagate | write | SHA-256 | whole, of a safe copy |")
        print("|---|---|---|---|---|---|---|---|")
        for instrument in arguments.cost:
            print(report_cost(instrument))


if __name__ == "__main__":
    main()
