"""Estimators of positions compared, on simulated exposures of known truth, or on a folder of exposures.

    python benchmarks/centroids.py [--instrument wfc3_ir] [--filter F140W] [--seed 1] [--figures DIR]
    python benchmarks/centroids.py --folder DIR

Simulated: rms error (pixels, of one axis, robust) and the width of the pulls in x and y, by the error that
the pixels' noise gives a windowed centroid, for stars and for galaxies, after the exposure's median shift is
taken out; and the time per source. "phase corrected" fits sine waves in the pixel phase to the errors
themselves, so it is the best that such a correction could do. A folder: no truth; the scatter of sources
between exposures after the package's own relative alignment, for windowed centroids and for fits of the PSF.
Wants photutils for the quadratic and the Gaussian, and matplotlib for --figures.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time

from grism_align.algorithms.measuring.background import local_background
from grism_align.algorithms.measuring.centroid import Stamps, cut_stamps, windowed_moments
from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.algorithms.measuring.good_pixels import good_pixels
from grism_align.algorithms.measuring.psf import star_positions
from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, simulate, usual_scene
from grism_align.steps.parameter_files import instrument_values
from grism_align.values.settings import DetectionSettings

HALF = 9
FILTERS = {"wfc3_ir": "F140W", "wfc3_uvis": "F606W", "acs_wfc": "F814W"}
TIMES = {"wfc3_ir": 250.0, "wfc3_uvis": 350.0, "acs_wfc": 350.0}
DITHERS = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212), (-0.474, 0.788), (2.11, -1.37), (-1.63, -0.55))
BINS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.3)


@dataclass
class Measured:
    """Clean detections of one chip: stamps, windowed positions, errors, fluxes, widths; and the truth."""

    stamps: Stamps
    xy: np.ndarray
    error: np.ndarray
    flux: np.ndarray
    fwhm: np.ndarray
    true: np.ndarray
    star: np.ndarray
    alone: np.ndarray


def simulated(instrument: str, element: str, size: int | None, seed: int, folder: Path):
    """Six dithered direct exposures, and their truth."""
    exposures = tuple(SimulatedExposure(element, TIMES[instrument], dither) for dither in DITHERS)
    plan = Simulation(
        instrument, (SimulatedVisit("01", exposures),), size=size, scene=usual_scene(instrument, size)
    )
    return simulate(plan, folder, np.random.default_rng(seed))


def measure(truth, exposure, extver: int, settings: DetectionSettings) -> Measured:
    """Detect the sources of a chip and pair each with the brightest true source within a pixel."""
    with fits.open(exposure.path) as hdus:
        sci, err, dq = (hdus[name, extver].data for name in ("SCI", "ERR", "DQ"))
        native = [array.astype(array.dtype.newbyteorder("=")) for array in (sci, err, dq)]
    found = detect_sources(*native, replace(settings, centroid="windowed"))
    good = good_pixels(*native, settings.good_bits | settings.saturation_bits)
    image = np.where(good, native[0] - local_background(native[0], good, settings.background_box), 0)
    keep = found.flags == 0
    xy = found.xy[keep]
    stamps = cut_stamps(image.astype(np.float32), native[1], good, np.rint(xy).astype(int), HALF)
    sky = truth.scene.sky_at(float(Time(exposure.mid, format="mjd").jyear))
    places, mag = exposure.chips[extver].to_pixel(sky), truth.scene.mag
    distance = np.hypot(*(xy[:, None] - places).transpose(2, 0, 1))
    partner = np.where(distance < 1, mag, 99.0).argmin(axis=1)
    rows = np.arange(len(xy))
    paired = distance[rows, partner] < 1
    others = (distance < 8) & (mag < mag[partner][:, None] + 2.5)
    others[rows, partner] = False
    return Measured(
        stamps, xy, found.xy_error[keep], found.flux[keep], found.fwhm[keep],
        np.where(paired[:, None], places[partner], np.nan), truth.scene.is_star[partner],
        paired & ~others.any(axis=1),
    )  # fmt: skip


def windowed(m: Measured, sigma: float):
    """Gaussian window of one width."""
    moments = windowed_moments(m.stamps, sigma)
    return np.where(moments.converged[:, None], moments.xy, np.nan), moments.xy_error


def adaptive(m: Measured):
    """A window as wide as each source, as SExtractor's, between 1 and 2.6 pixels."""
    sigma = np.clip(np.nan_to_num(m.fwhm, nan=2.0) / 2.355, 1.0, 2.6)
    xy, error = np.full_like(m.xy, np.nan), np.full_like(m.xy, np.nan)
    for width in np.arange(1.0, 2.7, 0.2):
        rows = np.abs(sigma - width) <= 0.1001
        xy[rows], error[rows] = (part[rows] for part in windowed(m, width))
    return xy, error


