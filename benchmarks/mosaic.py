"""Mosaics against drizzlepac's AstroDrizzle: the same pixels, time, memory, and sharp stars.

    python benchmarks/mosaic.py             # simulated WFC3/IR and ACS/WFC exposures, some ten minutes
    python benchmarks/mosaic.py --size 400  # smaller cuts: a smoke run
    python benchmarks/mosaic.py FOLDER...   # direct exposures of your own, FLT or FLC, one filter a folder

Equality: both drizzle the same exposures with the same WCSs, inverse-variance weights, frame and kernel,
without background and cosmic rays. AstroDrizzle computes every position (stepsize=1); its default takes them
linear between every tenth pixel, and what that changes is shown too.

Speed: both level the background, reject cosmic rays by the median and drizzle, each as a process of its own,
import included, in turns; the smallest of some runs counts (wall and CPU time; peak memory).

Sharpness (simulated fields only): the stars of a mosaic of two visits after the alignment, against those of
the mosaic made with the true WCSs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

SCALES = {"wfc3_ir": 0.06, "acs_wfc": 0.05, "wfc3_uvis": 0.04}
BITS = {"wfc3_ir": 8768, "acs_wfc": 480, "wfc3_uvis": 480}
EQUAL = {"level_background": False, "cosmic_rays": "none", "weights": "error", "make_catalog": False}
FULL = {"make_catalog": False, "weights": "exposure"}
_WANTED = {"CCDGAIN": 1.0, **{f"ATODGN{a}": 1.0 for a in "ABCD"}, **{f"READNSE{a}": 5.0 for a in "ABCD"}}


# --- one run, in a process of its own ---


def run_ours(files: list[Path], out: Path, values: dict[str, Any]) -> None:
    from grism_align.values.settings import MosaicSettings
    from grism_align.workflows.executors import SerialExecutor
    from grism_align.workflows.load import load
    from grism_align.workflows.mosaics.make import make_mosaics

    exposures = load([str(path) for path in files])
    settings = MosaicSettings(extent="field", **values)
    make_mosaics(exposures, settings, BITS, out, SerialExecutor())


def run_theirs(files: list[Path], out: Path, values: dict[str, Any]) -> None:
    """AstroDrizzle on copies, as it changes its inputs, onto the frame of a mosaic that we made."""
    from drizzlepac.astrodrizzle import AstroDrizzle

    names = [shutil.copy(path, out) for path in files]
    full = values.get("cosmic_rays") != "none"
    steps = dict.fromkeys(("driz_separate", "median", "blot", "driz_cr"), full)
    with contextlib.chdir(out), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        AstroDrizzle(
            [Path(name).name for name in names], output="mosaic", **steps, preserve=False, updatewcs=False,
            build=False, context=False, static=False, skysub=full, resetbits=0, stepsize=values["stepsize"],
            driz_sep_bits=values["good_bits"], final_bits=values["good_bits"], driz_cr_snr="4.0 3.0",
            driz_cr_scale="1.2 0.7", final_wht_type="EXP" if full else "ERR", final_pixfrac=0.8,
            final_fillval=0, final_units="cps", final_wcs=True, final_refimage=values["frame"], num_cores=1,
            in_memory=False,
        )  # fmt: skip


def worker(peer: str, files: Path, out: Path, values: str) -> None:
    paths = sorted(files.glob("*_fl?.fits"))
    {"ours": run_ours, "theirs": run_theirs}[peer](paths, out, json.loads(values))


def timed(peer: str, files: Path, out: Path, values: dict[str, Any]) -> tuple[float, float, float]:
    """Wall time and CPU time, s, and peak memory, MB, of a run in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, __file__, "--worker", peer, str(files), str(out), json.dumps(values)]
    start = time.perf_counter()
    with (out.parent / f"{peer}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{peer} failed:\n{(out.parent / f'{peer}.log').read_text()[-2000:]}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


# --- what is compared ---


def prepared(sources: list[Path], folder: Path) -> Path:
    """Copies of exposures that AstroDrizzle accepts."""
    folder.mkdir(parents=True)
    for path in sources:
        with fits.open(path) as hdus:
            for keyword, value in _WANTED.items():
                hdus[0].header.setdefault(keyword, value)
            hdus[0].header.setdefault("MJD-OBS", hdus[0].header["EXPSTART"])
            for hdu in hdus:
                if hdu.data is None and "PIXVALUE" in hdu.header:
                    shape = hdu.header["NPIX2"], hdu.header["NPIX1"]
                    hdu.data = np.full(shape, hdu.header["PIXVALUE"], np.float32)
                if hdu.name == "SCI":
                    hdu.header.setdefault("NGOODPIX", hdu.data.size)
                    hdu.header.setdefault("MEANDARK", 0.0)
            hdus.writeto(folder / path.name)
    return folder


def equality(files: Path, scratch: Path, scale: float, bits: int) -> tuple[Path, list[str]]:
    """The frame, and rows of the table of differences."""
    timed("ours", files, scratch / "ours", {"scale": scale, "good_bits": bits, **EQUAL})
    [science] = (scratch / "ours").glob("*_drz_sci.fits")
    frame = scratch / "frame.fits"
    shutil.copy(science, frame)
    one, weight = fits.getdata(science), fits.getdata(str(science).replace("_sci", "_wht"))
    if find_spec("drizzlepac") is None:
        return frame, []
    used = weight > 0
    noise = np.sqrt(np.median(weight[used]) / weight[used])
    noise *= 1.4826 * np.median(np.abs(one[used] - np.median(one[used])))
    rows = []
    for step in (1, 10):
        values = {"stepsize": step, "frame": str(frame), "good_bits": bits, **EQUAL}
        timed("theirs", files, scratch / "theirs", values)
        [other] = (scratch / "theirs").glob("mosaic_dr?_sci.fits")
        difference = (fits.getdata(other)[used] - one[used]) / noise
        within = 100 * np.mean(np.abs(difference) < 1e-3)
        high = np.percentile(np.abs(difference), 99.9)
        rows.append(f"| stepsize={step} | {np.median(difference):g} | {within:.3f} | {high:.1e} |")
    return frame, rows


def speed(files: Path, scratch: Path, frame: Path, values: dict[str, Any], runs: int) -> list[str]:
    ours = {**values, **FULL, "grid_image": str(frame)}
    theirs = {"stepsize": 10, "frame": str(frame), "good_bits": values["good_bits"]}
    found: dict[str, list[tuple[float, float, float]]] = {"ours": [], "theirs": []}
    for _ in range(runs):
        for peer, own in (("ours", ours), ("theirs", theirs)):
            found[peer].append(timed(peer, files, scratch / peer, own))
    best = {peer: np.min(rows, axis=0) for peer, rows in found.items()}
    rows = [
        f"| {name} | {wall:.1f} | {cpu:.1f} | {memory:.0f} |"
        for name, (wall, cpu, memory) in zip(("grism_align", "AstroDrizzle"), best.values(), strict=True)
    ]
    ratio = best["theirs"] / best["ours"]
    return [*rows, f"| ratio | {ratio[0]:.2f} | {ratio[1]:.2f} | {ratio[2]:.2f} |"]


def simulated(instrument: str, size: int | None, folder: Path, seed: int) -> Any:
    """Two visits of four direct exposures."""
    from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, simulate, usual_scene

    band, shape = {"wfc3_ir": ("F140W", 1014), "acs_wfc": ("F814W", (1024, 2048))}[instrument]
    shape = shape if size is None else size
    dithers = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212), (-0.474, 0.788))
    exposures = tuple(SimulatedExposure(band, 350.0, dither) for dither in dithers)
    visits = (
        SimulatedVisit("01", exposures),
        SimulatedVisit("02", exposures, angle=52.0, offset=(5.0, -3.0), start=57061.7),
    )
    simulation = Simulation(instrument, visits, size=shape, scene=usual_scene(instrument, shape))
    return simulate(simulation, folder, np.random.default_rng(seed))


