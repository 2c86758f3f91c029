"""The list of visits that grizli's pipeline works from, `ROOT_visits.yaml`, made from the record of a run."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.names import made_safe
from grism_align.io.files.staging import atomic_path
from grism_align.io.missions import read_exposure, read_keywords
from grism_align.io.record.file import read_record
from grism_align.values.errors import InputError, OutputError
from grism_align.values.sphere import mean_direction, project, unproject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.record import ExposureRecord
    from grism_align.values.solution import Governed


# Columns of the table of exposures besides FILE, FILTER and PUPIL, and what stands for missing ones.
_COLUMNS: dict[str, Any] = {
    "INSTRUME": "",
    "DETECTOR": "",
    "TARGNAME": "indef",
    "DATE-OBS": "",
    "TIME-OBS": "",
    "EXPSTART": np.nan,
    "EXPTIME": np.nan,
    "PA_V3": 0.0,
    "RA_TARG": np.nan,
    "DEC_TARG": np.nan,
    "POSTARG1": 0.0,
    "POSTARG2": 0.0,
}
_NO_PUPIL = "---"


@dataclass(frozen=True)
class GrizliVisits:
    """What the file has, and what it leaves out.

    Parameters
    ----------
    content : dict
        Lists and dicts as in the file: ``visits``, ``groups`` and ``info``.
    left_out : dict of str to str
        Why, by key of the exposure.
    """

    content: dict[str, Any]
    left_out: dict[str, str]


@dataclass(frozen=True)
class _Aligned:
    """An exposure of the list: its file as it is, the header of it, and how it was governed."""

    exposure: Exposure
    primary: Mapping[str, Any]
    governed: Governed | None

    @property
    def product(self) -> str:
        """The name of its visit, by target, program, visit, orientation and filter, as grizli makes it."""
        # grizli calls files by it
        target = made_safe(str(self.primary["TARGNAME"]).replace(" ", "-"))
        # program and visit: without the letter of the instrument that HST's programs begin with
        program = self.exposure.program
        visit = self.exposure.visit.removeprefix(program)
        angle = np.round(np.round(self.primary["PA_V3"], 1)) % 360
        return f"{target}-{program[1:]}-{visit}-{angle:05.1f}-{self.exposure.filter}".lower()

    @property
    def footprint(self) -> str:
        """Outline of each chip by the WCS of the file."""
        return " ".join(_polygon(chip.wcs.footprint()) for chip in self.exposure.chips)


def visits_path(provenance: Path | str) -> Path:
    """Where the list of a record is by default, beside it: ``PRODUCT_visits.yaml``."""
    path = Path(provenance)
    return path.with_name(path.stem.removesuffix("_provenance") + "_visits.yaml")


def write_grizli_visits(provenance: Path | str, path: Path | str | None = None) -> GrizliVisits:
    """Write the visits of a run, and its pairs of direct and grism visits, for grizli.

    Parameters
    ----------
    provenance : path-like
        The record.
    path : path-like, optional
        The file, which is replaced; by default `visits_path`. grizli looks for names that end on
        ``_visits.yaml``.

    Returns
    -------
    GrizliVisits

    Raises
    ------
    InputError
        If the record or an exposure can't be read, or none is aligned.
    OutputError
        If the file can't be written.
    """
    import yaml  # type: ignore[import-untyped]

    visits = grizli_visits(provenance)
    target = visits_path(provenance) if path is None else Path(path)
    text = yaml.safe_dump(visits.content, sort_keys=False, default_flow_style=None, width=1000)
    try:
        with atomic_path(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(target, f"can't be written ({error})", "Give another file") from error
    return visits


def grizli_visits(provenance: Path | str) -> GrizliVisits:
    """Return the visits of a run, as grizli's `load_visits_yaml` takes them.

    A visit has the exposures of one target, program, visit, orientation and filter. A grism visit is paired
    with the direct visit whose exposures have most weight in its corrections. Footprints are those of the
    files.

    Parameters
    ----------
    provenance : path-like
        The record. Exposures are looked for where it says, then beside it.

    Returns
    -------
    GrizliVisits

    Raises
    ------
    InputError
        If the record or an exposure can't be read, or none is aligned.
    """
    source = Path(provenance)
    entries = read_record(source).exposures
    left_out = {key: reason for key, entry in entries.items() if (reason := _reason_against(entry))}
    chosen = [_read(entry, source.parent) for key, entry in entries.items() if key not in left_out]
    if not chosen:
        raise InputError(source, "no exposure in it is aligned", "Give the record of a run that aligned some")
    chosen.sort(key=lambda one: (one.exposure.start, one.exposure.key))
    by_product: dict[str, list[_Aligned]] = defaultdict(list)
    for one in chosen:
        by_product[one.product].append(one)
    content = {
        "visits": [_visit(product, members) for product, members in by_product.items()],
        "groups": _groups(by_product),
        "info": _info(chosen),
    }
    return GrizliVisits(content, left_out)


def _reason_against(entry: ExposureRecord) -> str:
    """Why an exposure is left out; empty if it isn't."""
    fit = entry.total
    if fit is None:
        return "no step has fitted it"
    return "" if fit.is_aligned else fit.reason


