"""The record of a run: what was done to which exposures, from which files, and every fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from grism_align.values.catalog import CatalogAttempt, SkySource
from grism_align.values.declaration import declared, derived, recorded
from grism_align.values.exposure import ExposureKind
from grism_align.values.failure import Remark
from grism_align.values.mosaic import MosaicProduct
from grism_align.values.moved import Moved
from grism_align.values.solution import ExposureFit
from grism_align.values.sphere import separation
from grism_align.values.trace import SpectralCheck, TraceCheck
from grism_align.values.tracking import Tracking
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from grism_align.values.errors import InputError
    from grism_align.values.exposure import Chip, Exposure


Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Texts = NDArray[np.str_]

#: The step that puts exposures onto one of the solutions that they have.
CHOICE = "wcs_set"

# Pixels of a chip, a side, whose positions are on record: enough to tell its distortion from a linear map.
_GRID = 3
# Of these the middles of the sides: left and right, low and high.
_MIDDLES = [3, 5, 1, 7]


@declared()
class Activity:
    """One step that was done, or that was skipped and why."""

    step: str = recorded("Name of the step.")
    outcome: str = recorded(
        "`done`; `failed`, where it changed nothing though it was asked to; or `skipped`."
    )
    note: str = recorded("Why it was skipped, or what to know about it.", default="")
    settings: Mapping[str, Any] = recorded("Every parameter and its value.", default_factory=dict)
    counts: Mapping[str, int] = recorded("What every cut left, by name.", default_factory=dict)
    attempts: tuple[CatalogAttempt, ...] = recorded(
        "Every try to get a reference catalog and to align to it, in order.", default=()
    )
    remarks: tuple[Remark, ...] = recorded(
        "What there is to know of the alignment as a whole, not of one exposure.", default=()
    )
    n_kept: int = recorded(
        "Measurements that were not made but taken over from an earlier run of the same pixels with the same "
        "parameters.",
        default=0,
    )


@declared()
class FileRecord:
    """One file as it was."""

    path: str = recorded("Where it was; of an exposure in memory its name.")
    sha256: str = recorded("Of its bytes, 64 hexadecimal digits; empty for an exposure in memory.")


@declared()
class LeftOut:
    """A file that was given as an exposure and can't be used."""

    path: str = recorded("The file, or what else holds the exposure.")
    problem: str = recorded("What is wrong with it.")
    remedy: str = recorded("What can be done; empty where there is nothing.")

    @classmethod
    def of(cls, error: InputError) -> LeftOut:
        """Take over what an error says."""
        return cls(error.path, error.problem, error.remedy)

    @property
    def name(self) -> str:
        """What users call it: the last part of the path."""
        return re.split(r"[/\\]", self.path)[-1]


@dataclass(frozen=True)
class FilePair:
    """What was read of an exposure and what was written.

    Parameters
    ----------
    input : FileRecord
        The file that was read.
    output : FileRecord or None
        The file with the corrected WCS, None where none was written.
    """

    input: FileRecord
    output: FileRecord | None = None


@declared(eq=False)
class ChipPositions:
    """Where pixels of a chip lie on the sky."""

    number: int = recorded("Which of the exposure's it is, as the mission counts them.")
    shape: tuple[int, int] = recorded("Rows and columns.")
    sky: Floats = recorded(
        "RA and Dec of 3 x 3 pixels from corner to corner, x running fastest.",
        unit="deg",
        shape=(_GRID**2, 2),
    )

    @classmethod
    def of(cls, chip: Chip) -> ChipPositions:
        """Look pixels of a chip up in its WCS."""
        ny, nx = chip.shape
        x, y = np.meshgrid(np.linspace(0, nx - 1, _GRID), np.linspace(0, ny - 1, _GRID))
        return cls(chip.number, chip.shape, chip.wcs.to_sky(np.column_stack([x.ravel(), y.ravel()])))


@declared(eq=False)
class InputWCS:
    """The WCS of an exposure before any correction."""

    names: tuple[str, ...] = recorded("Of all WCSs in the headers.")
    distortion: str = recorded("Name of its distortion model; empty where unknown.")
    chips: tuple[ChipPositions, ...] = recorded("Each chip, with positions of some pixels.")

    @classmethod
    def of(cls, exposure: Exposure) -> InputWCS:
        """Look pixels up all over an exposure."""
        return cls(exposure.taken_names, exposure.distortion, tuple(map(ChipPositions.of, exposure.chips)))


