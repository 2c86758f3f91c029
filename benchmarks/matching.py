"""How often matching finds, misses, refuses, and is wrong; how honest its probability is; how fast it is.

    python benchmarks/matching.py [--trials 10000] [--seed 1] [--only trials,peers,calibration,times]
                                  [--unrelated 2000] [--processes 2] [--verbose]

Trials: pairs of lists with a known transform, and pairs of lists of no common source, over everything
that is hard: few common sources, spurious ones, offsets to 60", any roll, scales off by up to 1e-3,
errors of 2 to 100 mas, magnitudes of different filters, clusters, lines, grids, duplicates. Counts come
with 95 % Wilson limits. A match is WRONG if it was accepted and nothing is right, or if it puts a corner
of the first list off by more than the tolerance ("far") or by more than five of its errors ("off"). Where
the scales differ, a rigid motion can't be the truth; there the errors are those from the best one.

Calibration: how often lists without a common source reach a false-match probability.

Peers: the same true trials with triangles in a k-d tree (astroalign, right if it puts the sources within
1").

Times: against tristars and astroalign (triangles in a k-d tree), where they are installed.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.matching.match import ListMatch, match_lists
from grism_align.algorithms.matching.motion import rigid_motion
from grism_align.values.errors import AlignmentError, AmbiguousMatchError
from grism_align.values.plane_list import PlaneList
from grism_align.values.settings import MatchSettings
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLANE = TangentPlane(150.0, 2.2)
SIDE = 130.0  # arcsec, as of WFC3/IR
PIXEL = 0.13  # arcsec
SETTINGS = MatchSettings()
NATURAL = ("uniform", "clustered")
KINDS = (*NATURAL, "line", "grid")
POINTINGS = ("near", "offset", "any roll")


@dataclass(frozen=True)
class Trial:
    """Two lists and what takes the first onto the second (None: nothing does)."""

    first: PlaneList
    second: PlaneList
    truth: LinearTransform | None
    common: int
    name: str
    scaled: bool = False


def scattered(rng: np.random.Generator, n: int, kind: str, box: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Positions (n, 2) of a kind of field within a box (low corner, sides)."""
    low, sides = box
    if kind == "uniform":
        return low + sides * rng.uniform(size=(n, 2))
    if kind == "clustered":
        centers = low + sides * rng.uniform(size=(max(n // 8, 1), 2))
        spread = rng.choice([1.0, 3.0, 8.0])
        knots = centers[rng.integers(0, len(centers), n)] + spread * rng.normal(size=(n, 2))
        return np.where(rng.uniform(size=(n, 1)) < 0.5, knots, low + sides * rng.uniform(size=(n, 2)))
    if kind == "line":
        along = rng.uniform(0, sides[0], n)
        return low + np.column_stack(
            [along, 0.5 * sides[1] + rng.choice([0.03, 0.3, 1.0]) * rng.normal(size=n)]
        )
    step = rng.choice([5.0, 8.0, 13.0])
    x, y = np.meshgrid(np.arange(0, sides[0], step), np.arange(0, sides[1], step))
    nodes = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(0, step, 2)
    return low + nodes[rng.permutation(len(nodes))[:n]]


def listed(rng: np.random.Generator, xy: np.ndarray, mag: np.ndarray, error: float) -> PlaneList:
    """The list of positions, measured with an error that grows for faint sources; some magnitudes unknown."""
    rank = np.argsort(np.argsort(mag)) / max(len(mag) - 1, 1)
    own = error * 10 ** (0.6 * rank - 0.3)
    mag = np.where(rng.uniform(size=len(mag)) < 0.02, rng.choice([np.nan, np.inf, -np.inf], len(mag)), mag)
    order = rng.permutation(len(xy))
    measured = xy + own[:, None] * rng.normal(size=xy.shape)
    return PlaneList(measured[order], own[order], mag[order], np.full(len(xy), 2016.0))


def pointing(rng: np.random.Generator, kind: str, scaled: bool) -> LinearTransform:
    """An error of pointing: as HST's mostly is; an offset of up to 60"; and any roll."""
    scale = 1 + rng.uniform(-1e-3, 1e-3) if scaled else 1.0
    if kind == "near":
        return LinearTransform.from_parameters(PLANE, rng.normal(0, 0.5, 2), rng.normal(0, 0.02), scale)
    angle, length = rng.uniform(0, 2 * np.pi), 60 * np.sqrt(rng.uniform())
    shift = length * np.array([np.cos(angle), np.sin(angle)])
    roll = rng.normal(0, 0.05) if kind == "offset" else rng.uniform(-180, 180)
    return LinearTransform.from_parameters(PLANE, shift, roll, scale)


def true_trial(rng: np.random.Generator, kind: str, where: str) -> Trial:
    """Lists with common sources."""
    common = int(np.exp(rng.uniform(np.log(6), np.log(100))))
    overlap = rng.uniform(0.3, 1.0)
    step = np.array([(1 - overlap) * SIDE, 0.0]) @ _turn(rng.uniform(0, 360))
    half = np.array([SIDE, SIDE]) / 2
    low, high = np.maximum(-half, step - half), np.minimum(half, step + half)
    shared = scattered(rng, common, kind, (low, high - low))
    shared = shared[((shared > low) & (shared < high)).all(axis=1)]
    mag = rng.uniform(18, 25, len(shared))
    change = rng.choice([0.1, 1.0, 10.0])  # of magnitudes between filters
    scaled, lists = bool(rng.uniform() < 0.3), []
    error = pointing(rng, where, scaled)
    for corner, transform in ((-half, error), (step - half, LinearTransform.identity(PLANE))):
        # Spurious ones and what only this filter or depth shows, up to twice as many as real ones.
        others = int(len(shared) * rng.choice([0.2, 1.0, 2.0]))
        own = scattered(rng, others, kind, (corner, 2 * half))
        others = len(own)  # a grid has no more nodes
        if rng.uniform() < 0.1:
            own[: others // 5] = shared[rng.integers(0, len(shared), others // 5)] + rng.normal(
                0, 0.1, (others // 5, 2)
            )
        at = transform.apply(np.concatenate([shared, own]))
        brightness = np.concatenate([mag + change * rng.normal(size=len(mag)), rng.uniform(18, 25, others)])
        lists.append(listed(rng, at, brightness, 10 ** rng.uniform(np.log10(0.002), -1)))
    name = f"true, {kind}, {where}"
    return Trial(lists[0], lists[1], error.inverted(), len(shared), name, scaled)


def unrelated_trial(rng: np.random.Generator, kind: str) -> Trial:
    """Lists of different sources, of one kind of field."""
    lists = []
    for _ in range(2):
        n = int(np.exp(rng.uniform(np.log(6), np.log(300))))
        xy = scattered(rng, n, kind, (np.full(2, -SIDE / 2), np.full(2, SIDE)))
        if rng.uniform() < 0.2:  # every source twice
            xy = np.concatenate([xy, xy + rng.normal(0, 0.05, xy.shape)])
        lists.append(listed(rng, xy, rng.uniform(18, 25, len(xy)), 10 ** rng.uniform(np.log10(0.002), -1)))
    return Trial(lists[0], lists[1], None, 0, f"unrelated, {kind}")


def apart_trial(rng: np.random.Generator) -> Trial:
    """Two exposures of one field that do not overlap; the second is listed where the first is."""
    lists = []
    for corner in (0.0, SIDE):
        n = int(np.exp(rng.uniform(np.log(6), np.log(300))))
        box = (np.array([corner, 0.0]), np.full(2, SIDE))
        xy = scattered(rng, n, "clustered", box) - [corner, 0.0]
        lists.append(listed(rng, xy, rng.uniform(18, 25, n), 0.01))
    return Trial(lists[0], lists[1], None, 0, "no overlap")


def _turn(angle: float) -> np.ndarray:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.array([[c, s], [-s, c]])


def made(seed: int, number: int) -> Trial:
    """The trial of a number: six of ten are true."""
    rng = np.random.default_rng([seed, number])
    turn = number % 20
    if turn < 12:
        kind = (
            ("uniform", "clustered", "uniform", "clustered")[turn % 4]
            if turn < 10
            else ("line", "grid")[turn - 10]
        )
        return true_trial(rng, kind, POINTINGS[(number // 4) % 3])
    if turn == 19:
        return apart_trial(rng)
    return unrelated_trial(rng, KINDS[turn % 4])


def verdict(trial: Trial, match: ListMatch) -> str:
    """Whether an accepted match is right, far off, or off by more than five of its errors."""
    if trial.truth is None:
        return "far"
    low, high = trial.first.xy.min(axis=0), trial.first.xy.max(axis=0)
    corners = np.array([[x, y] for x in (low[0], high[0]) for y in (low[1], high[1])])
    away = match.transform.apply(corners) - trial.truth.apply(corners)
    if np.hypot(*away.T).max() > SETTINGS.tolerance:
        return "far"
    if trial.scaled:
        matched = trial.first.xy[match.pairs[:, 0]]
        matrix, shift = rigid_motion(matched, trial.truth.apply(matched), np.ones(len(matched)))
        away = match.transform.apply(corners) - (corners @ matrix.T + shift)
    for corner, miss in zip(corners, away, strict=True):
        jacobian = np.hstack([np.eye(2), np.kron(np.eye(2), corner)])
        error = np.sqrt(np.trace(jacobian @ match.transform.covariance @ jacobian.T) / 2)
        if np.hypot(*miss) > 5 * np.sqrt(2) * error:
            return "off"
    return "found"


def outcome(trial: Trial) -> str:
    """What matching makes of a trial."""
    try:
        match = match_lists(trial.first, trial.second, PLANE, SETTINGS)
    except AmbiguousMatchError:
        return "ambiguous"
    except AlignmentError:
        return "refused"
    return verdict(trial, match)


def wilson(k: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % limits of a share of k in n."""
    if n == 0:
        return 0.0, 1.0
    p, q = k / n, z**2 / n
    middle, half = (p + q / 2) / (1 + q), np.sqrt(q * p * (1 - p) + q**2 / 4) / (1 + q)
    return max(0.0, middle - half), min(1.0, middle + half)


def in_processes(
    work: Callable[[tuple[int, ...]], object], jobs: list[tuple[int, ...]], number: int
) -> Iterator:
    """What some work makes of each of its jobs, in their order."""
    if number == 1:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(number) as pool:
        yield from pool.map(work, jobs, chunksize=20)


def _numbered_outcome(job: tuple[int, int]) -> str:
    return outcome(made(*job))


def print_trials(n: int, seed: int, processes: int, verbose: bool) -> None:
    """The table of outcomes."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    enough: Counter[bool] = Counter()
    jobs = [(seed, number) for number in range(n)]
    for (_, number), result in zip(jobs, in_processes(_numbered_outcome, jobs, processes), strict=True):
        trial = made(seed, number)
        group = "" if trial.truth is None else ", 15 or more" if trial.common >= 15 else ", 6 to 14"
        counts[trial.name + group][result] += 1
        counts["ALL"][result] += 1
        if trial.truth is not None and trial.common >= 15 and trial.name.split(", ")[1] in NATURAL:
            enough[result == "found"] += 1
        if verbose and (
            result in ("far", "off", "ambiguous") or (trial.common >= 15 and result == "refused")
        ):
            sizes = f"{trial.common} of {len(trial.first)}, {len(trial.second)}"
            print(f"  {number}: {trial.name}, {sizes}: {result}", flush=True)
    columns = ("found", "refused", "ambiguous", "far", "off")
    print("| trials | n | " + " | ".join(columns) + " | found, 95 % | WRONG, 95 % |")
    print("|---" * 9 + "|")
    for name in sorted(counts):
        own = counts[name]
        total = own.total()
        good, bad = wilson(own["found"], total), wilson(own["far"] + own["off"], total)
        cells = " | ".join(str(own[c]) for c in columns)
        print(f"| {name} | {total} | {cells} | {good[0]:.4f}-{good[1]:.4f} | {bad[0]:.4f}-{bad[1]:.4f} |")
    low, high = wilson(enough[True], enough.total())
    share = enough[True] / max(enough.total(), 1)
    print(f"\nFound with 15 or more common sources in natural fields: {share:.4f} ({low:.4f}-{high:.4f})\n")


def _reached(job: tuple[int, int, int]) -> float:
    """The probability that a pair of unrelated lists is given."""
    seed, number, kind = job
    trial = unrelated_trial(np.random.default_rng([seed, 7, number]), KINDS[kind])
    settings = MatchSettings(max_false_match=1.0, min_matches=3)
    try:
        return match_lists(trial.first, trial.second, PLANE, settings).probability
    except AlignmentError:
        return 1.0


def print_calibration(n: int, seed: int, processes: int) -> None:
    """How often unrelated lists reach a probability."""
    limits = (1e-1, 1e-2, 1e-3, 1e-4)
    print("| unrelated lists | n | " + " | ".join(f"p < {limit:g}" for limit in limits) + " |")
    print("|---" * (2 + len(limits)) + "|")
    for number, kind in enumerate(KINDS):
        jobs = [(seed, k, number) for k in range(n)]
        reached = np.array(list(in_processes(_reached, jobs, processes)))
        shares = " | ".join(str((reached < limit).sum()) for limit in limits)
        print(f"| {kind} | {n} | {shares} |", flush=True)
    print()


def print_peers(n: int, seed: int) -> None:
    """Pairs of one length against triangles: true trials of natural fields with 15 or more common sources."""
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    peers: dict[str, Callable[[Trial], str]] = {
        "pairs of one length": outcome,
        "astroalign": _astroalign_outcome,
    }
    number = 0
    while counts["pairs of one length", "ALL"].total() < n:
        number += 1
        trial = made(seed, number)
        if trial.truth is None or trial.common < 15 or trial.name.split(", ")[1] not in NATURAL:
            continue
        for peer, work in peers.items():
            result = work(trial)
            for group in (trial.name.split(", ")[2], "ALL"):
                counts[peer, group][result] += 1
    print("| method | pointing | n | right | WRONG | none |")
    print("|---|---|---|---|---|---|")
    for (peer, group), own in sorted(counts.items()):
        right, wrong = own["found"], own["far"] + own["off"]
        print(f"| {peer} | {group} | {own.total()} | {right} | {wrong} | {own.total() - right - wrong} |")
    print()


def _astroalign_outcome(trial: Trial) -> str:
    """What triangles in a k-d tree make of the 100 brightest of each list."""
    try:
        import astroalign
    except ImportError:
        return "not installed"
    a, b = (
        each.xy[np.argsort(np.nan_to_num(each.mag, nan=99.0))][:100] for each in (trial.first, trial.second)
    )
    try:
        similarity, _ = astroalign.find_transform(a / PIXEL, b / PIXEL, max_control_points=100)
    except Exception:  # noqa: BLE001 - whatever a peer raises is its refusal
        return "refused"
    away = PIXEL * similarity(trial.first.xy / PIXEL) - trial.truth.apply(trial.first.xy)
    return "found" if np.median(np.hypot(*away.T)) < 1.0 else "far"


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The least of several durations, of the processor: other work on the machine does not count."""
    work()
    spent = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return min(spent)


def _crowd(rng: np.random.Generator, n: int, transform: LinearTransform) -> tuple[PlaneList, PlaneList]:
    xy, mag = rng.uniform(-SIDE / 2, SIDE / 2, (n, 2)), rng.uniform(18, 25, n)
    lists = []
    for motion in (transform, LinearTransform.identity(PLANE)):
        seen = np.sort(rng.permutation(n)[: int(0.9 * n)])
        at = motion.apply(xy[seen] + rng.normal(0, 0.01, (len(seen), 2)))
        lists.append(PlaneList(at, np.full(len(at), 0.01), mag[seen], np.full(len(at), 2016.0)))
    return lists[0], lists[1]


def _tristars(a: np.ndarray, b: np.ndarray, turned: bool, every: bool) -> Callable[[], np.ndarray] | None:
    """Triangles, in pixels: pairs of the ten most alike, or all that agree with the best three."""
    try:
        from skimage.transform import EuclideanTransform
        from tristars.match import match_catalog_tri
    except ImportError:
        return None
    # Its `ignore_rot` says that there is no roll to speak of.
    call = {"size_limit": [5, 1000], "ignore_rot": not turned}
    if every:
        call |= {"auto_keep": 3, "auto_transform": EuclideanTransform}
    return lambda: match_catalog_tri(a / PIXEL, b / PIXEL, maxKeep=10, **call)


def _astroalign(a: np.ndarray, b: np.ndarray) -> Callable[[], object] | None:
    try:
        import astroalign
    except ImportError:
        return None
    return lambda: astroalign.find_transform(a / PIXEL, b / PIXEL, max_control_points=len(a))


def _cell(work: Callable[[], object] | None, right: Callable[[object], bool], own: float) -> str:
    """The time of a peer that may fail, whether it was right, and how much longer it took than we."""
    if work is None:
        return "not installed"
    try:
        good = right(work())
        spent = seconds(work, 3)
    except Exception as error:  # noqa: BLE001 - whatever a peer raises is its failure
        return type(error).__name__
    return f"{1e3 * spent:.0f} ms ({spent / own:.0f}x), {'right' if good else 'WRONG'}"


def print_times() -> None:
    """Times of lists of one field, against the peers."""
    print("| sources | pointing | time | tristars, ten triangles | tristars, all pairs | astroalign |")
    print("|---|---|---|---|---|---|")
    cases = (("near", (0.3, -0.2), 0.01), ("offset", (45.0, -38.0), 0.05), ("any roll", (45.0, -38.0), 77.0))
    for n in (50, 100, 200, 1000, 10000):
        for name, shift, roll in cases:
            rng = np.random.default_rng([n, 11])
            error = LinearTransform.from_parameters(PLANE, shift, roll)
            first, second = _crowd(rng, n, error)
            settings = MatchSettings(brightest=max(n, 5))
            repeats = 50 if n < 1000 else 3
            own = seconds(lambda a=first, b=second, s=settings: match_lists(a, b, PLANE, s), repeats)
            peers = _peer_cells(first.xy, second.xy, error.inverted(), own) if n <= 100 else "| |"
            print(f"| {n} | {name} | {1e3 * own:.1f} ms | {peers} |", flush=True)
    print()


def _peer_cells(a: np.ndarray, b: np.ndarray, truth: LinearTransform, own: float) -> str:
    def pairs_right(pairs: np.ndarray) -> bool:
        away = truth.apply(a[pairs[:, 0]]) - b[pairs[:, 1]]
        return len(pairs) >= 3 and np.median(np.hypot(*away.T)) < PIXEL

    def motion_right(found: tuple) -> bool:
        away = PIXEL * found[0](a / PIXEL) - truth.apply(a)
        return np.median(np.hypot(*away.T)) < PIXEL

    triangles = [
        _cell(_tristars(a, b, abs(truth.roll) > 1, every), pairs_right, own) for every in (False, True)
    ]
    return " | ".join([*triangles, _cell(_astroalign(a, b), motion_right, own)])


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10000)
    parser.add_argument(
        "--unrelated", type=int, default=2000, help="pairs of lists of each kind, for calibration"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1, help="for trials and calibration")
    parser.add_argument("--only", default="trials,peers,calibration,times")
    parser.add_argument("--verbose", action="store_true", help="name the trials that are not found")
    options = parser.parse_args()
    if "trials" in options.only:
        print_trials(options.trials, options.seed, options.processes, options.verbose)
    if "peers" in options.only:
        print_peers(max(options.trials // 20, 10), options.seed)
    if "calibration" in options.only:
        print_calibration(options.unrelated, options.seed, options.processes)
    if "times" in options.only:
        print_times()


if __name__ == "__main__":
    main()
