"""Parameters: one frozen dataclass for each group that travels together.

Every parameter is declared once, with its default, unit, bounds and help; the stpipe spec, the checks
and the tables of the documentation are made from these declarations.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from math import inf
from numbers import Integral, Real
from typing import Any

from grism_align.values.addresses import LOGINS, has_login, without_login
from grism_align.values.errors import SettingsError
from grism_align.values.outcome import ReservationKind


@dataclass(frozen=True)
class Parameter:
    """The declaration of one parameter.

    Parameters
    ----------
    name : str
        Keyword.
    default : int, float, str, bool, tuple of str or None
        Its type is the parameter's type; None is allowed for text and for optional numbers.
    help : str
        One line.
    unit : str
        Empty where there is none.
    kind : type
        int, float, str, bool or tuple.
    minimum, maximum : float or None
        Bounds, included.
    choices : tuple of str
        Allowed texts.
    """

    name: str
    default: Any
    help: str
    unit: str
    kind: type
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]

    def check(self, value: Any) -> None:
        """Raise `SettingsError` if a value is not allowed."""
        if value is None and self.default is None:
            return
        given = value if self.kind is tuple else (value,)
        if self.choices and not set(given) <= set(self.choices):
            raise SettingsError(self.name, value, f"must be one of {', '.join(self.choices)}")
        if self.kind in (int, float):
            self._check_number(value)

    def _check_number(self, value: Any) -> None:
        if not isinstance(value, Real):
            raise SettingsError(self.name, value, "must be a number")
        low = -inf if self.minimum is None else self.minimum
        high = inf if self.maximum is None else self.maximum
        # Put so that NaN, which compares false, is refused.
        if not low <= float(value) <= high:
            raise SettingsError(self.name, value, f"must be within {self.bounds or '[-inf, inf]'}")
        if self.kind is int and not isinstance(value, Integral):
            raise SettingsError(self.name, value, "must be a whole number")

    @property
    def bounds(self) -> str:
        """The bounds as text, empty where there are none."""
        if self.minimum is None and self.maximum is None:
            return ""
        low = "-inf" if self.minimum is None else f"{self.minimum:g}"
        high = "inf" if self.maximum is None else f"{self.maximum:g}"
        return f"[{low}, {high}]"


_KINDS = {"int": int, "float": float, "str": str, "bool": bool, "tuple[str, ...]": tuple}


def _parameter(
    default: Any,
    text: str,
    unit: str = "",
    bounds: tuple[float | None, float | None] = (None, None),
    choices: tuple[str, ...] = (),
) -> Any:
    return field(default=default, metadata={"help": text, "unit": unit, "bounds": bounds, "choices": choices})


def _declared(item: Field[Any]) -> Parameter:
    meta = item.metadata
    kind = _KINDS[str(item.type).removesuffix(" | None")]
    low, high = meta["bounds"]
    return Parameter(item.name, item.default, meta["help"], meta["unit"], kind, low, high, meta["choices"])


def parameters_of(group: type[Settings]) -> tuple[Parameter, ...]:
    """Return the declarations of a group, in order."""
    return tuple(_declared(item) for item in fields(group))


@dataclass(frozen=True)
class Settings:
    """Base of the groups: checks its values when made.

    Raises
    ------
    SettingsError
        If a value is out of bounds, or an address with a login in it.
    """

    def __post_init__(self) -> None:
        for parameter in parameters_of(type(self)):
            value = getattr(self, parameter.name)
            if isinstance(value, str) and has_login(value):
                raise SettingsError(parameter.name, without_login(value), LOGINS)
            parameter.check(value)


@dataclass(frozen=True)
class ExecutionSettings(Settings):
    """Who works on exposures, and on how many at the same time."""

    nproc: int | None = _parameter(
        None,
        "Processes that work at the same time, 0 for one a core; default: the pipeline's, or as many as "
        "cores, exposures and memory allow, and one where the work is done in seconds",
        "",
        (0, None),
    )
    executor: str | None = _parameter(
        None,
        "Who works: processes of this machine, or workers of dask, parsl or mpi; default: the pipeline's, or "
        "processes",
    )
    dask_address: str | None = _parameter(
        None,
        "Scheduler of dask, tcp://HOST:PORT or the file that it wrote; default: the client that there is, or "
        "$DASK_SCHEDULER_ADDRESS",
    )
    executor_config: str | None = _parameter(
        None, "What an executor is set up with; of parsl a Python file that defines its config"
    )


@dataclass(frozen=True)
class KeepingSettings(Settings):
    """What is taken over from earlier runs."""

    resume: bool = _parameter(
        True,
        "Take over measurements that an earlier run, finished or not, made of the same pixels with the same "
        "parameters; else measure anew",
    )
    cache_size: float = _parameter(
        2.0, "Room for kept measurements; the longest unused make room; zero keeps none", "GB", (0.0, 1e4)
    )


@dataclass(frozen=True)
class FailureSettings(Settings):
    """What ends a run."""

    bad_input: str = _parameter(
        "auto",
        "An exposure that can't be used: leave it out and go on (leave_out), or refuse all (refuse); auto: "
        "leave it out of a folder, and where there is more than one visit",
        "",
        choices=("auto", "leave_out", "refuse"),
    )
    fail_on: tuple[str, ...] = _parameter(
        (),
        "Reservations that are errors, for which nothing is written, commas between",
        "",
        choices=("any", *ReservationKind),
    )

    @property
    def what_of_bad_input(self) -> str:
        """`bad_input`, but for whoever insists that nothing is left out."""
        return self.bad_input if {"any", "left_out"}.isdisjoint(self.fail_on) else "refuse"


@dataclass(frozen=True)
class OutputSettings(Settings):
    """What is written."""

    in_place: bool = _parameter(False, "Replace the input files, each atomically, the old WCS archived")
    headerlets: str = _parameter(
        "none",
        "Write each new WCS by itself, ROOT_hlet.fits or Roman's ROOT_wcs.asdf (file), or attach it (attach)",
        "",
        choices=("none", "file", "attach"),
    )
    report: bool = _parameter(True, "PRODUCT_report.html, the page that shows what was done")
    regions: bool = _parameter(False, "ROOT.reg, DS9 regions of each direct exposure's sources")
    csv: bool = _parameter(False, "Write each table as CSV, too")
    figures: str = _parameter(
        "none",
        "Write the plots of the report as files, PRODUCT_NAME.png or .pdf",
        "",
        choices=("none", "png", "pdf"),
    )


_GEOMETRIES = ("auto", "shift", "rshift", "rscale", "general")


@dataclass(frozen=True)
class DetectionSettings(Settings):
    """How sources are found and measured on one chip."""

    threshold: float = _parameter(6.0, "Peak of the matched-filtered image, in sigma", "sigma", (1.0, None))
    contrast: float = _parameter(
        0.0,
        "By how much peaks stand out of their surroundings at least; if not, noise on large galaxies counts",
        "sigma",
        (0.0, None),
    )
    kernel_sigma: float = _parameter(0.9, "Gaussian sigma of the matched filter", "pix", (0.3, 5.0))
    window_sigma: float = _parameter(1.7, "Gaussian sigma of the centroid's window", "pix", (0.5, 10.0))
    centroid: str = _parameter(
        "psf",
        "Position of a star: fit of the PSF, by the chip's stars and the optics (psf), or windowed",
        "",
        choices=("psf", "windowed"),
    )
    obstruction: float = _parameter(
        0.3,
        "Width of what stands before the telescope's mirror, in the mirror's; for the PSF",
        "",
        (0.01, 0.9),
    )
    sharpest: float = _parameter(
        0.3, "Smallest width (sigma) of a real source; narrower is a cosmic ray", "pix", (0.0, 5.0)
    )
    separation: int = _parameter(3, "Least distance of two peaks", "pix", (1, 50))
    background_box: int = _parameter(64, "Box of the local background", "pix", (8, 2048))
    good_bits: int = _parameter(0, "Sum of the DQ bits that leave a pixel usable", "", (0, 4294967295))
    saturation_bits: int = _parameter(0, "Sum of the DQ bits of saturated pixels", "", (0, 4294967295))
    aperture: float = _parameter(3.0, "Radius of the aperture of flux and magnitude", "pix", (1.0, 20.0))
    edge: int = _parameter(5, "Sources nearer to the edge of the chip are flagged", "pix", (0, 100))
    trail_ellipticity: float = _parameter(
        0.15, "Mean ellipticity of the brightest sources above which an exposure is trailed", "", (0.02, 1.0)
    )


@dataclass(frozen=True)
class MatchSettings(Settings):
    """How two lists of sources are matched and how a match is judged."""

    brightest: int = _parameter(200, "Sources used of each list, the brightest first", "", (5, 100000))
    search_radius: float = _parameter(120.0, "Largest offset searched", "arcsec", (0.1, 300.0))
    max_roll: float = _parameter(180.0, "Largest roll searched; 180 for any", "deg", (0.0, 180.0))
    tolerance: float = _parameter(
        0.3, "Distance of a pair in the first match; shrinks as the fit improves", "arcsec", (0.01, 5.0)
    )
    min_matches: int = _parameter(6, "Fewest sources of an acceptable fit", "", (3, 1000))
    max_false_match: float = _parameter(
        1e-4, "Largest probability that chance made the match", "", (0.0, 1.0)
    )
    clip: float = _parameter(4.0, "Residuals beyond this many sigma lose their weight", "sigma", (1.5, 20.0))
    max_rms: float = _parameter(
        0.5, "Largest rms residual of an acceptable fit, of one axis", "pix", (0.01, 5.0)
    )
    max_leverage: float = _parameter(
        0.7, "Largest share of one source in the weight of an exposure; more is not given", "", (0.5, 1.0)
    )


@dataclass(frozen=True)
class ReferenceMatchSettings(MatchSettings):
    """How sources are matched with a reference catalog, which often has but few stars of a field."""

    min_matches: int = _parameter(4, "Fewest reference sources of an acceptable fit", "", (3, 1000))


@dataclass(frozen=True)
class RelativeSettings(Settings):
    """The frame that all direct exposures are brought onto."""

    reference: str | None = _parameter(
        None,
        "Exposure that keeps its WCS, or visit whose mean shift and roll stay; default: the first direct one "
        "that is where most visits say",
    )
    fitgeometry: str = _parameter(
        "auto",
        "Fitted besides shifts: nothing (shift), roll (rshift), and scale (rscale), and shears (general); "
        "auto: a roll, and of the others what the data ask for",
        "",
        choices=_GEOMETRIES,
    )
    roll: str = _parameter(
        "auto",
        "One roll, and what else is fitted, for a guide-star acquisition, or for each exposure; auto: for "
        "each exposure where the data ask for it",
        "",
        choices=("auto", "acquisition", "exposure"),
    )
    least_evidence: float = _parameter(
        3.0, "Logarithm of the Bayes factor from which on the data ask for more", "", (0.0, 1000.0)
    )
    centroid_floor: float = _parameter(
        0.005,
        "Least error of a centroid; what errors leave unexplained is added from the data",
        "pix",
        (0.0, 1.0),
    )
    saturated_error: float = _parameter(
        0.2, "Error of the centroid of a saturated source; zero leaves such sources out", "pix", (0.0, 10.0)
    )


@dataclass(frozen=True)
class PointingSettings(Settings):
    """How well the telescope's pointing is known beforehand; enters the joint solution as a prior."""

    dither_error: float = _parameter(
        0.02, "Error of a dither within a guide-star acquisition, of one axis", "arcsec", (1e-4, 100.0)
    )
    visit_error: float = _parameter(
        0.5, "Error of the pointing of a guide-star acquisition, of one axis", "arcsec", (1e-3, 1000.0)
    )
    roll_error: float = _parameter(0.02, "Error of the roll of a guide-star acquisition", "deg", (1e-5, 90.0))
    scale_error: float = _parameter(
        1e-4, "Error of the scale, and of the shears, of a guide-star acquisition", "", (1e-7, 0.1)
    )
    dither_roll_error: float = _parameter(
        0.002, "Change of the roll within a guide-star acquisition, where it changes", "deg", (1e-6, 90.0)
    )
    dither_scale_error: float = _parameter(1e-5, "The same of the scale, and of the shears", "", (1e-8, 0.1))
    detector_error: float = _parameter(
        0.005,
        "Error of the place of a detector among those of its camera, of one axis; zero takes it as known",
        "arcsec",
        (0.0, 10.0),
    )
    gyro_drift: float = _parameter(
        5.0,
        "Drift of the pointing where gyros hold it, of one axis; a first guess",
        "arcsec/h",
        (0.0, 1000.0),
    )