@declared(eq=False)
class Displacement:
    """What a correction is at one point of the sky."""

    shift: Floats = recorded("East and north.", unit="mas", shape=(2,))
    roll: float = recorded("Growth of position angles, north through east.", unit="deg")
    scale: float = recorded("Growth of distances.")
    skew: float = recorded("Departure of the axes from a right angle.", unit="deg")
    error: float = recorded("Standard error of the shift, of one axis; NaN where unknown.", unit="mas")

    @classmethod
    def of(cls, transform: LinearTransform, plane: TangentPlane) -> Displacement:
        """Look at a map where a plane touches the sky."""
        there = transform.at(plane)
        error = 1e3 * there.axis_error if there.covariance.any() else float("nan")
        return cls(1e3 * there.shift, there.roll, there.scale, there.skew, error)


@declared(eq=False)
class Detections:
    """The sources of a direct exposure that its fits are about, as it measured them."""

    source: Ints = recorded("Number of the source in the relative frame.", shape=("n",))
    id: Ints = recorded("Its `id` in the exposure's own catalog.", shape=("n",))
    chip: Ints = recorded("Number of the chip that shows it.", shape=("n",))
    x: Floats = recorded(
        "Column, zero at the centre of the first pixel, distorted frame.", unit="pixel", shape=("n",)
    )
    y: Floats = recorded("Row, likewise.", unit="pixel", shape=("n",))
    mag: Floats = recorded("AB magnitude in this exposure.", unit="mag", shape=("n",))
    ra: Floats = recorded("Right ascension by the corrected WCS.", unit="deg", shape=("n",))
    dec: Floats = recorded("Declination, likewise.", unit="deg", shape=("n",))


@declared(eq=False)
class ExposureRecord:
    """What is on record of one exposure."""

    kind: ExposureKind = recorded("`direct` or `grism`.")
    instrument: str = recorded("As the mission names it.")
    filter: str = recorded("Filter or grism.")
    program: str = recorded("Program.")
    visit: str = recorded("Program and visit.")
    target: str = recorded("Target, as the headers name it; empty where they don't.")
    group: str = recorded("Guide-star acquisition: exposures of one group share their roll.")
    pointing: str = recorded("Exposures of one instant share a pointing, and its correction.")
    guide_star: str | None = recorded("As the headers have it; null where unknown.")
    wcs_solution: str = recorded(
        "Solution of the WCS before any correction, from which a correction holds; `IDC` is the commanded "
        "pointing."
    )
    input_wcs: InputWCS = recorded("That WCS.")
    plane: TangentPlane = recorded("The exposure's own reference point: CRVAL of its first chip by that WCS.")
    start: float = recorded("Start of the exposure.", unit="MJD (UTC)")
    end: float = recorded("Its end.", unit="MJD (UTC)")
    exposure_time: float = recorded("Effective exposure time.", unit="s")
    tracking: Tracking = recorded("How the telescope kept to its pointing, by the headers.")
    input: FileRecord = recorded("The file that was read.")
    output: FileRecord | None = recorded("The file with the corrected WCS; null where none was written.")
    applied: LinearTransform | None = recorded(
        "The correction that the input file's WCS had already; null for none."
    )
    relative: ExposureFit | None = recorded(
        "Fit to the other direct exposures; null where the step did not fit this exposure."
    )
    absolute: ExposureFit | None = recorded("Fit of the relative frame to the catalog, likewise.")
    grism: ExposureFit | None = recorded("Correction that a grism exposure has from direct ones, likewise.")
    spectra: SpectralCheck | None = recorded(
        "How the spectra of a grism exposure lie against those of others, and what was corrected by that; "
        "null for a direct exposure, or where there are no others of its grism."
    )
    traces: TraceCheck | None = recorded(
        "How far the spectra of a grism exposure lie, across the dispersion, from where its WCS says; null "
        "for a direct exposure, or where that was not asked for."
    )
    detections: Detections | None = recorded(
        "Where a direct exposure saw the sources of its fits; null for a grism exposure, or where its "
        "catalog is not at hand.",
        default=None,
    )

    @property
    @derived()
    def total(self) -> ExposureFit | None:
        """All corrections of this exposure together, without residuals; null where there is no fit."""
        fit = self._last
        return None if fit is None else replace(fit, residuals=None)

    @cached_property
    @derived()
    def displacement(self) -> Displacement | None:
        """What the total correction is at the exposure's own reference point; null where there is none."""
        fit = self._last
        return Displacement.of(fit.transform, self.plane) if fit and fit.transform else None

    @cached_property
    def _last(self) -> ExposureFit | None:
        return self.grism or (self.relative.then(self.absolute) if self.relative else None)

    @property
    def is_direct(self) -> bool:
        """Whether it shows the sky."""
        return self.kind is ExposureKind.DIRECT

    @cached_property
    def pixel_side(self) -> float:
        """Mean side of a pixel of the first chip, mas."""
        chip = self.input_wcs.chips[0]
        left, right, low, high = chip.sky[_MIDDLES]
        ny, nx = chip.shape
        sides = separation(left, right) / (nx - 1), separation(low, high) / (ny - 1)
        return 3.6e6 * float(np.sqrt(sides[0] * sides[1]))


