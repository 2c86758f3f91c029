"""The one value that passes from step to step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from grism_align.values.association import Association
from grism_align.values.errors import SettingsError
from grism_align.values.record import Displacement
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.words import likely

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from astropy.coordinates import SkyCoord
    from astropy.table import Table

    from grism_align.values.catalog import ReferenceCatalog, SkySource, SourceCatalog
    from grism_align.values.correction import Correction
    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import ChipMask, StagedMosaic
    from grism_align.values.record import Activity, EarlierRecord, LeftOut
    from grism_align.values.sky_wcs import SkyWcs
    from grism_align.values.trace import SpectralCheck, TraceCheck
    from grism_align.values.viewer import Drawing, Viewer


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
    viewer : Viewer or None
        What shows it; `load` gives it one.
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
    viewer: Viewer | None = None

    def __repr__(self) -> str:
        there = f"{len(self.direct)} direct, {len(self.grisms)} grism"
        return f"<ExposureSet {self.product}: {there}{self._outcome}>"

    @property
    def _outcome(self) -> str:
        """How many came out how; empty where nothing is fitted."""
        states = [self.fit(exposure.key).status for exposure in self.exposures]
        told = ", ".join(f"{states.count(one)} {one.value}" for one in FitStatus if one in states)
        return f"; {told}" if self.total.fits else ""

    def _repr_html_(self) -> str:
        names = (
            "exposure",
            "kind",
            "filter",
            "status",
            "east [mas]",
            "north [mas]",
            "roll [deg]",
            "error [mas]",
        )
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in self._row(one))}</tr>"
            for one in self.exposures
        )
        heads = "".join(f"<th>{name}</th>" for name in names)
        return f"<p>{escape(repr(self)[1:-1])}</p><table><tr>{heads}</tr>{rows}</table>"

    def _row(self, exposure: Exposure) -> tuple[str, ...]:
        found = self.correction(exposure.key)
        numbers = ("",) * 4
        if found is not None:
            error = found.error.value
            numbers = (
                f"{found.east.value:+.1f}",
                f"{found.north.value:+.1f}",
                f"{found.roll.value:+.5f}",
                f"{error:.2f}" if error > 0 else "",
            )
        return (
            exposure.key, exposure.kind.value, exposure.filter, self.fit(exposure.key).status.value, *numbers,
        )  # fmt: skip

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

    def fit(self, key: str) -> ExposureFit:
        """Return the total correction of one exposure.

        Parameters
        ----------
        key : str
            Key of the exposure.

        Returns
        -------
        ExposureFit
            With the status NOT_FITTED where no step has come to it.

        Raises
        ------
        SettingsError
            If there is no such exposure: it names those that may be meant.
        """
        if key not in self._by_key:
            meant = likely(key, self._by_key) or " or ".join(list(self._by_key)[:2])
            name, allowed = "key", f"name of an exposure, such as {meant}"
            raise SettingsError(name, key, allowed)
        return self.total.fits.get(key) or ExposureFit.none()

    def correction(self, key: str) -> Correction | None:
        """Return the total correction of one exposure at its reference point, in units.

        Parameters
        ----------
        key : str
            Key of the exposure.

        Returns
        -------
        Correction or None
            None where it has none.
        """
        from grism_align.values.correction import Correction

        transform, plane = self.fit(key).transform, self[key].plane
        return None if transform is None else Correction.of(Displacement.of(transform, plane))

    def corrected(self, key: str) -> Exposure:
        """Return one exposure with its total correction in the WCSs of its chips.

        Parameters
        ----------
        key : str
            Key of the exposure.

        Returns
        -------
        Exposure
            As it is where it has none.
        """
        transform = self.fit(key).transform
        return self[key] if transform is None else self[key].corrected(transform)

    def wcs(self, key: str, chip: int | None = None) -> SkyWcs:
        """Return the corrected WCS of a chip as other packages take it, `WCSAxes` above all.

        Parameters
        ----------
        key : str
            Key of the exposure.
        chip : int, optional
            Number of the chip, as the mission counts them; the first if not given.

        Returns
        -------
        SkyWcs
            By astropy's interface (APE 14), with all distortion.
        """
        from grism_align.values.sky_wcs import SkyWcs

        chips = {one.number: one for one in self.corrected(key).chips}
        chosen = next(iter(chips.values())) if chip is None else chips[chip]
        return SkyWcs(chosen.wcs, chosen.shape)

    def footprint(self, key: str) -> list[SkyCoord]:
        """Return the corners of each chip of an exposure by its corrected WCS.

        Parameters
        ----------
        key : str
            Key of the exposure.

        Returns
        -------
        list of SkyCoord
            Four corners, by chip.
        """
        from astropy.coordinates import SkyCoord

        return [SkyCoord(chip.wcs.footprint(), unit="deg") for chip in self.corrected(key).chips]

    def table(self, name: str = "fits") -> Table:
        """Return what was found as a table.

        Parameters
        ----------
        name : str, optional
            ``fits``, an exposure a row, or ``matches``, a measurement a row.

        Returns
        -------
        astropy.table.Table
            With units and descriptions; what nobody knows is masked.
        """
        return self._viewer.table(self, name)

    def plots(self) -> Mapping[str, Drawing]:
        """Return all plots of what was found that stand alone, by name.

        Returns
        -------
        mapping of str to Drawing
            Notebooks show each; it has a ``figure`` of matplotlib and can ``save`` itself.
        """
        return self._viewer.plots(self)

    def plot_sky(self) -> Drawing:
        """Plot where exposures and stars of the catalog are.

        Returns
        -------
        Drawing
            As of `plots`.
        """
        return self._plot("sky")

    def plot_residuals(
        self, key: str | None = None, *, against: str | None = None, catalog: bool = False
    ) -> Drawing:
        """Plot the residuals of all exposures, or of one on the sky.

        Parameters
        ----------
        key : str, optional
            Key of a direct exposure: its residual vectors and their components.
        against : str, optional
            ``x``, ``y``, ``mag`` or ``time``; both components against each other if not given.
        catalog : bool, optional
            Residuals from the catalog, and not from the mean of the exposures.

        Returns
        -------
        Drawing
            As of `plots`.
        """
        if key is not None:
            found = self._viewer.vectors(self, self[key].key, catalog=catalog)
            if found is None:
                name = "key"
                raise SettingsError(name, key, "an exposure with matched sources")
            return found
        return self._plot("_".join(filter(None, ("catalog" if catalog else "", "residuals", against))))

    def plot_offsets(self, visit: str | None = None) -> Drawing:
        """Plot the shifts of a visit's exposures against time.

        Parameters
        ----------
        visit : str, optional
            Which; the first if not given.

        Returns
        -------
        Drawing
            As of `plots`.
        """
        return self._plot(f"offsets_{visit or self.exposures[0].visit}")

    def plot_spectra(self) -> Drawing:
        """Plot where spectra of grism exposures lay before and after they were used.

        Returns
        -------
        Drawing
            As of `plots`.
        """
        return self._plot("spectra")

    def plot_traces(self) -> Drawing:
        """Plot where traces of grism exposures lay by the WCS of the file and lie by the corrected one.

        Returns
        -------
        Drawing
            As of `plots`.
        """
        return self._plot("traces")

    def _plot(self, name: str) -> Drawing:
        found = self.plots()
        if name not in found:
            what = "plot"
            raise SettingsError(what, name, f"one of what there is: {', '.join(found)}")
        return found[name]

    def write(self, output_dir: PathLike[str] | str) -> ExposureSet:
        """Write exposures with their corrections, and all products, as a step does.

        Parameters
        ----------
        output_dir : path-like
            Folder, made if need be; not that of the exposures.

        Returns
        -------
        ExposureSet
            The same.
        """
        return self._viewer.write(self, output_dir)

    def report(self, target: PathLike[str] | str) -> PathLike[str]:
        """Write the page that tells what was done and whether to trust it.

        Parameters
        ----------
        target : path-like
            The page.

        Returns
        -------
        path-like
            The same.
        """
        return self._viewer.report(self, target)

    @property
    def _viewer(self) -> Viewer:
        if self.viewer is None:
            msg = "it was made by hand; sets that grism_align.load and steps return can be shown and written"
            raise TypeError(msg)
        return self.viewer

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
            spectra=_without(self.spectra, keys),
            cosmic_rays=_without(self.cosmic_rays, keys),
        )

    def without_propagated(self) -> ExposureSet:
        """Drop what follows from the corrections of direct exposures, where these are to be others.

        Returns
        -------
        ExposureSet
            Without corrections of grism exposures, and without what their spectra say of those.
        """
        return replace(self, grism=AlignmentSolution(), traces={}, spectra={})

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