@dataclass(frozen=True)
class MotionSettings(Settings):
    """What becomes of exposures during which the telescope followed something, or was moved on purpose."""

    take_moving: bool = _parameter(
        False, "Use exposures of moving targets and spatial scans as any other; else they are left out"
    )


@dataclass(frozen=True)
class ReferenceSettings(Settings):
    """The catalog that the relative frame is aligned to, and what is fitted."""

    catalog: str | None = _parameter(
        None,
        "A service (GAIADR3, ...), auto, a catalog file, or a run's provenance; none: the step is skipped",
    )
    catalog_name: str | None = _parameter(
        None, "What to call the catalog in headers; default: the file's name"
    )
    ra_column: str | None = _parameter(None, "Column of right ascension; default: recognised")
    dec_column: str | None = _parameter(None, "Column of declination; default: recognised")
    mag_column: str | None = _parameter(None, "Column of magnitudes; default: recognised")
    epoch: float | None = _parameter(
        None, "Epoch of the positions where the file does not give it", "Julian year", (1800.0, 2200.0)
    )
    fitgeometry: str = _parameter(
        "auto",
        "What is fitted: shift, shift and roll (rshift), and scale (rscale), or all linear terms (general); "
        "auto: rscale of a frame, and of its exposures what their relative alignment has",
        "",
        choices=_GEOMETRIES,
    )
    solve: str = _parameter(
        "joint",
        "Solve the exposures anew with the catalog (joint), or move as one rigid whole each relative frame, "
        "each visit or each exposure",
        "",
        choices=("joint", "frame", "visit", "exposure"),
    )


