"""A table with the columns of Gaia DR3, as what DaCHS publishes: a VOTable and a resource descriptor.

Run by setup.sh with the system's Python, which has DaCHS's own astropy; so nothing here needs the package.
The stars come from a seed, rounded to decimals, so that tests can make the same ones and compare.
"""

from __future__ import annotations

import argparse
import random
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np
from astropy.table import MaskedColumn, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20260101
TABLE = "gaiadr3.gaia_source"

#: Fields of the table: RA and Dec (deg) of the centre, radius (deg), stars.
FIELDS = {
    "cosmos": (150.11, 2.21, 0.05, 300),
    "ra zero": (0.0, -30.0, 0.05, 120),
    "pole": (210.0, 88.0, 0.05, 120),
    "crowded": (266.4, -29.0, 0.05, 2500),
}

#: The most rows that the server gives, whatever it is asked for; the crowded field has more.
SERVER_LIMIT = 2000

_CORRELATIONS = tuple(
    f"{one}_{other}_corr"
    for k, one in enumerate(("ra", "dec", "parallax", "pmra", "pmdec"))
    for other in ("ra", "dec", "parallax", "pmra", "pmdec")[k + 1 :]
)

#: Columns with types (numpy), units (VOUnits) and UCDs.
COLUMNS: dict[str, tuple[str, str, str]] = {
    "source_id": ("int64", "", "meta.id;meta.main"),
    "ref_epoch": ("float64", "yr", "meta.ref;time.epoch"),
    "ra": ("float64", "deg", "pos.eq.ra;meta.main"),
    "ra_error": ("float32", "mas", "stat.error;pos.eq.ra"),
    "dec": ("float64", "deg", "pos.eq.dec;meta.main"),
    "dec_error": ("float32", "mas", "stat.error;pos.eq.dec"),
    "parallax": ("float64", "mas", "pos.parallax.trig"),
    "parallax_error": ("float32", "mas", "stat.error;pos.parallax.trig"),
    "pmra": ("float64", "mas.yr-1", "pos.pm;pos.eq.ra"),
    "pmra_error": ("float32", "mas.yr-1", "stat.error;pos.pm;pos.eq.ra"),
    "pmdec": ("float64", "mas.yr-1", "pos.pm;pos.eq.dec"),
    "pmdec_error": ("float32", "mas.yr-1", "stat.error;pos.pm;pos.eq.dec"),
    **dict.fromkeys(_CORRELATIONS, ("float32", "", "stat.correlation")),
    "astrometric_params_solved": ("int16", "", "meta.number"),
    "astrometric_excess_noise": ("float32", "mas", "stat.value"),
    "astrometric_excess_noise_sig": ("float32", "", "stat.value"),
    "ruwe": ("float32", "", "stat.error"),
    "duplicated_source": ("bool", "", "meta.code.status"),
    "phot_g_mean_mag": ("float32", "mag", "phot.mag;em.opt"),
    "phot_bp_mean_mag": ("float32", "mag", "phot.mag;em.opt.B"),
    "phot_rp_mean_mag": ("float32", "mag", "phot.mag;em.opt.R"),
    "radial_velocity": ("float32", "km.s-1", "spect.dopplerVeloc.opt;em.opt.I"),
    "radial_velocity_error": ("float32", "km.s-1", "stat.error;spect.dopplerVeloc.opt;em.opt.I"),
    "in_qso_candidates": ("bool", "", "meta.code"),
    "in_galaxy_candidates": ("bool", "", "meta.code"),
}

_SQL_TYPES = {
    "int64": "bigint",
    "int16": "smallint",
    "bool": "boolean",
    "float32": "real",
    "float64": "double precision",
}


def gaia_table() -> Table:
    """The stars of all `FIELDS`, masked where Gaia gives NULL."""
    rng = random.Random(SEED)
    rows = [row for field in FIELDS.values() for row in _stars(rng, *field)]
    for number, row in enumerate(rows):
        row["source_id"] = 3_836_000_000_000_000_001 + 128 * number
    return completed({name: [row.get(name) for row in rows] for name in COLUMNS})


def completed(columns: dict[str, list[Any]]) -> Table:
    """A table of all `COLUMNS` from lists with None for NULL; a column not given is NULL, or false, or 0."""
    number = len(next(iter(columns.values())))
    table = Table()
    for name, (dtype, unit, _) in COLUMNS.items():
        values = columns.get(name) or [None] * number
        null = [value is None for value in values]
        filled = [0 if value is None else value for value in values]
        mask = null if dtype.startswith("float") else False
        table[name] = MaskedColumn(np.array(filled, dtype=dtype), mask=mask, unit=unit or None)
    return table


def read_table(path: str) -> Table:
    """A table of all `COLUMNS` from those that a file has."""
    given = Table.read(path)
    known = [name for name in COLUMNS if name in given.colnames]
    return completed({name: given[name].tolist() for name in known})