def isophotal(m: Measured):
    """Barycentre of the pixels above 1.5 sigma within five of the peak."""
    grid = np.arange(m.stamps.data.shape[1]) - HALF
    near = np.hypot(grid[None, :], grid[:, None]) <= 5
    weight = m.stamps.data * (m.stamps.good & near & (m.stamps.data > 1.5 * np.sqrt(m.stamps.variance)))
    total = weight.sum(axis=(1, 2))
    offset = [(weight * part).sum(axis=(1, 2)) / total for part in (grid[None, None, :], grid[None, :, None])]
    noise = (weight > 0) * m.stamps.variance
    error = [
        np.sqrt((noise * (part - at[:, None, None]) ** 2).sum(axis=(1, 2))) / total
        for part, at in zip((grid[None, None, :], grid[None, :, None]), offset, strict=True)
    ]
    return m.stamps.corner + HALF + np.column_stack(offset), np.column_stack(error)


def by_photutils(name: str):
    """photutils' centroid of each stamp, without errors of its own: those of the windowed one stand in."""

    def estimate(m: Measured):
        from photutils.centroids import centroid_2dg, centroid_quadratic

        xy = np.full_like(m.xy, np.nan)
        for row, (data, variance, good) in enumerate(
            zip(m.stamps.data, m.stamps.variance, m.stamps.good, strict=True)
        ):
            cut = np.s_[HALF - 4 : HALF + 5, HALF - 4 : HALF + 5]
            if name == "quadratic":
                xy[row] = centroid_quadratic(data[cut], fit_boxsize=5, mask=~good[cut])
            else:
                sigma = np.sqrt(np.where(variance > 0, variance, 1e12))
                xy[row] = centroid_2dg(data[cut], error=sigma[cut], mask=~good[cut])
        return xy + m.stamps.corner + HALF - 4, m.error

    return estimate


def psf(m: Measured):
    """The package's own: fits of the PSF for stars, the rest windowed."""
    xy, error = m.xy.copy(), m.error.copy()
    stars = star_positions(m.stamps, m.xy - m.stamps.corner, m.error, np.ones(len(m.xy), bool), 0.33)
    xy[stars.rows], error[stars.rows] = stars.xy + m.stamps.corner[stars.rows], stars.xy_error
    return xy, error


def phase_corrected(sigma: float):
    """Windowed, less sine waves in the pixel phase fitted to the errors of the bright stars."""

    def estimate(m: Measured):
        xy, error = windowed(m, sigma)
        for axis in (0, 1):
            phase = 2 * np.pi * xy[:, axis]
            waves = np.column_stack([f(n * phase) for n in (1, 2) for f in (np.sin, np.cos)])
            rows = m.star & m.alone & (m.error.max(axis=1) < 0.02) & np.isfinite(xy[:, axis])
            if rows.sum() > 8:
                off = (xy - m.true)[rows, axis]
                fit = np.linalg.lstsq(
                    np.column_stack([waves[rows], np.ones(rows.sum())]), off - np.median(off), rcond=None
                )[0]
                xy[:, axis] -= np.where(m.star, waves @ fit[:-1], 0)
        return xy, error

    return estimate


def estimators(window: float) -> dict:
    """All of them, by name."""
    wide = {f"windowed {s:g}": (lambda m, s=s: windowed(m, s)) for s in sorted({1.2, window, 2.2})}
    return {
        "isophotal": isophotal,
        **wide,
        "window = source": adaptive,
        f"{window:g}, phase corrected": phase_corrected(window),
        "quadratic 5x5": by_photutils("quadratic"),
        "2-D Gaussian": by_photutils("gaussian"),
        "PSF (stars)": psf,
    }


def robust(values: np.ndarray) -> float:
    """Width of a distribution from its median deviation."""
    values = values[np.isfinite(values)]
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else np.nan


def table(results: dict, sources: list[Measured]) -> None:
    """Print the errors and pulls of each estimator."""
    noise = np.concatenate([m.error.mean(axis=1) for m in sources])
    star, alone = (np.concatenate([getattr(m, name) for m in sources]) for name in ("star", "alone"))
    for title, kind in (("stars", star), ("galaxies", ~star)):
        groups = [alone & kind & (noise > a) & (noise <= b) for a, b in pairwise(BINS)]
        print(f"\n{title}: rms error, pix (pull x, pull y), by the error from noise, pix\n")
        heads = [f"{a:g}-{b:g} ({g.sum()})" for a, b, g in zip(BINS, BINS[1:], groups, strict=False)]
        print("| estimator | ms/source |", " | ".join(heads), "|")
        print("|---" * (2 + len(heads)) + "|")
        for name, (off, error, cost) in results.items():
            cells = []
            for group in groups:
                pull = [robust(off[group, axis] / error[group, axis]) for axis in (0, 1)]
                cells.append(f"{robust(off[group]):.4f} ({pull[0]:.2f}, {pull[1]:.2f})")
            print(f"| {name} | {cost:.2f} |", " | ".join(cells), "|")


