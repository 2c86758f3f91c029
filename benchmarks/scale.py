"""How the alignment of many exposures scales: seconds and memory of the joint solution and of the whole.

    python benchmarks/scale.py                               # 1000, 3000 and 10 000 exposures of 200 sources
    python benchmarks/scale.py --exposures 80 --layout deep  # one small size
    python benchmarks/scale.py --profile                     # and where the time goes, by function
    python benchmarks/scale.py --processes 1                 # on one core

Lists of positions are made, visits of eight exposures with small dithers and one pointing error (0.5") each,
in two layouts:

* survey: the visits are spread over a field in which each of them overlaps a few others;
* deep: the same, and 500 of the exposures look at one place of it.

Two things are timed:

* joint solution: `solve_joint` alone with its covariances, with a prior on the pointing, on measurements
  whose association is known: 1000 exposures are 2125 unknowns;
* network: `align_network`, that is matching, merging, association and four joint solutions; visits are
  matched by as many processes as are asked for.

Each row runs in a process of its own, so that its peak memory (all of the process, Python and its
packages included, and of those that it starts) is its own. CPU time is that of all of them, their start
included, which the elapsed time leaves out. The width of the pulls is the rms of the errors of the
exposures' shifts, in units of the errors that the solution claims. All share the error of the first
exposure, whose shift and roll are the frame, so one survey's width scatters by a third about one.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.fitting.corrections import pointing_prior
from grism_align.algorithms.fitting.joint import Measurements, solve_joint
from grism_align.algorithms.relative.members import NetworkInput, PointingSources
from grism_align.algorithms.relative.network import align_network
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import ExecutionSettings, MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.executors import executor_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from grism_align.values.executor import Executor

_PLANE = TangentPlane(150.0, 2.2)
_PER_VISIT = 8
# Half the side of an exposure, typical spacing of the visits, largest dither, arcsec.
_HALF_SIDE, _SPACING, _DITHER = 65.0, 60.0, 2.0
_POINTING = PointingSettings()
# Error of a centroid, arcsec.
_NOISE = 0.005
_MISSED = 0.1
# Exposures of the deep field at one place.
_DEEP = 500


@dataclass(frozen=True)
class Survey:
    """Lists of all exposures, which star each row is, and the true corrections.

    Parameters
    ----------
    lists : list of PlaneList
        A priori positions.
    stars : list of ndarray of int
        Star of each row.
    visit : (E,) ndarray of int
        Visit of each exposure.
    truth : (E, 2) ndarray, arcsec
        Shift that takes each exposure to the true sky.
    """

    lists: list[PlaneList]
    stars: list[NDArray[np.int64]]
    visit: NDArray[np.int64]
    truth: NDArray[np.float64]


def survey(n_exposures: int, n_sources: int, rng: np.random.Generator, n_deep: int = 0) -> Survey:
    """Visits at random places of a square that grows with their number.

    Parameters
    ----------
    n_exposures : int
        Exposures, eight to a visit.
    n_sources : int
        Sources that an exposure sees on average.
    rng : Generator
        Source of randomness.
    n_deep : int
        Exposures that look at one place.
    """
    n_visits = -(-n_exposures // _PER_VISIT)
    half = 0.5 * _SPACING * np.sqrt(n_visits)
    reach = half + _HALF_SIDE + _DITHER
    n_stars = int((2 * reach) ** 2 * n_sources / ((2 * _HALF_SIDE) ** 2 * (1 - _MISSED)))
    xy, mag = rng.uniform(-reach, reach, (n_stars, 2)), rng.uniform(18, 25, n_stars)
    visit = np.arange(n_exposures) // _PER_VISIT
    places = rng.uniform(-half, half, (n_visits, 2))
    places[: n_deep // _PER_VISIT] = 0.0
    offset = rng.normal(0, _POINTING.visit_error, (n_visits, 2))
    error = offset[visit] + rng.normal(0, _POINTING.dither_error, (n_exposures, 2))
    lists, stars = [], []
    order = np.argsort(xy[:, 0])
    for v, own in zip(visit, error, strict=True):
        center = places[v] + rng.uniform(-_DITHER, _DITHER, 2)
        near = order[slice(*np.searchsorted(xy[order, 0], center[0] + np.array([-_HALF_SIDE, _HALF_SIDE])))]
        away = np.abs(xy[near] - center).max(axis=1)
        rows = np.sort(near[(away < _HALF_SIDE) & (rng.uniform(size=len(near)) > _MISSED)])
        seen = xy[rows] + own + rng.normal(0, _NOISE, (len(rows), 2))
        n = len(rows)
        lists.append(PlaneList(seen, np.full(n, _NOISE), mag[rows], np.full(n, 2015.0)))
        stars.append(rows)
    return Survey(lists, stars, visit, -error)


def known(made: Survey) -> Measurements:
    """The measurements of stars seen twice or more, their association known."""
    exposure = np.repeat(np.arange(len(made.lists)), [len(rows) for rows in made.stars])
    star = np.concatenate(made.stars)
    twice = np.bincount(star)[star] > 1
    _, source = np.unique(star[twice], return_inverse=True)
    return Measurements(
        pointing=exposure[twice],
        source=source.ravel(),
        xy=np.concatenate([own.xy for own in made.lists])[twice],
        error=np.concatenate([own.error for own in made.lists])[twice],
        noise_class=np.zeros(len(source), dtype=np.int64),
        group=made.visit,
        fixed=np.arange(len(made.lists)) == 0,
    )


def pulls(found: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Width of what is left of errors (E, 2) over their standard errors; the first exposure is the frame."""
    errors = np.sqrt(np.maximum(np.diagonal(covariance[:, :2, :2], axis1=1, axis2=2), 1e-30))
    return float(np.sqrt(np.mean((found[1:] / errors[1:]) ** 2)))


