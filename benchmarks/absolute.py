"""How near to the true sky does a reference catalog bring a field, and how near could it?

    python benchmarks/absolute.py                           # all of it, a quarter of an hour
    python benchmarks/absolute.py --parts catalogs --seeds 1 --draws 2
    python benchmarks/absolute.py FOLDER... --seeds 0 --parts catalogs,thinned      # sets of your own

**catalogs**: the fields are Case A (two visits of four F140W exposures of WFC3/IR, full chips), seen some
years before 2016 (``--years``), with stars that move by 6 mas/yr an axis. They are measured and aligned with
each other once, and then with three catalogs, as one rigid whole (frame) and each exposure anew (joint):

* dense: all sources to 24 mag, their positions exact;
* gaia: the brightest stars on the exposures, 40 at most, at epoch 2016.0, with errors of 0.5 to 2 mas an axis
  and proper motions with errors of 0.05 to 0.25 mas/yr. Its errors are drawn anew ``--draws`` times;
* gaia, no motion: the same, its proper motions blank and taken for zero.

A set of your own is a folder with RAW/*.fits, truth.ecsv, whose columns `benchmarks/_truth.py` describes, and
two catalogs in any form that the pipeline reads (``--dense``, ``--gaia``). It has one draw.

*absolute* is the rms over a grid of pixels of all usable direct exposures of the distance to the true sky, in
mas, and that of the draws. *allowed* is what the catalog's errors and number allow a shift and roll of the
whole field (in brackets, a shift, roll and scale). With A the derivatives of a star's position by these terms
and C its 2 x 2 covariance at the epoch of the exposures, the covariance of the terms is
P = (sum A' C^-1 A)^-1, and the mean square error of a pixel tr(A P A'); of which the mean over the grid, and
then the root. A simulation of the errors checks every one. *with positions* is the same where C has the error
of the star's measured position besides, as the relative alignment states it, without stars that it does not
have. *relative* is the error without a catalog, after one shift, roll and scale. The ratios are to *allowed*;
to that and *relative* in quadrature; to *with positions* and *relative* in quadrature. One draw scatters by
a third, so a ratio means something where there are many.

**thinned**: gaia with so many stars left, by chance. Refused draws are counted and have no error.

**mosaic**: six pointings of two exposures, 2' apart, every other one ten years later, each with an error of
its pointing and roll; of galaxies that no catalog has and of stars that move, most of them one way. Lists of
positions with 0.01 pixel of noise; a catalog of the stars with 0.5 mas. *step*: the largest difference, along
the seam of two neighbours, between where the two put the sky. The rows of images are one such mosaic each
through the whole pipeline (``--no-pixels`` leaves them out).
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from _mosaics import imaged_mosaic, listed_mosaic, report_mosaics
from _reference import EPOCH, MOTION, aligned, made_catalog, rms_of, scattered, settings_of
from _truth import write_truth
from astropy.io import fits
from astropy.table import Table
from astropy.time import Time
from scipy.spatial import cKDTree

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.simulation import case_a, simulate, usual_scene
from grism_align.values.solution import agreement
from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from grism_align.simulation.scene import Scene
    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet
    from grism_align.values.solution import AlignmentSolution

    Floats = NDArray[np.float64]

_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
_SAMPLES = np.linspace(0.04, 0.96, 9)
_PARTS = ("catalogs", "thinned", "mosaic")
_SOLVES = ("joint", "frame")
_THINNED = (10, 6, 4)
# Most stars of the Gaia-like catalog.
_MOST_STARS = 40
# The dense catalog: faintest magnitude, and the error that it states, mas.
_FAINTEST, _DENSE_ERROR = 24.0, 0.5
_CHECKS = 4000
# Distance within which a source is a star, arcsec.
_SAME = 0.15


@dataclass(frozen=True, eq=False)
class Measured:
    """A field, aligned with itself, and its truth.

    Parameters
    ----------
    name : str
        Of the field.
    exposures : ExposureSet
        With the relative solution.
    pixels : dict of str to ndarray
        Sky (N, 2) in deg of a grid of pixels of each usable direct exposure, by its written WCS.
    sky : dict of str to ndarray
        The true sky of the same pixels.
    chips : dict of str to list of FitsWcs
        True WCSs of the same exposures.
    dense : ReferenceCatalog
        All sources, positions exact.
    gaia : list of ReferenceCatalog
        Draws of a Gaia-like one.
    """

    name: str
    exposures: ExposureSet
    pixels: dict[str, Floats]
    sky: dict[str, Floats]
    chips: dict[str, list[FitsWcs]]
    dense: ReferenceCatalog
    gaia: list[ReferenceCatalog]

    @property
    def plane(self) -> TangentPlane:
        """Tangent to the field."""
        return TangentPlane(*mean_direction(np.concatenate(list(self.sky.values()))))

    def grid(self) -> Floats:
        """True positions of all pixels in the plane, arcsec."""
        return self.plane.to_plane(np.concatenate(list(self.sky.values())))

    def errors(self, solution: AlignmentSolution) -> Floats:
        """What a solution leaves of every pixel's error, mas; NaN if it leaves out an exposure."""
        moved = []
        for key, written in self.pixels.items():
            fit = solution.fits.get(key)
            if fit is None or fit.transform is None:
                return np.full((1, 2), np.nan)
            moved.append(fit.transform.apply_to_sky(written))
        return 1e3 * (self.plane.to_plane(np.concatenate(moved)) - self.grid())

    def relative(self) -> float:
        """Rms error, mas, of the relative solution after one shift, roll and scale of all."""
        true, given = self._complex()
        slope, shift = self._similarity()
        return float(1e3 * np.sqrt(np.mean(np.abs(true - slope * given - shift) ** 2)))

    def position_errors(self, xy: Floats) -> Floats:
        """Errors, mas, of one axis, of the sources at places of the plane; infinite where there is none."""
        slope, shift = self._similarity()
        sources = self.exposures.sources
        found = self.plane.to_plane(np.array([(one.ra, one.dec) for one in sources])) @ [1, 1j]
        found = slope * found + shift
        distance, row = cKDTree(np.column_stack([found.real, found.imag])).query(xy)
        return np.where(distance < _SAME, np.array([one.error for one in sources])[row], np.inf)

    def _complex(self) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """True and relative positions of all pixels, xi + i eta, arcsec."""
        true = self.grid() @ [1, 1j]
        return true, true + 1e-3 * (self.errors(self.exposures.relative) @ [1, 1j])

    def _similarity(self) -> tuple[complex, complex]:
        """Slope and shift that bring the relative frame closest to the truth."""
        true, given = self._complex()
        design = np.stack([given, np.ones(len(given))], axis=1)
        slope, shift = np.linalg.lstsq(design, true, rcond=None)[0]
        return complex(slope), complex(shift)

    def seen(self, catalog: ReferenceCatalog) -> tuple[NDArray[np.int64], Floats]:
        """Rows of a catalog that lie on the exposures, and the mean years of these."""
        total, count = np.zeros(len(catalog)), np.zeros(len(catalog))
        for key, chips in self.chips.items():
            year = self.exposures[key].epoch
            sky = positions_at(catalog, year)
            for chip in chips:
                xy, shape = chip.to_pixel(sky), np.array(chip.grid().max(axis=0))
                inside = ((xy > 0) & (xy < shape)).all(axis=1)
                total[inside] += year
                count[inside] += 1
        rows = np.flatnonzero(count)
        return rows, total[rows] / count[rows]


