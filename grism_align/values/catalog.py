"""Catalogs: sources measured on an exposure, and reference positions on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from functools import cached_property
from typing import Any

import numpy as np
from astropy.table import Table, vstack
from numpy.typing import NDArray

from grism_align.values.sphere import tangent_axes, vector_to_sky

__all__ = ["UNRELIABLE", "ReferenceCatalog", "SourceCatalog", "SourceFlag"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAS_PER_RADIAN = float(np.degrees(1) * 3.6e6)


class SourceFlag(IntFlag):
    """What is doubtful about a source; zero is a clean one."""

    EDGE = 1
    SATURATED = 2
    MASKED_CORE = 4
    COSMIC_RAY = 8
    TRAILED = 16
    NO_CENTROID = 32


#: A source with one of these has no position worth using.
UNRELIABLE = SourceFlag.MASKED_CORE | SourceFlag.COSMIC_RAY | SourceFlag.TRAILED | SourceFlag.NO_CENTROID

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
        Columns ``id``; ``chip`` (EXTVER); ``x, y, x_error, y_error`` (pixels, zero-based);
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
        """A catalog from one array a column, with types and units set."""
        table = Table(meta=meta or {})
        for name, (dtype, unit) in _COLUMNS.items():
            table[name] = np.asarray(columns[name], dtype=dtype)
            table[name].unit = unit
        return cls(table)

    @classmethod
    def empty(cls, meta: dict[str, Any] | None = None) -> SourceCatalog:
        """A catalog without sources."""
        return cls.from_columns({name: [] for name in _COLUMNS}, meta)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def note(self) -> str:
        """Why the catalog is empty or unusable, else an empty string."""
        return str(self.table.meta.get("note", ""))

    @property
    def chip(self) -> Ints:
        """EXTVER of each source's chip, (N,)."""
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
        """The catalog of some rows (an index array or a boolean mask)."""
        return SourceCatalog(self.table[rows])

    def joined(self, other: SourceCatalog) -> SourceCatalog:
        """The rows of this catalog and then those of another of the same exposure."""
        return SourceCatalog(vstack([self.table, other.table], metadata_conflicts="silent"))

    def brightest(self, number: int, avoid: SourceFlag = UNRELIABLE) -> SourceCatalog:
        """The `number` brightest sources that carry none of the flags in `avoid`."""
        usable = np.flatnonzero((self.flags & int(avoid)) == 0)
        order = usable[np.argsort(-self.flux[usable], kind="stable")]
        return self.selected(order[:number])


@dataclass(frozen=True, eq=False)
class ReferenceCatalog:
    """Positions on the sky to align to.

    Parameters
    ----------
    sky : (N, 2) ndarray, deg
        RA and Dec (ICRS) at `epoch`.
    error : (N, 2) ndarray, mas
        Standard errors of RA x cos(Dec) and Dec.
    motion : (N, 2) ndarray, mas/yr
        Proper motion in RA x cos(Dec) and Dec; zero where unknown.
    motion_error : (N, 2) ndarray, mas/yr
        Its standard errors.
    epoch : (N,) ndarray
        Julian years.
    mag : (N,) ndarray
        Magnitudes, in any band; NaN where unknown.
    identifier : (N,) ndarray of str
        The catalog's own identifiers.
    name : str
        What the catalog is called in headers and reports.
    origin : str
        File or service that it came from.
    """

    sky: Floats
    error: Floats
    motion: Floats
    motion_error: Floats
    epoch: Floats
    mag: Floats
    identifier: NDArray[np.str_]
    name: str
    origin: str

    def __len__(self) -> int:
        return len(self.sky)

    def __getitem__(self, rows: NDArray[Any]) -> ReferenceCatalog:
        """The catalog of some rows (an index array or a boolean mask)."""
        return ReferenceCatalog(
            self.sky[rows],
            self.error[rows],
            self.motion[rows],
            self.motion_error[rows],
            self.epoch[rows],
            self.mag[rows],
            self.identifier[rows],
            self.name,
            self.origin,
        )

    @cached_property
    def _axes(self) -> Floats:
        return tangent_axes(*self.sky.T)

    def at_epoch(self, epoch: float | Floats) -> ReferenceCatalog:
        """The catalog moved by its proper motions, errors grown accordingly.

        Parameters
        ----------
        epoch : float or (N,) ndarray
            Julian years.

        Notes
        -----
        Uniform motion on the tangent plane of each source; exact to 1e-3 mas for 10"/yr over a decade.
        """
        target = np.broadcast_to(np.asarray(epoch, dtype=float), self.epoch.shape)
        years = (target - self.epoch)[:, None]
        step = self.motion * years / MAS_PER_RADIAN
        east, north, out = np.moveaxis(self._axes, 1, 0)
        moved = vector_to_sky(out + step[:, :1] * east + step[:, 1:] * north)
        error = np.hypot(self.error, self.motion_error * years)
        return ReferenceCatalog(
            moved,
            error,
            self.motion,
            self.motion_error,
            target.copy(),
            self.mag,
            self.identifier,
            self.name,
            self.origin,
        )
