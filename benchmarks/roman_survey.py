"""How a survey by Roman's eighteen detectors scales: seconds, memory and errors of the alignment of catalogs.

    python benchmarks/roman_survey.py                        # 10, 25, 50 and 100 pointings: up to 1800 files
    python benchmarks/roman_survey.py --pointings 5 --detectors 6
    python benchmarks/roman_survey.py --pointings 1 4 12 --misplaced 20 --scatter 5

Needs gwcs. Tiles overlap, and each is seen at four dithers of some arcmin, so that gaps between detectors are
filled; a tile is a visit with an error of its own, and each dither has one more. Every detector has a catalog
of sources with positions good to 0.01 pixel: pixels are not simulated. The reference has errors of 0.3 mas.

Each row is a process of its own, with its peak memory. Errors are rms over corners and middle of all
detectors, mas, two-dimensional: relative, after the one rotation of the sky that brings all closest to the
truth; and absolute. Those of WFI02, which may be out of place, are told apart, with the median of what they
claim in brackets.
"""

from __future__ import annotations

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.propagation.propagate import propagate
from grism_align.algorithms.relative.relative import align_relative
from grism_align.io.gwcs.attitude_plane import AttitudePlane
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.sky import GwcsSky
from grism_align.io.missions.roman.facts import TELESCOPE
from grism_align.simulation.gwcs.imaging import imaging_steps
from grism_align.simulation.gwcs.sky import DetectorSky, attitude_at
from grism_align.simulation.roman.instruments import INSTRUMENTS
from grism_align.simulation.rotations import Aim, pointing_rotation
from grism_align.values.association import Association
from grism_align.values.catalog import ReferenceCatalog, SourceCatalog
from grism_align.values.detector import DetectorWindow
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.field import ExposureSet
from grism_align.values.settings import (
    AbsoluteSettings,
    GrismSettings,
    MatchSettings,
    PointingSettings,
    PropagationSettings,
    ReferenceMatchSettings,
    RelativeSettings,
)
from grism_align.values.source import FileSource
from grism_align.values.sphere import sky_to_vector, unproject

_CENTER = (150.0, 2.2)
_SHAPE = (4088, 4088)
_TILE, _DITHERS = (2500.0, 1100.0), ((0.0, 0.0), (205.0, 85.0), (-190.0, 95.0), (20.0, -200.0))
_NOISE, _PIXEL = 0.01, 0.11
_VISIT, _JITTER, _ROLL = 0.3, 0.008, 0.006
_POINTING = PointingSettings(visit_error=0.3, dither_error=0.01)
_MATCH = MatchSettings(search_radius=60.0, max_roll=180.0)
_MISPLACED = "WFI02"
_CORNERS = np.array([[0.0, 0.0], [4087.0, 0.0], [4087.0, 4087.0], [0.0, 4087.0], [2043.5, 2043.5]])


