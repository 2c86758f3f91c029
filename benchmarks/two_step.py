"""Align a mosaic's catalog and hand its correction to all exposures, or solve with the exposures themselves?

    python benchmarks/two_step.py                           # one simulated field, a few minutes
    python benchmarks/two_step.py FOLDER... [--dense refcat.ecsv] [--gaia gaia.ecsv]    # sets of your own

The fields are those of `absolute.py` (sets of your own have what is said there), measured and aligned with
each other once. Then with a dense catalog and one like Gaia:

* joint, frame, visit: what `solve=` of absolute_align makes of the exposures' own measurements;
* mosaic, field and mosaic, visits: the direct exposures of the whole field, or of each visit, are drizzled
  with the relative WCSs; the sources of that mosaic are found and aligned to the catalog as one rigid whole,
  by the same matching and fitting; all its exposures take that correction.

The numbers are the rms over a grid of pixels of all usable direct exposures of the distance to the true sky,
mas; *relative* that without a catalog, after one shift, roll and scale.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _reference import settings_of
from absolute import given, simulated
from astropy.table import Table
from mosaic import BITS, SCALES

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.absolute.frame_tie import FrameSources, match_frame
from grism_align.algorithms.absolute.selection import select_reference
from grism_align.values.errors import AlignmentError
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MosaicSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.mosaics.make import make_mosaics

if TYPE_CHECKING:
    from absolute import Measured

    from grism_align.values.catalog import ReferenceCatalog

# Sources of a mosaic that are matched: their error in magnitude at most.
_MOST_ERROR = 0.1


def mosaics_of(field: Measured, extent: str, folder: Path) -> list[tuple[tuple[str, ...], Table]]:
    """The exposures and the sources of each mosaic that the relative WCSs make."""
    instrument = field.exposures.direct[0].instrument
    settings = MosaicSettings(extent=extent, scale=SCALES[instrument])
    made = make_mosaics(field.exposures, settings, BITS, folder, SerialExecutor())
    out = []
    for product in made.products:
        table = Table.read(folder / f"{product.plan.name}_cat.ecsv")
        good = (
            ((table["flags"] & 6) == 0) & (table["mag_error"] < _MOST_ERROR) & np.isfinite(table["ra_error"])
        )
        out.append((product.plan.keys, table[good]))
    return out


def two_step(
    field: Measured, catalog: ReferenceCatalog, mosaics: list[tuple[tuple[str, ...], Table]]
) -> float:
    """Absolute rms, mas; NaN where a mosaic was refused."""
    settings = settings_of("frame")
    direct = field.exposures.direct
    epoch = float(np.mean([exposure.epoch for exposure in direct]))
    used, _ = select_reference(catalog, direct, epoch, settings.selection)
    fits = {}
    for keys, table in mosaics:
        plane = field.exposures.relative.plane
        positions = PlaneList(
            plane.to_plane(np.column_stack([table["ra"], table["dec"]])),
            1e-3 * np.hypot(table["ra_error"], table["dec_error"]) / np.sqrt(2),
            np.asarray(table["mag"]),
            np.asarray(table["ref_epoch"]),
        )
        scale = field.exposures[keys[0]].pixel_scale
        try:
            own = FrameSources(positions, np.asarray(table["label"]), plane, scale)
            tie = match_frame(own, used, settings)
        except AlignmentError as error:
            print(f"<!-- {field.name}: {error} -->")
            return np.nan
        fits.update(dict.fromkeys(keys, ExposureFit(FitStatus.ALIGNED, tie.fit.transform)))
    return rms_left(field, AlignmentSolution(fits))


def directly(field: Measured, catalog: ReferenceCatalog, solve: str) -> float:
    """The same, from what the exposures measured."""
    found = align_absolute(field.exposures, catalog, settings_of(solve))
    if not found.is_complete:
        return np.nan
    return rms_left(field, found.solution)


def rms_left(field: Measured, solution: AlignmentSolution) -> float:
    errors = field.errors(field.exposures.relative.then(solution))
    return float(np.sqrt((errors**2).sum(axis=1).mean()))


def report(field: Measured, work: Path) -> None:
    mosaics = {
        extent: mosaics_of(field, extent, work / f"{field.name}_{extent}") for extent in ("field", "visit")
    }
    for name, catalogs in (("dense", [field.dense]), ("gaia", field.gaia)):
        rows = {
            solve: [directly(field, catalog, solve) for catalog in catalogs]
            for solve in ("joint", "frame", "visit")
        }
        rows["mosaic, field"] = [two_step(field, catalog, mosaics["field"]) for catalog in catalogs]
        rows["mosaic, visits"] = [two_step(field, catalog, mosaics["visit"]) for catalog in catalogs]
        cells = [f"{np.sqrt(np.mean(np.square(row))):.2f}" for row in rows.values()]
        print(f"| {field.name} | {name} | {field.relative():.2f} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="sets of your own")
    parser.add_argument("--dense", default="refcat_truth.ecsv", help="the dense catalog of such a set")
    parser.add_argument("--gaia", default="gaia_like.ecsv", help="the sparse one")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated field")
    parser.add_argument("--draws", type=int, default=5, help="of its Gaia-like catalog")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| field | catalog | relative | joint | frame | visit | mosaic, field | mosaic, visits |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        for folder in arguments.folders:
            report(given(folder, arguments.dense, arguments.gaia), Path(name))
        if not arguments.folders:
            report(simulated(arguments.seed, 0.0, arguments.draws, Path(name)), Path(name))


if __name__ == "__main__":
    main()