@dataclass(frozen=True)
class SelectionSettings(Settings):
    """Which sources of a reference catalog are used."""

    bright_limit: float | None = _parameter(None, "Brightest magnitude used")
    faint_limit: float | None = _parameter(None, "Faintest magnitude used")
    margin: float = _parameter(
        120.0, "Margin around the exposures within which reference sources are used", "arcsec", (0.0, 600.0)
    )
    max_sources: int = _parameter(2000, "Reference sources used, the brightest first", "", (3, 1000000))
    max_density: float | None = _parameter(
        None,
        "Most reference sources used of any square arcmin, the brightest first",
        "arcmin^-2",
        (0.1, None),
    )
    galaxies: bool = _parameter(True, "Use sources that the catalog calls extended")
    max_ruwe: float = _parameter(1.4, "Largest RUWE used, where the catalog has it", "", (0.0, None))
    max_excess_noise: float = _parameter(
        2.0, "Largest excess noise used, where the catalog has it", "mas", (0.0, None)
    )
    duplicated: bool = _parameter(False, "Use sources that the catalog flags as duplicated")
    without_motion: str = _parameter(
        "inflate",
        "Sources without a proper motion, but for extended ones, which have none: use them with an inflated "
        "error, or drop them",
        "",
        choices=("inflate", "drop"),
    )
    unknown_motion: float = _parameter(
        5.0,
        "Error of a proper motion that is not known, of one axis; zero for galaxies",
        "mas/yr",
        (0.0, 1e4),
    )


