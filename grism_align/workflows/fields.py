"""Sort exposures into fields: those whose footprints are connected on the sky, from headers alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from grism_align.io.associations import exposures_below, read_association, write_association
from grism_align.io.associations.overlap import footprints_overlap, near_pairs
from grism_align.io.files.sources import path_of
from grism_align.io.missions import file_source, read_exposure
from grism_align.values.errors import InputError
from grism_align.values.record import LeftOut
from grism_align.values.sphere import mean_direction, project, sky_to_vector
from grism_align.workflows.associate import build_association
from grism_align.workflows.load import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from grism_align.values.executor import Executor

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sighting:
    """What of an exposure it takes to sort it: little, as there may be very many.

    Parameters
    ----------
    path : str
        The file.
    key : str
        The exposure.
    visit : tuple of str
        Mission and visit.
    start : float, d
        Begin of the exposure, MJD.
    is_direct : bool
        Whether it shows the sky.
    filter : str
        Filter or grism.
    footprints : (chips, 4, 2) ndarray, deg
        Corners of its chips.
    """

    path: str
    key: str
    visit: tuple[str, str]
    start: float
    is_direct: bool
    filter: str
    footprints: Floats


@dataclass(frozen=True, eq=False)
class SkyField:
    """Exposures that belong together.

    Parameters
    ----------
    name : str
        By the place of the first of them.
    exposures : tuple of Sighting
        In time order.
    ra, dec : float, deg
        Their centre.
    extent : float, arcmin
        Of a circle around it that holds all footprints, the diameter.
    """

    name: str
    exposures: tuple[Sighting, ...]
    ra: float
    dec: float
    extent: float

    @property
    def has_direct(self) -> bool:
        """Whether there is something to align."""
        return any(one.is_direct for one in self.exposures)

    @property
    def visits(self) -> tuple[tuple[str, str], ...]:
        """The visits, in time order."""
        return tuple(dict.fromkeys(one.visit for one in self.exposures))


@dataclass(frozen=True)
class FieldLimits:
    """When connected exposures are split all the same; visits stay whole.

    Parameters
    ----------
    n_exposures : int or None
        Most of a field.
    extent : float or None, arcmin
        Largest of a field.
    """

    n_exposures: int | None = None
    extent: float | None = None


@dataclass(frozen=True, eq=False)
class Sorted:
    """Fields, and files that could not be used."""

    fields: tuple[SkyField, ...]
    left_out: tuple[LeftOut, ...] = field(default=())


def find_files(given: Iterable[str]) -> list[Path]:
    """Return the files of exposures: of folders with all below, of lists and associations all members.

    Parameters
    ----------
    given : iterable of str
        Exposures, folders, wildcards, lists or associations.

    Raises
    ------
    AssociationError
        If there is none.
    """
    found: dict[Path, None] = {}
    for name in given:
        folder = Path(name).expanduser()
        if folder.is_dir():
            found |= dict.fromkeys(exposures_below(folder.absolute()))
        else:
            found |= dict.fromkeys(path_of(one.source) for one in read_association(name).exposures)
    return list(found)


def sort_into_fields(paths: Sequence[Path], limits: FieldLimits, executor: Executor) -> Sorted:
    """Read headers and sort exposures into fields.

    Parameters
    ----------
    paths : sequence of Path
        The files.
    limits : FieldLimits
        When fields are split.
    executor : Executor
        Reads the headers.

    Returns
    -------
    Sorted
        Fields by name.
    """
    by_name = {str(path): str(path) for path in paths}
    found = list(executor.map(sight, by_name, "Reading the headers of"))
    seen = sorted((one for one in found if isinstance(one, Sighting)), key=lambda one: (one.start, one.key))
    left_out = tuple(one for one in found if isinstance(one, LeftOut))
    parts = [part for whole in connected(seen) for part in _split(whole, limits)]
    return Sorted(tuple(sorted(_named(parts), key=lambda one: one.name)), left_out)


def sight(path: str) -> Sighting | LeftOut:
    """Return what of an exposure it takes to sort it, or why it can't be used.

    Parameters
    ----------
    path : str
        The file.
    """
    try:
        one = read_exposure(file_source(path))
        footprints = np.array([chip.wcs.footprint() for chip in one.chips], dtype=float)
    except InputError as error:
        return LeftOut.of(error)
    visit = (one.telescope.mission, one.visit)
    return Sighting(path, one.key, visit, one.start, one.is_direct, one.filter, footprints)


def connected(seen: Sequence[Sighting]) -> list[list[Sighting]]:
    """Return the groups of exposures that are connected: of one visit, or with direct ones that overlap.

    Parameters
    ----------
    seen : sequence of Sighting
        In time order, which the groups and what is in them keep. A visit without a direct exposure is
        connected by its grism exposures.
    """
    numbers = {visit: number for number, visit in enumerate(dict.fromkeys(one.visit for one in seen))}
    groups = _Groups(len(numbers))
    with_direct = {one.visit for one in seen if one.is_direct}
    deciding = [one for one in seen if one.is_direct or one.visit not in with_direct]
    owners = np.array([numbers[one.visit] for one in deciding for _ in one.footprints], dtype=int)
    quads = [quad for one in deciding for quad in one.footprints]
    if quads:
        _connect(np.array(quads), owners, groups)
    found: dict[int, list[Sighting]] = defaultdict(list)
    for one in seen:
        found[groups.of(numbers[one.visit])].append(one)
    return list(found.values())


class _Groups:
    """Things that are connected, as a forest (union-find)."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def of(self, one: int) -> int:
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one

    def join(self, first: int, second: int) -> None:
        self._parent[self.of(second)] = self.of(first)