def _stars(rng: random.Random, ra: float, dec: float, radius: float, number: int) -> Iterator[dict[str, Any]]:
    """Stars spread evenly over a small circle; five of six have a full solution."""
    for k in range(number):
        distance = radius * rng.random() ** 0.5
        star = _place(ra, dec, distance, rng.uniform(0, 2 * np.pi))
        star |= {
            "ref_epoch": 2016.0,
            "ra_error": rng.uniform(0.02, 1.5),
            "dec_error": rng.uniform(0.02, 1.5),
            "ra_dec_corr": rng.uniform(-0.35, 0.35),
            "astrometric_params_solved": 3,
            "astrometric_excess_noise": max(0.0, rng.gauss(0.1, 0.3)),
            "astrometric_excess_noise_sig": rng.uniform(0, 3),
            "duplicated_source": k % 20 == 7,
            "phot_g_mean_mag": rng.uniform(14, 21),
        }
        if k % 6 != 5:
            star |= _solution(rng)
        yield {name: round(x, 6) if name not in ("ra", "dec") else x for name, x in star.items()}


def _place(ra: float, dec: float, distance: float, angle: float) -> dict[str, Any]:
    """The point of the tangent plane at a distance and position angle from a centre."""
    east, north = (np.tan(np.radians(distance)) * f(angle) for f in (np.sin, np.cos))
    x = np.cos(np.radians(dec)) - north * np.sin(np.radians(dec))
    z = np.sin(np.radians(dec)) + north * np.cos(np.radians(dec))
    longitude = ra + np.degrees(np.arctan2(east, x))
    latitude = np.degrees(np.arctan2(z, np.hypot(x, east)))
    return {"ra": round(longitude % 360, 10) % 360, "dec": round(latitude, 10)}


def _solution(rng: random.Random) -> dict[str, Any]:
    """Parallax, proper motion and what comes with them."""
    values = {
        "astrometric_params_solved": 31,
        "parallax": rng.gauss(0.8, 0.6),
        "parallax_error": rng.uniform(0.02, 1.0),
        "pmra": rng.gauss(0, 8),
        "pmra_error": rng.uniform(0.02, 1.0),
        "pmdec": rng.gauss(-2, 8),
        "pmdec_error": rng.uniform(0.02, 1.0),
        "ruwe": abs(rng.gauss(1.05, 0.2)),
        **{name: rng.uniform(-0.2, 0.2) for name in _CORRELATIONS[1:]},  # small: a possible covariance
    }
    if rng.random() < 0.2:
        values |= {"radial_velocity": rng.gauss(0, 30), "radial_velocity_error": rng.uniform(0.5, 5)}
    return values


def descriptor(schema: str, name: str, data: str) -> str:
    """DaCHS's resource descriptor of a table: what it is, its columns, and the file that fills it."""
    columns = "\n".join(
        f"    <column name={quoteattr(column)} type={quoteattr(_SQL_TYPES[dtype])} unit={quoteattr(unit)}\n"
        f"      ucd={quoteattr(ucd)} description={quoteattr(column)}"
        f"{'' if dtype.startswith('float') else ' required=' + quoteattr('True')}/>"
        for column, (dtype, unit, ucd) in COLUMNS.items()
    )
    return f"""<resource schema={quoteattr(schema)} resdir="grism_align">
  <meta name="title">Made-up stars for tests</meta>
  <meta name="description">Stars from a seed, with the columns of Gaia DR3.</meta>
  <meta name="creationDate">2026-01-01T00:00:00Z</meta>
  <meta name="subject">astrometry</meta>
  <meta name="creator">The grism_align developers</meta>
  <table id={quoteattr(name)} onDisk="True" adql="True" primary="source_id" mixin="//scs#pgs-pos-index">
{columns}
  </table>
  <data id="import">
    <sources>{data}</sources>
    <voTableGrammar/>
    <make table={quoteattr(name)}><rowmaker idmaps="*"/></make>
  </data>
</resource>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="DaCHS's input folder of the tables")
    parser.add_argument("--table", nargs=2, metavar=("FILE", "NAME"), help="a file's rows as SCHEMA.TABLE")
    options = parser.parse_args()
    path, qualified = options.table or (None, TABLE)
    schema, name = qualified.lower().split(".")
    stem = f"{schema}_{name}"
    table = read_table(path) if path else gaia_table()
    for column in [name for name, (dtype, _, _) in COLUMNS.items() if dtype == "bool"]:
        table[column] = table[column].astype(str)  # astropy's bits are no booleans to DaCHS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy's view of VOUnits is no concern here
        table.write(options.folder / f"{stem}.vot", format="votable", overwrite=True)
    (options.folder / f"{stem}.rd").write_text(descriptor(schema, name, f"{stem}.vot"))
    print(f"grism_align/{stem}")  # what `dachs imp` takes


if __name__ == "__main__":
    main()
