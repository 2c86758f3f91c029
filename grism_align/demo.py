"""The demonstration: two simulated visits with known errors, aligned, and how well."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.io.files.staging import output_errors
from grism_align.values.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from grism_align.simulation import ExposureScore, Simulation, Truth
    from grism_align.values.field import ExposureSet

    Align = Callable[[Path, Path, Path], ExposureSet]

#: Instruments, and what the demonstration simulates of each.
PROGRAMS = {
    "wfc3_ir": "two visits of WFC3/IR with pairs of F140W and G141 exposures",
    "niriss": "two visits of NIRISS with pairs of F150W and GR150R or GR150C exposures, 1024 pixels a side",
    "nircam": "two visits of NIRCam with GRISMR and then F356W exposures, and F210M images of the same "
    "instants on NRCA1 and NRCA4, 512 pixels a side",
    "roman": "two visits of four detectors of Roman's WFI with pairs of F158 and PRISM exposures, "
    "512 pixels a side",
}


def run_demo(folder: Path, seed: int, align: Align, instrument: str = "wfc3_ir") -> None:
    """Simulate visits, align them and print injected against recovered corrections.

    Parameters
    ----------
    folder : Path
        Made if need be; ``input`` and ``aligned`` in it must not exist with files of other data.
    seed : int
        Of the random numbers.
    align : callable
        Takes an association, a folder for the results and a catalog, and returns what was found.
    instrument : str
        One of `PROGRAMS`.

    Raises
    ------
    OutputError
        If the folder holds files that are not of a demo, or can't be written to.
    SettingsError
        If the seed is negative, or the instrument's files need a package that isn't installed.
    """
    from grism_align.io.files.claims import claimed
    from grism_align.workflows.results.destination import new_folder

    if seed < 0:
        name, allowed = "seed", "a whole number, zero or more"
        raise SettingsError(name, seed, allowed)
    with new_folder(str(folder)), claimed([folder / "input"]), output_errors(folder):
        _run_demo(folder, seed, align, instrument)


def _run_demo(folder: Path, seed: int, align: Align, instrument: str) -> None:
    import numpy as np

    from grism_align.io.associations import write_association
    from grism_align.io.missions import read_exposure
    from grism_align.simulation import simulate
    from grism_align.workflows.associate import build_association

    inputs, outputs, simulation = folder / "input", folder / "aligned", _simulation(instrument)
    _require_ours(inputs, simulation)
    print(f"Simulating {PROGRAMS[instrument]}, in {inputs}")
    truth = simulate(simulation, inputs, np.random.default_rng(seed), _say_progress)
    catalog = inputs / "stars.ecsv"
    truth.catalog.write(catalog, format="ascii.ecsv", overwrite=True)
    exposures = [read_exposure(path) for path in truth.paths]
    association = inputs / "demo_asn.json"
    write_association(build_association(exposures, "demo"), association)
    print(f"\ngrism-align align {association} -o {outputs} --catalog {catalog}\n")
    result = align(association, outputs, catalog)
    print("\n" + _comparison(truth, result, outputs))


def _simulation(instrument: str) -> Simulation:
    from grism_align.simulation import case_a, images_last

    if instrument == "nircam":
        return replace(images_last(instrument, 512, n_grisms=2), companions=("NRCA1", "NRCA4"))
    if instrument == "roman":
        return replace(case_a("roman_wfi", 512), companions=("WFI02", "WFI04", "WFI05"))
    return case_a(instrument, None if instrument == "wfc3_ir" else 1024)


def _require_ours(inputs: Path, simulation: Simulation) -> None:
    """Refuse a folder with other exposures than an earlier demo's."""
    begin = simulation.camera.root(simulation.program_name)
    others = [
        path.name
        for path in (*inputs.glob("*.fits"), *inputs.glob("*.asdf"))
        if not path.name.startswith(begin)
    ]
    if others:
        raise OutputError(inputs, f"it holds files of other data ({others[0]})", "Give another output_dir")


def _say_progress(done: int, total: int, name: str) -> None:
    print(f"  {name} ({done} of {total})", flush=True)


def _comparison(truth: Truth, result: ExposureSet, outputs: Path) -> str:
    """Injected against recovered corrections, and what the written files are still off by."""
    from grism_align.io.missions import read_exposure
    from grism_align.simulation import score

    written = {}
    for path in (outputs / path.name for path in truth.paths):
        exposure = read_exposure(path)
        written.update({(exposure.key, chip.number): chip.wcs for chip in exposure.chips})
    scores = score(truth, lambda key, extver: written[key, extver])
    width = max(map(len, scores))
    rows = [f"{key:{width}} {_row(truth, result, key, found)}" for key, found in scores.items()]
    worst = {
        name: max(getattr(found, name) for found in scores.values()) for name in ("absolute", "relative")
    }
    pixel = 1e3 * result.grisms[0].pixel_scale
    return "\n".join(
        [
            "Correction: shift east, north [mas] and roll [deg]. Left: error of the written WCS.",
            f"{'exposure':{width}} {'kind':7} {'needed':>26} {'found':>26} "
            f"{'left [mas]':>11} {'relative':>9}",
            *rows,
            f"Largest error left {worst['absolute']:.2f} mas, "
            f"relative to each other {worst['relative']:.2f} mas (a pixel is {pixel:.0f} mas).",
        ]
    )


def _row(truth: Truth, result: ExposureSet, key: str, found: ExposureScore) -> str:
    exposure, fit = result[key], result.fit(key)
    needed = truth[key].correction(exposure.plane)
    recovered = None if fit.transform is None else fit.transform.at(exposure.plane)
    texts = [
        "none" if t is None else f"{1e3 * t.shift[0]:+8.1f} {1e3 * t.shift[1]:+8.1f} {t.roll:+8.5f}"
        for t in (needed, recovered)
    ]
    kind = found.kind.value
    return f"{kind:7} {texts[0]:>26} {texts[1]:>26} {found.absolute:11.2f} {found.relative:9.2f}"