def _connect(quads: Floats, owners: NDArray[np.int_], groups: _Groups) -> None:
    """Join the owners of footprints that overlap; most pairs of a deep field are of one group already."""
    for i, j in near_pairs(quads):
        if groups.of(owners[i]) != groups.of(owners[j]) and footprints_overlap(quads[i], quads[j]):
            groups.join(owners[i], owners[j])


def _split(whole: list[Sighting], limits: FieldLimits) -> list[list[Sighting]]:
    """Halve a field along its longer side until its parts are within the limits."""
    if not _is_too_large(whole, limits):
        return [whole]
    visits: dict[tuple[str, str], list[Sighting]] = defaultdict(list)
    for one in whole:
        visits[one.visit].append(one)
    if len(visits) == 1:
        return [whole]
    ra, dec, _ = _circle(whole)
    places = {visit: project(np.array([_circle(some)[:2]]), ra, dec)[0] for visit, some in visits.items()}
    axis = int(np.argmax(np.ptp(np.array(list(places.values())), axis=0)))
    order = sorted(visits, key=lambda visit: (places[visit][axis], visits[visit][0].start))
    counts = np.cumsum([len(visits[visit]) for visit in order])
    cut = 1 + int(np.argmin(np.abs(counts[:-1] - 0.5 * counts[-1])))
    halves = (set(order[:cut]), set(order[cut:]))
    return [part for half in halves for part in _split([one for one in whole if one.visit in half], limits)]


def _is_too_large(some: Sequence[Sighting], limits: FieldLimits) -> bool:
    if limits.n_exposures is not None and len(some) > limits.n_exposures:
        return True
    return limits.extent is not None and _circle(some)[2] > limits.extent


def _circle(some: Sequence[Sighting]) -> tuple[float, float, float]:
    """Return centre, deg, and diameter, arcmin, of a circle around footprints."""
    corners = np.concatenate([one.footprints.reshape(-1, 2) for one in some])
    ra, dec = mean_direction(corners)
    chords = np.linalg.norm(sky_to_vector(corners) - sky_to_vector(np.array([ra, dec])), axis=-1)
    diameter = 2 * np.degrees(2 * np.arcsin(min(0.5 * float(chords.max()), 1.0)))
    return float(ra), float(dec), 60 * float(diameter)


def _named(parts: Iterable[list[Sighting]]) -> list[SkyField]:
    """Name fields by the place of their first exposure, which stays when later ones are added."""
    taken: dict[str, int] = {}
    found = []
    for part in sorted(parts, key=lambda part: (part[0].start, part[0].key)):
        place = _place(*_circle(part[:1])[:2])
        taken[place] = taken.get(place, 0) + 1
        name = place if taken[place] == 1 else f"{place}_{taken[place]}"
        found.append(SkyField(name, tuple(part), *_circle(part)))
    return found


def _place(ra: float, dec: float) -> str:
    """Return a place as ``j033212-274812``: hours, minutes, seconds; degrees, arcmin, arcsec."""
    time, arc = round(ra * 240) % 86400, round(abs(dec) * 3600)
    east = f"{time // 3600:02d}{time // 60 % 60:02d}{time % 60:02d}"
    north = f"{arc // 3600:02d}{arc // 60 % 60:02d}{arc % 60:02d}"
    return f"j{east}{'-' if dec < 0 else '+'}{north}"


def write_fields(fields: Iterable[SkyField], folder: Path, executor: Executor) -> list[Path]:
    """Write an association of each field.

    Parameters
    ----------
    fields : iterable of SkyField
        The fields.
    folder : Path
        Where; they are called after the fields.
    executor : Executor
        Reads headers again and writes, a field at a time, so that one is in memory.

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        If one can't be written.
    """
    jobs: Mapping[str, SkyField] = {one.name: one for one in fields}
    return list(executor.map(partial(_associate, folder=folder), jobs, "Associating"))


def association_path(one: SkyField, folder: Path) -> Path:
    """Return where the association of a field goes."""
    return folder / f"{one.name}_asn.json"


def _associate(one: SkyField, folder: Path) -> Path:
    paths = [each.path for each in one.exposures]
    found = load(paths, with_results=False, with_sums=False, bad_input="leave_out")
    association = build_association(found.exposures, one.name, found.association)
    return write_association(association, association_path(one, folder))