class Survey:
    """Exposures, their catalogs, and where they truly look."""

    def __init__(
        self,
        n_pointings: int,
        n_detectors: int,
        n_sources: int,
        places: dict[str, np.ndarray],
        rng: np.random.Generator,
    ) -> None:
        self.exposures: list[Exposure] = []
        self.catalogs: dict[str, SourceCatalog] = {}
        self.truth: dict[str, DetectorSky] = {}
        camera, rng_sky = INSTRUMENTS["roman_wfi"], np.random.default_rng(5)
        detectors = camera.all_detectors[:n_detectors]
        n_tiles = -(-n_pointings // len(_DITHERS))
        side = int(np.ceil(np.sqrt(n_tiles)))
        # the telescope's field is 2900" by 1400"
        reach = 0.5 * side * np.array(_TILE[0]) + 2600.0
        density = n_sources / (4088 * _PIXEL) ** 2
        n_stars = int(density * (2 * reach) ** 2)
        self.stars = unproject(rng_sky.uniform(-reach, reach, (n_stars, 2)), *_CENTER)
        self.mag = rng_sky.uniform(17, 24, n_stars)
        self._vectors = sky_to_vector(self.stars)
        for number in range(n_pointings):
            tile, dither = divmod(number, len(_DITHERS))
            if dither == 0:
                visit_error = rng.normal(0, _VISIT, 2), rng.normal(0, _ROLL)
            place = np.array([tile % side - 0.5 * side, tile // side - 0.5 * side]) * _TILE + _DITHERS[dither]
            ra, dec = unproject(place, *_CENTER).tolist()
            wrong = pointing_rotation(ra, dec, visit_error[0] + rng.normal(0, _JITTER, 2), visit_error[1])
            for detector in detectors:
                attitude = attitude_at(camera.all_detectors[4].aperture, Aim(ra, dec, 180.0))
                nominal = DetectorSky(detector.aperture, attitude, 1.0 + 3e-5, (0, 0), (0.0, 0.0), _SHAPE)
                v2, v3 = places[detector.name] + [detector.aperture.v2, detector.aperture.v3]
                true = replace(nominal, aperture=replace(detector.aperture, v2=v2, v3=v3))
                self._add(number, tile, detector.name, (nominal, true), wrong, rng)

    def _add(self, number, tile, name, places, wrong, rng) -> None:
        from gwcs import WCS

        nominal, true = places
        written = replace(nominal, attitude=wrong @ nominal.attitude)
        parts = parts_of(WCS(imaging_steps(written)), name)
        plane = AttitudePlane(nominal.aperture.v2, nominal.aperture.v3, written.aim.angle)
        sky = GwcsSky(parts, plane, None, _SHAPE)
        for kind, element in ((ExposureKind.DIRECT, "F158"), (ExposureKind.GRISM, "PRISM")):
            key = f"r{tile:04d}_{2 * number + (element == 'PRISM'):04d}_{name.lower()}_{element.lower()}"
            start = 61618.0 + 0.01 * number + 0.003 * (element == "PRISM")
            self.exposures.append(
                _exposure(
                    key, kind, element, tile, start, Chip(1, _SHAPE, sky, DetectorWindow(int(name[3:])))
                )
            )
            self.truth[key] = true
            if kind is ExposureKind.DIRECT:
                self.catalogs[key] = self._seen(true, rng)

    def _seen(self, true, rng) -> SourceCatalog:
        middle = sky_to_vector(true.to_sky(_CORNERS[4:]))[0]
        near = np.flatnonzero(self._vectors @ middle > np.cos(np.radians(0.09)))
        xy = true.to_pixel(self.stars[near])
        inside = ((xy > 5) & (xy < 4082)).all(axis=1) & (rng.random(len(near)) > 0.1)
        xy, rows = xy[inside] + rng.normal(0, _NOISE, (inside.sum(), 2)), near[inside]
        n = len(rows)
        return SourceCatalog.from_columns(
            {
                "id": np.arange(n), "chip": np.ones(n, int), "x": xy[:, 0], "y": xy[:, 1],
                "x_error": np.full(n, _NOISE), "y_error": np.full(n, _NOISE),
                "flux": 10 ** (-0.4 * (self.mag[rows] - 26)), "flux_error": np.ones(n), "mag": self.mag[rows],
                "mag_error": np.full(n, 0.02), "snr": np.full(n, 50.0), "fwhm": np.full(n, 1.6),
                "ellipticity": np.full(n, 0.02), "flags": np.zeros(n, int),
            }
        )  # fmt: skip

    def reference(self, rng: np.random.Generator) -> ReferenceCatalog:
        """Stars as in Gaia: the brightest sixth, errors of 0.3 mas."""
        rows = np.flatnonzero(self.mag < 18.2)
        error = rng.normal(0, 0.3e-3 / 3600, (len(rows), 2))
        sky = self.stars[rows] + error / np.column_stack(
            [np.cos(np.radians(self.stars[rows, 1])), np.ones(len(rows))]
        )
        n = len(rows)
        covariance = np.zeros((n, 5, 5))
        covariance[:, [0, 1], [0, 1]] = 0.3**2
        return ReferenceCatalog(
            sky=sky, covariance=covariance, motion=np.zeros((n, 2)), parallax=np.zeros(n),
            radial_velocity=np.zeros(n), epoch=np.full(n, 2027.6), mag=self.mag[rows],
            identifier=np.array([f"s{row}" for row in rows]), name="stars", origin="made up",
        )  # fmt: skip

    def of_misplaced(self, solution, *, is_it: bool) -> str:
        """Absolute error of the images of the misplaced detector or of all others, and the claim, mas."""
        chosen = [one for one in self.exposures if (f"_{_MISPLACED.lower()}_" in one.key) == is_it]
        images = [one for one in chosen if one.kind is ExposureKind.DIRECT and solution(one.key).is_aligned]
        if not images:
            return "none"
        fits = [(one, solution(one.key)) for one in images]
        claimed = np.median([1e3 * np.hypot(*fit.transform.at(one.plane).shift_error) for one, fit in fits])
        return f"{self.errors(solution, ExposureKind.DIRECT, images)[0]:.2f} ({claimed:.2f})"

    def errors(self, solution, kind, exposures=None) -> tuple[float, float]:
        """Absolute and relative error, mas, of some exposures or all."""
        found, true = [], []
        for exposure in exposures or self.exposures:
            fit = solution(exposure.key)
            if exposure.kind is not kind or fit is None or fit.transform is None:
                continue
            sky = exposure.chips[0].wcs.to_sky(_CORNERS)
            found.append(sky_to_vector(fit.transform.apply_to_sky(sky)))
            true.append(sky_to_vector(self.truth[exposure.key].to_sky(_CORNERS)))
        a, b = np.concatenate(found), np.concatenate(true)
        u, _, v = np.linalg.svd(b.T @ a)
        turned = a @ (u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v).T
        return tuple(206264806.0 * float(np.sqrt(((b - one) ** 2).sum(axis=1).mean())) for one in (a, turned))


def _exposure(key, kind, element, tile, start, chip) -> Exposure:
    visit = f"r{tile:04d}"
    return Exposure(
        key=key, source=FileSource(key), kind=kind, telescope=TELESCOPE, instrument="roman_wfi",
        filter=element, program="00099", visit=visit, group=f"{visit}:star", guide_star="star", target="",
        dither_offset=(np.nan, np.nan), start=start, end=start + 140 / 86400, exposure_time=140.0,
        ab_zero_point=25.7, is_rate=True, rejects_cosmic_rays=True, chips=(chip,), wcs_solution="A-PRIORI",
        pointing="_".join(key.split("_")[:2]), attitude=chip.wcs.attitude, wavelength=1.58e-6,
    )  # fmt: skip


def misplaced(off: float, scatter: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return where detectors are from their places, arcsec: one by `off` mas, all by `scatter` an axis."""
    names = [each.name for each in INSTRUMENTS["roman_wfi"].all_detectors]
    places = dict(zip(names, 1e-3 * scatter * rng.normal(size=(len(names), 2)), strict=True))
    places[_MISPLACED] += 1e-3 * off * np.array([0.8, -0.6])
    return places


def row(n_pointings: int, n_detectors: int, n_sources: int, seed: int, off: tuple[float, float]) -> str:
    """One row of the table."""
    rng = np.random.default_rng(seed)
    places = misplaced(*off, np.random.default_rng(100 + seed))
    made = Survey(n_pointings, n_detectors, n_sources, places, rng)
    field = ExposureSet("survey", tuple(made.exposures), Association("survey", ()))
    field = replace(field, catalogs=made.catalogs)
    told, before = [], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.process_time()
    result = align_relative(field.direct, made.catalogs, RelativeSettings(), _MATCH, _POINTING)
    told.append(f"{time.process_time() - start:.0f}")
    field = replace(field, relative=result.solution, sources=result.sources, catalogs=result.catalogs)
    start = time.process_time()
    match = ReferenceMatchSettings(search_radius=60.0, max_roll=180.0)
    absolute = align_absolute(field, made.reference(rng), AbsoluteSettings(match=match, pointing=_POINTING))
    field = replace(field, absolute=absolute.solution)
    told.append(f"{time.process_time() - start:.0f}")
    start = time.process_time()
    settings = GrismSettings(PropagationSettings(pairing_radius=1.0), _POINTING)
    field = replace(field, grism=propagate(field.grisms, field.direct, field.total, settings, field.relative))
    told.append(f"{time.process_time() - start:.0f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    aligned = sum(fit.is_aligned for fit in result.solution.fits.values())
    _, relative = made.errors(result.solution.fits.get, ExposureKind.DIRECT)
    images, spectra = (made.errors(field.total.fits.get, kind)[0] for kind in ExposureKind)
    n = len(field.direct)
    counts = f"{n_pointings} | {n} + {n} | {sum(map(len, made.catalogs.values()))} | {aligned}"
    numbers = f"{before:.0f} | {peak:.0f} | {relative:.2f} | {images:.2f} | {spectra:.2f}"
    apart = " | ".join(made.of_misplaced(field.total.fits.get, is_it=it) for it in (True, False))
    return f"| {counts} | {' | '.join(told)} | {numbers} | {apart} |"


def main() -> None:
    """Time each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pointings", type=int, nargs="+", default=[10, 25, 50, 100])
    parser.add_argument("--detectors", type=int, default=18)
    parser.add_argument("--sources", type=int, default=150, help="of a detector (default 150)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--misplaced", type=float, default=0.0, help=f"mas that {_MISPLACED} is off")
    parser.add_argument("--scatter", type=float, default=0.0, help="mas that all detectors are off, an axis")
    options = parser.parse_args()
    print(
        "| pointings | images + spectra | sources | aligned | relative, CPU s | absolute | propagation "
        f"| MB before | peak MB | relative, mas | absolute: images | spectra | {_MISPLACED} | others |"
    )
    print(f"|{14 * '---|'}", flush=True)
    off = options.misplaced, options.scatter
    for n in options.pointings:
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            print(
                process.submit(row, n, options.detectors, options.sources, options.seed, off).result(),
                flush=True,
            )


if __name__ == "__main__":
    main()
