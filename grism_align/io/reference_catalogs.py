"""Reference catalogs from people's files: ECSV, FITS, CSV, VOTable and parquet."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.table import Table
from numpy.typing import NDArray

from grism_align.io.atomic import atomic_path
from grism_align.io.tables import BLANKS, read_table
from grism_align.values.catalog import ReferenceCatalog
from grism_align.values.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_ERROR", "ROLES", "read_reference_catalog", "write_reference_catalog"]

Floats = NDArray[np.float64]

#: Standard error of each axis, in mas, of positions whose catalog states none.
DEFAULT_ERROR = 10.0

#: Errors below this, in mas, are smaller than any survey's: most likely arcsec without a unit.
_IMPLAUSIBLE_ERROR = 0.005

_J2000 = 2000.0

# Pairs, so that right ascension and declination never come from two systems. Positions at the
# catalog's own epoch precede those that a service moved to J2000.
_POSITION_TEXT = (
    "ra dec, ra_icrs de_icrs, ra_icrs dec_icrs, raj2000 dej2000, raj2000 decj2000, _ra _de, _ra _dec, "
    "_raj2000 _dej2000, ra_j2000 dec_j2000, alphawin_j2000 deltawin_j2000, alpha_j2000 delta_j2000, "
    "xwin_world ywin_world, x_world y_world, ramean decmean, rastack decstack, meanra meandec, "
    "coord_ra coord_dec, ra_deg dec_deg, radeg decdeg, radeg dedeg, right_ascension declination, alpha delta"
)
_POSITIONS = tuple(tuple(pair.split()) for pair in _POSITION_TEXT.split(","))

_ALIAS_TEXT = {
    "mag": (
        "mag phot_g_mean_mag gmag magnitude mag_auto abmag isophotal_abmag imag i_mag imeanpsfmag rmag r_mag "
        "rmeanpsfmag g_mag zmag z_mag jmag j_m hmag h_m kmag k_m vmag"
    ),
    "ra_error": "ra_error ra_err raerr e_ra e_ra_icrs e_raj2000 e_radeg err_ra sigma_ra sigra rameanerr",
    "dec_error": (
        "dec_error dec_err decerr e_dec e_de e_de_icrs e_dec_icrs e_dej2000 e_dedeg err_dec sigma_dec "
        "sigdec decmeanerr"
    ),
    "pmra": "pmra pm_ra pmra_cosdec pm_ra_cosdec mu_ra mura",
    "pmdec": "pmdec pmde pm_dec pm_de mu_dec mudec",
    "pmra_error": "pmra_error e_pmra pmra_err pmraerr pm_ra_error",
    "pmdec_error": "pmdec_error e_pmde e_pmdec pmdec_err pmdecerr pm_dec_error",
    "epoch": "ref_epoch refepoch epoch epoch_mean obs_date obsdate date_obs",
    "id": "source_id sourceid objid obj_id object_id id gaia source name label number",
}
_ALIASES = {role: tuple(names.split()) for role, names in _ALIAS_TEXT.items()}

#: What a column can be; the keys of `columns` in `read_reference_catalog`.
ROLES = ("ra", "dec", *_ALIASES)

# The unit that a role is read in, and taken to be in where the file states none.
_UNITS = {
    **dict.fromkeys(("ra", "dec"), "deg"),
    **dict.fromkeys(("ra_error", "dec_error"), "mas"),
    **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas / yr"),
}

# Pan-STARRS gives these in arcsec, and its CSV files don't say so.
_UNSTATED_UNITS = {"rameanerr": "arcsec", "decmeanerr": "arcsec"}

# What people and services write for units that astropy spells otherwise.
_UNIT_NAMES = {"degrees": "deg", "degs": "deg", "h": "hourangle", "hr": "hourangle", "hours": "hourangle"}

_NAME_THEM = (
    "Name its position columns with --steps.absolute_align.ra_column= and --steps.absolute_align.dec_column="
)
_GIVE_EPOCH = "Give it in Julian years with --steps.absolute_align.epoch=, as in 2016.0 for Gaia DR3"

logger = logging.getLogger(__name__)


def read_reference_catalog(
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    name: str | None = None,
    default_epoch: float | None = None,
) -> ReferenceCatalog:
    """Read positions to align to from a file of any common table format.

    Columns are recognised by their names, in any case; their units are honoured. Without a unit
    positions are in deg (text may be sexagesimal: hours and deg), errors in mas, proper motions in
    mas/yr. Proper motion in right ascension includes cos(Dec), as in Gaia. The epoch is that of a
    column, else of the table's meta (``epoch`` or ``ref_epoch``), else `default_epoch`.

    Parameters
    ----------
    path : path-like
        ECSV, FITS, CSV (commas or blanks, with a header), VOTable or parquet.
    columns : mapping of str to str, optional
        Columns by role (`ROLES`), where they shouldn't be or aren't recognised. Empty names don't count.
    name : str, optional
        What to call the catalog; by default what `write_reference_catalog` left, else the file's stem.
    default_epoch : float, optional
        Julian years, for a catalog that states no epoch.

    Returns
    -------
    ReferenceCatalog
        Rows with a position. An axis without errors has `DEFAULT_ERROR`; a single error that is blank
        or not positive is the median of the others; an unknown proper motion is zero, with zero error.

    Raises
    ------
    InputError
        If the file can't be used: missing, unreadable, empty, without recognisable positions, with
        proper motions but no epoch, in units of another kind.
    SettingsError
        If `columns` names an unknown role or a column that isn't there, or `default_epoch` is no year.
    """
    path = Path(path)
    table = _with_plain_positions(read_table(path))
    if not len(table):
        raise InputError(path, "a table without rows", "Give a reference catalog with sources")
    reader = _Columns(table, _choose(table, columns or {}, path), path)
    sky, motion, motion_error = reader.sky(), *reader.motions()
    own = dict(table.meta.get("grism_align") or {})
    catalog = ReferenceCatalog(
        sky,
        reader.errors(),
        motion,
        motion_error,
        reader.epochs(_checked_epoch(default_epoch), moving=np.any(motion != 0, axis=1)),
        reader.numbers("mag", np.nan),
        reader.identifiers(),
        name or own.get("name") or Path(path.name.removesuffix(".gz")).stem,
        own.get("origin") or str(path),
    )
    return _with_positions_only(catalog, path)


def write_reference_catalog(catalog: ReferenceCatalog, path: Path | str) -> None:
    """Write a reference catalog as ECSV, from which `read_reference_catalog` gives it back.

    Parameters
    ----------
    catalog : ReferenceCatalog
        What to write.
    path : path-like
        The file to make or to replace; it is the old one or the whole new one.
    """
    columns = {
        "ra": (catalog.sky[:, 0], "deg", "Right ascension (ICRS) at ref_epoch"),
        "dec": (catalog.sky[:, 1], "deg", "Declination (ICRS) at ref_epoch"),
        "ra_error": (catalog.error[:, 0], "mas", "Standard error of ra x cos(dec)"),
        "dec_error": (catalog.error[:, 1], "mas", "Standard error of dec"),
        "pmra": (catalog.motion[:, 0], "mas / yr", "Proper motion in ra x cos(dec), zero where unknown"),
        "pmdec": (catalog.motion[:, 1], "mas / yr", "Proper motion in dec, zero where unknown"),
        "pmra_error": (catalog.motion_error[:, 0], "mas / yr", "Standard error of pmra"),
        "pmdec_error": (catalog.motion_error[:, 1], "mas / yr", "Standard error of pmdec"),
        "ref_epoch": (catalog.epoch, "yr", "Epoch of the position, Julian year"),
        "mag": (catalog.mag, "mag", "Magnitude, of any band"),
        # not the first: a row that starts with # would read as a comment
        "id": (catalog.identifier, None, "Identifier in the catalog"),
    }
    table = Table(meta={"grism_align": {"name": str(catalog.name), "origin": str(catalog.origin)}})
    for name, (values, unit, description) in columns.items():
        table[name] = values
        table[name].unit, table[name].description = unit, description
    with atomic_path(Path(path)) as temporary:
        table.write(temporary, format="ascii.ecsv", overwrite=True)


def _with_plain_positions(table: Table) -> Table:
    """The table with columns ra and dec where it has a column of coordinates, as photutils writes."""
    from astropy.coordinates import SkyCoord

    mixin = next((c for c in table.itercols() if isinstance(c, SkyCoord)), None)
    if mixin is None or "ra" in table.colnames:
        return table
    table = table.copy()
    table["ra"], table["dec"] = mixin.icrs.ra.deg, mixin.icrs.dec.deg
    return table


def _choose(table: Table, columns: Mapping[str, str], path: Path) -> dict[str, str]:
    """Column by role, of the roles that the table fills."""
    given = {role: column for role, column in columns.items() if column}
    by_lower = {column.lower(): column for column in reversed(table.colnames)}
    there = ", ".join(table.colnames)
    for role, column in given.items():
        parameter = f"{role}_column"
        if role not in ROLES:
            raise SettingsError(parameter, column, f"a column is one of {', '.join(ROLES)}")
        if column not in table.colnames and column.lower() not in by_lower:
            raise SettingsError(parameter, column, f"{path} has only the columns {there}")
    pair = next((pair for pair in _POSITIONS if by_lower.keys() >= set(pair)), ())
    found = dict(zip(("ra", "dec"), (by_lower[name] for name in pair), strict=False))
    for role, aliases in _ALIASES.items():
        if known := [by_lower[alias] for alias in aliases if alias in by_lower]:
            found[role] = known[0]
    found.update({r: c if c in table.colnames else by_lower[c.lower()] for r, c in given.items()})
    if not {"ra", "dec"} <= found.keys():
        raise InputError(path, f"no columns recognised as RA and Dec among {there}", _NAME_THEM)
    return found


@dataclass(frozen=True, eq=False)
class _Columns:
    """A table's columns by role, as plain numbers in the units of `_UNITS`."""

    table: Table
    names: Mapping[str, str]
    path: Path

    def sky(self) -> Floats:
        """Positions, (N, 2) deg, RA in [0, 360); NaN where blank."""
        sky = np.column_stack([self._angles("ra"), self._angles("dec")])
        for axis, role, limit in ((0, "ra", 360.0), (1, "dec", 90.0)):
            beyond = np.count_nonzero(np.isfinite(sky[:, axis]) & (np.abs(sky[:, axis]) > limit))
            if beyond:
                problem = f"column {self.names[role]}: {beyond} values beyond {limit:g} deg"
                raise InputError(self.path, problem, "State the column's unit in the file")
        sky[:, 0] %= 360.0
        return sky

    def errors(self) -> Floats:
        """Standard errors, (N, 2) mas, none of them blank."""
        return np.column_stack([self._errors(role) for role in ("ra_error", "dec_error")])

    def motions(self) -> tuple[Floats, Floats]:
        """Proper motions and their standard errors, (N, 2) mas/yr, zero where unknown."""
        if ("pmra" in self.names) != ("pmdec" in self.names):
            logger.warning("%s: proper motion in one axis only; taken as unknown", self.path)
            return np.zeros((len(self.table), 2)), np.zeros((len(self.table), 2))
        motion = np.column_stack([self.numbers(role, 0.0) for role in ("pmra", "pmdec")])
        error = np.column_stack([self.numbers(role, 0.0) for role in ("pmra_error", "pmdec_error")])
        unknown = ~np.isfinite(motion).all(axis=1)
        if unknown.any():
            logger.info("%s: %d sources without a proper motion", self.path, np.count_nonzero(unknown))
        motion[unknown] = error[unknown] = 0.0
        error[~np.isfinite(error)] = 0.0
        return motion, error

    def epochs(self, default: float | None, moving: NDArray[np.bool_]) -> Floats:
        """Julian years, (N,).

        Parameters
        ----------
        default : float or None
            For rows on which the file is silent.
        moving : (N,) ndarray of bool
            Rows with a proper motion, whose epoch matters; the others get J2000 at need.
        """
        try:
            years = self._epochs_on_record()
        except ValueError as error:
            if moving.any():
                raise InputError(self.path, f"{error}, but there are proper motions", _GIVE_EPOCH) from error
            years = np.full(len(self.table), np.nan)
        if default is not None:
            years[np.isnan(years)] = default
        lost = np.count_nonzero(np.isnan(years) & moving)
        if lost:
            problem = f"{lost} sources have a proper motion but no epoch"
            raise InputError(self.path, problem, _GIVE_EPOCH)
        years[np.isnan(years)] = _J2000
        return years

    def identifiers(self) -> NDArray[np.str_]:
        """The catalog's identifiers, (N,), else the numbers of the rows, from 1."""
        if "id" not in self.names:
            return np.arange(1, len(self.table) + 1).astype(str)
        return np.array(_texts(self.table[self.names["id"]]), dtype=str)

    def numbers(self, role: str, absent: float) -> Floats:
        """Values of one role, (N,); NaN where blank, `absent` where no column has it."""
        if role not in self.names:
            return np.full(len(self.table), absent)
        column = self.table[self.names[role]]
        try:
            values = _floats(column)
        except ValueError as error:
            raise InputError(self.path, f"column {self.names[role]} isn't numbers ({error})") from error
        return self._converted(values, role) if role in _UNITS else values

    def _converted(self, values: Floats, role: str) -> Floats:
        column = self.names[role]
        unit = _unit_of(self.table[column]) or _UNSTATED_UNITS.get(column.lower(), _UNITS[role])
        try:
            return np.asarray((values * u.Unit(unit)).to_value(_UNITS[role]), dtype=float)
        except (u.UnitsError, TypeError) as error:
            problem = f"column {column} is in {unit}, which is no {_UNITS[role]}"
            raise InputError(self.path, problem, "Correct the column's unit in the file") from error

    def _angles(self, role: str) -> Floats:
        """Degrees, (N,), of numbers or of sexagesimal text."""
        try:
            _floats(self.table[self.names[role]])
        except ValueError:
            return self._sexagesimal(role)
        return self.numbers(role, np.nan)

    def _sexagesimal(self, role: str) -> Floats:
        from astropy.coordinates import Angle

        column = self.table[self.names[role]]
        texts, stated = np.array(_texts(column), dtype=str), _unit_of(column)
        unit = stated if stated in {"deg", "hourangle"} else {"ra": "hourangle", "dec": "deg"}[role]
        degrees, filled = np.full(len(texts), np.nan), ~np.isin(texts, BLANKS)
        try:
            degrees[filled] = Angle(list(texts[filled]), unit=unit).deg
        except (ValueError, u.UnitsError) as error:
            problem = f"column {self.names[role]} is neither numbers nor sexagesimal ({error})"
            raise InputError(self.path, problem, _NAME_THEM) from error
        return degrees

    def _errors(self, role: str) -> Floats:
        values = self.numbers(role, DEFAULT_ERROR)
        if role not in self.names:
            logger.warning("%s: no column for %s; %g mas is taken", self.path, role, DEFAULT_ERROR)
            return values
        good = np.isfinite(values) & (values > 0)
        median = float(np.median(values[good])) if good.any() else DEFAULT_ERROR
        if not good.all():
            bad = np.count_nonzero(~good)
            logger.info("%s: %d blank or impossible values of %s; %g mas taken", self.path, bad, role, median)
        if median < _IMPLAUSIBLE_ERROR:
            logger.warning("%s: %s has a median of %g mas; is its unit right?", self.path, role, median)
        return np.where(good, values, median)

    def _epochs_on_record(self) -> Floats:
        """Julian years of the epoch column or of the meta, NaN where there are none."""
        if "epoch" not in self.names:
            return np.full(len(self.table), self._epoch_of_meta())
        column = self.table[self.names["epoch"]]
        if hasattr(column, "jyear"):
            return np.array(column.jyear, dtype=float)
        unique, inverse = np.unique(_texts(column), return_inverse=True)
        return np.array([_julian_year(value) for value in unique])[inverse]

    def _epoch_of_meta(self) -> float:
        meta = {str(key).lower(): value for key, value in self.table.meta.items()}
        value = next((meta[key] for key in ("ref_epoch", "epoch") if meta.get(key) is not None), None)
        if value is None:
            return float("nan")
        logger.info("%s: epoch %s, as the file's meta has it", self.path, value)
        return _julian_year(value)


