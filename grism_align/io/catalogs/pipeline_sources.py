"""Source catalogs that a telescope's pipeline made of single exposures, as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units

from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray


_NEEDED = ("x_psf", "y_psf", "x_psf_err", "y_psf_err", "psf_flux", "psf_flux_err")
_REMEDY = (
    "Run the pipeline's source catalog step with fit_psf, or leave the catalog out: sources are found anew"
)
# The bit of romancal's warning_flags for sources whose middle is on bad pixels
_BAD_CORE = 1
# All bits of photutils' psf_flags but those for some masked pixels and for fits at their bounds
_NOT_FITTED = ~(1 | 32)


def is_of_pipeline(table: Table) -> bool:
    """Tell whether a table is a source catalog of romancal, by its columns."""
    return "label" in table.colnames and "x_centroid" in table.colnames


def from_pipeline(table: Table, origin: object, made_of: str) -> SourceCatalog:
    """Return the sources of a catalog of romancal, at the positions where their PSF was fitted.

    Parameters
    ----------
    table : Table
        As romancal's source catalog step makes it of an exposure.
    origin : object
        Its file, or the exposure that has it, for errors.
    made_of : str
        What it is called.

    Returns
    -------
    SourceCatalog
        With errors that are larger where the PSF does not fit, as in galaxies.

    Raises
    ------
    InputError
        If it has no positions by the PSF.
    """
    missing = [name for name in _NEEDED if name not in table.colnames]
    if missing:
        raise InputError(origin, f"no positions by the PSF (no column {', '.join(missing)})", _REMEDY)
    x, y, x_error, y_error, flux, flux_error = (_numbers(table[name]) for name in _NEEDED)
    n = len(table)
    is_measured = np.isfinite([x, y]).all(axis=0) & (x_error > 0) & (y_error > 0)
    is_measured &= np.isfinite([x_error, y_error]).all(axis=0) & ~_has_bit(table, "psf_flags", _NOT_FITTED)
    flags = np.where(is_measured, 0, int(SourceFlag.NO_CENTROID))
    flags |= np.where(_has_bit(table, "warning_flags", _BAD_CORE), int(SourceFlag.MASKED_CORE), 0)
    misfit = np.sqrt(np.fmax(_optional(table, "psf_gof"), 1.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = flux / flux_error
    columns = {
        "id": np.asarray(table["label"], dtype=np.int64),
        "chip": np.ones(n, dtype=np.int64),
        "x": x,
        "y": y,
        "x_error": x_error * misfit,
        "y_error": y_error * misfit,
        "flux": flux,
        "flux_error": flux_error,
        "mag": _magnitudes(table, flux),
        "mag_error": 2.5 / np.log(10) / snr,
        "snr": snr,
        "fwhm": _optional(table, "fwhm"),
        "ellipticity": np.nan_to_num(_optional(table, "ellipticity")),
        "flags": flags,
    }
    return SourceCatalog.from_columns(columns, {"made_of": made_of})


def _has_bit(table: Table, name: str, bits: int) -> NDArray[np.bool_]:
    """Tell where a column of bits, if there is one, has some of those asked for."""
    if name not in table.colnames:
        return np.zeros(len(table), dtype=bool)
    return np.asarray((np.asarray(table[name], dtype=np.int64) & bits) != 0)


def _optional(table: Table, name: str) -> NDArray[np.float64]:
    return _numbers(table[name]) if name in table.colnames else np.full(len(table), np.nan)


def _numbers(column: Any) -> NDArray[np.float64]:
    return np.asarray(np.ma.filled(np.ma.asarray(column, dtype=float), np.nan), dtype=float)


def _magnitudes(table: Table, flux: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return AB magnitudes; of fluxes in another unit than Jy, or in none, instrumental ones."""
    unit = table["psf_flux"].unit
    scale = 1.0 / 3631.0
    try:
        scale *= (units.Unit(unit) / units.Jy).to("") if unit is not None else 1e-9
    except units.UnitConversionError:
        scale = 1.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(-2.5 * np.log10(flux * scale))