def joint_only(made: Survey, _: Executor) -> tuple[Callable[[], float], int]:
    """What to time, giving the width of the pulls; and the number of measurements."""
    measured = known(made)
    prior = pointing_prior(_POINTING, measured, [LinearTransform.identity(_PLANE)] * len(made.lists))

    def run() -> float:
        solution = solve_joint(measured, "rshift", 4.0, prior)
        # The truth in the frame of the first exposure, whose centre and roll stay.
        return pulls(solution.shift - (made.truth - made.truth[0]), solution.covariance)

    return run, len(measured.source)


def network(made: Survey, executor: Executor) -> tuple[Callable[[], float], int]:
    """The same for the whole."""
    pointings = [
        PointingSources(
            (f"e{number}",), (own,), ("ir",), f"v{visit:04d}", int(visit), 0.128, number == 0, visit
        )
        for number, (own, visit) in enumerate(zip(made.lists, made.visit, strict=True))
    ]
    field = NetworkInput(pointings, _PLANE, _POINTING)

    def run() -> float:
        frames, _ = align_network(field, RelativeSettings(), MatchSettings(), executor)
        members = frames[0].members
        numbers = sorted(members)
        found, covariance = [], []
        for number in numbers:
            transform, center = members[number].transform, made.lists[number].xy.mean(axis=0)
            found.append(transform.apply(center) - center - (made.truth[number] - made.truth[0]))
            arm = np.hstack([np.eye(2), np.kron(np.eye(2), center)])
            covariance.append(arm @ transform.covariance @ arm.T)
        return pulls(np.array(found), np.array(covariance))

    return run, sum(map(len, made.lists))


_WHAT = {"joint solution": joint_only, "network": network}
_LAYOUTS = {"survey": 0, "deep": _DEEP}


@dataclass(frozen=True)
class Job:
    """One row of the table."""

    what: str
    layout: str
    n_exposures: int
    n_sources: int
    seed: int
    profiled: int
    processes: int


def row(job: Job) -> str:
    """One row of the table, from a process of its own; a profile is printed on the way."""
    n_deep, profiled = _LAYOUTS[job.layout], job.profiled
    made = survey(job.n_exposures, job.n_sources, np.random.default_rng(job.seed), n_deep)
    profile = cProfile.Profile(time.process_time)
    with executor_for(ExecutionSettings(nproc=job.processes)) as executor:
        # In the pipeline they are there, with what they need.
        needed = dict.fromkeys(map(str, range(4 * job.processes)), f"{align_network.__module__}:__name__")
        list(executor.map(resolve_name, needed, "Starting"))
        run, n_measured = _WHAT[job.what](made, executor)
        start, busy = time.perf_counter(), time.process_time()
        width = profile.runcall(run) if profiled else run()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    # Of those that it started the largest is known.
    megabytes = (own.ru_maxrss + job.processes * others.ru_maxrss) / 1024
    busy += others.ru_utime + others.ru_stime
    if profiled:
        pstats.Stats(profile).sort_stats("cumulative").print_stats("grism_align", profiled)
        pstats.Stats(profile).sort_stats("tottime").print_stats(profiled)
    counts = f"{job.layout} | {job.n_exposures} | {n_measured}"
    return f"| {job.what} | {counts} | {seconds:.1f} | {busy:.1f} | {megabytes:.0f} | {width:.2f} |"


def main() -> None:
    """Time each size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exposures", type=int, nargs="+", default=[1000, 3000, 10000])
    parser.add_argument("--sources", type=int, default=200, help="of an exposure (default 200)")
    parser.add_argument("--layout", choices=sorted(_LAYOUTS), help="one of the two only")
    parser.add_argument("--only", choices=sorted(_WHAT), help="time one of the two only")
    parser.add_argument("--processes", type=int, default=2, help="that match visits (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", type=int, nargs="?", const=25, default=0, help="lines of a profile")
    options = parser.parse_args()
    print("| what | layout | exposures | measurements | s | CPU s | peak MB | width of the pulls |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    layouts = [options.layout] if options.layout else list(_LAYOUTS)
    for what, layout, number in product(
        [options.only] if options.only else _WHAT, layouts, options.exposures
    ):
        job = Job(what, layout, number, options.sources, options.seed, options.profile, options.processes)
        with ProcessPoolExecutor(1, get_context("spawn")) as process:
            print(process.submit(row, job).result(), flush=True)


if __name__ == "__main__":
    main()