def allowed(field: Measured, catalog: ReferenceCatalog, n_terms: int, *, measured: bool = False) -> float:
    """Rms error, mas, that a catalog allows a fit of the whole field; NaN if it has too few stars.

    Parameters
    ----------
    field : Measured
        The field.
    catalog : ReferenceCatalog
        The catalog.
    n_terms : int
        How many of roll and scale are fitted besides a shift.
    measured : bool
        Whether the errors of the measured positions count.
    """
    rows, years = field.seen(catalog)
    at = field.plane.to_plane(positions_at(catalog[rows], years))
    own = field.position_errors(at) if measured else np.zeros(len(rows))
    kept = np.isfinite(own)
    stars, at, years, own = catalog[rows[kept]], at[kept], years[kept], own[kept]
    if 2 * len(stars) < 2 + n_terms:
        return np.nan
    lever = np.zeros((len(stars), 2, 5))
    lever[:, 0, 0] = lever[:, 1, 1] = 1.0
    lever[:, (0, 1), (3, 4)] = (years - stars.epoch)[:, None]
    covariance = lever @ stars.covariance @ lever.swapaxes(1, 2) + own[:, None, None] ** 2 * np.eye(2)
    design, inverse = _design(at, n_terms), np.linalg.inv(covariance)
    normal = np.einsum("nip,nij,njq->pq", design, inverse, design)
    pixels = _design(field.grid(), n_terms)
    # Mean of A'A over the grid: what makes a mean square error of the pixels of one of the terms.
    square = np.einsum("nip,niq->pq", pixels, pixels) / len(pixels)
    expected = float(np.trace(square @ np.linalg.inv(normal)))
    noise = np.random.default_rng(0).normal(size=(_CHECKS, len(stars), 2))
    noise = np.einsum("nij,knj->kni", np.linalg.cholesky(covariance), noise)
    terms = np.linalg.solve(normal, np.einsum("nip,nij,knj->pk", design, inverse, noise))
    drawn = np.einsum("pk,pq,qk->k", terms, square, terms)
    if abs(drawn.mean() - expected) > 5 * drawn.std() / np.sqrt(_CHECKS):
        msg = f"simulated {drawn.mean():.4g} mas^2, expected {expected:.4g}"
        raise ArithmeticError(msg)
    return float(np.sqrt(expected))


