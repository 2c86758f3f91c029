"""What measuring spectra needs: sources, corrections, and the pixels of one exposure at a time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from grism_align.algorithms.traces.cutouts import GrismImage
from grism_align.algorithms.traces.sources import frame_sources
from grism_align.algorithms.traces.views import chip_view
from grism_align.io.grism_configs import read_trace_configs
from grism_align.io.missions import facts_of
from grism_align.values.settings import DetectionSettings
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from grism_align.algorithms.traces.sources import TraceSources
    from grism_align.algorithms.traces.views import ChipView
    from grism_align.io.grism_configs import TraceModels
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.settings import TraceSettings
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.trace import CoarseTrace, TraceModel
    from grism_align.values.transform import LinearTransform

    #: Models of a grism by chip of the detector.
    TracesByChip = Mapping[int, TraceModel]

_FARTHEST = 1.5  # pixels, of the error that a correction claims: spectra are looked for within thrice that


@dataclass(frozen=True, eq=False)
class Survey:
    """What measuring exposures needs: sources by frame."""

    exposures: ExposureSet
    solution: AlignmentSolution
    settings: TraceSettings
    models: TraceModels
    sources: Mapping[int, TraceSources]

    @classmethod
    def of(cls, exposures: ExposureSet, solution: AlignmentSolution, settings: TraceSettings) -> Survey:
        """Read the configurations, and gather the sources of the frames.

        Raises
        ------
        InputError
            If a configuration can't be read.
        """
        models = read_trace_configs(settings.trace_config)
        fits = [fit for exposure in exposures.grisms if (fit := fit_of(solution, exposure))]
        sources = {frame: frame_sources(exposures, frame) for frame in {fit.frame for fit in fits}}
        return cls(exposures, solution, settings, models, sources)

    def transform(self, exposure: Exposure) -> LinearTransform:
        """Return the correction of an exposure that has one."""
        transform = self.solution[exposure.key].transform
        assert transform is not None
        return transform

    def is_uncertain(self, exposure: Exposure) -> bool:
        """Tell whether the spectra of an exposure may lie far off, by the error that is claimed."""
        error = self.transform(exposure).at(exposure.plane).axis_error
        return not error < _FARTHEST * exposure.pixel_scale

    def job(self, exposure: Exposure, models: TracesByChip | None = None) -> ViewJob:
        """Return what measuring one exposure needs, with the models of its grism."""
        fit = self.solution[exposure.key]
        return ViewJob(
            exposure,
            fit,
            self.settings,
            self.sources[fit.frame],
            _band(self.exposures, fit),
            _good_bits(self.exposures, fit),
            own_models(exposure, models or {}),
        )


@dataclass(frozen=True, eq=False)
class ViewJob:
    """What measuring one exposure needs, wherever that is done.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    fit : ExposureFit
        Its correction.
    settings : TraceSettings
        The parameters.
    sources : TraceSources
        Those of its frame.
    band : str
        Filter of the direct exposures whose correction it has.
    good_bits : int
        DQ bits of usable pixels.
    models : mapping of int to TraceModel
        By chip of the detector.
    """

    exposure: Exposure
    fit: ExposureFit
    settings: TraceSettings
    sources: TraceSources
    band: str
    good_bits: int
    models: TracesByChip = field(default_factory=dict)

    @property
    def transform(self) -> LinearTransform:
        """The correction of an exposure that has one."""
        assert self.fit.transform is not None
        return self.fit.transform


def fit_of(solution: AlignmentSolution, exposure: Exposure) -> ExposureFit | None:
    """Return the fit of an exposure that has a correction."""
    fit = solution.fits.get(exposure.key)
    return fit if fit is not None and fit.is_aligned else None


def views(job: ViewJob) -> Iterator[tuple[GrismImage, ChipView]]:
    """Yield image and sources of each chip of an exposure, one at a time, with the dispersion along rows."""
    if job.fit.transform is not None:
        for chip, image in images(job):
            yield image, view_of(job, chip, job.fit.transform)


def images(job: ViewJob) -> Iterator[tuple[Chip, GrismImage]]:
    """Yield the chips of an exposure and their pixels, one at a time, with the dispersion along rows."""
    for chip, pixels in read_pixels(job.exposure):
        image = GrismImage.of(pixels.sci, pixels.err, pixels.dq, job.good_bits)
        yield chip, image.transposed() if chip.along_columns else image


def view_of(job: ViewJob, chip: Chip, transform: LinearTransform) -> ChipView:
    """Return the sources of a chip as a correction puts them, with the dispersion along rows."""
    view = replace(chip_view(chip, transform, job.sources, job.settings), band=job.band)
    return view.transposed() if chip.along_columns else view


def _band(exposures: ExposureSet, fit: ExposureFit) -> str:
    """Return the filter of the direct exposures whose correction an exposure has."""
    filters = {direct.key: direct.filter for direct in exposures.direct}
    return next((filters[key] for key in fit.governors if key in filters), "")


def _good_bits(exposures: ExposureSet, fit: ExposureFit) -> int:
    """Return DQ bits of usable pixels: those that the direct exposures were measured with."""
    for key in (*fit.governors, *exposures.catalogs):
        if key in exposures.catalogs:
            meta = exposures.catalogs[key].table.meta.get("settings", {})
            return int(meta.get("good_bits", DetectionSettings.good_bits))
    return DetectionSettings.good_bits


def known_trace(exposure: Exposure, chip: Chip) -> CoarseTrace | None:
    """Return where the traces of an exposure's grism lie: as itself tells, else as its mission does."""
    return chip.trace or facts_of(exposure).dispersers.get(exposure.filter)


def own_models(exposure: Exposure, models: TracesByChip) -> TracesByChip:
    """Return models of a grism as they are for one exposure, which may tell the traces of its own."""
    found = dict(models)
    for chip in exposure.chips:
        model = models.get(chip.window.chip)
        if model is not None and chip.trace is not None and not model.name:
            found[chip.window.chip] = replace(chip.trace.model, curve=model.curve)
    return found
