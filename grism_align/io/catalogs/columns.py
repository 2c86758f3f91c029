"""The columns of somebody's catalog as plain numbers in known units."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from numpy.typing import NDArray

from grism_align.io.catalogs.epochs import epochs_of_column, epochs_of_meta, year_of_days
from grism_align.io.catalogs.roles import (
    CORRELATIONS,
    INVERSE_VARIANCE,
    NAME_THEM,
    UNITS,
    UNSTATED_UNITS,
    unit_in_name,
)
from grism_align.io.catalogs.table_values import floats, numerals, rounding, texts, truths, unit_of
from grism_align.io.catalogs.text_tables import BLANKS
from grism_align.io.units import parse_unit
from grism_align.values.catalog import ASTROMETRIC_PARAMETERS, QUALITIES
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import Table

Floats = NDArray[np.float64]

#: Standard error of each axis, in mas, of positions whose catalog states none.
DEFAULT_ERROR = 10.0

#: What the user can do where an epoch is missing.
GIVE_EPOCH = "Give it in Julian years with --steps.absolute_align.epoch=, as in 2016.0 for Gaia DR3"

# What stands for no position, and the magnitudes beyond which a number stands for none.
_NO_POSITION = (-999.0, -9999.0)
_MAGNITUDES = (-30.0, 50.0)

# Errors below the first, in mas, are smaller than any survey's, most likely arcsec without a unit; beyond the
# second no position is of use.
_PLAUSIBLE_ERRORS = (0.005, 3000.0)
# Rounding that leaves more than this is told, mas.
_MUCH_ROUNDED = 1.0
_MAS_PER_DEGREE = 3.6e6
# Magnitude of one nanomaggy.
_NANOMAGGY = 22.5

# Words of surveys for what a source is; Legacy Survey models other than PSF among them.
_POINT_WORDS = ("psf", "star", "stellar", "point", "point source", "ps", "qso", "quasar")
_EXTENDED_WORDS = (
    *("galaxy", "gal", "extended", "ext", "non-stellar", "nonstellar"),
    *("rex", "exp", "dev", "ser", "comp", "simp", "dup"),
)
# SDSS's numbers.
_GALAXY, _STAR = 3.0, 6.0

# A correlation matrix whose least eigenvalue is below minus this is impossible; less is rounding.
_ROUNDING = 1e-12

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CatalogColumns:
    """A table's columns by role.

    Parameters
    ----------
    table : astropy.table.Table
        N rows.
    names : mapping of str to str
        Column by role; RA and Dec among them.
    origin : path-like
        Where the table came from, for the messages.
    """

    table: Table
    names: Mapping[str, str]
    origin: Path | str

    def sky(self) -> Floats:
        """Return positions, (N, 2) deg, RA in [0, 360); NaN where there is none."""
        sky = np.column_stack([self._angles("ra"), self._angles("dec")])
        sky[~np.isfinite(sky) | np.isin(sky, _NO_POSITION)] = np.nan
        for axis, role, limit in ((0, "ra", 360.0), (1, "dec", 90.0)):
            beyond = np.count_nonzero(np.abs(sky[:, axis]) > limit)
            if beyond:
                problem = f"column {self.names[role]}: {beyond} values beyond {limit:g} deg"
                remedy = f"State the column's unit in the file; or, if RA and Dec are swapped: {NAME_THEM}"
                raise InputError(self.origin, problem, remedy)
        sky[:, 0] %= 360.0
        return sky

    def magnitudes(self) -> Floats:
        """Return magnitudes, (N,), NaN where unknown, such as -999 or 99; else those of nanomaggies."""
        values = self.numbers("mag")
        if "mag" not in self.names and "flux" in self.names:
            flux = self.numbers("flux")
            logger.info("%s: magnitudes from %s, taken as nanomaggies", self.origin, self.names["flux"])
            values = _NANOMAGGY - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
        low, high = _MAGNITUDES
        return np.where((values > low) & (values < high), values, np.nan)

    def motions(self) -> Floats:
        """Return proper motions, (N, 2) mas/yr, NaN where one of the two is unknown."""
        if ("pmra" in self.names) != ("pmdec" in self.names):
            logger.warning("%s: proper motion in one axis only; taken as unknown", self.origin)
        motion = np.column_stack([self.numbers(role) for role in ("pmra", "pmdec")])
        for axis, role in enumerate(("pmra_error", "pmdec_error")):
            if self._is_inverse(role):
                motion[np.isnan(self.numbers(role)), axis] = np.nan
        unknown = ~np.isfinite(motion).all(axis=1)
        if unknown.any():
            logger.info("%s: %d sources without a proper motion", self.origin, np.count_nonzero(unknown))
        motion[unknown] = np.nan
        return motion

    def covariance(self, motion: Floats, *, rounded: bool) -> Floats:
        """Return covariances of the five parameters, (N, 5, 5), of `ReferenceCatalog`.

        A single error that is blank or impossible is the median of the others of its column. An axis
        without any has `DEFAULT_ERROR`. Correlations that are blank or impossible are zero.

        Parameters
        ----------
        motion : (N, 2) ndarray, mas/yr
            Proper motions; where they are unknown, they have no error.
        rounded : bool
            Whether to add what rounding leaves of the positions.
        """
        error = np.column_stack(
            [
                self._position_errors("ra_error"),
                self._position_errors("dec_error"),
                np.where(np.isfinite(self.numbers("parallax")), self._errors("parallax_error"), 0.0),
                self._errors("pmra_error"),
                self._errors("pmdec_error"),
            ]
        )
        error[~np.isfinite(motion).all(axis=1), 3:] = 0.0
        covariance = self._correlations()
        covariance *= error[:, :, None]
        covariance *= error[:, None, :]
        if rounded:
            covariance[:, (0, 1), (0, 1)] += self._rounding() ** 2
        return covariance

    def epochs(self, default: float | None, moving: NDArray[np.bool_]) -> Floats:
        """Return Julian years, (N,), NaN where unknown.

        Parameters
        ----------
        default : float or None
            For rows on which the table is silent.
        moving : (N,) ndarray of bool
            Rows with a proper motion, which is of no use without an epoch.
        """
        try:
            years = self._epochs_on_record()
        except ValueError as error:
            if moving.any():
                raise InputError(self.origin, f"{error}, but there are proper motions", GIVE_EPOCH) from error
            logger.warning("%s: %s; taken as unknown", self.origin, error)
            years = np.full(len(self.table), np.nan)
        if default is not None:
            years[np.isnan(years)] = default
        lost = np.count_nonzero(np.isnan(years) & moving)
        if lost:
            problem = f"{lost} sources have a proper motion but no epoch"
            raise InputError(self.origin, problem, GIVE_EPOCH)
        return years

    def identifiers(self) -> NDArray[np.str_]:
        """Return the catalog's identifiers, (N,), else the numbers of the rows, from 1."""
        if "id" not in self.names:
            return np.arange(1, len(self.table) + 1).astype(str)
        return np.array(texts(self.table[self.names["id"]]), dtype=str)

    def quality(self) -> dict[str, Floats]:
        """Return what the table has of `QUALITIES`, (N,) each, NaN where blank."""
        found = {name: self.numbers(name) for name in ("ruwe", "excess_noise") if name in self.names}
        for name in ("duplicated", "extended"):
            if name in self.names:
                found[name] = truths(self.table[self.names[name]])
        if "kind" in self.names:
            kind = _is_extended(self.table[self.names["kind"]])
            stated = found.get("extended", np.nan)
            if np.isfinite(kind).any():
                found["extended"] = np.where(np.isfinite(stated), stated, kind)
        return {name: found[name] for name in QUALITIES if name in found}

    def numbers(self, role: str, unknown: float = np.nan) -> Floats:
        """Return values of one role, (N,); `unknown` where blank, infinite or without a column."""
        if role not in self.names:
            return np.full(len(self.table), unknown)
        try:
            values = floats(self._column(role))
        except (ValueError, TypeError) as error:
            problem = f"column {self.names[role]} isn't numbers ({error})"
            raise InputError(
                self.origin, problem, f"Correct it, or name another column for {role}"
            ) from error
        # magnitudes are of any system
        values = self._converted(values, role) if UNITS[role] and role != "mag" else values
        return np.where(np.isfinite(values), values, unknown)

    def _column(self, role: str) -> Any:
        """Return the column of a role; of several magnitudes a row those that most sources have."""
        column = self.table[self.names[role]]
        if role != "mag" or column.ndim == 1:
            return column
        columns = column.reshape(len(column), -1)
        known = np.isfinite(np.ma.filled(np.ma.asarray(columns, dtype=float), np.nan)).sum(axis=0)
        best = int(np.argmax(known))
        text = "%s: %s has %d values in each row; number %d is taken"
        logger.info(text, self.origin, self.names[role], len(known), best + 1)
        return columns[:, best]

    def _is_inverse(self, role: str) -> bool:
        """Tell whether a column is of inverse variances."""
        return self.names.get(role, "").lower().endswith(INVERSE_VARIANCE)

    def _converted(self, values: Floats, role: str) -> Floats:
        unit = self._unit(role)
        power = 1.0
        if self._is_inverse(role):
            values, power = 1.0 / np.sqrt(np.where(values > 0, values, np.nan)), -0.5
        try:
            return np.asarray((values * u.Unit(unit) ** power).to_value(UNITS[role]), dtype=float)
        except (ValueError, TypeError) as error:  # a UnitsError is a ValueError, too
            problem = f"column {self.names[role]} is in {unit}, which is no {UNITS[role]}"
            raise InputError(self.origin, problem, "Correct the column's unit in the file") from error

    def _unit(self, role: str) -> str:
        column = self.names[role]
        stated = unit_of(self.table[column])
        if not stated and (unit := parse_unit(unit_in_name(column))) is not None:
            stated = unit.to_string()
        return stated or UNSTATED_UNITS.get(column.lower(), UNITS[role] or "")

    def _angles(self, role: str) -> Floats:
        """Return degrees, (N,), of numbers or of sexagesimal text."""
        return self._sexagesimal(role) if self._is_sexagesimal(role) else self.numbers(role)

    def _is_sexagesimal(self, role: str) -> bool:
        column = self.table[self.names[role]]
        try:
            floats(column)
        except ValueError:
            return bool(column.ndim == 1)
        return False

    def _rounding(self) -> Floats:
        """Return what rounding adds to the errors of RA x cos(Dec) and Dec, (N, 2) mas."""
        cosine = np.cos(np.radians(np.nan_to_num(self.sky()[:, 1])))
        out = np.column_stack([self._rounding_of("ra") * cosine, self._rounding_of("dec")])
        typical = np.median(out, axis=0)
        if typical.max() > _MUCH_ROUNDED:
            text = "%s: positions are rounded, which adds errors of %.1f mas in RA and %.1f mas in Dec"
            logger.warning(text, self.origin, *typical)
        return out

    def _rounding_of(self, role: str) -> Floats:
        column = self.table[self.names[role]]
        if not self._is_sexagesimal(role):
            return np.asarray(self._converted(rounding(column), role) * _MAS_PER_DEGREE)
        decimals = max((len(text.partition(".")[2].rstrip('s"')) for text in numerals(column)), default=0)
        second = 15e3 if self._sexagesimal_unit(role) == "hourangle" else 1e3
        return np.full(len(column), second * 10.0**-decimals / np.sqrt(12.0))

    def _sexagesimal_unit(self, role: str) -> str:
        stated = unit_of(self.table[self.names[role]])
        return stated if stated in {"deg", "hourangle"} else {"ra": "hourangle", "dec": "deg"}[role]

    def _sexagesimal(self, role: str) -> Floats:
        from astropy.coordinates import Angle

        column = self.table[self.names[role]]
        values, unit = np.array(numerals(column), dtype=str), self._sexagesimal_unit(role)
        degrees, filled = np.full(len(values), np.nan), ~np.isin(values, BLANKS)
        try:
            degrees[filled] = Angle(list(values[filled]), unit=unit).deg
        except (ValueError, u.UnitsError) as error:
            problem = f"column {self.names[role]} is neither numbers nor sexagesimal ({error})"
            raise InputError(self.origin, problem, NAME_THEM) from error
        return degrees

    def _position_errors(self, role: str) -> Floats:
        values = self.numbers(role)
        if role == "ra_error" and self._is_inverse(role):
            values *= np.cos(np.radians(self.sky()[:, 1]))
        good = np.isfinite(values) & (values > 0)
        if role not in self.names:
            logger.warning("%s: no column for %s; %g mas is taken", self.origin, role, DEFAULT_ERROR)
            return np.full(len(self.table), DEFAULT_ERROR)
        median = float(np.median(values[good])) if good.any() else DEFAULT_ERROR
        if not good.all():
            bad, text = np.count_nonzero(~good), "%s: %d blank or impossible values of %s; %g mas taken"
            level = logging.INFO if good.any() else logging.WARNING
            logger.log(level, text, self.origin, bad, role, median)
        if not _PLAUSIBLE_ERRORS[0] <= median <= _PLAUSIBLE_ERRORS[1]:
            logger.warning("%s: %s has a median of %g mas; is its unit right?", self.origin, role, median)
        return np.where(good, values, median)

    def _errors(self, role: str) -> Floats:
        """Return errors of which none may be known."""
        values = self.numbers(role)
        good = np.isfinite(values) & (values >= 0)
        return np.where(good, values, float(np.median(values[good])) if good.any() else 0.0)

    def _correlations(self) -> Floats:
        """Return correlation matrices, (N, 5, 5), positive semi-definite."""
        size = len(ASTROMETRIC_PARAMETERS)
        matrix = np.tile(np.eye(size), (len(self.table), 1, 1))
        stated = {pair: role for pair, role in CORRELATIONS.items() if role in self.names}
        for (i, j), role in stated.items():
            values = self.numbers(role, 0.0)
            matrix[:, i, j] = matrix[:, j, i] = np.where(np.abs(values) <= 1, values, 0.0)
        return _made_possible(matrix) if stated else matrix

    def _epochs_on_record(self) -> Floats:
        middle = 0.5 * (self.numbers("first_date") + self.numbers("last_date"))
        middle = year_of_days(np.where(middle > 0, middle, np.nan))
        if "ref_epoch" in self.names:
            own = epochs_of_column(self.table[self.names["ref_epoch"]], self._unit("ref_epoch"))
            return np.where(np.isfinite(own), own, middle)
        if np.isfinite(middle).any():
            return middle
        year = epochs_of_meta(self.table, self.names["ra"])
        if np.isfinite(year):
            logger.info("%s: epoch %s, as the file's meta has it", self.origin, year)
        return np.full(len(self.table), year)


def _made_possible(matrix: Floats) -> Floats:
    """Scale the correlations of matrices (N, 5, 5) down until no eigenvalue is negative."""
    # Where the correlations of each parameter add up to less than one, none is.
    suspect = np.flatnonzero((np.abs(matrix).sum(axis=2) > 2.0).any(axis=1))
    least = np.linalg.eigvalsh(matrix[suspect])[:, 0]
    wrong = least < -_ROUNDING
    eye = np.eye(matrix.shape[-1])
    rows, share = suspect[wrong], 1.0 / (1.0 - least[wrong])
    matrix[rows] = eye + share[:, None, None] * (matrix[rows] - eye)
    return matrix


def _is_extended(column: Table.Column) -> Floats:
    """Return one for galaxies, zero for stars, of words or of SDSS's numbers; NaN for anything else."""
    if column.dtype.kind in "SUO":
        words = np.char.lower(np.array(texts(column), dtype=str))
        galaxy, star = np.isin(words, _EXTENDED_WORDS), np.isin(words, _POINT_WORDS)
    else:
        values = floats(column)
        galaxy, star = values == _GALAXY, values == _STAR
    return np.where(galaxy, 1.0, np.where(star, 0.0, np.nan))
