"""One exposure: what its headers say, without its pixels."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from math import isfinite, nan
from typing import TYPE_CHECKING

from grism_align.values.detector import DetectorWindow
from grism_align.values.sphere import ARCSEC_PER_RADIAN
from grism_align.values.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from grism_align.values.pixel_sky import PixelSky
    from grism_align.values.source import Source
    from grism_align.values.telescope import Telescope
    from grism_align.values.trace import CoarseTrace
    from grism_align.values.transform import LinearTransform, TangentPlane


_WHOLE = DetectorWindow()
_NOTHING_KNOWN = Tracking()


class ExposureKind(Enum):
    """Whether an exposure shows the sky or its spectra."""

    DIRECT = "direct"
    GRISM = "grism"


@dataclass(frozen=True)
class Chip:
    """One science array of an exposure.

    Parameters
    ----------
    number : int
        Which of the exposure's it is, as the mission counts them.
    shape : (ny, nx)
        Pixels.
    wcs : PixelSky
        Pixels to sky as the instrument team's pointing has it: before any correction of ours.
    window : DetectorWindow
        Which part of the detector it is.
    flux_scale : float, arcsec
        Side of the pixel that fluxes are calibrated for; NaN where that is the WCS's.
    trace : CoarseTrace or None
        Where spectra lie, where the exposure itself tells.
    """

    number: int
    shape: tuple[int, int]
    wcs: PixelSky
    window: DetectorWindow = _WHOLE
    flux_scale: float = nan
    trace: CoarseTrace | None = field(default=None, compare=False)

    @property
    def along_columns(self) -> bool:
        """Whether spectra run along columns; along rows otherwise."""
        return self.trace is not None and self.trace.along_columns

    @property
    def native_scale(self) -> float:
        """Side of the pixel that fluxes are calibrated for, arcsec."""
        return self.flux_scale if isfinite(self.flux_scale) else self.wcs.pixel_scale


@dataclass(frozen=True)
class OriginalPointing:
    """Where a chip pointed as commanded, out of reach of those who correct WCSs.

    Parameters
    ----------
    wcs : PixelSky
        Pixels to sky, without distortion.
    pixel : (x, y)
        Where it holds, zero-based: elsewhere the distortion is missing.
    error : float, arcsec
        How far off it WCSs of one solution may be, and differently in a filter and a grism.
    """

    wcs: PixelSky
    pixel: tuple[float, float]
    error: float


@dataclass(frozen=True)
class Exposure:
    """One direct or grism exposure.

    Parameters
    ----------
    key : str
        Root name, unique in a set of exposures.
    source : Source
        What holds it.
    kind : ExposureKind
        DIRECT or GRISM.
    telescope : Telescope
        What took it.
    instrument : str
        As parameter files are called, such as ``wfc3_ir``.
    filter : str
        Filter or grism.
    program : str
        Program.
    visit : str
        Program and visit.
    group : str
        Guide-star acquisition: exposures of one group share one roll error.
    guide_star : str or None
        Guide star, where the headers name it.
    target : str
        Target name.
    dither_offset : (x, y), arcsec
        Commanded offset of the target in the aperture; NaN where it is not known.
    start, end : float, MJD (UTC)
        Of the exposure.
    exposure_time : float, s
        Effective exposure time.
    ab_zero_point : float
        AB magnitude of a source of one count per second; NaN where the headers give none.
    is_rate : bool
        Whether the pixels hold rates; else they hold counts of the whole exposure.
    rejects_cosmic_rays : bool
        Whether cosmic rays were taken out within the exposure, as where it was read out many times.
    chips : tuple of Chip
        Its science arrays.
    applied : LinearTransform or None
        The correction that the file's own WCS already has on top of `chips`' WCS; None if the same.
    governors : tuple of str
        Keys of the direct exposures that the association names for this grism exposure.
    wcs_solution : str
        Which astrometric solution `chips`' WCSs are; empty where the headers don't say. A correction holds
        for exposures whose WCSs are of one solution.
    alternates : mapping of str to PixelSky
        WCSs of the first chip in other solutions, with the same distortion model.
    original : OriginalPointing or None
        Where the first chip pointed before any astrometric solution; None where the headers don't say.
    distortion : str
        Name of the distortion model of the WCSs; empty where the headers don't say.
    taken_names : tuple of str
        Names of all WCSs in the headers.
    wcs_name : str
        The one of `chips`' WCSs, of which `wcs_solution` is a part; empty where the headers don't say.
    is_product : bool
        Whether the file was written by this package.
    pointing : str
        Exposures that one telescope took at the same instant have one: a shift and a roll that they share.
        Empty for an exposure that was taken alone, whose pointing is then its key.
    rate_unit : str
        Unit of the pixels as rates, as FITS headers have it.
    wavelength : float, m
        Pivot wavelength of the filter; NaN where the headers give none.
    blocking_filter : str
        The filter in front of a grism, which its spectra end with; empty for none.
    tracking : Tracking
        How the telescope kept to its pointing.
    camera : str
        What the instrument is a channel of; empty for one that stands alone.
    attitude : (3, 3) ndarray or None
        Directions of the telescope's axes on the sky, as columns, whatever the detector and whatever was done
        to its WCS; None where only the WCS tells.
    """

    key: str
    source: Source
    kind: ExposureKind
    telescope: Telescope
    instrument: str
    filter: str
    program: str
    visit: str
    group: str
    guide_star: str | None
    target: str
    dither_offset: tuple[float, float]
    start: float
    end: float
    exposure_time: float
    ab_zero_point: float
    is_rate: bool
    rejects_cosmic_rays: bool
    chips: tuple[Chip, ...]
    applied: LinearTransform | None = None
    governors: tuple[str, ...] = ()
    wcs_solution: str = ""
    alternates: Mapping[str, PixelSky] = field(default_factory=dict)
    original: OriginalPointing | None = None
    distortion: str = ""
    taken_names: tuple[str, ...] = ()
    wcs_name: str = ""
    is_product: bool = False
    pointing: str = ""
    rate_unit: str = ""
    wavelength: float = nan
    blocking_filter: str = ""
    tracking: Tracking = _NOTHING_KNOWN
    camera: str = ""
    attitude: NDArray[np.float64] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pointing", self.pointing or self.key)

    def solution_named(self, name: str) -> str | None:
        """Return the astrometric solution that a name stands for.

        Parameters
        ----------
        name : str
            Of a WCS (``IDC_w3m18525i-GSC240``), or of the solution alone (``GSC240``), in any case.

        Returns
        -------
        str or None
            One of `alternates` or `wcs_solution`; None for what the exposure does not have, or has with
            another distortion model.
        """
        wanted = name.upper()
        if wanted == self.wcs_name.upper() or wanted == self.wcs_solution.upper():
            return self.wcs_solution
        # a model alone is the pointing as commanded
        bare = "IDC" if wanted == self.distortion.upper() else wanted
        known = {one.upper(): one for one in self.alternates}
        return known.get(bare) or known.get(wanted.removeprefix(f"{self.distortion.upper()}-"))

    @property
    def mount(self) -> str:
        """What holds its detectors: exposures of one mount have one pointing error, by whatever detectors."""
        return self.camera or self.instrument

    @property
    def is_direct(self) -> bool:
        """Whether it shows the sky."""
        return self.kind is ExposureKind.DIRECT

    @property
    def mid(self) -> float:
        """Mid time, MJD (UTC)."""
        return 0.5 * (self.start + self.end)

    @property
    def epoch(self) -> float:
        """Mid time, Julian year."""
        return 2000.0 + (self.mid - 51544.5) / 365.25

    @property
    def plane(self) -> TangentPlane:
        """Tangent plane at the reference point of the first chip, before any correction."""
        return self.chips[0].wcs.plane

    def corrected(self, transform: LinearTransform) -> Exposure:
        """Return the exposure with a correction in the WCSs of its chips.

        Parameters
        ----------
        transform : LinearTransform or None
            In any tangent plane; None changes nothing.

        Returns
        -------
        Exposure
        """
        chips = (replace(chip, wcs=chip.wcs.corrected(transform)) for chip in self.chips)
        return replace(self, chips=tuple(chips))

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel, arcsec."""
        return self.chips[0].wcs.pixel_scale

    @property
    def diffraction(self) -> float:
        """Wavelength over the diameter of the mirror, arcsec; NaN without a wavelength."""
        return ARCSEC_PER_RADIAN * self.wavelength / self.telescope.diameter

    @property
    def resolution(self) -> float:
        """The same in pixels, to 0.01."""
        # what is measured shall not hang on the last digits of a WCS
        return round(self.diffraction / self.pixel_scale, 2)


def by_pointing(exposures: Iterable[Exposure]) -> list[tuple[Exposure, ...]]:
    """Gather the exposures of each pointing, in the order in which pointings come first.

    Parameters
    ----------
    exposures : iterable of Exposure
        In any order.
    """
    found: dict[str, list[Exposure]] = {}
    for exposure in exposures:
        found.setdefault(exposure.pointing, []).append(exposure)
    return [tuple(members) for members in found.values()]
