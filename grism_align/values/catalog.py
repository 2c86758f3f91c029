"""Catalogs: sources measured on an exposure, and reference positions on the sky."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import NDArray

from grism_align.values.addresses import without_login
from grism_align.values.declaration import declared, recorded
from grism_align.values.failure import remark_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from grism_align.values.failure import Remark


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SourceFlag(IntFlag):
    """What is doubtful about a source; zero is a clean one."""

    EDGE = 1
    SATURATED = 2
    MASKED_CORE = 4
    COSMIC_RAY = 8
    TRAILED = 16
    NO_CENTROID = 32
    FIXED = 64


#: A source with one of these has no position worth using.
UNRELIABLE = (
    SourceFlag.MASKED_CORE
    | SourceFlag.COSMIC_RAY
    | SourceFlag.TRAILED
    | SourceFlag.NO_CENTROID
    | SourceFlag.FIXED
)

_COLUMNS: dict[str, tuple[str, str | None]] = {
    "id": ("int64", None),
    "chip": ("int64", None),
    "x": ("float64", "pix"),
    "y": ("float64", "pix"),
    "x_error": ("float64", "pix"),
    "y_error": ("float64", "pix"),
    "flux": ("float64", None),
    "flux_error": ("float64", None),
    "mag": ("float64", "mag"),
    "mag_error": ("float64", "mag"),
    "snr": ("float64", None),
    "fwhm": ("float64", "pix"),
    "ellipticity": ("float64", None),
    "flags": ("int64", None),
}


@dataclass(frozen=True, eq=False)
class SourceCatalog:
    """Sources of one direct exposure, a row each, in the distorted frame of its chips.

    Parameters
    ----------
    table : astropy.table.Table
        Columns ``id``; ``chip`` (its number); ``x, y, x_error, y_error`` (pixels, zero-based);
        ``flux, flux_error`` (counts per second); ``mag, mag_error`` (AB); ``snr``; ``fwhm`` (pixels);
        ``ellipticity``; ``flags`` (`SourceFlag`). Its meta holds the settings and counts of cuts.
    """

    table: Table

    def __post_init__(self) -> None:
        missing = [name for name in _COLUMNS if name not in self.table.colnames]
        if missing:
            msg = f"source catalog without the columns {', '.join(missing)}"
            raise ValueError(msg)

    @classmethod
    def from_columns(cls, columns: dict[str, Any], meta: dict[str, Any] | None = None) -> SourceCatalog:
        """Return a catalog from one array a column, with types and units set."""
        table = Table(meta=meta or {})
        for name, (dtype, unit) in _COLUMNS.items():
            table[name] = np.asarray(columns[name], dtype=dtype)
            table[name].unit = unit
        return cls(table)

    @classmethod
    def empty(cls, meta: dict[str, Any] | None = None) -> SourceCatalog:
        """Return a catalog without sources."""
        return cls.from_columns({name: [] for name in _COLUMNS}, meta)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Why the catalog is empty or unusable; none where it is neither."""
        return tuple(map(remark_from, self.table.meta.get("remarks", ())))

    @property
    def chip(self) -> Ints:
        """Number of each source's chip, (N,)."""
        return np.asarray(self.table["chip"])

    @property
    def xy(self) -> Floats:
        """Pixels, (N, 2), zero-based."""
        return np.column_stack([self.table["x"], self.table["y"]]).astype(float)

    @property
    def xy_error(self) -> Floats:
        """Standard errors of the pixels, (N, 2)."""
        return np.column_stack([self.table["x_error"], self.table["y_error"]]).astype(float)

    @property
    def mag(self) -> Floats:
        """AB magnitudes, (N,)."""
        return np.asarray(self.table["mag"], dtype=float)

    @property
    def flux(self) -> Floats:
        """Counts per second, (N,)."""
        return np.asarray(self.table["flux"], dtype=float)

    @property
    def flags(self) -> Ints:
        """`SourceFlag` bits, (N,)."""
        return np.asarray(self.table["flags"])

    def selected(self, rows: NDArray[Any]) -> SourceCatalog:
        """Return the catalog of some rows (an index array or a boolean mask)."""
        return SourceCatalog(self.table[rows])

    def joined(self, other: SourceCatalog) -> SourceCatalog:
        """Return the rows of this catalog and then those of another of the same exposure."""
        return SourceCatalog(vstack([self.table, other.table], metadata_conflicts="silent"))

    def brightest(self, number: int, avoid: SourceFlag = UNRELIABLE) -> SourceCatalog:
        """Return the `number` brightest sources that carry none of the flags in `avoid`."""
        usable = np.flatnonzero((self.flags & int(avoid)) == 0)
        order = usable[np.argsort(-self.flux[usable], kind="stable")]
        return self.selected(order[:number])


#: Order of the astrometric parameters in `ReferenceCatalog.covariance`.
ASTROMETRIC_PARAMETERS = ("ra", "dec", "parallax", "pmra", "pmdec")


