"""Time of detection and measurement of one exposure, as a ratio to photutils on the same pixels.

    python benchmarks/detection.py [--instrument wfc3_ir] [--repeat 5] [--file EXPOSURE]

photutils: Background2D of the same box, detect_sources on the convolved image at a threshold that finds
about as many sources, deblend_sources, SourceCatalog with windowed centroids, no Kron fluxes. The least CPU
time of `--repeat` turns each, taken by turns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

from grism_align.algorithms.measuring.detect import detect_sources
from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, simulate, usual_scene
from grism_align.steps.parameter_files import instrument_values
from grism_align.values.settings import DetectionSettings

FILTERS = {"wfc3_ir": "F140W", "wfc3_uvis": "F606W", "acs_wfc": "F814W"}
PEAK_TO_PIXEL = 0.35  # a pixel's sigma at the faintest of our peaks, in units of the matched filter's


def simulated(instrument: str, folder: Path) -> Path:
    """One direct exposure of whole chips."""
    visit = SimulatedVisit("01", (SimulatedExposure(FILTERS[instrument], 300.0),))
    plan = Simulation(instrument, (visit,), scene=usual_scene(instrument))
    return simulate(plan, folder, np.random.default_rng(1)).paths[0]


def chips_of(path: Path) -> list:
    """SCI, ERR and DQ of every chip, in the machine's byte order."""
    with fits.open(path) as hdus:
        versions = [hdu.ver for hdu in hdus if hdu.name == "SCI"]
        pixels = [[hdus[name, ver].data for name in ("SCI", "ERR", "DQ")] for ver in versions]
        return [[array.astype(array.dtype.newbyteorder("=")) for array in chip] for chip in pixels]


def ours(chips: list, settings: DetectionSettings) -> int:
    """Number of sources."""
    return sum(len(detect_sources(*chip, settings).xy) for chip in chips)


def theirs(chips: list, settings: DetectionSettings) -> int:
    """Number of sources of photutils."""
    from astropy.convolution import convolve
    from photutils.background import Background2D
    from photutils.segmentation import SourceCatalog, deblend_sources, detect_sources, make_2dgaussian_kernel

    kernel = make_2dgaussian_kernel(2.355 * settings.kernel_sigma, size=5)
    number = 0
    for sci, err, dq in chips:
        bad = ((dq & ~(settings.good_bits | settings.saturation_bits)) != 0) | ~np.isfinite(sci) | (err <= 0)
        data = np.where(bad, 0, sci)
        background = Background2D(data, settings.background_box, mask=bad, filter_size=3)
        data = data - background.background
        smooth = convolve(data, kernel, mask=bad)
        found = detect_sources(smooth, settings.threshold * PEAK_TO_PIXEL * err, n_pixels=4, mask=bad)
        found = deblend_sources(smooth, found, n_pixels=4, progress_bar=False)
        catalog = SourceCatalog(data, found, error=err, mask=bad, convolved_data=smooth)
        table = catalog.to_table(
            ["label", "x_centroid", "y_centroid", "x_centroid_win", "y_centroid_win", "segment_flux", "fwhm"]
        )
        number += len(table)
    return number


def main() -> None:
    """Time both and print the ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instrument", default="wfc3_ir", choices=FILTERS)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--file", type=Path, help="an exposure of your own, of the instrument")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    settings = DetectionSettings(**instrument_values(arguments.instrument, "source_catalog"))
    with tempfile.TemporaryDirectory() as folder:
        chips = chips_of(arguments.file or simulated(arguments.instrument, Path(folder)))
    contenders = {
        "grism_align": lambda: ours(chips, settings),
        "grism_align, windowed only": lambda: ours(chips, replace(settings, centroid="windowed")),
        "photutils": lambda: theirs(chips, settings),
    }
    best, number = dict.fromkeys(contenders, np.inf), {}
    for _ in range(arguments.repeat):
        for name, run in contenders.items():
            start = time.process_time()
            number[name] = run()
            best[name] = min(best[name], time.process_time() - start)
    print(f"{arguments.instrument}\n\n| | CPU, s | sources | ratio to photutils |\n|---|---|---|---|")
    for name, seconds in best.items():
        print(f"| {name} | {seconds:.2f} | {number[name]} | {seconds / best['photutils']:.2f} |")


if __name__ == "__main__":
    main()
