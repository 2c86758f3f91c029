"""Are claimed errors true? Pulls of the relative corrections over many simulated fields.

    python benchmarks/honesty.py                # 100 fields of two visits x three direct exposures
    python benchmarks/honesty.py --stress       # hard fields: is any aligned exposure off by many sigma?

A field is a cut of WFC3/IR with the usual stars and galaxies and injected pointing errors. An exposure's
pull is its correction minus the true one, over the standard error that the fit claims. The frame is that of
the reference exposure, which by definition has no error: the true correction of an exposure is what takes its
written sky to the written sky of the reference. Pulls are those of the shift, in the exposure's tangent
plane, and of the roll. Exposures of one guide-star acquisition share one roll, so a roll is counted once a
field, and not at all where it is the reference's own. The error of a width is its scatter when the fields are
drawn anew with replacement (bootstrap).

The stress mode prints each exposure of fields with galaxies only, few sources, large offsets and rolls, and
exposures that are flagged, empty or trailed. An exposure may fail; it must not be ALIGNED and wrong.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.simulation import (
    PointingErrors,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    Special,
    simulate,
    usual_scene,
)
from grism_align.simulation.rotations import linearised
from grism_align.values.transform import LinearTransform

if TYPE_CHECKING:
    from grism_align.simulation import Truth
    from grism_align.values.exposure import Exposure
    from grism_align.values.solution import ExposureFit

_DITHERS = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212))
_LIMIT = 5.0
# Derivative of the roll, rad, by (shift x, shift y, m00, m01, m10, m11)
_ROLL = np.array([0.0, 0.0, 0.0, 0.5, -0.5, 0.0])


@dataclass(frozen=True)
class Outcome:
    """How one exposure came out.

    Parameters
    ----------
    name : str
        Root name.
    status : str
        ALIGNED, FAILED, ...; REFERENCE for the exposure that fixes the frame.
    is_own : bool
        Whether it is of the reference's visit.
    error, claimed : (3,) ndarray, mas, mas, arcsec
        Error and claimed standard error of the shift, east and north, and of the roll; NaN if it failed.
    note : str
        Why it failed, or what to know about it.
    """

    name: str
    status: str
    is_own: bool
    error: np.ndarray
    claimed: np.ndarray
    note: str

    @property
    def pull(self) -> np.ndarray:
        """Error in units of the claimed one (3,); NaN where none is claimed."""
        return self.error / np.where(self.claimed > 0, self.claimed, np.nan)

    @property
    def is_off(self) -> bool:
        """Whether it claims to be aligned and is off by more than five sigma."""
        return self.status == "ALIGNED" and bool((np.abs(self.pull) > _LIMIT).any())


def small_field(size: int, **changes: object) -> Simulation:
    """Two visits of three direct exposures each, with another angle and pointing."""
    exposures = tuple(SimulatedExposure("F140W", 250.0, dither) for dither in _DITHERS)
    move = 0.1 * size * 0.128
    visits = (
        SimulatedVisit("01", exposures, angle=35.0, start=57000.3),
        SimulatedVisit("02", exposures, angle=52.0, offset=(move, -move / 2), start=57061.7),
    )
    field = Simulation("wfc3_ir", visits, size=size, scene=usual_scene("wfc3_ir", size))
    return replace(field, **changes)


def outcomes(field: Simulation, seed: int, parameters: dict[str, object]) -> list[Outcome]:
    """Simulate a field, align it in memory and compare every exposure with the truth."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    skipped = {name: {"skip": True} for name in ("absolute_align", "grism_wcs_propagate")}
    with tempfile.TemporaryDirectory() as folder:
        truth = simulate(field, Path(folder), np.random.default_rng(seed))
        result = GrismAlignPipeline.call(
            [str(path) for path in truth.paths], steps={**skipped, "relative_align": parameters}
        )
    return [_outcome(truth, exposure, result.relative[exposure.key]) for exposure in result.direct]