def _read(entry: ExposureRecord, folder: Path) -> _Aligned:
    recorded = Path((entry.output or entry.input).path)
    path = recorded if recorded.is_file() else folder / recorded.name
    exposure = read_exposure(path)
    known = {name: value for name, (value, _) in read_keywords(exposure).items()}
    columns = {name: _value(known.get(name), missing) for name, missing in _COLUMNS.items()}
    return _Aligned(exposure, columns, entry.total.governed if entry.total else None)


def _value(value: Any, missing: Any) -> Any:
    """Return what a header has, or what stands for it where that is nothing."""
    return value if isinstance(value, int | float) or (isinstance(value, str) and value.strip()) else missing


def _visit(product: str, members: Sequence[_Aligned]) -> dict[str, Any]:
    corners = np.concatenate([chip.wcs.footprint() for one in members for chip in one.exposure.chips])
    return {
        "product": product,
        "files": _names(members),
        "footprint": _polygon(_hull(corners)),
        "footprints": [one.footprint for one in members],
    }


def _names(members: Iterable[_Aligned]) -> list[str]:
    """File names as grizli has them, which drops the suffix of compression."""
    return [one.exposure.source.name.removesuffix(".gz") for one in members]


def _groups(by_product: Mapping[str, Sequence[_Aligned]]) -> list[dict[str, Any]]:
    """Pairs of direct and grism visits; made anew, because YAML has aliases for what it saw before."""
    product_of = {one.exposure.key: product for product, members in by_product.items() for one in members}
    groups = []
    for product, members in by_product.items():
        weights: dict[str, float] = defaultdict(float)
        for one in members:
            governed = one.governed
            for governor, share in zip(governed.exposures, governed.weights, strict=True) if governed else ():
                if governor in product_of:
                    weights[product_of[governor]] += float(share)
        if weights:
            direct = max(weights, key=lambda name: weights[name])
            groups.append({"direct": _visit(direct, by_product[direct]), "grism": _visit(product, members)})
    return groups


def _info(chosen: Sequence[_Aligned]) -> dict[str, list[Any]]:
    """Return the table of exposures, a list a column."""
    columns = {name: [one.primary[name] for one in chosen] for name in _COLUMNS}
    columns["TARGNAME"] = [str(name).replace(" ", "-") for name in columns["TARGNAME"]]
    filters = [one.exposure.filter for one in chosen]
    return {"FILE": _names(chosen), "FILTER": filters, "PUPIL": [_NO_PUPIL] * len(chosen), **columns}


def _polygon(sky: NDArray[np.float64]) -> str:
    """Return a region of STC-S, (N, 2) deg, in which consecutive corners don't jump at RA zero."""
    ra = np.unwrap(sky[:, 0], period=360.0)
    return "POLYGON " + " ".join(f"{x:.8f} {y:.8f}" for x, y in zip(ra, sky[:, 1], strict=True))


def _hull(sky: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convex outline of positions, (N, 2) deg."""
    from scipy.spatial import ConvexHull

    centre = mean_direction(sky)
    plane = project(sky, *centre)
    corners: NDArray[np.float64] = unproject(plane[ConvexHull(plane).vertices], *centre)
    return corners
