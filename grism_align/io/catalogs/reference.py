"""Reference catalogs of people's files and of services: ECSV, FITS, CSV, VOTable and parquet."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from grism_align.io.catalogs.columns import CatalogColumns
from grism_align.io.catalogs.epochs import parse_epoch
from grism_align.io.catalogs.roles import CORRELATIONS, choose_columns
from grism_align.io.catalogs.tables import read_table
from grism_align.io.files.identity import read_with_sum
from grism_align.io.files.sources import is_file
from grism_align.io.files.staging import atomic_path
from grism_align.values.addresses import without_login
from grism_align.values.catalog import ReferenceCatalog
from grism_align.values.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_QUALITY_COLUMNS = {
    "ruwe": (None, "Renormalised unit weight error of the astrometry"),
    "excess_noise": ("mas", "Excess noise of the astrometry"),
    "duplicated": (None, "Whether the catalog calls it a duplicate"),
    "extended": (None, "Whether it is extended, as galaxies are"),
}

logger = logging.getLogger(__name__)


def read_reference_catalog(
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    default_epoch: float | None = None,
) -> ReferenceCatalog:
    """Read positions to align to from a file of any common table format.

    Parameters
    ----------
    path : path-like
        ECSV, FITS, CSV (commas or blanks, with a header), VOTable or parquet.
    columns, name, default_epoch
        As in `reference_catalog_from`.

    Returns
    -------
    ReferenceCatalog
        Rows with a position.

    Raises
    ------
    InputError
        If the file can't be used: missing or unreadable, or as in `reference_catalog_from`.
    SettingsError
        As in `reference_catalog_from`.
    ChangedError
        If the file changes while it is read.
    """
    with read_with_sum(path) as sha256:
        table = read_table(Path(path))
    return replace(reference_catalog_from(table, path, columns, name, default_epoch), sha256=sha256)


def reference_catalog_from(
    table: Table,
    origin: Path | str,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    default_epoch: float | None = None,
) -> ReferenceCatalog:
    """Make a reference catalog of a table.

    Columns are recognised by their names, in any case; their units are honoured. Without a unit
    positions are in deg (text may be sexagesimal: hours and deg), errors and parallaxes in mas, proper
    motions in mas/yr, velocities in km/s. Proper motion in right ascension includes cos(Dec), as in Gaia.
    The epoch is that of a column (years, or days where that is its unit), else of the coordinate system
    that a VOTable gives, else of the table's meta (``epoch`` or ``ref_epoch``), else `default_epoch`.

    Parameters
    ----------
    table : astropy.table.Table
        Its rows.
    origin : path-like
        File or service that it came from, which the errors name.
    columns : mapping of str to str, optional
        Columns by role (`ROLES`), where they shouldn't be or aren't recognised. Empty names don't count.
    name : str, optional
        What to call the catalog; by default what `write_reference_catalog` left, else the stem of `origin`.
    default_epoch : float, optional
        Julian years, for a catalog that states no epoch.

    Returns
    -------
    ReferenceCatalog
        Rows with a position. An axis without errors has `DEFAULT_ERROR`; a single error that is blank or
        not positive is the median of the others. Without an epoch of any kind that is NaN: sources are
        where the exposures see them.

    Raises
    ------
    InputError
        If the table can't be used: empty, without recognisable positions, with proper motions but no
        epoch, in units of another kind.
    SettingsError
        If `columns` names an unknown role or a column that isn't there, or `default_epoch` is no year.
    """
    table = _with_plain_positions(table)
    if not len(table):
        raise InputError(origin, "a table without rows", "Give a reference catalog with sources")
    reader = CatalogColumns(table, choose_columns(table, columns or {}, origin), origin)
    own = dict(table.meta.get("grism_align") or {})
    if "frames" in own:
        tell_of_frames(origin, own["frames"], own.get("tied_frames", ()))
    sky, motion = reader.sky(), reader.motions()
    moving = np.isfinite(motion).all(axis=1) & (motion != 0).any(axis=1)
    catalog = ReferenceCatalog(
        sky=sky,
        covariance=reader.covariance(motion, rounded=not own),
        motion=motion,
        parallax=reader.numbers("parallax", 0.0),
        radial_velocity=reader.numbers("radial_velocity", 0.0),
        epoch=reader.epochs(_checked_epoch(default_epoch), moving),
        mag=reader.magnitudes(),
        identifier=reader.identifiers(),
        name=name or own.get("name") or Path(str(origin).removesuffix(".gz")).stem,
        origin=_origin(own, origin),
        quality=reader.quality(),
    )
    return _with_positions_only(catalog, origin)


def tell_of_frames(origin: Path | str, frames: Iterable[int], tied: Iterable[int]) -> None:
    """Warn where the sources of another run are not on the sky, or not all in one frame.

    Parameters
    ----------
    origin : path-like
        Where they came from.
    frames, tied : iterable of int
        Numbers of the relative frames that have sources, and of those that are on a catalog.
    """
    apart = sorted(set(frames) - set(tied))
    if not tied:
        logger.warning(
            "%s: it was aligned to no catalog; exposures aligned to it are not on the sky, but on its frame",
            origin,
        )
    if len(apart) > (0 if tied else 1):
        logger.warning("%s: its frames %s are not tied to the others", origin, apart)


def write_reference_catalog(
    catalog: ReferenceCatalog, path: Path | str, about: Mapping[str, Any] | None = None
) -> None:
    """Write a reference catalog as ECSV, from which `read_reference_catalog` gives it back.

    All that it holds comes back as it was, but for the last bit of a covariance; a row without a proper
    motion has no error of one.

    Parameters
    ----------
    catalog : ReferenceCatalog
        What to write.
    path : path-like
        The file to make or to replace; it is the old one or the whole new one.
    about : mapping, optional
        What else its meta says: of the sources of a run ``frames``, ``tied_frames`` (numbers of those that
        are on a catalog) and ``exposures``, which they were measured on.
    """
    own = {"name": str(catalog.name), "origin": str(catalog.origin), **(about or {})}
    table = Table(meta={"grism_align": own})
    for name, (values, unit, description) in _written_columns(catalog).items():
        table[name] = values
        table[name].unit, table[name].description = unit, description
    with atomic_path(Path(path)) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def _written_columns(
    catalog: ReferenceCatalog,
) -> dict[str, tuple[NDArray[np.generic], str | None, str]]:
    """Return values, unit and description of each column."""
    error = np.sqrt(np.diagonal(catalog.covariance, axis1=1, axis2=2))
    columns: dict[str, tuple[NDArray[np.generic], str | None, str]] = {
        "ra": (catalog.sky[:, 0], "deg", "Right ascension (ICRS) at ref_epoch"),
        "dec": (catalog.sky[:, 1], "deg", "Declination (ICRS) at ref_epoch"),
        "ra_error": (error[:, 0], "mas", "Standard error of ra x cos(dec)"),
        "dec_error": (error[:, 1], "mas", "Standard error of dec"),
        "parallax": (catalog.parallax, "mas", "Parallax, zero where unknown"),
        "parallax_error": (error[:, 2], "mas", "Standard error of parallax"),
        "pmra": (catalog.motion[:, 0], "mas / yr", "Proper motion in ra x cos(dec), NaN where unknown"),
        "pmdec": (catalog.motion[:, 1], "mas / yr", "Proper motion in dec, NaN where unknown"),
        "pmra_error": (error[:, 3], "mas / yr", "Standard error of pmra"),
        "pmdec_error": (error[:, 4], "mas / yr", "Standard error of pmdec"),
        "radial_velocity": (catalog.radial_velocity, "km / s", "Radial velocity, zero where unknown"),
        "ref_epoch": (catalog.epoch, "yr", "Epoch of the position, Julian year, NaN where unknown"),
        "mag": (catalog.mag, "mag", "Magnitude, of any band"),
        # not the first: a row that starts with # would read as a comment
        "id": (catalog.identifier, None, "Identifier in the catalog"),
    }
    for (i, j), role in CORRELATIONS.items():
        covariance, scale = catalog.covariance[:, i, j], error[:, i] * error[:, j]
        if covariance.any():
            values = np.divide(covariance, scale, out=np.zeros(len(catalog)), where=scale > 0)
            columns[role] = (np.clip(values, -1.0, 1.0), None, "Correlation of the errors of two columns")
    for name, values in catalog.quality.items():
        columns[name] = (values, *_QUALITY_COLUMNS[name])
    return columns


def _origin(own: Mapping[str, Any], origin: Path | str) -> str:
    """Return where a list of ours says that it is from; its own file where that would be a file here.

    The record has the checksum of the file that a catalog came from: it must be one that the user named.
    """
    named = without_login(str(own.get("origin") or ""))
    return str(origin) if not named or is_file(Path(named)) or named.startswith("~") else named


def _with_plain_positions(table: Table) -> Table:
    """Return the table with columns ra and dec where it has a column of coordinates, as photutils writes."""
    from astropy.coordinates import SkyCoord

    mixin = next((c for c in table.itercols() if isinstance(c, SkyCoord)), None)
    if mixin is None or "ra" in table.colnames:
        return table
    table = table.copy()
    table["ra"], table["dec"] = mixin.icrs.ra.deg, mixin.icrs.dec.deg
    return table


def _checked_epoch(epoch: float | None) -> float | None:
    try:
        return None if epoch is None else parse_epoch(epoch)
    except ValueError as error:
        parameter = "epoch"
        raise SettingsError(parameter, epoch, "a Julian year between 1800 and 2200") from error


def _with_positions_only(catalog: ReferenceCatalog, origin: Path | str) -> ReferenceCatalog:
    usable = np.asarray(np.isfinite(catalog.sky).all(axis=1))
    if not usable.any():
        raise InputError(origin, "no row has a position", "Give a reference catalog with sources")
    if usable.all():
        return catalog
    lost, total = np.count_nonzero(~usable), len(usable)
    logger.info("%s: %d of %d rows without a position", origin, lost, total)
    return catalog[usable]