@dataclass(frozen=True)
class ServiceSettings(Settings):
    """How catalog services are asked."""

    offline: bool = _parameter(False, "Use the cache and files only")
    cache_dir: str | None = _parameter(
        None, "Where fetched catalogs are kept; default: $GRISM_ALIGN_CACHE, else the user's cache folder"
    )
    services: str | None = _parameter(
        None, "TOML file of further services, or of other settings of those that are known"
    )
    service_url: str | None = _parameter(None, "TAP endpoint asked instead of the service's own")
    service_hosts: tuple[str, ...] = _parameter(
        (), "Hosts besides its own that a service may send to, in redirections and addresses of jobs"
    )
    auto_order: tuple[str, ...] = _parameter(
        ("GAIADR3", "PS1DR2", "LSDR10", "NSCDR2", "SDSSDR16", "HSCV3", "2MASS"),
        "Services that catalog=auto tries, until one ties every exposure",
    )
    timeout: float = _parameter(
        60.0, "Longest wait for a service's answer, and as long again for a job's", "s", (0.1, 3600.0)
    )
    retries: int = _parameter(2, "Times that a service that does not answer is asked again", "", (0, 20))
    max_rows: int = _parameter(100000, "More rows than this are refused", "", (10, 3000000))


@dataclass(frozen=True)
class MosaicSettings(Settings):
    """How direct exposures are combined, and how sources are found on the mosaic."""

    extent: str = _parameter(
        "visit",
        "A mosaic of each visit and filter, of the whole field in each filter, or both",
        "",
        choices=("visit", "field", "both"),
    )
    scale: float = _parameter(0.06, "Side of a pixel of the mosaic", "arcsec", (0.001, 10.0))
    orientation: float = _parameter(
        0.0, "Position angle of +y of the mosaic, north through east", "deg", (-360.0, 360.0)
    )
    grid_image: str | None = _parameter(
        None, "FITS image without distortion whose pixels are used, in place of scale and orientation"
    )
    pixfrac: float = _parameter(0.8, "Side of a drop, in pixels of the exposure", "", (0.01, 1.0))
    kernel: str = _parameter(
        "square", "Form of a drop", "", choices=("square", "turbo", "point", "gaussian", "lanczos3")
    )
    weights: str = _parameter(
        "background",
        "Weight: inverse variance of the chip's sky (background), of each pixel (error, not for photometry: "
        "peaks of stars count less), or exposure time",
        "",
        choices=("background", "error", "exposure"),
    )
    level_background: bool = _parameter(True, "Subtract the level of the sky of each chip")
    good_bits: int = _parameter(0, "Sum of the DQ bits that leave a pixel usable", "", (0, 4294967295))
    cosmic_rays: str = _parameter(
        "auto",
        "Reject by the median of the exposures, by a Laplacian filter in each, not at all; auto: median of "
        "several, Laplacian of a single exposure of a CCD",
        "",
        choices=("auto", "median", "laplacian", "none"),
    )
    cr_snr: float = _parameter(5.0, "Excess over the median that is a cosmic ray", "sigma", (1.0, 100.0))
    cr_snr_beside: float = _parameter(4.0, "The same beside another cosmic ray", "sigma", (1.0, 100.0))
    cr_scale: float = _parameter(
        3.0, "Share of the median's local gradient that is added to that limit", "", (0.0, 10.0)
    )
    cr_scale_beside: float = _parameter(2.4, "The same beside another cosmic ray", "", (0.0, 10.0))
    flag_exposures: bool = _parameter(
        False, "Set the DQ bit of cosmic rays in the exposures that are written"
    )
    make_catalog: bool = _parameter(True, "Write the mosaic's source catalog and segmentation image")
    detect_snr: float = _parameter(
        3.0, "Signal-to-noise ratio of a pixel of a source, in the filtered mosaic", "sigma", (1.0, 100.0)
    )
    detect_fwhm: float = _parameter(0.15, "FWHM of the Gaussian filter of detection", "arcsec", (0.01, 10.0))
    detect_area: int = _parameter(9, "Fewest pixels of a source", "pix", (1, 10000))
    deblend_contrast: float = _parameter(
        0.05,
        "Share of the light of a blend that a peak has at least to be a source of its own",
        "",
        (0.0, 1.0),
    )
    aperture: float = _parameter(0.36, "Radius of the aperture of the magnitudes", "arcsec", (0.01, 60.0))
    background_box: float = _parameter(
        8.0, "Box of the background that is subtracted for detection and magnitudes", "arcsec", (0.5, 600.0)
    )
    tile: int = _parameter(8192, "Side of the part of a mosaic that is in memory", "pix", (64, 65536))

    @property
    def drop_side(self) -> float:
        """Side of a drop that counts, pixels of the exposure: Lanczos' kernel has but one, a point none."""
        return {"lanczos3": 1.0, "point": 0.0}.get(self.kernel, self.pixfrac)


