"""Reference catalogs of simulated fields, and how benchmarks align to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.values.catalog import ReferenceCatalog, astrometric_covariance
from grism_align.values.settings import AbsoluteSettings, ReferenceSettings, SelectionSettings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.simulation.scene import Scene
    from grism_align.values.field import ExposureSet

    Floats = NDArray[np.float64]

# The catalogs' epoch, and the proper motions of stars, mas/yr.
EPOCH, MOTION = 2016.0, 6.0


def made_catalog(
    scene: Scene, rows: NDArray[np.int64], error: Floats, motion_error: Floats
) -> ReferenceCatalog:
    """True positions and motions of some sources, at 2016.0."""
    n = len(rows)
    return ReferenceCatalog(
        sky=scene.sky_at(EPOCH)[rows],
        covariance=astrometric_covariance(error, motion_error),
        motion=scene.motion[rows],
        parallax=np.zeros(n),
        radial_velocity=np.zeros(n),
        epoch=np.full(n, EPOCH),
        mag=scene.mag[rows],
        identifier=rows.astype(str),
        name="SIMULATED",
        origin="",
    )


def scattered(catalog: ReferenceCatalog, rng: np.random.Generator) -> ReferenceCatalog:
    """A catalog with the errors that it states."""
    offset = rng.normal(size=(2, len(catalog), 2)) * [catalog.error, catalog.motion_error]
    step = offset[0] / 3.6e6
    step[:, 0] /= np.cos(np.radians(catalog.sky[:, 1]))
    return replace(catalog, sky=catalog.sky + step, motion=catalog.motion + offset[1])


def aligned(paths: list[Path]) -> ExposureSet:
    """Exposures measured and aligned with each other, without what comes after that."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    later = set(GrismAlignPipeline.step_defs) - {"source_catalog", "relative_align"}
    skipped = {name: {"skip": True} for name in later}
    return GrismAlignPipeline.call([str(path) for path in paths], steps=skipped)


def settings_of(solve: str, *, has_motion: bool = True) -> AbsoluteSettings:
    selection = SelectionSettings() if has_motion else SelectionSettings(unknown_motion=0.0)
    return AbsoluteSettings(ReferenceSettings(solve=solve), selection)


def rms_of(values: Sequence[float] | Floats) -> float:
    finite = np.array([value for value in values if np.isfinite(value)])
    return float(np.sqrt(np.mean(finite**2))) if len(finite) else np.nan