def astrometric_covariance(
    error: Floats, motion_error: Floats | None = None, parallax_error: Floats | None = None
) -> Floats:
    """Covariances (N, 5, 5) of sources whose errors are not correlated.

    Parameters
    ----------
    error : (N, 2) ndarray, mas
        Standard errors of RA x cos(Dec) and Dec.
    motion_error : (N, 2) ndarray, mas/yr, optional
        Of the proper motion.
    parallax_error : (N,) ndarray, mas, optional
        Of the parallax.
    """
    out = np.zeros((len(error), 5, 5))
    out[:, (0, 1), (0, 1)] = np.square(error)
    if motion_error is not None:
        out[:, (3, 4), (3, 4)] = np.square(motion_error)
    if parallax_error is not None:
        out[:, 2, 2] = np.square(parallax_error)
    return out


@dataclass(frozen=True, eq=False)
class ReferenceCatalog:
    """Positions on the sky to align to, as seen from the barycentre of the solar system.

    Parameters
    ----------
    sky : (N, 2) ndarray, deg
        RA and Dec (ICRS) at `epoch`.
    covariance : (N, 5, 5) ndarray, mas and mas/yr
        Of RA x cos(Dec), Dec, parallax, and proper motion in RA x cos(Dec) and Dec.
    motion : (N, 2) ndarray, mas/yr
        Proper motion in RA x cos(Dec) and Dec; NaN where unknown.
    parallax : (N,) ndarray, mas
        Zero where unknown.
    radial_velocity : (N,) ndarray, km/s
        Zero where unknown.
    epoch : (N,) ndarray
        Julian years; NaN where unknown.
    mag : (N,) ndarray
        Magnitudes, in any band; NaN where unknown.
    identifier : (N,) ndarray of str
        The catalog's own identifiers.
    name : str
        What the catalog is called in headers and reports.
    origin : str
        File or service that it came from.
    quality : mapping of str to (N,) ndarray
        What selection looks at, of `QUALITIES`; NaN where unknown.
    observer : float
        Barycentric position of who looks at the sources, in that of the Earth.
    sha256 : str
        Of the file that was read; empty where that is none.
    """

    sky: Floats
    covariance: Floats
    motion: Floats
    parallax: Floats
    radial_velocity: Floats
    epoch: Floats
    mag: Floats
    identifier: NDArray[np.str_]
    name: str
    origin: str
    quality: Mapping[str, Floats] = field(default_factory=dict)
    observer: float = 1.0
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.sky)

    def __getitem__(self, rows: NDArray[Any]) -> ReferenceCatalog:
        """Return the catalog of some rows (an index array or a boolean mask)."""
        quality = {name: values[rows] for name, values in self.quality.items()}
        return replace(self, **{name: getattr(self, name)[rows] for name in _ROW_FIELDS}, quality=quality)

    @property
    def error(self) -> Floats:
        """Standard errors of RA x cos(Dec) and Dec at `epoch`, (N, 2), mas."""
        return np.sqrt(self.covariance[:, (0, 1), (0, 1)])

    @property
    def motion_error(self) -> Floats:
        """Standard errors of the proper motion, (N, 2), mas/yr."""
        return np.sqrt(self.covariance[:, (3, 4), (3, 4)])

    @property
    def has_motion(self) -> NDArray[np.bool_]:
        """Whether the proper motion is known, (N,)."""
        return np.asarray(np.isfinite(self.motion).all(axis=1))


#: Columns of a reference catalog by which sources are chosen: Gaia's renormalised unit weight error; its
#: excess noise (mas); whether a source is a duplicate; whether it is extended, as galaxies are (0 or 1).
QUALITIES = ("ruwe", "excess_noise", "duplicated", "extended")

_ROW_FIELDS = ("sky", "covariance", "motion", "parallax", "radial_velocity", "epoch", "mag", "identifier")


@declared()
class CatalogAttempt:
    """One try to get a reference catalog or to align to it."""

    catalog: str = recorded("Its name.")
    service: str = recorded("The service, the mirror of it, or a file.")
    url: str = recorded("Where it is; the file's path.")
    outcome: str = recorded(
        "`fetched`, `cached` or `read` where its rows came; `tied` or `not tied` where exposures were "
        "aligned to it; else that of the error: `unreachable`, `refused`, and so on."
    )
    reason: str = recorded("Why it failed, or what to know.", default="")
    n_rows: int = recorded("Rows that came.", default=0)
    query: str = recorded("The ADQL.", default="")
    date: str = recorded("When the rows were sent by the service, ISO 8601, UTC.", default="")

    def __post_init__(self) -> None:
        for name in ("service", "url", "reason"):
            object.__setattr__(self, name, without_login(getattr(self, name)))


@declared()
class SkySource:
    """One source of the relative frame, seen in several exposures."""

    number: int = recorded("Its number in all frames together.")
    ra: float = recorded("Right ascension in the relative frame, before the absolute correction.", unit="deg")
    dec: float = recorded("Declination, likewise.", unit="deg")
    error: float = recorded("Standard error of one axis.", unit="mas")
    mag: float = recorded("AB magnitude of its brightest measurement.", unit="mag")
    epoch: float = recorded("Mean epoch of its measurements.", unit="Julian year")
    frame: int = recorded("The group of overlapping exposures that it belongs to.")
    n_exposures: int = recorded("How many exposures measured it.")
