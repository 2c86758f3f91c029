"""DS9 region files of what the exposures' fits rest on, made from the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.files.staging import atomic_path
from grism_align.io.record.file import read_record
from grism_align.io.report.contents import Contents
from grism_align.values.errors import OutputError
from grism_align.values.sphere import separation
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.io.report.contents import Entry, PlacedResiduals
    from grism_align.values.record import Record


_HEADER = (
    "# Region file format: DS9 version 4.1",
    'global width=1 font="helvetica 10 normal roman"',
    "icrs",
)
# Reference sources farther than this from an exposure are left out; deg.
_NEAR = 0.1
_CIRCLE = 'circle({ra:.7f},{dec:.7f},{size}") # color={color} tag={{{tag}}}'
_POINT = "point({ra:.7f},{dec:.7f}) # point=diamond 11 color={color} tag={{{tag}}} text={{{text}}}"


def write_regions(record: Record | Path | str, folder: Path | str) -> list[Path]:
    """Write a region file for each direct exposure with a correction: ``EXPOSURE.reg``.

    Parameters
    ----------
    record : Record or path-like
        What was done, or the file that says it.
    folder : path-like
        Where to.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        If the record can't be read.
    OutputError
        If a file can't be written.
    """
    known = read_record(record) if isinstance(record, str | Path) else record
    written = []
    for name, text in region_files(known).items():
        target = Path(folder) / name
        try:
            with atomic_path(target) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(target, f"can't be written ({error})", "Give another folder") from error
        written.append(target)
    return written


def region_files(record: Record) -> dict[str, str]:
    """Return the region files of a record, text by name: of each direct exposure with a correction.

    Parameters
    ----------
    record : Record
        What was done.
    """
    contents = Contents(record)
    return {
        f"{entry.key}.reg": "\n".join(region_lines(contents, entry)) + "\n"
        for entry in contents.direct
        if entry.transform is not None
    }


def region_lines(contents: Contents, entry: Entry) -> list[str]:
    """Return the region file of one exposure, line by line.

    Circles are sources of the exposure where its corrected WCS has them: green those that were used in the
    relative fit (tag ``matched``), red those that were clipped (``rejected``). Diamonds are the catalog:
    cyan where a fit used them (``reference``), else yellow (``unused reference``).

    Parameters
    ----------
    contents : Contents
        The record.
    entry : Entry
        A direct exposure of it.
    """
    return [*_HEADER, *_sources(contents, entry), *_references(contents, entry)]


def _sources(contents: Contents, entry: Entry) -> Iterator[str]:
    residuals = contents.relative_residuals(entry)
    if residuals is None:
        return
    sky = _measured(entry, residuals)
    for (ra, dec), weight in zip(sky.tolist(), residuals.matches.weight.tolist(), strict=True):
        if np.isfinite(ra):
            color, tag = ("green", "matched") if weight > 0 else ("red", "rejected")
            yield _CIRCLE.format(ra=ra, dec=dec, size=0.5, color=color, tag=tag)


def _measured(entry: Entry, residuals: PlacedResiduals) -> NDArray[np.float64]:
    """Where the total correction puts what was measured, (N, 2) deg."""
    sky, offset = residuals.sky, residuals.matches.offset
    known = np.isfinite(sky).all(axis=1)
    found = np.full(sky.shape, np.nan)
    if not known.any():
        return found
    plane = TangentPlane(*sky[known][0].tolist())
    found[known] = plane.to_sky(plane.to_plane(sky[known]) + offset[known] / 1e3)
    absolute = entry.record.absolute
    if absolute is not None and absolute.transform is not None:
        found[known] = absolute.transform.apply_to_sky(found[known])
    return found


def _references(contents: Contents, entry: Entry) -> Iterator[str]:
    catalog = contents.record.reference_catalog
    if catalog is None or entry.transform is None or catalog.n == 0:
        return
    stars = catalog.sources
    sky = _at_its_time(contents, entry, np.column_stack([stars.ra, stars.dec]), stars.identifier)
    plane = entry.record.plane
    near = separation((plane.ra, plane.dec), sky) < _NEAR
    for row in np.flatnonzero(near).tolist():
        is_used = stars.n_fits[row] > 0
        color, tag = ("cyan", "reference") if is_used else ("yellow", "unused reference")
        text = str(stars.identifier[row]).translate(_NO_BRACES)
        yield _POINT.format(ra=sky[row, 0], dec=sky[row, 1], color=color, tag=tag, text=text)


_NO_BRACES = str.maketrans("{}\n", "()" + " ")


def _at_its_time(
    contents: Contents, entry: Entry, sky: NDArray[np.float64], names: NDArray[np.str_]
) -> NDArray[np.float64]:
    """Catalog positions, of the fit's stars those at the time of the exposure."""
    residuals = contents.absolute_residuals(entry)
    if residuals is None:
        return sky
    row_of = {name: row for row, name in reversed(list(enumerate(names.tolist())))}
    for name, place in zip(
        residuals.matches.matched.astype(str).tolist(),
        residuals.sky.tolist(),
        strict=True,
    ):
        if name in row_of and np.isfinite(place).all():
            sky[row_of[name]] = place
    return sky
