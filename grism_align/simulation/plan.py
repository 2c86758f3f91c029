"""What is to be simulated: exposures, visits and the field, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from grism_align.simulation.instruments import ELEMENTS, INSTRUMENTS
from grism_align.values.errors import SettingsError

if TYPE_CHECKING:
    from grism_align.simulation.camera import Camera
    from grism_align.simulation.elements import Element


class Special(Enum):
    """What is wrong with an exposure."""

    NONE = ""
    EMPTY = "empty"
    FLAGGED = "flagged"
    TRAILED = "trailed"
    NAN = "nan"


@dataclass(frozen=True)
class SimulatedExposure:
    """One exposure of a visit.

    Parameters
    ----------
    element : str
        Filter or grism.
    exposure_time : float, s
        Exposure time.
    dither : (x, y), arcsec
        Move of the target along the detector's +x and +y, as POSTARG has it; the pointing moves back.
    governor : int or None
        For a grism: which exposure of the visit, counted from 0, shares its pointing error. None stands for
        the direct exposure before it, or else the one after it.
    special : Special
        ``EMPTY`` has no source, ``FLAGGED`` has DQ 4 everywhere, ``TRAILED`` lost its guide stars, ``NAN``
        has pixels that are no number.
    trail : (dx, dy), pixels
        How far a trailed exposure moves.
    """

    element: str
    exposure_time: float
    dither: tuple[float, float] = (0.0, 0.0)
    governor: int | None = None
    special: Special = Special.NONE
    trail: tuple[float, float] = (7.0, 4.0)


@dataclass(frozen=True)
class SimulatedVisit:
    """Exposures under one guide-star acquisition.

    Parameters
    ----------
    name : str
        Two characters, as in root names.
    exposures : tuple of SimulatedExposure
        In the order of time.
    angle : float, deg
        Position angle of the detector's +y.
    offset : (east, north), arcsec
        Of the pointing from the field's centre.
    start : float, MJD
        Of the first exposure.
    shift : (east, north), arcsec, optional
        Pointing error; drawn when None.
    roll : float, deg, optional
        Roll error; drawn when None.
    guide_star : str, optional
        T_SGSTAR; made from the visit's name when None.
    """

    name: str
    exposures: tuple[SimulatedExposure, ...]
    angle: float = 35.0
    offset: tuple[float, float] = (0.0, 0.0)
    start: float = 57000.3
    shift: tuple[float, float] | None = None
    roll: float | None = None
    guide_star: str | None = None


@dataclass(frozen=True)
class PointingErrors:
    """How wrong the written pointings are.

    Parameters
    ----------
    shift : (low, high), arcsec
        Of a visit; the direction is drawn.
    roll : (low, high), deg
        Of a visit; the sign is drawn.
    jitter : float, pixels
        Standard deviation of an axis, of each pointing: direct exposures that follow each other at one
        dither, with nothing at another in between, share it.
    grism_jitter : float, pixels
        The same, of what a grism exposure has of its own.
    jitter_of_grisms : bool
        Whether grism exposures at another dither than the direct one that governs them have the jitter of
        their own pointing, as a telescope makes it; else they share that of the direct one.
    grism_drift : float, pixels/hour
        Drift of a grism exposure away from the exposure that governs it, in a direction drawn by visit.
    drift : float, pixels/hour
        Drift of all exposures of a visit from its start on, in a direction drawn by visit.
    drift_change : float, pixels/hour^2
        How fast the drift changes, in the same direction.
    roll_drift : float, deg/hour
        How fast the roll of all exposures of a visit changes, from its start on.
    """

    shift: tuple[float, float] = (0.3, 1.5)
    roll: tuple[float, float] = (0.005, 0.02)
    jitter: float = 0.15
    grism_jitter: float = 0.0
    jitter_of_grisms: bool = False
    grism_drift: float = 0.0
    drift: float = 0.0
    drift_change: float = 0.0
    roll_drift: float = 0.0


@dataclass(frozen=True)
class SceneSettings:
    """Stars and galaxies.

    Parameters
    ----------
    star_density, galaxy_density : float, 1/arcmin^2
        Mean numbers down to the faint limits.
    star_magnitudes, galaxy_magnitudes : (bright, faint), AB at 1.4 micron
        Limits.
    star_slope, galaxy_slope : float
        Of log10(number) against magnitude.
    motion : float, mas/yr
        Standard deviation of an axis of the stars' proper motions.
    catalog_limit : float
        The faintest magnitude of the reference catalog.
    catalog_error : float, mas
        Standard error of an axis of the reference catalog. Its positions scatter by it.
    """

    star_density: float = 10.0
    galaxy_density: float = 90.0
    star_magnitudes: tuple[float, float] = (16.0, 25.0)
    galaxy_magnitudes: tuple[float, float] = (18.5, 25.5)
    star_slope: float = 0.13
    galaxy_slope: float = 0.30
    motion: float = 0.0
    catalog_limit: float = 24.0
    catalog_error: float = 0.5


@dataclass(frozen=True)
class Simulation:
    """A field and the visits to it.

    Parameters
    ----------
    instrument : str
        ``wfc3_ir``, ``wfc3_uvis``, ``acs_wfc``, ``niriss``, ``nircam`` or ``roman_wfi``.
    visits : tuple of SimulatedVisit
        Visits with names of their own.
    ra, dec : float, deg
        Centre of the field.
    size : int or (ny, nx), optional
        Pixels of a centred cut (where several chips share the field: of what lies next to its centre); None
        for whole chips.
    scene : SceneSettings
        Sources.
    errors : PointingErrors
        Of the written WCSs.
    program : str
        As in root names: three characters for HST, five digits for JWST and Roman; empty for the usual one.
    target : str
        TARGNAME.
    companions : tuple of str, optional
        Detectors with images of the same instants that take part, such as ``NRCA1``; all when None.

    Raises
    ------
    SettingsError
        For an unknown instrument, filter, detector or size, or a visit named twice.
    """

    instrument: str
    visits: tuple[SimulatedVisit, ...]
    ra: float = 150.11
    dec: float = 2.22
    size: int | tuple[int, int] | None = None
    scene: SceneSettings = field(default_factory=SceneSettings)
    errors: PointingErrors = field(default_factory=PointingErrors)
    program: str = ""
    target: str = "DEMO-FIELD"
    companions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.instrument not in INSTRUMENTS:
            raise SettingsError(
                name="instrument", value=self.instrument, allowed=f"one of {', '.join(INSTRUMENTS)}"
            )
        names = [visit.name for visit in self.visits]
        if len(set(names)) < len(names) or any(len(name) != 2 for name in names):
            raise SettingsError(name="visits", value=names, allowed="names of two characters, each once")
        known = ELEMENTS[self.instrument]
        for element in (exposure.element for visit in self.visits for exposure in visit.exposures):
            if element not in known:
                raise SettingsError(name="element", value=element, allowed=f"one of {', '.join(known)}")
        unknown = set(self.companions or ()).difference(self.camera.companions)
        if unknown:
            allowed = f"some of {', '.join(self.camera.companions) or 'none'}"
            raise SettingsError(name="companions", value=self.companions, allowed=allowed)
        if not all(16 <= n <= full for n, full in zip(self.shape, self.camera.shape, strict=True)):
            raise SettingsError(name="size", value=self.size, allowed=f"16 to {self.camera.shape} pixels")

    @property
    def camera(self) -> Camera:
        """The instrument."""
        return INSTRUMENTS[self.instrument]

    @property
    def program_name(self) -> str:
        """The program, as in root names."""
        return self.program or self.camera.program

    @property
    def taking_part(self) -> tuple[str, ...]:
        """Detectors with images of the same instants that take part."""
        return self.camera.companions if self.companions is None else self.companions

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (ny, nx) of a chip, after the cut."""
        if self.size is None:
            return self.camera.shape
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def element(self, exposure: SimulatedExposure) -> Element:
        """Return the numbers of an exposure's filter or grism."""
        return ELEMENTS[self.instrument][exposure.element]