def _outcome(truth: Truth, exposure: Exposure, fit: ExposureFit) -> Outcome:
    """One exposure against the truth, in the frame of the exposure that it was fitted to."""
    none = np.full(3, np.nan)
    if fit.transform is None:
        return Outcome(exposure.key, fit.status.value, False, none, none, fit.reason)
    reference = truth[fit.reference.split(",")[0]]
    plane = exposure.plane
    # written sky of this exposure -> true sky -> written sky of the reference
    matrix, shift = linearised(reference.rotation @ truth[exposure.key].rotation.T, plane.ra, plane.dec)
    found, true = fit.transform.at(plane), LinearTransform(matrix, shift, plane)
    covariance = found.covariance
    error = np.append(1e3 * (found.shift - true.shift), 3600 * (found.roll - true.roll))
    roll = 3600 * np.degrees(np.sqrt(max(0.0, _ROLL @ covariance @ _ROLL)))
    is_own = reference.visit == truth[exposure.key].visit
    claimed = np.append(1e3 * found.shift_error, roll)
    return Outcome(exposure.key, fit.status.value, is_own, error, claimed, fit.reason)


def _width(pulls: np.ndarray, *, robust: bool) -> float:
    """Rms of pulls about zero, or the same from the median of their sizes."""
    finite = pulls[np.isfinite(pulls)]
    return float(np.median(np.abs(finite)) / 0.6745 if robust else np.sqrt(np.mean(finite**2)))