def sharpness(truth: Any, scratch: Path, values: dict[str, Any]) -> str:
    """FWHM of stars after the alignment and with the true WCSs, arcsec."""
    from grism_align.steps.pipeline import GrismAlignPipeline
    from grism_align.values.settings import MosaicSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
    from grism_align.workflows.executors import SerialExecutor
    from grism_align.workflows.mosaics.make import make_mosaics

    catalog = scratch / "truth.ecsv"
    truth.catalog.write(catalog, format="ascii.ecsv", overwrite=True)
    found = GrismAlignPipeline.call(
        [str(path) for path in truth.paths],
        steps={"absolute_align": {"catalog": str(catalog)}},
        configure_log=False,
    )
    true_fits = {
        one.key: ExposureFit(FitStatus.ALIGNED, truth[one.key].correction(one.plane)) for one in found.direct
    }
    settings = MosaicSettings(extent="field", **values)
    tables = []
    for name, relative in (("aligned", found.relative), ("true", AlignmentSolution(true_fits))):
        absolute = found.absolute if name == "aligned" else AlignmentSolution()
        exposures = replace(found, relative=relative, absolute=absolute)
        made = make_mosaics(exposures, settings, BITS, scratch / name, SerialExecutor()).products[0]
        tables.append(Table.read(Path(made.folder) / f"{made.plan.name}_cat.ecsv"))
    aligned, true = tables
    stars = np.flatnonzero((true["mag_error"] < 0.01) & ((true["flags"] & 6) == 0) & ~true["is_extended"])
    cosine = np.cos(np.radians(true["dec"][stars]))[:, None]
    east = (np.asarray(true["ra"][stars])[:, None] - np.asarray(aligned["ra"])) * cosine * 3600
    north = (np.asarray(true["dec"][stars])[:, None] - np.asarray(aligned["dec"])) * 3600
    nearest = np.argmin(np.hypot(east, north), axis=1)
    near = np.hypot(east, north)[np.arange(len(stars)), nearest] < 0.05
    one = np.asarray(aligned["fwhm"])[nearest][near] * values["scale"]
    other = np.asarray(true["fwhm"])[stars][near] * values["scale"]
    if not len(one):
        return "0 | - | - | -"
    ratio = one / other
    error = 1.25 * ratio.std() / np.sqrt(len(ratio))
    return (
        f"{len(one)} | {np.median(one):.4f} | {np.median(other):.4f} | {np.median(ratio):.4f} ± {error:.4f}"
    )


