"""grism_align against jwst's TweakReg on exposures of JWST: time of whole processes, memory, and errors.

    python benchmarks/jwst.py                                  # a field of NIRISS and one of NIRCam
    python benchmarks/jwst.py --size 1024 --instruments niriss --repeat 3
    python benchmarks/jwst.py FOLDER...                        # exposures of your own: times only

The fields are two visits of images and spectra. Each run is a process of its own, by turns: start of Python,
imports, reading and writing included. TweakReg takes the images, with its defaults and a relative alignment.
grism_align runs twice: on the same images without mosaics, which TweakReg makes none of either, and with its
defaults on all, spectra measured and mosaics made; both times with its report, record and catalogs, and with
one process for a core, as it is by default. The table has the least CPU time of `--repeat` turns, of all
processes together.

The error is that of the images: rms over pixels of the distance to the true place, in two dimensions, after
one shift, rotation and scale of all, in mas. TweakReg calls COMPLETE what it did not fit, too.
"""

from __future__ import annotations

import argparse
import json
import os
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

if TYPE_CHECKING:
    from grism_align.simulation import Truth

_PYTHON, _STRUN = sys.executable, str(Path(sys.executable).with_name("strun"))
_TWEAKREG = """
import sys
from jwst.tweakreg import TweakRegStep
TweakRegStep.call(sys.argv[1], output_dir=sys.argv[2], save_results=True, suffix="cal")
"""
_NO_CRDS = {"STPIPE_DISABLE_CRDS_STEPPARS": "true", "CRDS_PATH": "/nonexistent", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class Turn:
    """One run: CPU and wall time of all its processes, s, and memory of the largest, MB."""

    cpu: float
    wall: float
    memory: float


def run(*command: str) -> Turn:
    """Run a program in a process of its own."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, env={**os.environ, **_NO_CRDS}, check=False)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Turn(cpu, wall, after.ru_maxrss / 1024)


def run_defaults(source: Path, out: Path) -> Turn:
    """Align images and spectra with grism_align, and make mosaics."""
    return _run_ours(source, out)


def run_images(source: Path, out: Path) -> Turn:
    """Align images with grism_align, and no more."""
    return _run_ours(_association(source, out), out, "--steps.visit_mosaic.skip=true")


def _run_ours(given: Path, out: Path, *options: str) -> Turn:
    return run(_STRUN, "grism_align_pipeline", str(given), f"--output_dir={out}", "--resume=false", *options)


def run_tweakreg(source: Path, out: Path) -> Turn:
    """Align images with TweakReg."""
    return run(_PYTHON, "-c", _TWEAKREG, str(_association(source, out)), str(out))


def _association(source: Path, out: Path) -> Path:
    """Write what image3 takes: the images of a folder."""
    out.mkdir()
    members = [{"expname": str(path), "exptype": "science"} for path in _images(source)]
    association = {"asn_type": "image3", "asn_id": "a1", "products": [{"name": "field", "members": members}]}
    path = out / "field_image3_asn.json"
    path.write_text(json.dumps(association))
    return path


def _images(source: Path) -> list[Path]:
    return sorted(source.glob("*_cal.fits"))


_PEERS = {
    "TweakReg": run_tweakreg,
    "grism_align, images": run_images,
    "grism_align, defaults": run_defaults,
}


def error_of(truth: Truth, out: Path) -> float:
    """Relative error of the images, rms, mas."""
    from grism_align.io.missions import read_exposure
    from grism_align.simulation import score

    def wcs(key: str, chip: int) -> object:
        path = next(one.path for one in truth.exposures.values() if one.key == key)
        written = out / path.name
        return read_exposure(written if written.is_file() else path).chips[chip - 1].wcs

    scores = score(truth, wcs)
    relative = [one.relative for one in scores.values() if one.kind.value == "direct"]
    return float(np.sqrt(np.mean(np.square(relative))))


def compare(source: Path, truth: Truth | None, repeat: int, base: Path) -> list[str]:
    """Run all by turns; return the rows of the table."""
    turns: dict[str, list[Turn]] = {peer: [] for peer in _PEERS}
    errors = dict.fromkeys(_PEERS, "")
    for _ in range(repeat):
        for peer, program in _PEERS.items():
            out = base / "out"
            turns[peer].append(program(source, out))
            if truth is not None:
                errors[peer] = f"{error_of(truth, out):.2f}"
            shutil.rmtree(out)
    reference = min(turn.cpu for turn in turns["TweakReg"])
    files = dict.fromkeys(_PEERS, len(_images(source)))
    files["grism_align, defaults"] = len(list(source.glob("*.fits")))
    rows = []
    for peer, found in turns.items():
        cpu, wall = min(turn.cpu for turn in found), min(turn.wall for turn in found)
        memory = max(turn.memory for turn in found)
        rows.append(f"| {peer} | {files[peer]} | {cpu:.1f} | {cpu / reference:.2f} | {wall:.1f} |")
        rows[-1] += f" {memory:.0f} | {errors[peer]} |"
    return rows


def main() -> None:
    """Run and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="exposures of your own")
    parser.add_argument("--instruments", nargs="*", default=["niriss", "nircam"])
    parser.add_argument("--size", type=int, default=1024, help="pixels of a cut of the detectors (1024)")
    parser.add_argument("--pairs", type=int, default=4, help="images and spectra in a visit (4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=2, help="turns of each (2)")
    options = parser.parse_args()
    print("| field | program | files | CPU [s] | of TweakReg's | wall [s] | memory [MB] | error [mas] |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        fields: list[tuple[str, Path, Truth | None]] = [
            (folder.name, folder.resolve(), None) for folder in options.folders
        ]
        for instrument in () if fields else options.instruments:
            from grism_align.simulation import case_a, simulate

            plan = case_a(instrument, size=options.size, n_pairs=options.pairs)
            folder = base / instrument
            fields.append((instrument, folder, simulate(plan, folder, np.random.default_rng(options.seed))))
        for field, source, truth in fields:
            for row in compare(source, truth, options.repeat, base):
                print(f"| {field} {row}", flush=True)


if __name__ == "__main__":
    main()
