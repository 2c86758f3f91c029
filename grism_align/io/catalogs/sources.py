"""Source catalogs as ECSV files, for the next step and for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.catalogs.pipeline_sources import from_pipeline, is_of_pipeline
from grism_align.io.catalogs.tables import read_table
from grism_align.io.catalogs.text_tables import decoded, read_ecsv
from grism_align.io.files.bounded import MOST_CATALOG, read_whole
from grism_align.io.files.builtin import to_builtin
from grism_align.io.files.tables import write_table
from grism_align.values.catalog import UNRELIABLE, SourceCatalog
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table

_REMEDY = "Give a catalog that the source catalog step wrote, or run that step"

_DESCRIPTIONS = {
    "id": "Number of the source in this exposure",
    "chip": "Number of the chip that shows it",
    "x": "Column of the centroid, zero at the centre of the first pixel, distorted frame",
    "y": "Row of the centroid, zero at the centre of the first pixel, distorted frame",
    "x_error": "Standard error of x",
    "y_error": "Standard error of y",
    "flux": "Counts per second above the background",
    "flux_error": "Standard error of flux",
    "mag": "AB magnitude",
    "mag_error": "Standard error of mag",
    "snr": "Signal-to-noise ratio of the flux",
    "fwhm": "Full width at half maximum",
    "ellipticity": "Length of (xx - yy, 2 xy) / (xx + yy) of the windowed second moments",
    "ra": "Right ascension (ICRS) by the WCS that the run gave the exposure",
    "dec": "Declination (ICRS), likewise",
    "ra_error": "Standard error to the east, of the measurement; that of the correction is PRODUCT_fits's",
    "dec_error": "The same to the north",
    "flags": "Sum of: 1 edge, 2 saturated, 4 masked core, 8 cosmic ray, 16 trailed, 32 no centroid",
}

_OF_THE_WCS = ("ra", "dec", "ra_error", "dec_error")


def write_source_catalog(catalog: SourceCatalog, path: Path | str) -> None:
    """Write a source catalog as a table; the file is the old one or the whole new one.

    Parameters
    ----------
    catalog : SourceCatalog
        What to write. Its meta is reduced to plain types (see `plain`).
    path : path-like
        The file to make or to replace; its ending, such as ``.ecsv``, tells the form.
    """
    table = catalog.table.copy()
    table.meta = to_builtin(table.meta)
    for name in table.colnames:
        # a display format would round what is written
        table[name].info.format = None
        table[name].description = _DESCRIPTIONS.get(name, table[name].description)
    write_table(table, Path(path))


def read_source_catalog(path: Path | str) -> SourceCatalog:
    """Read a source catalog from ECSV, or one of romancal from parquet.

    Parameters
    ----------
    path : path-like
        A file with the columns of `SourceCatalog`; columns beyond those are kept.

    Returns
    -------
    SourceCatalog

    Raises
    ------
    InputError
        If the file is missing, isn't ECSV, or lacks a column or has one of another type or unit.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such source catalog", _REMEDY)
    if path.suffix == ".parquet":
        return _of_parquet(path)
    content = read_whole(path, MOST_CATALOG)
    try:
        table = read_ecsv(decoded(content))
    except Exception as error:
        problem = f"not an ECSV table ({_first_line(error)})"
        raise InputError(path, problem, _REMEDY) from error
    if is_of_pipeline(table):
        return from_pipeline(table, path, path.name)
    _check_columns(table, path)
    # of the WCS that a run gave the exposure: pixels are what was measured
    table.remove_columns([name for name in _OF_THE_WCS if name in table.colnames])
    catalog = SourceCatalog(table)
    _check_positions(catalog, path)
    return catalog


def _of_parquet(path: Path) -> SourceCatalog:
    table = read_table(path)
    if not is_of_pipeline(table):
        raise InputError(path, "no source catalog of an exposure", _REMEDY)
    return from_pipeline(table, path, path.name)


def _check_columns(table: Table, path: Path) -> None:
    """Refuse a table whose columns aren't those of a source catalog; set the units it leaves out."""
    template = SourceCatalog.empty().table
    missing = [name for name in template.colnames if name not in table.colnames]
    if missing:
        raise InputError(path, f"not a source catalog: no column {', '.join(missing)}", _REMEDY)
    for name in template.colnames:
        column, model = table[name], template[name]
        if len(column) and not np.can_cast(column.dtype, model.dtype, casting="same_kind"):
            raise InputError(path, f"column {name} holds {column.dtype}, not {model.dtype}", _REMEDY)
        if np.ma.is_masked(column):
            raise InputError(path, f"column {name} has blank values", _REMEDY)
        if column.unit is None:
            column.unit = model.unit
        if column.unit != model.unit:
            problem = f"column {name} is in {column.unit}, not in {model.unit or 'no unit'}"
            raise InputError(path, problem, _REMEDY)
        table[name] = column.astype(model.dtype)


def _check_positions(catalog: SourceCatalog, path: Path) -> None:
    """Refuse positions that can't be used and carry no flag that says so."""
    reliable = (catalog.flags & int(UNRELIABLE)) == 0
    measured = np.isfinite(catalog.xy).all(axis=1) & (catalog.xy_error > 0).all(axis=1)
    measured &= np.isfinite(catalog.xy_error).all(axis=1)
    bad = int((reliable & ~measured).sum())
    if bad:
        problem = f"{bad} sources without a flag have no finite position with a positive error"
        raise InputError(path, problem, _REMEDY)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
