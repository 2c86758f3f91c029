"""Which column of somebody's table is what: the names and units that catalogs and services use."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING

from grism_align.values.catalog import ASTROMETRIC_PARAMETERS
from grism_align.values.errors import InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import Table

# Pairs, so that right ascension and declination never come from two systems. Positions at the
# catalog's own epoch precede those that a service moved to J2000.
_POSITION_TEXT = (
    "ra dec, ra_icrs de_icrs, ra_icrs dec_icrs, raj2000 dej2000, raj2000 decj2000, _ra _de, _ra _dec, "
    "_raj2000 _dej2000, ra_j2000 dec_j2000, alphawin_j2000 deltawin_j2000, alpha_j2000 delta_j2000, "
    "xwin_world ywin_world, x_world y_world, ramean decmean, rastack decstack, meanra meandec, "
    "matchra matchdec, sourcera sourcedec, coord_ra coord_dec, ra_deg dec_deg, radeg decdeg, radeg dedeg, "
    "right_ascension declination, ra_mean dec_mean, raj dej, rajdeg dejdeg, ra2000 dec2000, alpha delta"
)
_POSITIONS = tuple(tuple(pair.split()) for pair in _POSITION_TEXT.split(","))

_BRACKETED = re.compile(r"(.*?)\s*[\[(]([^\[\]()]*)[\])]")

#: Role of each correlation, by the places of its two parameters in `ASTROMETRIC_PARAMETERS`.
CORRELATIONS = {
    (i, j): f"{ASTROMETRIC_PARAMETERS[i]}_{ASTROMETRIC_PARAMETERS[j]}_corr"
    for i, j in combinations(range(len(ASTROMETRIC_PARAMETERS)), 2)
}

# As VizieR abbreviates the parameters in the names of their correlations.
_VIZIER = ("ra", "de", "plx", "pmra", "pmde")


# Of an error ellipse, whose larger axis is taken for both.
_LARGER_AXIS = "err_maj errmaj errawin_world erra_world dsigma"

_ALIAS_TEXT = {
    "mag": (
        "mag phot_g_mean_mag gmag magnitude mag_auto abmag isophotal_abmag imag i_mag imeanpsfmag rmag r_mag "
        "rmeanpsfmag zmeanpsfmag gmeanpsfmag g_mag zmag z_mag jmag j_m hmag h_m kmag k_m vmag rpmag ipmag "
        "mag_r mag_z mag_g mag_i psfmag_r psfmag_i modelmag_r modelmag_i r_psf i_psf g_psf z_psf "
        "i_psfflux_mag r_psfflux_mag i_cmodel_mag wavg_mag_psf_i wavg_mag_psf_r mag_auto_i mag_auto_r "
        "mag_psf a_f814w w3_f814w a_f606w w3_f606w w3_f160w mag_aper"
    ),
    "flux": "flux_r flux_z flux_i flux_g psfflux_r psfflux_i",
    "ra_error": (
        "ra_error ra_err raerr e_ra e_ra_icrs e_raj2000 e_radeg err_ra sigma_ra sigra rameanerr rastackerr "
        f"ra_ivar {_LARGER_AXIS}"
    ),
    "dec_error": (
        "dec_error dec_err decerr e_dec e_de e_de_icrs e_dec_icrs e_dej2000 e_dedeg err_dec sigma_dec "
        f"sigdec decmeanerr decstackerr dec_ivar {_LARGER_AXIS}"
    ),
    "parallax": "parallax plx",
    "parallax_error": "parallax_error e_plx e_parallax parallax_err parallaxerr plx_error parallax_ivar",
    "pmra": "pmra pm_ra pmra_cosdec pm_ra_cosdec pmra* mu_ra mura",
    "pmdec": "pmdec pmde pm_dec pm_de mu_dec mudec",
    "pmra_error": "pmra_error e_pmra pmra_err pmraerr pm_ra_error e_pmra* pmra_ivar",
    "pmdec_error": "pmdec_error e_pmde e_pmdec pmdec_err pmdecerr pm_dec_error pmdec_ivar",
    **{role: f"{role} {_VIZIER[i]}{_VIZIER[j]}cor" for (i, j), role in CORRELATIONS.items()},
    "radial_velocity": "radial_velocity rv radvel radialvelocity",
    "ref_epoch": (
        "ref_epoch refepoch epoch epoch_mean obs_date obsdate date_obs epochmean mean_epoch mean_mjd "
        "meanmjd mjd jdate jd"
    ),
    "first_date": "mjd_min startmjd",
    "last_date": "mjd_max stopmjd",
    "ruwe": "ruwe",
    "excess_noise": "excess_noise astrometric_excess_noise epsi",
    "duplicated": "duplicated duplicated_source dup",
    "extended": "extended is_extended extendedness refextendedness i_extendedness_value r_extendedness_value",
    "kind": "kind type class morphology obj_type objtype spclass",
    "id": (
        "source_id sourceid objid obj_id object_id coadd_object_id ls_id matchid id gaia source name label "
        "number"
    ),
}
_ALIASES = {role: tuple(names.split()) for role, names in _ALIAS_TEXT.items()}

#: What a column can be.
ROLES = ("ra", "dec", *_ALIASES)

#: The unit that a role is handed on in, and taken to be in where a table states none; None where it has none.
UNITS: dict[str, str | None] = {
    **dict.fromkeys(ROLES),
    **dict.fromkeys(("ra", "dec"), "deg"),
    **dict.fromkeys(("ra_error", "dec_error", "parallax", "parallax_error", "excess_noise"), "mas"),
    **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas / yr"),
    "radial_velocity": "km / s",
    "ref_epoch": "yr",
    **dict.fromkeys(("first_date", "last_date"), "d"),
    "mag": "mag",
}

#: Roles whose values are text.
TEXT_ROLES = frozenset({"id", "kind"})

#: What surveys give without saying so in CSV files: Pan-STARRS, SDSS and 2MASS arcsec, SExtractor deg, the
#: Legacy Surveys inverse variances; dates in days.
UNSTATED_UNITS = {
    **dict.fromkeys(
        ["rameanerr", "decmeanerr", "rastackerr", "decstackerr", "raerr", "decerr", "err_maj", "errmaj"],
        "arcsec",
    ),
    **dict.fromkeys(("errawin_world", "erra_world"), "deg"),
    **dict.fromkeys(("ra_ivar", "dec_ivar"), "1 / deg2"),
    "parallax_ivar": "1 / mas2",
    **dict.fromkeys(("pmra_ivar", "pmdec_ivar"), "yr2 / mas2"),
    **dict.fromkeys(["epochmean", "mean_epoch", "mean_mjd", "meanmjd", "mjd", "jdate", "jd"], "d"),
}
#: How names of columns of inverse variances end; zero there means that the value is not known.
INVERSE_VARIANCE = "_ivar"

#: What the user can do where positions are not recognised.
NAME_THEM = (
    "Name its position columns with --steps.absolute_align.ra_column= and --steps.absolute_align.dec_column="
)


def choose_columns(table: Table, columns: Mapping[str, str], origin: Path | str) -> dict[str, str]:
    """Return the column by role, of the roles that a table fills.

    Parameters
    ----------
    table : astropy.table.Table
        Any table.
    columns : mapping of str to str
        Columns by role that the user names; empty names don't count.
    origin : path-like
        Where the table came from, for the messages.

    Raises
    ------
    InputError
        If no column is recognised as RA or Dec.
    SettingsError
        If `columns` names an unknown role or a column that isn't there.
    """
    given = {role: column for role, column in columns.items() if column}
    by_lower = {_plain(column): column for column in reversed(table.colnames)}
    by_lower |= {column.lower(): column for column in reversed(table.colnames)}
    there = ", ".join(table.colnames)
    for role, column in given.items():
        parameter = f"{role}_column"
        if role not in ROLES:
            raise SettingsError(parameter, column, f"a column is one of {', '.join(ROLES)}")
        if column not in table.colnames and column.lower() not in by_lower:
            raise SettingsError(parameter, column, f"{origin} has only the columns {there}")
    pair = next((pair for pair in _POSITIONS if by_lower.keys() >= set(pair)), ())
    found = dict(zip(("ra", "dec"), (by_lower[name] for name in pair), strict=False))
    for role, aliases in _ALIASES.items():
        if known := [by_lower[alias] for alias in aliases if alias in by_lower]:
            found[role] = known[0]
    found.update({r: c if c in table.colnames else by_lower[c.lower()] for r, c in given.items()})
    if not {"ra", "dec"} <= found.keys():
        raise InputError(origin, f"no columns recognised as RA and Dec among {there}", NAME_THEM)
    return found


def unit_in_name(column: str) -> str:
    """Return what a name has in brackets at its end, as in ``RA (deg)``; empty for none."""
    found = _BRACKETED.fullmatch(column)
    return found[2] if found else ""


def _plain(column: str) -> str:
    """Return a name without its unit and points, in lower case: ``ra`` of ``R.A. [deg]``."""
    found = _BRACKETED.fullmatch(column)
    return (found[1] if found else column).replace(".", "").strip().replace(" ", "_").lower()
