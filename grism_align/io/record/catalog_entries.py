"""What the record says of catalogs: the one that was aligned to, and the solution's own sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.io.files.checksums import sha256_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.values.catalog import ReferenceCatalog
    from grism_align.values.field import ExposureSet

__all__ = ["aligned_entry", "file_of", "reference_entry"]


def aligned_entry(catalog: ReferenceCatalog | None, file: str | None) -> dict[str, Any] | None:
    """The sources of the solution in the final frame, an array a column.

    Parameters
    ----------
    catalog : ReferenceCatalog or None
        As `solved_sources` gives it.
    file : str or None
        Name of the file beside the record that has them too.
    """
    if catalog is None:
        return None
    covariance = catalog.covariance[:, 0, 1]
    return {
        "name": catalog.name,
        "file": file,
        "identifier": np.array(catalog.identifier, dtype=str),
        **_position_columns(catalog.sky),
        "ra_error": catalog.error[:, 0].copy(),
        "dec_error": catalog.error[:, 1].copy(),
        "ra_dec_corr": covariance / np.where(covariance == 0, 1.0, catalog.error.prod(axis=1)),
        "epoch": np.array(catalog.epoch),
        "mag": np.array(catalog.mag),
    }


def reference_entry(
    exposures: ExposureSet, file: str | None, earlier: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """The reference catalog as used, and where its sources were at the time of each exposure.

    Parameters
    ----------
    exposures : ExposureSet
        With the absolute solution.
    file : str or None
        Name of the file beside the record that has the catalog as used.
    earlier : mapping or None
        The entry of an earlier record, for exposures that were restored and have no catalog.
    """
    catalog = exposures.reference_catalog
    if catalog is None:
        return None if earlier is None else {**earlier, "file": file}
    origin = file_of(catalog.origin)
    epoch = _mean_epoch(exposures)
    return {
        "name": str(catalog.name),
        "origin": str(catalog.origin),
        "n": len(catalog),
        "sha256": sha256_of(origin) if origin else None,
        "file": file,
        "mean_epoch": epoch,
        "sources": {
            "identifier": np.array(catalog.identifier, dtype=str),
            **_position_columns(positions_at(catalog, epoch)),
            "error": errors_at(catalog, epoch),
            "epoch": np.array(catalog.epoch),
            "mag": np.array(catalog.mag),
            "n_fits": _times_used(exposures, catalog),
        },
        "exposures": _positions_by_exposure(exposures, catalog),
    }


def file_of(origin: str) -> Path | None:
    """The file that a catalog came from; None for a service."""
    try:
        path = Path(origin).expanduser()
        return path if origin and path.is_file() else None
    except (OSError, RuntimeError):  # too long for a file's name; a home that nobody knows
        return None


def _position_columns(sky: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    # copies: of a view, ASDF would store all that it looks into
    return {"ra": sky[:, 0].copy(), "dec": sky[:, 1].copy()}


def _mean_epoch(exposures: ExposureSet) -> float:
    """Mean Julian year of the exposures that are tied to the catalog, or else of all direct ones."""
    fits = exposures.absolute.fits
    tied = [e for e in exposures.direct if e.key in fits and fits[e.key].is_aligned]
    return float(np.mean([e.epoch for e in tied or exposures.direct]))


def _times_used(exposures: ExposureSet, catalog: ReferenceCatalog) -> NDArray[np.int64]:
    """In how many exposures' fits each source of the catalog had weight, (N,)."""
    residuals = [fit.residuals for fit in exposures.absolute.fits.values() if fit.residuals is not None]
    used = [np.unique(one.matched[one.weight > 0].astype(str)) for one in residuals]
    found, count = np.unique(np.concatenate([np.zeros(0, dtype=str), *used]), return_counts=True)
    times = dict(zip(found.tolist(), count.tolist(), strict=True))
    return np.array([times.get(name, 0) for name in catalog.identifier.astype(str).tolist()], dtype=np.int64)


def _positions_by_exposure(exposures: ExposureSet, catalog: ReferenceCatalog) -> dict[str, Any]:
    """Where each exposure should see the sources of its fit, in the order of its residuals."""
    names = catalog.identifier.astype(str).tolist()
    row_of = {name: row for row, name in reversed(list(enumerate(names)))}
    entries = {}
    for exposure in exposures.direct:
        fit = exposures.absolute.fits.get(exposure.key)
        if fit is None or fit.residuals is None:
            continue
        year = exposure.epoch
        rows = np.array(
            [row_of.get(n, -1) for n in fit.residuals.matched.astype(str).tolist()], dtype=np.int64
        )
        position = np.full((len(rows), 2), np.nan)
        position[rows >= 0] = positions_at(catalog[rows[rows >= 0]], year)
        entries[exposure.key] = {"epoch": year, "reference_position": position}
    return entries
