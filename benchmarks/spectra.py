"""Are grism exposures where their spectra say, and are the errors that they claim true?

    python benchmarks/spectra.py                  # pulls over 60 fields of Case C
    python benchmarks/spectra.py --drawn          # the same, with pointing errors drawn from the prior
    python benchmarks/spectra.py --hard           # is any aligned one off by many sigma?
    python benchmarks/spectra.py --instrument acs_wfc --size 300 900 --seeds 10

A field is a cut with the usual stars and galaxies: Case C, few direct exposures and many grism exposures,
each at a dither with an error of its own, so that nothing but the spectra tells where these point. The error
of a grism exposure is that of the middle of its first chip, along and across the dispersion, in the frame
of the reference exposure, which by definition has none; a pull is that over the standard error claimed there.
Dithers err by 0.15 px and exposures drift by 0.015 px/h: less than is thought possible beforehand, so errors
claimed are then larger than true ones. In fields that have both as large as the prior does, drawn anew for
each, they have to be true.

The hard cases have few sources, too many, spectra that all overlap, orders that are cut off, saturated ones;
and one grism exposure that is displaced, trailed, empty, of another field or of another grism than its header
says. None may be ALIGNED and off by more than five sigma.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.simulation import PointingErrors, SceneSettings, Special, case_c, simulate, usual_scene
from grism_align.values.settings import GrismSettings
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Callable

    from grism_align.simulation import Simulation, Truth
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

_LIMIT = 5.0
_ERRORS = PointingErrors(jitter_of_grisms=True, drift=0.015)
_KNOWN_TO = 3.0  # sizes of dither errors and drift beforehand: a factor, of one standard deviation
_SPOILT = 2  # which grism exposure of the first visit has something wrong
_NAMES = ("along", "across")


@dataclass(frozen=True)
class Outcome:
    """How one grism exposure came out.

    Parameters
    ----------
    name, status : str
        Root name, and ALIGNED or another.
    error, claimed : (2,) ndarray, mas
        Along and across the dispersion; NaN where it failed.
    note : str
        What is to be known about it.
    """

    name: str
    status: str
    error: np.ndarray
    claimed: np.ndarray
    note: str

    @property
    def pull(self) -> np.ndarray:
        """Error in units of the claimed one, (2,)."""
        return self.error / self.claimed

    @property
    def is_off(self) -> bool:
        """Whether it claims to be aligned and is off by more than five sigma."""
        return self.status == "ALIGNED" and bool((np.abs(self.pull) > _LIMIT).any())


def outcomes(
    field: Simulation,
    seed: int,
    parameters: dict[str, object],
    spoil: Callable[[Truth, Path], None] | None = None,
) -> list[Outcome]:
    """Simulate a field, align it in memory and compare its grism exposures with the truth."""
    from grism_align.steps.pipeline import GrismAlignPipeline

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = simulate(field, folder / "raw", np.random.default_rng(seed))
        if spoil is not None:
            spoil(truth, folder)
        steps = {"absolute_align": {"skip": True}, "grism_wcs_propagate": parameters}
        result = GrismAlignPipeline.call([str(path) for path in truth.paths], steps=steps, resume=False)
    return [_outcome(truth, result, grism) for grism in result.grisms]


def _outcome(truth: Truth, result: ExposureSet, grism: Exposure) -> Outcome:
    """Return error and claim of one exposure at the middle of its first chip."""
    fit, chip = result.grism[grism.key], grism.chips[0]
    none = np.full(2, np.nan)
    if fit.transform is None:
        return Outcome(grism.key, fit.status.value, none, none, fit.reason)
    key = next(reference for direct in result.direct if (reference := result.relative[direct.key].reference))
    middle = (np.array(chip.shape[::-1]) - 1.0) / 2
    places = middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    vectors = sky_to_vector(truth[grism.key].chips[chip.number].to_sky(places))
    true = vector_to_sky(vectors @ truth[key.split(",")[0]].rotation.T)
    plane = TangentPlane(*true[0])
    found = plane.to_plane(fit.transform.apply_to_sky(chip.wcs.to_sky(places[:1])))[0]
    axes = plane.to_plane(true)[1:].T  # arcsec of a pixel, a column for each axis
    unit = axes / np.linalg.norm(axes, axis=0)
    to_axes = np.linalg.inv(unit)
    covariance = to_axes @ fit.transform.at(plane).covariance[:2, :2] @ to_axes.T
    claimed = 1e3 * np.sqrt(np.diag(covariance))
    return Outcome(grism.key, fit.status.value, 1e3 * to_axes @ found, claimed, fit.reason)


def with_drawn_errors(field: Simulation, seed: int) -> Simulation:
    """Return a field whose dithers err, and whose exposures drift, by as much as may be beforehand."""
    dithers, drifts = _KNOWN_TO ** np.random.default_rng([seed, 1]).standard_normal(2) / field.camera.pixel
    # Per axis, as fast as the process of drift is in the mean
    rate = np.sqrt(2.0) * GrismSettings().propagation.drift_error / TELESCOPE.coherence.drift_time
    jitter = dithers * GrismSettings().pointing.dither_error
    return replace(field, errors=replace(field.errors, jitter=jitter, drift=drifts * rate))


def report_pulls(fields: list[list[Outcome]]) -> str:
    """Return widths of the pulls and sizes of the errors over all fields, as Markdown."""
    every = [[o for o in field if o.status == "ALIGNED"] for field in fields]
    rng = np.random.default_rng(0)
    lines = ["| axis | n | pull, rms | largest | error, rms [mas] | worst | median claim |", "|---" * 7 + "|"]
    for axis, name in enumerate(_NAMES):
        pulls = [np.array([o.pull[axis] for o in field]) for field in every]
        squares = np.array([[(pull**2).sum(), len(pull)] for pull in pulls])
        drawn = squares[rng.integers(0, len(squares), (400, len(squares)))].sum(axis=1)
        scatter = np.std(np.sqrt(drawn[:, 0] / drawn[:, 1]))
        width = np.sqrt(squares[:, 0].sum() / squares[:, 1].sum())
        error, claimed = (
            np.array([getattr(o, of)[axis] for f in every for o in f]) for of in ("error", "claimed")
        )
        cells = (
            f"{width:.2f} ± {scatter:.2f}",
            f"{max(np.abs(pull).max() for pull in pulls if len(pull)):.1f}",
            f"{np.sqrt(np.mean(error**2)):.2f}",
            f"{np.abs(error).max():.2f}",
            f"{np.median(claimed):.2f}",
        )
        lines.append(f"| {name} | {len(error)} | {' | '.join(cells)} |")
    total = [o for field in fields for o in field]
    off = sum(o.is_off for o in total)
    lines.append(f"\n{len(total)} grism exposures, {off} ALIGNED and off by over {_LIMIT:g} sigma")
    return "\n".join(lines)


@dataclass(frozen=True)
class HardCase:
    """A field, and what is done to the files of its exposures."""

    field: Simulation
    spoil: Callable[[Truth, Path], None] | None = None


def hard_cases(size: tuple[int, int]) -> dict[str, HardCase]:
    """Return hard cases of WFC3/IR by name."""
    usual = case_c(size=size, errors=_ERRORS)
    ny, nx = size
    area = ny * nx * (usual.camera.pixel / 60) ** 2

    def scene(stars: float, galaxies: float, **changes: object) -> HardCase:
        numbers = SceneSettings(star_density=stars / area, galaxy_density=galaxies / area)
        return HardCase(replace(usual, scene=replace(numbers, **changes)))

    def cut(height: int, width: int) -> HardCase:
        settings = replace(usual_scene("wfc3_ir", size), star_density=150.0)
        return HardCase(case_c(size=(height, width), errors=_ERRORS, scene=settings))

    crowded = 5000.0 * ny * nx / np.prod(usual.camera.shape)
    return {
        "usual": HardCase(usual),
        "5 sources": scene(5.0, 0.0, star_magnitudes=(17.0, 22.0)),
        "galaxies only": scene(0.0, 60.0),
        "faint": scene(40.0, 60.0, star_magnitudes=(22.5, 25.0), galaxy_magnitudes=(22.5, 25.5)),
        "crowded": scene(crowded, 20.0),
        "all overlapping": scene(400.0, 20.0, star_magnitudes=(16.0, 21.0)),
        "order cut off": cut(size[0] + 100, 150),
        "order mostly off": cut(size[0] + 100, 80),
        "saturated": scene(40.0, 60.0, star_magnitudes=(8.0, 16.0)),
        "empty": HardCase(_special(usual, Special.EMPTY)),
        "trailed": HardCase(_special(usual, Special.TRAILED)),
        "missing pixels": HardCase(_special(usual, Special.NAN)),
        "flagged": HardCase(_special(usual, Special.FLAGGED)),
        **{f"displaced by {far:g} px": HardCase(usual, _displaced(far)) for far in (1.5, 4.0, 12.0)},
        **{
            f"all off by {far:g} px": HardCase(replace(usual, errors=replace(_ERRORS, jitter=far)))
            for far in (1.0, 3.0)
        },
        "of another field": HardCase(usual, _other_pixels(usual)),
        "wrong filter, one": HardCase(usual, _named("G102", [_SPOILT])),
        "wrong filter, all": HardCase(usual, _named("G102", range(8))),
    }


def _grisms(truth: Truth) -> list[Path]:
    return [one.path for one in truth.exposures.values() if not one.is_direct]


def _special(field: Simulation, special: Special) -> Simulation:
    """Return a field in which a grism exposure has something wrong."""
    first, *others = field.visits
    is_grism = [number for number, one in enumerate(first.exposures) if field.element(one).is_grism]
    exposures = list(first.exposures)
    exposures[is_grism[_SPOILT]] = replace(exposures[is_grism[_SPOILT]], special=special, trail=(3.0, 2.0))
    return replace(field, visits=(replace(first, exposures=tuple(exposures)), *others))


def _displaced(pixels: float) -> Callable[[Truth, Path], None]:
    """Return what writes the WCS of a grism exposure off."""

    def spoil(truth: Truth, _: Path) -> None:
        with fits.open(_grisms(truth)[_SPOILT], mode="update") as hdus:
            hdus["SCI"].header["CRPIX1"] += 0.8 * pixels
            hdus["SCI"].header["CRPIX2"] -= 0.6 * pixels

    return spoil


def _other_pixels(field: Simulation) -> Callable[[Truth, Path], None]:
    """Return what gives a grism exposure the pixels of another field."""

    def spoil(truth: Truth, folder: Path) -> None:
        other = simulate(field, folder / "other", np.random.default_rng(999))
        here, there = _grisms(truth)[_SPOILT], _grisms(other)[_SPOILT]
        with fits.open(here, mode="update") as hdus, fits.open(there) as others:
            for name in ("SCI", "ERR", "DQ"):
                hdus[name].data = others[name].data
        shutil.rmtree(folder / "other")

    return spoil


def _named(element: str, which: object) -> Callable[[Truth, Path], None]:
    """Return what writes another grism into headers."""

    def spoil(truth: Truth, _: Path) -> None:
        for number in which:
            fits.setval(_grisms(truth)[number], "FILTER", value=element)

    return spoil


def report_hard(size: tuple[int, int], seeds: range, only: str) -> str:
    """Return every case with its worst exposure, as Markdown."""
    head = ("case", "grisms", "ALIGNED", "along, across: rms [mas]", "worst", "median claim", "largest pull")
    lines = [f"| {' | '.join((*head, 'off by over 5 sigma', 'noted of the spoilt one'))} |"]
    lines.append("|---" * 9 + "|")
    for name, case in hard_cases(size).items():
        if only not in name:
            continue
        every, said = [], ""
        for seed in seeds:
            found = outcomes(case.field, seed, {}, case.spoil)
            every += found
            said = found[_SPOILT].note
        aligned = [o for o in every if o.status == "ALIGNED"]
        off = ", ".join(o.name for o in aligned if o.is_off) or "none"
        error, claimed, pull = (
            np.array([getattr(o, of) for o in aligned]).reshape(-1, 2) for of in ("error", "claimed", "pull")
        )
        cells = ["-"] * 4
        if aligned:
            values = (np.sqrt(np.mean(error**2, axis=0)), np.abs(error).max(axis=0))
            values = (*values, np.median(claimed, axis=0), np.abs(pull).max(axis=0))
            cells = [f"{along:.1f}, {across:.1f}" for along, across in values]
        lines.append(
            f"| {name} | {len(every)} | {len(aligned)} | {' | '.join(cells)} | {off} | {said[:90]} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--seeds", type=int, help="fields: 60, or one of each kind with --hard")
    add("--first-seed", type=int, default=1)
    add("--instrument", default="wfc3_ir")
    add("--size", type=int, nargs=2, default=(320, 420), help="rows and columns of the cut")
    add("--hard", action="store_true", help="hard cases")
    add("--drawn", action="store_true", help="draw how large pointing errors are from the prior")
    add("--only", default="", help="hard cases with this in their names")
    add("--spectra", default="auto", help="the parameter `spectra`: what would be without?")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    number = arguments.seeds or (1 if arguments.hard else 60)
    seeds = range(arguments.first_seed, arguments.first_seed + number)
    size = tuple(arguments.size)
    if arguments.hard:
        print(report_hard(size, seeds, arguments.only))
        return
    field = case_c(arguments.instrument, size=size, errors=_ERRORS)
    begin = time.process_time()
    each = [with_drawn_errors(field, seed) if arguments.drawn else field for seed in seeds]
    parameters = {"spectra": arguments.spectra}
    fields = [outcomes(one, seed, parameters) for one, seed in zip(each, seeds, strict=True)]
    print(report_pulls(fields))
    print(f"seeds {seeds.start} to {seeds.stop - 1}, {time.process_time() - begin:.0f} s of CPU")


if __name__ == "__main__":
    main()