@declared(eq=False)
class AlignedSources:
    """The sources of a solution where all corrections together put them."""

    name: str = recorded(
        "What the list is called as a catalog: capital letters and digits of the product, 16 at most."
    )
    file: str | None = recorded("Name of the file beside this one that has it too.")
    identifier: Texts = recorded("`NAME-frame-number`, the latter two those in `sources`.", shape=("n",))
    frame: Ints = recorded("Number of the relative frame.", shape=("n",))
    ra: Floats = recorded("Right ascension in the final frame at `epoch`.", unit="deg", shape=("n",))
    dec: Floats = recorded("Declination, likewise.", unit="deg", shape=("n",))
    ra_error: Floats = recorded(
        "Standard error to the east, that of the frame included.", unit="mas", shape=("n",)
    )
    dec_error: Floats = recorded("The same to the north.", unit="mas", shape=("n",))
    ra_dec_corr: Floats = recorded("Correlation of the two.", shape=("n",))
    epoch: Floats = recorded("Mean epoch of the measurements.", unit="Julian year", shape=("n",))
    mag: Floats = recorded("AB magnitude.", unit="mag", shape=("n",))


@declared(eq=False)
class ReferenceSources:
    """A reference catalog as used, at the mean epoch of the exposures tied to it."""

    identifier: Texts = recorded("The catalog's own.", shape=("n",))
    ra: Floats = recorded("Right ascension at the mean epoch.", unit="deg", shape=("n",))
    dec: Floats = recorded("Declination at the mean epoch.", unit="deg", shape=("n",))
    error: Floats = recorded("Standard error of one axis then.", unit="mas", shape=("n",))
    epoch: Floats = recorded("The catalog's own.", unit="Julian year", shape=("n",))
    mag: Floats = recorded("Magnitude, in any band.", unit="mag", shape=("n",))
    n_fits: Ints = recorded("In how many exposures' fits the source had weight.", shape=("n",))


@declared(eq=False)
class ReferencePositions:
    """Where an exposure should see the sources of its absolute fit."""

    epoch: float = recorded("Of its middle.", unit="Julian year")
    reference_position: Floats = recorded(
        "RA and Dec, a row for each row of the fit's residuals; NaN where the catalog has no such source.",
        unit="deg",
        shape=("n", 2),
    )


@declared(eq=False)
class ReferenceRecord:
    """What the absolute step aligned to."""

    name: str = recorded("What it is called.")
    origin: str = recorded("The file or service that it came from.")
    n: int = recorded("Sources as used.")
    sha256: str | None = recorded("Of the file that it came from; null for a service.")
    file: str | None = recorded(
        "Name of the file beside this one that has the catalog as used; null where that was lost."
    )
    mean_epoch: float = recorded("Mean epoch of the exposures that are tied to it.", unit="Julian year")
    sources: ReferenceSources = recorded("The catalog as used, an array a column.")
    exposures: Mapping[str, ReferencePositions] = recorded(
        "By root name, where its sources were.", table=True
    )