def _design(xy: Floats, n_terms: int) -> Floats:
    """Derivatives (N, 2, 2 + n_terms) of positions by a shift, a roll and a scale."""
    out = np.zeros((len(xy), 2, 4))
    out[:, 0, 0] = out[:, 1, 1] = 1.0
    out[:, :, 2] = xy @ [[0.0, -1.0], [1.0, 0.0]]
    out[:, :, 3] = xy
    return out[:, :, : 2 + n_terms]


def simulated(seed: int, years: float, draws: int, work: Path) -> Measured:
    """A field of Case A that was seen so many years before 2016."""
    scene = replace(usual_scene("wfc3_ir"), motion=MOTION)
    plan = case_a(n_pairs=4, scene=scene)
    first = Time(EPOCH - years, format="jyear").mjd - plan.visits[0].start
    visits = tuple(replace(visit, start=visit.start + first) for visit in plan.visits)
    direct = tuple(
        replace(visit, exposures=tuple(e for e in visit.exposures if e.element == "F140W"))
        for visit in visits
    )
    folder = work / f"case_a_{seed}"
    truth = simulate(replace(plan, visits=direct), folder / "RAW", np.random.default_rng(seed))
    write_truth(truth, folder / "truth.ecsv")
    sources = truth.scene
    bright = np.flatnonzero(sources.mag < _FAINTEST)
    dense = made_catalog(sources, bright, np.full((len(bright), 2), _DENSE_ERROR), np.zeros((len(bright), 2)))
    field = _measured(f"case_a {seed}", folder, dense, [])
    stars = np.flatnonzero(sources.is_star & (sources.mag < _FAINTEST))
    zero = np.zeros((len(stars), 2))
    stars = stars[field.seen(made_catalog(sources, stars, zero, zero))[0]][:_MOST_STARS]
    rngs = np.random.default_rng([seed, 2016]).spawn(draws)
    return replace(field, gaia=[_gaia(sources, stars, rng) for rng in rngs])


def _gaia(scene: Scene, rows: NDArray[np.int64], rng: np.random.Generator) -> ReferenceCatalog:
    error, motion_error = rng.uniform(0.5, 2.0, (len(rows), 2)), rng.uniform(0.05, 0.25, (len(rows), 2))
    return scattered(made_catalog(scene, rows, error, motion_error), rng)


def given(folder: Path, dense: str, gaia: str) -> Measured:
    """A set of the user's."""
    from grism_align.io.catalogs.reference import read_reference_catalog

    catalogs = [read_reference_catalog(folder / name) for name in (dense, gaia)]
    return _measured(folder.name, folder, catalogs[0], catalogs[1:])


