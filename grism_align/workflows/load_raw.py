"""Exposures as they lie on disk, for commands that go on from no earlier result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.associations import apply_association, read_association
from grism_align.io.files.sources import path_of
from grism_align.io.missions import read_exposure
from grism_align.values.errors import AssociationError
from grism_align.values.field import ExposureSet
from grism_align.workflows.results.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from grism_align.values.exposure import Exposure
    from grism_align.values.source import Source

__all__ = ["destination_for", "load_raw"]


def load_raw(files: Sequence[Path | str]) -> ExposureSet:
    """The exposures of files, folders or associations, direct or grism, each with the WCS that its file has.

    Parameters
    ----------
    files : sequence of path-like
        What `read_association` takes. Catalogs and the record that an association names are not read.

    Returns
    -------
    ExposureSet
        In time order, without fits.

    Raises
    ------
    InputError
        If one can't be used, or two are of one exposure.
    """
    association = read_association(list(files))
    exposures = apply_association([read_exposure(m.source) for m in association.exposures], association)
    sources: dict[str, Source] = {}
    for exposure in exposures:
        if exposure.key in sources:
            problem = f"it has the ROOTNAME of {sources[exposure.key]}, {exposure.key}"
            raise AssociationError(exposure.source, problem, "Give each exposure once")
        sources[exposure.key] = exposure.source
    ordered = tuple(sorted(exposures, key=_by_time))
    return ExposureSet(association.product, ordered, association)


def _by_time(exposure: Exposure) -> tuple[float, str]:
    return exposure.start, exposure.key


def destination_for(
    exposures: ExposureSet, folder: Path | None, *, in_place: bool, headerlets: str = "none"
) -> Destination:
    """Where results go.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    folder : Path or None
        As the user gave it; the folder of the first exposure if not given.
    in_place : bool
        Whether exposures replace their inputs.
    headerlets : str
        As for `Destination`.

    Returns
    -------
    Destination
        With the report.
    """
    home = path_of(exposures.exposures[0].source).parent if folder is None else folder.expanduser()
    return Destination(home.resolve(), in_place, headerlets, with_report=True)