@dataclass(frozen=True)
class PropagationSettings(Settings):
    """Which direct exposures govern a grism exposure, and how far their correction holds."""

    method: str = _parameter(
        "auto",
        "Between direct exposures where that is worth it, else the one of its pointing, else the one before "
        "(auto); the one before, or else the first (previous); the nearest in time, of its pointing if there "
        "is one (nearest); between those before and after (interpolate); the mean of its acquisition (visit)",
        "",
        choices=("auto", "previous", "nearest", "interpolate", "visit"),
    )
    pairing_radius: float = _parameter(
        1.0, "Two exposures nearer than this on the sky share a pointing", "arcsec", (0.0, 60.0)
    )
    drift_error: float = _parameter(
        0.005,
        "Drift of the pointing, standard deviation of one axis; it changes within half an hour or more",
        "arcsec",
        (0.0, 10.0),
    )
    learn_errors: bool = _parameter(
        True,
        "Let the direct exposures tell drift_error, dither_error and gyro_drift, from those as a first guess",
    )


@dataclass(frozen=True)
class TraceSettings(Settings):
    """How corrections are verified on the traces of spectra, and what may be changed by them."""

    spectra: str = _parameter(
        "auto",
        "Correct grism exposures by their own spectra: where there are source catalogs to predict these from "
        "(auto), always (on), never (off)",
        "",
        choices=("auto", "on", "off"),
    )
    trace_config: tuple[str, ...] = _parameter(
        (),
        "Grism configurations (aXe or GRISMCONF): files, GRISM=file or GRISM:CHIP=file, commas between; "
        "default: exposures of a grism are compared with each other",
    )
    spectra_sources: int = _parameter(
        120, "Sources whose spectra are compared between exposures, the brightest first", "", (5, 1000)
    )
    spectra_search_radius: float = _parameter(
        10.0,
        "How far grism exposures that no direct exposure governs, or that don't show their spectra where "
        "they should, may be off to be found by the spectra of others; 0 looks for none",
        "arcsec",
        (0.0, 30.0),
    )
    trace_sources: int = _parameter(
        60, "Sources whose traces are measured in each exposure, the brightest first", "", (5, 1000)
    )
    trace_fwhm: float = _parameter(5.0, "Widest source used, in direct exposures", "pix", (1.0, 50.0))
    trace_isolation: float = _parameter(
        8.0, "Spectra nearer to another of not much fainter light are not used", "pix", (0.0, 100.0)
    )
    trace_contrast: float = _parameter(
        3.0, "Magnitudes by which another source is fainter and does not disturb", "mag", (0.0, 10.0)
    )
    trace_window: float = _parameter(
        1.5, "Gaussian sigma of the window of the centroid across a trace", "pix", (0.5, 10.0)
    )
    trace_snr: float = _parameter(10.0, "Least signal-to-noise ratio of a piece of a trace", "", (3.0, 1e4))
    trace_significance: float = _parameter(
        3.0, "Least disagreement between spectra and a WCS that is told, in its errors", "sigma", (1.0, 100.0)
    )


@dataclass(frozen=True)
class AbsoluteSettings:
    """What the absolute alignment goes by.

    Parameters
    ----------
    reference : ReferenceSettings
        What is fitted.
    selection : SelectionSettings
        What is used of the catalog.
    pointing : PointingSettings
        How well the a priori WCSs are known.
    match : ReferenceMatchSettings
        How the catalog is matched and the match judged.
    """

    reference: ReferenceSettings = ReferenceSettings()
    selection: SelectionSettings = SelectionSettings()
    pointing: PointingSettings = PointingSettings()
    match: ReferenceMatchSettings = ReferenceMatchSettings()


@dataclass(frozen=True)
class GrismSettings:
    """What grism exposures are corrected by.

    Parameters
    ----------
    propagation : PropagationSettings
        Which direct exposures govern them, and how fast the pointing drifts.
    pointing : PointingSettings
        Errors of dithers and of visits.
    """

    propagation: PropagationSettings = PropagationSettings()
    pointing: PointingSettings = PointingSettings()