def _measured(name: str, folder: Path, dense: ReferenceCatalog, gaia: list[ReferenceCatalog]) -> Measured:
    """Measure the exposures of a folder, and align them with each other."""
    exposures = aligned(sorted((folder / "RAW").glob("*.fits")))
    by_file = {exposure.source.name: exposure for exposure in exposures.direct}
    pixels, sky, chips = {}, {}, {}
    for row in Table.read(folder / "truth.ecsv"):
        if row["kind"] != "direct" or not row["usable"]:
            continue
        exposure = by_file[row["file"]]
        chip = next(one for one in exposure.chips if one.number == row["extver"])
        true = _true_wcs(Path(exposure.source), row, chip.shape)
        axes = [_SAMPLES * (n - 1) for n in chip.shape[::-1]]
        xy = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        for found, wcs in ((pixels, chip.wcs), (sky, true)):
            found.setdefault(exposure.key, []).append(wcs.to_sky(xy))
        chips.setdefault(exposure.key, []).append(true)
    joined = ({key: np.concatenate(parts) for key, parts in side.items()} for side in (pixels, sky))
    return Measured(name, exposures, *joined, chips, dense, gaia)


def _true_wcs(path: Path, row: Table.Row, shape: tuple[int, int]) -> FitsWcs:
    with fits.open(path) as hdus:
        header = hdus["SCI", int(row["extver"])].header.copy()
        header.update({key: float(row[key.lower()]) for key in _LINEAR})
        return FitsWcs.from_header(header, hdus, shape)


def _tied(
    field: Measured, catalog: ReferenceCatalog, solve: str, *, has_motion: bool = True
) -> tuple[float, int]:
    """Absolute rms, mas, NaN where the catalog was refused; and reference sources used."""
    result = align_absolute(field.exposures, catalog, settings_of(solve, has_motion=has_motion))
    errors = field.errors(field.exposures.relative.then(result.solution))
    if not result.is_complete:
        return np.nan, 0
    used = agreement(list(result.solution.fits.values())).n_used
    return float(np.sqrt((errors**2).sum(axis=1).mean())), used


def _motionless(catalog: ReferenceCatalog) -> ReferenceCatalog:
    covariance = catalog.covariance.copy()
    covariance[:, 3:] = covariance[:, :, 3:] = 0.0
    return replace(catalog, motion=np.full_like(catalog.motion, np.nan), covariance=covariance)


def report_catalogs(field: Measured) -> list[str]:
    """A row for each catalog and way to solve."""
    relative, lines = field.relative(), []
    for name, catalogs in (("dense", [field.dense]), ("gaia", field.gaia), ("gaia, no motion", field.gaia)):
        # The dense catalog is exact, whatever errors it states: nothing but the relative error bounds it.
        limits = np.zeros(3) if name == "dense" else _limits(field, catalogs)
        both, full = np.hypot(limits[[0, 2]], relative)
        stars = np.mean([len(field.seen(catalog)[0]) for catalog in catalogs])
        has_motion = "no motion" not in name
        used = [catalog if has_motion else _motionless(catalog) for catalog in catalogs]
        for solve in _SOLVES:
            runs = [_tied(field, catalog, solve, has_motion=has_motion) for catalog in used]
            absolute = rms_of([error for error, _ in runs])
            ratios = [absolute / limit if limit else np.nan for limit in (limits[0], both, full)]
            lines.append(
                f"| {field.name} | {name} | {solve} | {stars:.0f}, {np.mean([n for _, n in runs]):.0f} "
                f"| {absolute:.2f} | {limits[0]:.2f} ({limits[1]:.2f}) | {limits[2]:.2f} | {relative:.2f} "
                f"| {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
            )
    return lines


def _limits(field: Measured, catalogs: list[ReferenceCatalog]) -> Floats:
    """Rms of what the catalogs allow a shift and roll; these and scale; and the first with positions."""
    kinds = ((1, False), (2, False), (1, True))
    return np.array([rms_of([allowed(field, one, n, measured=own) for one in catalogs]) for n, own in kinds])


