"""How much work exposures are, from headers alone, and how many processes it is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.sources import file_of
from grism_align.workflows.workers import usable_cores

if TYPE_CHECKING:
    from collections.abc import Collection

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet

# Seconds of one core of a machine of 2024: for a million pixels of a direct exposure to be measured and to be
# drizzled, for a grism exposure whose spectra are measured and for a million of its pixels, and to write a
# megabyte.
_MEASURE, _DRIZZLE, _SPECTRA, _SPECTRA_PIXELS, _WRITE = 0.25, 4.0, 0.9, 0.2, 0.012
# Bytes: of Python and the packages, for each pixel of the largest exposure, and of mosaics with catalogs.
_PROGRAM, _PER_PIXEL, _MOSAICS = 180e6, 40, 450e6
# A process takes a second and a half to start, and is worth it with twice as much to do.
_LEAST_SHARE = 3.0
# Part of the memory that is free which processes may fill.
_PART_OF_MEMORY = 0.8


@dataclass(frozen=True)
class Workload:
    """What there is to do.

    Parameters
    ----------
    n_items : int
        Exposures, or what else is worked on one by one.
    seconds : float
        They take about this long on one core.
    memory : float, byte
        A process needs about as much.
    """

    n_items: int
    seconds: float
    memory: float = _PROGRAM


def workload_of(exposures: ExposureSet, steps: Collection[str] = ()) -> Workload:
    """Return how much work there is on exposures, which are written in the end.

    Parameters
    ----------
    exposures : ExposureSet
        As read.
    steps : collection of str
        Steps that run.
    """
    measured = exposures.direct if "source_catalog" in steps else ()
    seen = exposures.grisms if "grism_wcs_propagate" in steps else ()
    drizzled = exposures.direct if "visit_mosaic" in steps else ()
    pixels = _MEASURE * sum(map(pixels_of, measured)) + _SPECTRA_PIXELS * sum(map(pixels_of, seen))
    pixels += _DRIZZLE * sum(map(pixels_of, drizzled))
    size = size_of(exposures)
    seconds = _SPECTRA * len(seen) + (pixels + _WRITE * size) / 1e6
    memory = _PROGRAM + _PER_PIXEL * max(map(pixels_of, exposures.exposures)) + bool(drizzled) * _MOSAICS
    return Workload(len(exposures.exposures), seconds, memory)


def writing_of(paths: Collection[Path]) -> Workload:
    """Return how much work it is to write files anew.

    Parameters
    ----------
    paths : collection of Path
        The files.
    """
    return Workload(len(paths), _WRITE * sum(map(_size, paths)) / 1e6)


def pixels_of(exposure: Exposure) -> int:
    """Return the number of pixels of an exposure."""
    return sum(chip.shape[0] * chip.shape[1] for chip in exposure.chips)


def size_of(exposures: ExposureSet) -> int:
    """Return the size of all files of exposures, byte; open models have none."""
    paths = (file_of(each.source) for each in exposures.exposures)
    return sum(_size(path) for path in paths if path is not None)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def process_count(nproc: int | None, workload: Workload | None = None) -> int:
    """Return how many processes work.

    Parameters
    ----------
    nproc : int or None
        As in `ExecutionSettings`: what is asked for, 0 for one a core, or None for as many as are worth it.
    workload : Workload, optional
        What there is to do. No more work than there are items.

    Returns
    -------
    int
        At least 1.
    """
    if nproc is None and workload is None:
        return 1
    most = nproc or usable_cores()
    if workload is not None:
        most = min(most, workload.n_items)
        if nproc is None:
            memory = _free_memory()
            fitting = most if memory is None else int(_PART_OF_MEMORY * memory / workload.memory)
            most = min(most, fitting, int(workload.seconds / _LEAST_SHARE))
    return max(most, 1)


def _free_memory() -> float | None:
    """Return the memory that processes may still take, byte; None where nobody tells."""
    told = [_available(), _limit_left()]
    known = [one for one in told if one is not None]
    return min(known) if known else None


def _available() -> float | None:
    """Return what Linux says is available."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return 1024.0 * int(line.split()[1])
    return None


def _limit_left() -> float | None:
    """Return what a container, or a job of a batch system, may still take."""
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    return float(int(limit[0]) - int(used[0])) if limit and used and limit[0].isdigit() else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
