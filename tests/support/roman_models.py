"""Small exposures of Roman, and fields of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, case_a, simulate

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from grism_align.simulation import Truth

KINDS = ("image", "dispersed", "other")


def small_visit(folder: Path, rng: np.random.Generator) -> dict[str, Path]:
    """Write a visit of two detectors, and return three of its files."""
    exposures = (SimulatedExposure("F158", 140.0), SimulatedExposure("GRISM", 300.0))
    plan = Simulation(
        "roman_wfi", (SimulatedVisit("01", exposures, start=61618.0),), size=96, companions=("WFI02",)
    )
    truth = simulate(plan, folder, rng)
    by_name = {path.name: path for path in truth.paths}

    def named(part: str) -> Path:
        return next(path for name, path in by_name.items() if part in name)

    return {"image": named("wfi01_f158"), "dispersed": named("wfi01_grism"), "other": named("wfi02_f158")}


def roman_field(folder: Path, rng: np.random.Generator, size: int = 160, n_visits: int = 2) -> Truth:
    """Write two visits, an image and spectra each, by two detectors."""
    plan = case_a("roman_wfi", size, n_pairs=1, n_visits=n_visits)
    return simulate(replace(plan, companions=("WFI02",)), folder, rng)