def _width_row(name: str, pulls: np.ndarray, sigma: np.ndarray) -> str:
    """A row of the table, of pulls (fields, exposures) and the errors claimed."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(pulls), (400, len(pulls)))
    cells = [name, str(int(np.isfinite(pulls).sum()))]
    for robust in (False, True):
        scatter = np.std([_width(pulls[rows], robust=robust) for rows in drawn])
        cells.append(f"{_width(pulls, robust=robust):.2f} ± {scatter:.2f}")
    cells += [f"{np.nanmax(np.abs(pulls)):.1f}", f"{np.nanmedian(sigma):.3g}"]
    return f"| {' | '.join(cells)} |"


def report_pulls(fields: list[list[Outcome]]) -> str:
    """Widths of the pulls over all fields, as Markdown."""
    aligned = [[o for o in field if o.status == "ALIGNED"] for field in fields]
    lines = ["| pull of | n | width (rms) | width (median) | largest | median claimed error |"]
    lines.append("|---|---|---|---|---|---|")
    for is_own, visit in ((True, "the reference's visit"), (False, "the other visit")):
        for axis, name in enumerate(("shift east [mas]", "shift north [mas]", "roll [arcsec]")):
            if axis == 2 and is_own:
                continue
            number = 1 if axis == 2 else 3
            pulls, sigma = np.full((2, len(fields), number), np.nan)
            for row, field in enumerate(aligned):
                own = [o for o in field if o.is_own == is_own][:number]
                pulls[row, : len(own)] = [o.pull[axis] for o in own]
                sigma[row, : len(own)] = [o.claimed[axis] for o in own]
            lines.append(_width_row(f"{name}, {visit}", pulls, sigma))
    every = [o for field in fields for o in field]
    failed = sum(o.status == "FAILED" for o in every)
    off = sum(o.is_off for o in every)
    lines.append(f"\n{len(every)} exposures: {failed} failed, {off} ALIGNED but off by over {_LIMIT:g} sigma")
    return "\n".join(lines)


def stress_fields(size: int) -> dict[str, Simulation]:
    """Hard fields by name."""
    usual = small_field(size)
    area = (size * 0.128 / 60) ** 2
    first, second = usual.visits

    def moved(shift: tuple[float, float] = (0.4, -0.3), roll: float = 0.01) -> Simulation:
        return replace(usual, visits=(first, replace(second, shift=shift, roll=roll)))

    def scene(stars: float, galaxies: float) -> Simulation:
        return replace(usual, scene=replace(usual.scene, star_density=stars, galaxy_density=galaxies))

    def spoiled(special: Special, number: int) -> Simulation:
        exposures = list(second.exposures)
        exposures[number] = replace(exposures[number], special=special)
        return replace(usual, visits=(first, replace(second, exposures=tuple(exposures))))

    flagged = replace(first.exposures[0], special=Special.FLAGGED)
    other_reference = replace(first, exposures=(flagged, *first.exposures[1:]))
    return {
        "usual": usual,
        "galaxies only": scene(0.0, usual.scene.galaxy_density),
        "few galaxies": scene(0.0, 45 / area),
        "few stars": scene(12 / area, 0.0),
        "few of both": scene(8 / area, 15 / area),
        "no source": scene(0.0, 0.0),
        'offset 15"': moved(shift=(12.0, -9.0)),
        'offset 28"': moved(shift=(-20.0, 19.6)),
        'offset 60"': moved(shift=(36.0, 48.0)),
        "roll 0.3 deg": moved(roll=0.3),
        "roll 3 deg": moved(roll=3.0),
        "roll 180 deg": moved(roll=180.0),
        'offset 15", few of both': replace(moved((12.0, -9.0)), scene=scene(8 / area, 15 / area).scene),
        'offset 28", roll 2 deg, galaxies': replace(
            moved((-20.0, 19.6), 2.0), scene=scene(0.0, usual.scene.galaxy_density).scene
        ),
        "crowded": scene(1500 / area, 20 / area),
        "large jitter": replace(usual, errors=PointingErrors(jitter=3.0)),
        "no overlap": replace(usual, visits=(first, replace(second, offset=(60.0, 60.0)))),
        "flagged": spoiled(Special.FLAGGED, 1),
        "flagged reference": replace(usual, visits=(other_reference, second)),
        "empty": spoiled(Special.EMPTY, 0),
        "trailed": spoiled(Special.TRAILED, 2),
        "missing pixels": spoiled(Special.NAN, 0),
    }


def report_stress(size: int, seeds: range) -> str:
    """Every exposure of the hard fields, and how the fields came out, as Markdown."""
    lines = [
        "| field | seed | exposure | status | error E, N [mas] | claimed | roll error [arcsec] | claimed "
        "| note |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    fields = ["\n| field | exposures | aligned | failed | largest pull | off by over 5 sigma |"]
    fields.append("|---|---|---|---|---|---|")
    for number, (name, field) in enumerate(stress_fields(size).items()):
        every = []
        for seed in seeds:
            # other sources and noise for each field
            found = outcomes(field, 1000 * number + seed, {})
            lines += [f"| {name} | {seed} {_exposure_cells(o)}" for o in found]
            every += found
        aligned = [o for o in every if o.status == "ALIGNED"]
        largest = max((np.nanmax(np.abs(o.pull)) for o in aligned), default=np.nan)
        failed, off = sum(o.status == "FAILED" for o in every), sum(o.is_off for o in every)
        fields.append(f"| {name} | {len(every)} | {len(aligned)} | {failed} | {largest:.1f} | {off} |")
    return "\n".join(lines + fields)


def _exposure_cells(o: Outcome) -> str:
    words = f"**off by over {_LIMIT:g} sigma** " if o.is_off else ""
    error, claimed = (f"{east:.2f}, {north:.2f}" for east, north in (o.error[:2], o.claimed[:2]))
    rolls = f"{o.error[2]:.2f} | {o.claimed[2]:.2f}"
    return f"| {o.name} | {o.status} | {error} | {claimed} | {rolls} | {words}{o.note[:70]} |"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, help="fields: 100, or one of each kind with --stress")
    add("--first-seed", type=int, default=1)
    add("--size", type=int, default=360, help="pixels of the cut")
    add("--centroid-floor", type=float, help="another centroid_floor [pixels]; what does it do to widths?")
    add("--stress", action="store_true", help="hard fields")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    number = arguments.seeds or (1 if arguments.stress else 100)
    seeds = range(arguments.first_seed, arguments.first_seed + number)
    if arguments.stress:
        print(report_stress(arguments.size, seeds))
        return
    floor = arguments.centroid_floor
    parameters = {} if floor is None else {"centroid_floor": floor}
    print(report_pulls([outcomes(small_field(arguments.size), seed, parameters) for seed in seeds]))


if __name__ == "__main__":
    main()