@declared(eq=False)
class StarStamps:
    """The same stars before and after the corrections, stacked over the exposures that saw them."""

    identifier: Texts = recorded("As in `aligned_sources`; eight at most.", shape=("n",))
    ra: Floats = recorded("Right ascension.", unit="deg", shape=("n",))
    dec: Floats = recorded("Declination.", unit="deg", shape=("n",))
    n_exposures: Ints = recorded(
        "How many exposures are in the pictures of each, of 48 at most.", shape=("n",)
    )
    scale: float = recorded("From point to point of a picture.", unit="arcsec")
    common_offset: tuple[float, float] = recorded(
        "East and north; taken off the pictures before where all exposures are off by more.", unit="arcsec"
    )
    before: NDArray[np.float32] = recorded(
        "Of all stars together and then of each, by the WCS before, in units of the star's flux; rows to the "
        "north, columns to the west.",
        shape=("n + 1", "size", "size"),
    )
    after: NDArray[np.float32] = recorded("The same by the corrected WCS.", shape=("n + 1", "size", "size"))
    off_before: Floats = recorded(
        "How far the images are from the star by the WCS before, rms; without `common_offset`.",
        unit="arcsec",
        shape=("n + 1",),
    )
    off_after: Floats = recorded(
        "How far the star's light is from the middle of the picture after; NaN for a dark one.",
        unit="arcsec",
        shape=("n + 1",),
    )


@declared()
class References:
    """What fixes the frame of the fits of each step: exposures, a visit or a catalog; empty before it ran."""

    relative: str = recorded("Of the relative fits.", default="")
    absolute: str = recorded("Of the absolute fits.", default="")
    grism: str = recorded("Of the grism exposures'.", default="")


@declared(eq=False)
class Record:
    """What grism_align did to the exposures of one field."""

    created: str = recorded("When the file was written, UTC, ISO 8601.")
    software: Mapping[str, str] = recorded(
        "Versions of python, grism_align, numpy, astropy, asdf and stpipe, by name."
    )
    product: str = recorded("Name of the association's product.")
    parameter_file: str = recorded(
        "The instrument's parameter file, and yours if you gave one; empty for none."
    )
    association: str = recorded("File name of the input association; empty for a list or a folder.")
    activities: tuple[Activity, ...] = recorded("The steps, in the order in which they ran.")
    references: References = recorded("What fixes the frame of each step's fits.")
    sources: tuple[SkySource, ...] = recorded(
        "The sources of the relative frame, an array a column.", table=True
    )
    aligned_sources: AlignedSources | None = recorded(
        "The same sources where all corrections together put them; null without a relative solution."
    )
    reference_catalog: ReferenceRecord | None = recorded(
        "What the absolute step aligned to; null if there is none."
    )
    stamps: StarStamps | None = recorded(
        "The same stars before and after, for the report; null without a report, or where no star was seen "
        "twice."
    )
    mosaics: tuple[MosaicProduct, ...] = recorded("The mosaics that were made with these corrections.")
    exposures: Mapping[str, ExposureRecord] = recorded("By root name.", table=True)
    left_out: tuple[LeftOut, ...] = recorded("Files that were given and can't be used.", default=())
    moved: Moved | None = recorded(
        "How far exposures have moved since an earlier run of the same steps, which this one goes on from or "
        "replaces; null without one.",
        default=None,
    )

    @property
    def is_start(self) -> bool:
        """Whether it tells of WCSs that were chosen and not fitted: where alignments start from."""
        return self.activity(CHOICE) is not None

    def activity(self, step: str) -> Activity | None:
        """Return what is on record of one step.

        Parameters
        ----------
        step : str
            Its name.

        Returns
        -------
        Activity or None
            None where it did not run.
        """
        return next((one for one in self.activities if one.step == step), None)


@dataclass(frozen=True, eq=False)
class EarlierRecord:
    """The record that a run goes on from.

    Parameters
    ----------
    path : str
        Its file.
    record : Record
        What it says.
    """

    path: str
    record: Record = field(repr=False)