def report(name: str, sources: list[Path], truth: Any, scratch: Path, runs: int) -> None:
    from grism_align.io.missions import read_instrument

    instrument = read_instrument(sources[0])
    scale, bits = SCALES[instrument], BITS[instrument]
    files = prepared(sources, scratch / "files")
    frame, rows = equality(files, scratch, scale, bits)
    print(f"\n### {name}: {len(sources)} exposures of {instrument}, {scale} arcsec, pixfrac 0.8\n")
    if not rows:
        print("drizzlepac is not installed: no comparison")
    else:
        print("| AstroDrizzle with | median difference / noise | % within 1e-3 | 99.9 % within |")
        print("|---|---|---|---|", *rows, sep="\n")
        print("\n| whole process | wall [s] | CPU [s] | peak memory [MB] |\n|---|---|---|---|")
        print(*speed(files, scratch, frame, {"scale": scale, "good_bits": bits}, runs), sep="\n")
    if truth is not None:
        print("\n| stars | FWHM aligned | FWHM, true WCSs [arcsec] | ratio |\n|---|---|---|---|")
        print(f"| {sharpness(truth, scratch, {'scale': scale, 'good_bits': bits})} |")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="direct exposures of your own")
    parser.add_argument("--size", type=int, help="pixels of a cut of the simulated chips")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3, help="timed runs of each, in turns")
    parser.add_argument("--instruments", default="wfc3_ir,acs_wfc", help="of the simulated fields")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        for folder in map(Path.resolve, arguments.folders):
            sources = sorted(folder.glob("*_fl?.fits"))
            report(folder.name, sources, None, Path(name) / folder.name, arguments.runs)
        for instrument in [] if arguments.folders else arguments.instruments.split(","):
            scratch = Path(name) / instrument
            truth = simulated(instrument, arguments.size, scratch / "raw", arguments.seed)
            report("simulated", truth.paths, truth, scratch, arguments.runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
    else:
        main()
