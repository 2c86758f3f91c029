"""What a run would read, write and cost, from headers alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from grism_align.algorithms.mosaics.grid import plan_mosaics
from grism_align.workflows.associate import build_association
from grism_align.workflows.check import FieldCheck, check_field
from grism_align.workflows.mosaics.checks import SUFFIXES
from grism_align.workflows.workload import process_count, size_of, workload_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import MosaicSettings
    from grism_align.workflows.results.destination import Destination

# Seconds of one core of a machine of 2024 to start and to report.
_START = 6.0
# Bytes.
_REPORT, _PER_EXPOSURE = 0.7e6, 0.15e6
# Of a mosaic: bytes of a pixel, in all its files and in memory, and seconds of a million.
_PER_MOSAIC_PIXEL, _IN_MEMORY, _DRIZZLE = 12, 6, 0.3


@dataclass(frozen=True, eq=False)
class RunPlan:
    """What a run would do.

    Parameters
    ----------
    check : FieldCheck
        The exposures, what governs which, and what speaks against aligning them together.
    alone : tuple of str
        Visits that overlap no other, where there are several.
    exposures, products : tuple of Path
        Files that would be written.
    replaced : tuple of Path
        Those of them that exist.
    size : float, byte
        Of all that is written, about.
    seconds : float
        It would take about this long.
    memory : float, byte
        A process would need about as much.
    """

    check: FieldCheck
    alone: tuple[str, ...]
    exposures: tuple[Path, ...]
    products: tuple[Path, ...]
    replaced: tuple[Path, ...]
    size: float
    seconds: float
    memory: float


def plan_run(
    exposures: ExposureSet,
    destination: Destination,
    steps: Collection[str],
    nproc: int | None,
    mosaics: MosaicSettings | None,
    *,
    is_named: bool,
) -> RunPlan:
    """Look ahead at a run of the pipeline.

    Parameters
    ----------
    exposures : ExposureSet
        As read, under a product name that is free.
    destination : Destination
        Where results would go.
    steps : collection of str
        Steps that would run.
    nproc : int or None
        Processes that would work, as in `ExecutionSettings`.
    mosaics : MosaicSettings or None
        What mosaics are made with, if any are.
    is_named : bool
        Whether anybody chose the destination; else nothing is known of what it replaces.
    """
    written = tuple(map(destination.exposure, exposures.exposures))
    products = destination.products(exposures)
    if "absolute_align" not in steps:
        products = tuple(path for path in products if path != destination.reference(exposures.product))
    workload = workload_of(exposures, steps)
    n = process_count(nproc, workload)
    size = size_of(exposures) + _REPORT + _PER_EXPOSURE * len(exposures.exposures)
    drizzled = plan_mosaics(exposures.direct, exposures.product, mosaics) if mosaics else []
    pixels = [one.grid.shape[0] * one.grid.shape[1] for one in drizzled]
    n_pixels = sum(pixels)
    tile = min(max(pixels, default=0), mosaics.tile**2) if mosaics else 0
    products += tuple(destination.folder / f"{one.name}_{suffix}" for one in drizzled for suffix in SUFFIXES)
    return RunPlan(
        check_field(exposures),
        _alone(exposures),
        written,
        products,
        tuple(path for path in (*written, *products) if is_named and path.exists()),
        size + _PER_MOSAIC_PIXEL * n_pixels,
        _START + workload.seconds / n + _DRIZZLE * n_pixels / 1e6 / min(n, len(drizzled) or 1),
        workload.memory + _IN_MEMORY * tile,
    )


def _alone(exposures: ExposureSet) -> tuple[str, ...]:
    """Return the visits whose direct exposures overlap those of no other."""
    extra = build_association(exposures.direct, exposures.product).product_extra
    visits = [str(one["visit"]) for one in extra["visits"]]
    together = set(chain.from_iterable(extra["overlaps"]))
    return tuple(visit for visit in visits if visit not in together) if len(visits) > 1 else ()
