"""The one value that passes from step to step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from grism_align.values.association import Association
from grism_align.values.solution import AlignmentSolution

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.catalog import ReferenceCatalog, SkySource, SourceCatalog
    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import ChipMask, StagedMosaic
    from grism_align.values.record import Activity, EarlierRecord, LeftOut
    from grism_align.values.solution import ExposureFit
    from grism_align.values.trace import SpectralCheck, TraceCheck


T = TypeVar("T")


@dataclass(frozen=True, eq=False, repr=False)
class ExposureSet:
    """All exposures of a field and what is known of them so far. Steps return a new one.

    Parameters
    ----------
    product : str
        Name of the association's product; outputs are named after it.
    exposures : tuple of Exposure
        In time order.
    association : Association
        The association that the set was read from; what it knows is kept.
    catalogs : mapping of str to SourceCatalog
        By exposure key, of direct exposures.
    sources : tuple of SkySource
        The sources of the relative frame.
    relative, absolute, grism : AlignmentSolution
        What each step found; empty before it ran.
    traces : mapping of str to TraceCheck
        How well the grisms' corrections agree with the spectra, by exposure key; empty where not asked.
    spectra : mapping of str to SpectralCheck
        How spectra lie against those of other exposures, likewise.
    reference_catalog : ReferenceCatalog or None
        What the absolute step aligned to, as used.
    mosaics : tuple of StagedMosaic
        The mosaics that were made and wait to be saved with the other results.
    cosmic_rays : mapping of str to mapping of int to ChipMask
        Pixels to be flagged as hit, and only those, by exposure and chip; empty where flags are to stay.
    activities : tuple of Activity
        The steps done.
    parameter_file : str
        The parameter files that were used.
    record : EarlierRecord or None
        The record that the set goes on from; None where nothing was done before.
    left_out : tuple of LeftOut
        Files that were given and can't be used.
    leaves_out : bool
        Whether an exposure that turns out to be unusable is left out; else all are refused.
    """

    product: str
    exposures: tuple[Exposure, ...]
    association: Association = field(default_factory=lambda: Association("", ()))
    catalogs: Mapping[str, SourceCatalog] = field(default_factory=dict)
    sources: tuple[SkySource, ...] = ()
    relative: AlignmentSolution = field(default_factory=AlignmentSolution)
    absolute: AlignmentSolution = field(default_factory=AlignmentSolution)
    grism: AlignmentSolution = field(default_factory=AlignmentSolution)
    traces: Mapping[str, TraceCheck] = field(default_factory=dict)
    spectra: Mapping[str, SpectralCheck] = field(default_factory=dict)
    reference_catalog: ReferenceCatalog | None = None
    mosaics: tuple[StagedMosaic, ...] = ()
    cosmic_rays: Mapping[str, Mapping[int, ChipMask]] = field(default_factory=dict)
    activities: tuple[Activity, ...] = ()
    parameter_file: str = ""
    record: EarlierRecord | None = None
    left_out: tuple[LeftOut, ...] = ()
    leaves_out: bool = False

    def __repr__(self) -> str:
        return f"<ExposureSet {self.product}: {len(self.direct)} direct, {len(self.grisms)} grism>"

    def __getitem__(self, key: str) -> Exposure:
        return self._by_key[key]

    @cached_property
    def _by_key(self) -> dict[str, Exposure]:
        return {exposure.key: exposure for exposure in self.exposures}

    @property
    def direct(self) -> tuple[Exposure, ...]:
        """The direct exposures, in time order."""
        return tuple(exposure for exposure in self.exposures if exposure.is_direct)

    @property
    def grisms(self) -> tuple[Exposure, ...]:
        """The grism exposures, in time order."""
        return tuple(exposure for exposure in self.exposures if not exposure.is_direct)

    @cached_property
    def total(self) -> AlignmentSolution:
        """The correction of every exposure fitted so far: relative, then absolute, and the grisms'."""
        aligned = self.relative.then(self.absolute)
        return AlignmentSolution({**aligned.fits, **self.grism.fits}, aligned.reference)

    def fit(self, key: str) -> ExposureFit | None:
        """Return the total correction of one exposure, None where no step has fitted it.

        Parameters
        ----------
        key : str
            Key of the exposure.

        Returns
        -------
        ExposureFit or None
        """
        return self.total.fits.get(key)

    def without(self, keys: Sequence[str]) -> ExposureSet:
        """Leave exposures out, with all that is known of them.

        Parameters
        ----------
        keys : sequence of str
            Keys of the exposures. Those that they would govern are governed by the rules instead.

        Returns
        -------
        ExposureSet
        """

        def kept(solution: AlignmentSolution) -> AlignmentSolution:
            return replace(solution, fits=_without(solution.fits, keys))

        exposures = (
            replace(each, governors=tuple(key for key in each.governors if key not in keys))
            for each in self.exposures
            if each.key not in keys
        )
        return replace(
            self,
            exposures=tuple(exposures),
            association=self.association.without([self[key].source for key in keys]),
            catalogs=_without(self.catalogs, keys),
            relative=kept(self.relative),
            absolute=kept(self.absolute),
            grism=kept(self.grism),
            traces=_without(self.traces, keys),
        )

    def with_activity(self, activity: Activity, **changes: Any) -> ExposureSet:
        """Replace some fields, and put an activity in place of the same step's earlier one.

        Parameters
        ----------
        activity : Activity
            What was done.
        **changes : object
            Fields and their new values.

        Returns
        -------
        ExposureSet
        """
        others = (earlier for earlier in self.activities if earlier.step != activity.step)
        return replace(self, activities=(*others, activity), **changes)


def _without(known: Mapping[str, T], keys: Sequence[str]) -> dict[str, T]:
    return {key: value for key, value in known.items() if key not in keys}
