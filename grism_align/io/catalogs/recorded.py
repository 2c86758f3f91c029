"""The record of another run as a reference catalog."""

from __future__ import annotations

import logging
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.catalogs.reference import tell_of_frames
from grism_align.io.files.identity import read_with_sum
from grism_align.io.files.yaml_bounds import check_yaml
from grism_align.io.record.file import read_record
from grism_align.values.catalog import ReferenceCatalog, astrometric_covariance
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from grism_align.values.record import AlignedSources, Record


_MAGIC = b"#ASDF"
_LONGEST_HEADER = 1 << 22
_REMEDY = (
    "Run the pipeline on its exposures once more, or give a catalog file, such as a PRODUCT_sources.ecsv"
)

logger = logging.getLogger(__name__)


def is_provenance(path: Path | str) -> bool:
    """Return whether a file is the record of a run, by its suffix or its first bytes.

    Parameters
    ----------
    path : path-like
        The file.
    """
    path = Path(path)
    if path.suffix.lower() == ".asdf" or not path.is_file():
        return path.suffix.lower() == ".asdf"
    with path.open("rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def exposures_behind(path: Path | str) -> frozenset[str]:
    """Return root names of the direct exposures whose sources a file has; none of a catalog of other origin.

    Parameters
    ----------
    path : path-like
        A provenance file, the list of a solution's sources, or any other catalog.
    """
    path = Path(path)
    if is_provenance(path):
        exposures = read_record(path).exposures
        return frozenset(key for key, entry in exposures.items() if entry.is_direct)
    if path.suffix.lower() != ".ecsv" or not path.is_file():
        return frozenset()
    from astropy.table.meta import get_header_from_yaml

    with path.open(encoding="utf-8", errors="replace") as stream:
        start = stream.read(_LONGEST_HEADER).splitlines()
    lines = [line[2:].rstrip() for line in takewhile(lambda line: line.startswith("#"), start)]
    try:
        check_yaml("\n".join(lines[1:]))
        meta = get_header_from_yaml(lines[1:]).get("meta") or {}
        return frozenset(map(str, dict(meta.get("grism_align") or {}).get("exposures", ())))
    except Exception as error:
        problem = f"a header that can't be read ({next(iter(str(error).splitlines()), '')})"
        raise InputError(path, problem, "Give a catalog in ECSV") from error


def read_recorded_catalog(path: Path | str) -> ReferenceCatalog:
    """Read the sources of another run's solution, where its corrections put them.

    Parameters
    ----------
    path : path-like
        A provenance file.

    Returns
    -------
    ReferenceCatalog
        As `solved_sources` gave it, its origin the file.

    Raises
    ------
    InputError
        If it is no provenance file, or has no sources: written before a relative solution.
    """
    path = Path(path)
    with read_with_sum(path) as sha256:
        record = read_record(path)
    if record.aligned_sources is None:
        raise InputError(path, "a record without aligned_sources: nothing was aligned", _REMEDY)
    _tell_of_frames(record, record.aligned_sources, path)
    return replace(_catalog(record.aligned_sources, path), sha256=sha256)


def _catalog(sources: AlignedSources, path: Path) -> ReferenceCatalog:
    n = len(sources.ra)
    error = np.column_stack([sources.ra_error, sources.dec_error])
    covariance = astrometric_covariance(error)
    covariance[:, 0, 1] = covariance[:, 1, 0] = sources.ra_dec_corr * error.prod(axis=1)
    return ReferenceCatalog(
        sky=np.column_stack([sources.ra, sources.dec]),
        covariance=covariance,
        motion=np.full((n, 2), np.nan),
        parallax=np.zeros(n),
        radial_velocity=np.zeros(n),
        epoch=sources.epoch,
        mag=sources.mag,
        identifier=sources.identifier,
        name=sources.name,
        origin=str(path),
    )


def _tell_of_frames(record: Record, sources: AlignedSources, path: Path) -> None:
    """Say what frame the sources are in."""
    fits = [entry.absolute for entry in record.exposures.values() if entry.absolute]
    tied = {fit.frame for fit in fits if fit.is_aligned}
    frames = set(sources.frame.tolist())
    logger.info(
        "%s: %d sources of %d frames, %d tied to a catalog", path, len(sources.ra), len(frames), len(tied)
    )
    tell_of_frames(path, frames, tied)