def _unit_of(column: Any) -> str:
    """The unit that a column states, as astropy spells it; empty for none."""
    text = str(getattr(column, "unit", None) or "").strip()
    return _UNIT_NAMES.get(text.lower(), text)


def _text(value: Any) -> str:
    return (value.decode() if isinstance(value, bytes) else str(value)).strip()


def _texts(column: Any) -> list[str]:
    """Texts of a column, empty where blank."""
    return ["" if value is None or value is np.ma.masked else _text(value) for value in column]


def _floats(column: Any) -> Floats:
    """Numbers of a column, of text too, NaN where blank; ValueError if they aren't numbers."""
    if column.dtype.kind in "SUO":
        return np.array([np.nan if text in BLANKS else float(text) for text in _texts(column)])
    return np.ma.filled(np.ma.asarray(getattr(column, "value", column), dtype=float), np.nan)


def _julian_year(value: Any) -> float:
    """Julian year of a number or of text such as J2016.0, B1950 or 2020-05-01; NaN of blanks.

    Raises
    ------
    ValueError
        If it is no year, naming what it may be.
    """
    text = _text(value)
    if text.lower() in {"nan", *map(str.lower, BLANKS)}:
        return float("nan")
    try:
        year = float(text.removeprefix("J"))
    except ValueError:
        from astropy.time import Time

        return float(Time(text).jyear)
    if not 1800 <= year <= 2200:
        guess = " and looks like a Julian date" if year > 15000 else ""
        msg = f"the epoch {text} is no Julian year{guess}"
        raise ValueError(msg)
    return year


def _checked_epoch(epoch: float | None) -> float | None:
    try:
        return None if epoch is None else _julian_year(epoch)
    except ValueError as error:
        parameter = "epoch"
        raise SettingsError(parameter, epoch, "a Julian year between 1800 and 2200") from error


def _with_positions_only(catalog: ReferenceCatalog, path: Path) -> ReferenceCatalog:
    usable = np.asarray(np.isfinite(catalog.sky).all(axis=1))
    if not usable.any():
        raise InputError(path, "no row has a position", "Give a reference catalog with sources")
    if not usable.all():
        logger.info("%s: %d of %d rows without a position", path, np.count_nonzero(~usable), len(usable))
    return catalog[usable]