def report_thinned(field: Measured) -> list[str]:
    """A row for each number of stars left."""
    relative, lines = field.relative(), []
    for number in _THINNED:
        rng = np.random.default_rng(number)
        thin = []
        for catalog in field.gaia:
            rows, _ = field.seen(catalog)
            thin.append(catalog[np.sort(rng.permutation(rows)[:number])])
        for solve in _SOLVES:
            runs = [_tied(field, catalog, solve)[0] for catalog in thin]
            good = [n for n, error in enumerate(runs) if np.isfinite(error)]
            limits = np.array(
                [[allowed(field, thin[n], 1, measured=own) for n in good] for own in (False, True)]
            )
            ratios = [rms_of([runs[n] for n in good] / np.hypot(limit, relative)) for limit in limits]
            lines.append(
                f"| {field.name} | {number} | {solve} | {len(runs) - len(good)} of {len(runs)} "
                f"| {rms_of(runs):.2f} "
                f"| {max((runs[n] for n in good), default=np.nan):.2f} | {rms_of(limits[0]):.2f} "
                f"| {rms_of(limits[1]):.2f} | {' | '.join(f'{ratio:.2f}' for ratio in ratios)} |"
            )
    return lines


def _rows(title: str, rows: list[str]) -> list[str]:
    return [title, "|" + "---|" * (title.count("|") - 1), *rows, ""]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folders", nargs="*", type=Path, help="sets of your own")
    add("--seeds", type=int, default=5, help="simulated fields")
    add("--first-seed", type=int, default=1)
    add("--draws", type=int, default=10, help="Gaia-like catalogs of each simulated field")
    add("--years", type=float, default=6.0, help="before 2016 that the simulated fields were seen")
    add("--dense", default="dense.ecsv", help="catalog of exact positions in a folder")
    add("--gaia", default="gaia.ecsv", help="Gaia-like catalog in a folder")
    add("--parts", default=",".join(_PARTS), help="which, with commas between")
    add("--mosaics", type=int, default=25, help="mosaics of each kind")
    add("--no-pixels", action="store_true", help="leave out the mosaic of images")
    arguments = parser.parse_args()
    arguments.parts = arguments.parts.split(",")
    if unknown := set(arguments.parts) - set(_PARTS):
        parser.error(f"no parts {', '.join(sorted(unknown))}; there are {', '.join(_PARTS)}")
    return arguments


def report_fields(arguments: argparse.Namespace, work: Path) -> None:
    """Print the tables of all fields."""
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    fields: list[Callable[[], Measured]] = [
        lambda seed=seed: simulated(seed, arguments.years, arguments.draws, work) for seed in seeds
    ]
    fields += [
        lambda folder=folder: given(folder, arguments.dense, arguments.gaia) for folder in arguments.folders
    ]
    catalogs, thinned = [], []
    for field in (make() for make in fields):
        catalogs += report_catalogs(field) if "catalogs" in arguments.parts else []
        thinned += report_thinned(field) if "thinned" in arguments.parts else []
    limits = "with positions | {}absolute / allowed and relative | absolute / with positions and relative |"
    title = (
        "| field | catalog | solve | stars on exposures, used | absolute | allowed (with scale) | "
        + limits.format("relative | absolute / allowed | ")
    )
    if catalogs:
        print("\n".join(_rows(title, catalogs)))
    title = "| field | stars | solve | refused | absolute | worst draw | allowed | " + limits.format("")
    if thinned:
        print("\n".join(_rows(title, thinned)))


def report_all_mosaics(number: int, work: Path, *, pixels: bool) -> None:
    """Print the table of mosaics."""
    rows = []
    for stars in (8.0, 25.0):
        rows.append(report_mosaics(stars, [listed_mosaic(stars, seed) for seed in range(number)], "lists"))
        if pixels:
            rows.append(report_mosaics(stars, [imaged_mosaic(stars, 1, work)], "images"))
    title = (
        "| mosaic of | stars a pointing | mosaics | exposures refused | absolute | step, median | step, 95 % "
        "| step, worst | above 2 mas |"
    )
    print("\n".join(_rows(title, rows)))


def main() -> None:
    """Run and print."""
    arguments = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as work:
        if {"catalogs", "thinned"} & set(arguments.parts):
            report_fields(arguments, Path(work))
        if "mosaic" in arguments.parts:
            report_all_mosaics(arguments.mosaics, Path(work), pixels=not arguments.no_pixels)


if __name__ == "__main__":
    main()