def figures(results: dict, sources: list[Measured], folder: Path, label: str) -> None:
    """Error against noise, and against pixel phase, of the stars."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    noise = np.concatenate([m.error.mean(axis=1) for m in sources])
    rows = np.concatenate([m.star & m.alone for m in sources])
    phase = np.concatenate([m.true - np.rint(m.true) for m in sources])
    shown = [n for n in results if n.startswith(("isoph", "windowed", "quadr", "2-D", "PSF"))]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), dpi=80, layout="constrained")
    edges = np.geomspace(0.002, 0.2, 9)
    for name in shown:
        off = results[name][0]
        width = [robust(off[rows & (noise > a) & (noise <= b)]) for a, b in pairwise(edges)]
        left.loglog(np.sqrt(edges[1:] * edges[:-1]), width, "o-", ms=3, label=name)
    left.set(xlabel="error from noise, windowed [pix]", ylabel="rms error of stars [pix]")
    left.legend(fontsize=7)
    bright = rows & (noise < 0.01)
    for name in [shown[1], shown[2], shown[-1]]:
        right.plot(phase[bright, 0], results[name][0][bright, 0], ".", ms=4, label=name)
    right.set(xlabel="pixel phase in x", ylabel="error in x [pix]", ylim=(-0.08, 0.08))
    right.legend(fontsize=7)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"centroids_{label}.png")


def study(arguments: argparse.Namespace) -> None:
    """Simulate, measure with every estimator, print."""
    name = arguments.instrument
    settings = DetectionSettings(**instrument_values(name, "source_catalog"))
    element = arguments.filter or FILTERS[name]
    with tempfile.TemporaryDirectory() as folder:
        truth = simulated(name, element, arguments.size, arguments.seed, Path(folder))
        sources = [
            measure(truth, exposure, extver, settings)
            for exposure in truth.exposures.values()
            for extver in exposure.chips
        ]
    results = {}
    for label, estimate in estimators(settings.window_sigma).items():
        offs, errors = [], []
        start = time.process_time()
        measured = [estimate(m) for m in sources]
        cost = 1e3 * (time.process_time() - start) / sum(len(m.xy) for m in sources)
        for m, (xy, error) in zip(sources, measured, strict=True):
            off = xy - m.true
            offs.append(off - np.nanmedian(off[m.alone], axis=0))
            errors.append(error)
        results[label] = (np.concatenate(offs), np.concatenate(errors), cost)
    print(f"{name} {element}, seed {arguments.seed}, {len(truth.exposures)} exposures")
    table(results, sources)
    if arguments.figures:
        figures(results, sources, arguments.figures, f"{name}_{element}".lower())


def repeatability(folder: Path) -> None:
    """Scatter between exposures after relative alignment, by estimator; no truth needed."""
    from grism_align.steps.relative_align_step import RelativeAlignStep
    from grism_align.steps.source_catalog_step import SourceCatalogStep

    print("| estimator | rms residual, mas | median residual of the brightest quarter, mas | matched |")
    print("|---|---|---|---|")
    for centroid in ("windowed", "psf"):
        with tempfile.TemporaryDirectory() as scratch:
            keep = {"save_results": False, "output_dir": scratch}
            measured = SourceCatalogStep.call(str(folder), centroid=centroid, **keep)
            aligned = RelativeAlignStep.call(measured, **keep)
        catalogs, solved = aligned.catalogs, aligned.relative
        length, flux, rms = [], [], []
        for key, fit in solved.fits.items():
            if fit.residuals is None:
                continue
            rms.append(fit.rms)
            length.append(np.hypot(*np.asarray(fit.residuals.offset).T))
            flux.append(catalogs[key].flux[np.searchsorted(catalogs[key].table["id"], fit.residuals.source)])
        residual, light = np.concatenate(length), np.concatenate(flux)
        bright = light >= np.quantile(light, 0.75)
        print(
            f"| {centroid} | {np.sqrt(np.mean(np.square(rms))):.2f} | {np.median(residual[bright]):.2f} "
            f"| {len(residual)} |"
        )


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instrument", default="wfc3_ir", choices=FILTERS)
    parser.add_argument("--filter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, help="pixels of a cut; default: whole chips")
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--folder", type=Path, help="exposures of your own instead of simulated ones")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    repeatability(arguments.folder) if arguments.folder else study(arguments)


if __name__ == "__main__":
    main()
