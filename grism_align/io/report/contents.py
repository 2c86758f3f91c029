"""What a record says of each exposure, in the units and the order of the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from grism_align.io.report.formatting import listed, utc
from grism_align.values.solution import FitStatus, agreement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.values.failure import Remark
    from grism_align.values.mosaic import MosaicProduct
    from grism_align.values.record import ExposureRecord, Record
    from grism_align.values.solution import ExposureFit, Governed, Residuals
    from grism_align.values.transform import LinearTransform


#: Stands for the catalog where corrections are the user's own.
USER = "USER"

# The outer ones of 3 x 3 pixels, x running fastest, once around.
_AROUND = [0, 1, 2, 5, 8, 7, 6, 3]


@dataclass(frozen=True, eq=False)
class Entry:
    """One exposure of a record.

    Parameters
    ----------
    key : str
        Root name.
    record : ExposureRecord
        What the record has of it.
    """

    key: str
    record: ExposureRecord

    @cached_property
    def total(self) -> ExposureFit | None:
        """All corrections together; None where no step has fitted it."""
        return self.record.total

    @property
    def is_direct(self) -> bool:
        """Whether it shows the sky."""
        return self.record.is_direct

    @property
    def status(self) -> FitStatus | None:
        """How it came out; None where no step has fitted it."""
        return self.total.status if self.total else None

    @property
    def is_aligned(self) -> bool:
        """Whether its own sources, or those of the exposure that governs it, give its correction."""
        return self.status in {FitStatus.ALIGNED, FitStatus.REFERENCE}

    @property
    def is_tied(self) -> bool:
        """Whether it is on the reference catalog."""
        return self.record.absolute is not None and self.record.absolute.is_aligned

    @property
    def frame(self) -> int:
        """Number of its relative frame."""
        return self.record.relative.frame if self.record.relative else 0

    @property
    def chance(self) -> float:
        """False-match probability of its relative fit; NaN where there is none."""
        return self.record.relative.false_match_probability if self.record.relative else np.nan

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Why it failed, or what to know about it."""
        return self.total.remarks if self.total else ()

    @property
    def governed(self) -> Governed | None:
        """How a grism exposure came by its correction; None of a direct one."""
        return self.total.governed if self.total else None

    @property
    def transform(self) -> LinearTransform | None:
        """All corrections together."""
        return self.total.transform if self.total else None

    @property
    def shift(self) -> NDArray[np.float64]:
        """Total shift to the east and north at its reference point, (2,) mas; NaN without a correction."""
        at = self.record.displacement
        return np.full(2, np.nan) if at is None else at.shift

    @property
    def roll(self) -> float:
        """Total roll there, deg; NaN without a correction."""
        return np.nan if self.record.displacement is None else self.record.displacement.roll

    @property
    def error(self) -> float:
        """Claimed error of the correction there, of one axis, mas; NaN if unknown."""
        return np.nan if self.record.displacement is None else self.record.displacement.error

    @property
    def pixel(self) -> float:
        """Mean side of a pixel of the first chip, mas."""
        return self.record.pixel_side

    @property
    def error_px(self) -> float:
        """The claimed error in pixels."""
        return self.error / self.pixel

    @property
    def is_moved(self) -> bool:
        """Whether its correction is more than nothing: 0.05 mas, or such a turn across a detector."""
        return self.transform is not None and bool(np.hypot(*self.shift) > 0.05 or abs(self.roll) > 1e-6)

    @property
    def mid(self) -> float:
        """Mid time, MJD."""
        return 0.5 * (self.record.start + self.record.end)

    @cached_property
    def outlines(self) -> list[NDArray[np.float64]]:
        """Edge (8, 2) of each chip on the sky, in deg, corrected."""
        edges = [chip.sky[_AROUND] for chip in self.record.input_wcs.chips]
        return [self.transform.apply_to_sky(edge) for edge in edges] if self.transform else edges


@dataclass(frozen=True, eq=False)
class PlacedResiduals:
    """The matched sources of a fit, at least one, and where they are.

    Parameters
    ----------
    fit : ExposureFit
        The fit.
    matches : Residuals
        Its residuals.
    sky : (N, 2) ndarray, deg
        RA and Dec of the sources; NaN where not on record.
    """

    fit: ExposureFit
    matches: Residuals
    sky: NDArray[np.float64]


@dataclass(frozen=True)
class Tie:
    """How a relative frame is tied to the reference catalog.

    Parameters
    ----------
    frame : int
        Its number.
    keys : tuple of str
        The direct exposures.
    reference : str
        Name of the catalog.
    n_used, n_matched : int
        Different stars of all of them.
    rms : float, mas
        Of one axis, of all of them.
    probability : float
        That lists without a common star match as well; the worst of them.
    reduced_chi2 : float
        Mean of them; NaN where unknown.
    leverage : float
        Largest share of one star in the weight; NaN where unknown.
    star_error, best_error : float, mas
        Of one axis of a used star's place, as given: the median, and the least.
    """

    frame: int
    keys: tuple[str, ...]
    reference: str
    n_used: int
    n_matched: int
    rms: float
    probability: float
    reduced_chi2: float
    leverage: float
    star_error: float
    best_error: float

    @property
    def n_exposures(self) -> int:
        """How many exposures share it."""
        return len(self.keys)

    @classmethod
    def of(cls, frame: int, entries: Sequence[Entry]) -> Tie:
        """Sum up what the absolute fits of some exposures of a frame tell together."""
        fits = [entry.record.absolute for entry in entries if entry.record.absolute]
        whole = agreement(fits)
        return cls(
            frame,
            tuple(entry.key for entry in entries),
            fits[0].reference,
            whole.n_used,
            whole.n_matched,
            whole.rms,
            max(fit.false_match_probability for fit in fits),
            float(np.mean([fit.reduced_chi2 for fit in fits])),
            _largest_share(fits),
            *_errors(fits),
        )


def _largest_share(fits: Sequence[ExposureFit]) -> float:
    """Of one star in the weight of all fits together."""
    known = [fit.residuals for fit in fits if fit.residuals is not None]
    names = np.concatenate([one.matched.astype(str) for one in known])
    weight = np.concatenate([one.weight / one.error**2 for one in known])
    total = np.bincount(np.unique(names, return_inverse=True)[1], weight)
    return float(total.max() / total.sum()) if total.sum() > 0 else float("nan")


def _errors(fits: Sequence[ExposureFit]) -> tuple[float, float]:
    """Return the median and the least error of the sources that fits used, mas."""
    known = [one.error[one.weight > 0] for fit in fits if (one := fit.residuals) is not None]
    errors = np.concatenate([np.zeros(0), *known])
    return (float(np.median(errors)), float(errors.min())) if len(errors) else (np.nan, np.nan)


@dataclass(frozen=True, eq=False)
class Contents:
    """A record, read for the report.

    Parameters
    ----------
    record : Record
        What was done.
    changed : tuple of str
        Exposures whose products have changed since.
    """

    record: Record
    changed: tuple[str, ...] = ()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The exposures, in time order."""
        found = (Entry(key, record) for key, record in self.record.exposures.items())
        return tuple(sorted(found, key=lambda entry: (entry.mid, entry.key)))

    @property
    def about(self) -> str:
        """What was observed, and when."""
        records = self.record.exposures.values()
        parts = [listed(list(dict.fromkeys(one.instrument for one in records)))]
        for noun, name in (("program", "program"), ("target", "target")):
            found = [text for one in records if (text := getattr(one, name))]
            different = list(dict.fromkeys(found))
            parts += [f"{noun}{'s' * (len(different) > 1)} {listed(different)}"] if different else []
        days = [utc(one.start)[:10] for one in records]
        parts += [min(days) if min(days) == max(days) else f"{min(days)} to {max(days)}"] if days else []
        return " · ".join(parts)

    @property
    def out_of_date(self) -> str:
        """What to know of a page whose exposures have changed; empty where none has."""
        of = (
            f"{len(self.changed)} of {len(self.entries)} exposures have changed since: {listed(self.changed)}"
        )
        return f"This page is out of date. {of}" if self.changed else ""

    @property
    def n_kept(self) -> int:
        """How many measurements are those of an earlier run."""
        return sum(activity.n_kept for activity in self.record.activities)

    @property
    def is_given(self) -> bool:
        """Whether the corrections are the user's own, and nothing was measured."""
        return self.record.references.absolute == USER

    @property
    def is_begun(self) -> bool:
        """Whether a step has fitted any exposure."""
        return any(entry.status is not None for entry in self.entries)

    @property
    def is_lone(self) -> bool:
        """Whether there is one direct exposure, which is the frame by itself."""
        return len(self.direct) == 1 and self.direct[0].status is FitStatus.REFERENCE and not self.ties

    @property
    def is_unmatched(self) -> bool:
        """Whether each direct exposure is a frame by itself, and none is tied to a catalog."""
        fitted = [entry for entry in self.direct if entry.is_aligned]
        return bool(fitted) and all(map(self.is_alone, fitted))

    def is_alone(self, entry: Entry) -> bool:
        """Tell whether nothing was matched to an exposure, nor to the one that governs it."""
        if entry.governed is not None:
            known = self._direct_by_key
            return all(name in known and self.is_alone(known[name]) for name in entry.governed.exposures)
        fit = entry.record.relative
        is_frame = entry.status is FitStatus.REFERENCE and not entry.is_tied
        return is_frame and fit is not None and not fit.n_matched

    @cached_property
    def direct(self) -> list[Entry]:
        """The direct exposures."""
        return [entry for entry in self.entries if entry.is_direct]

    @cached_property
    def _direct_by_key(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self.direct}

    @cached_property
    def grisms(self) -> list[Entry]:
        """The grism exposures."""
        return [entry for entry in self.entries if not entry.is_direct]

    @cached_property
    def visits(self) -> dict[str, list[Entry]]:
        """The exposures of each visit."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.record.visit, []).append(entry)
        return found

    def left_out(self, mosaic: MosaicProduct) -> list[str]:
        """Return the direct exposures of a mosaic's visits and filter that are not in it."""
        used = set(mosaic.plan.keys)
        known = self._direct_by_key
        visits = dict.fromkeys(known[key].record.visit for key in mosaic.plan.keys if key in known)
        others = (entry for visit in visits for entry in self.visits[visit] if entry.is_direct)
        return [
            entry.key
            for entry in others
            if entry.record.filter == mosaic.plan.filter and entry.key not in used
        ]

    @cached_property
    def ties(self) -> list[Tie]:
        """Each tie to the catalog once: of a frame, or of the visit or exposure that was tied by itself."""
        step = self.record.activity("absolute_align")
        solve = step.settings.get("solve") if step else None
        groups: dict[tuple[int, str], list[Entry]] = {}
        for entry in [] if self.is_given else self.direct:
            if entry.is_tied:
                own = {"visit": entry.record.visit, "exposure": entry.key}.get(str(solve), "")
                groups.setdefault((entry.frame, own), []).append(entry)
        return [Tie.of(frame, entries) for (frame, _), entries in sorted(groups.items())]

    def worst_ties(self, most: int) -> list[Tie]:
        """Return the ties, or of more than so many those with the largest rms."""
        if len(self.ties) <= most:
            return self.ties
        return sorted(self.ties, key=lambda tie: -tie.rms)[:most]

    @property
    def tied_to(self) -> str:
        """What exposures are tied to, as one speaks of it."""
        return f"the {'catalogs' if ', ' in self.catalogs else 'catalog'} {self.catalogs}"

    @property
    def catalogs(self) -> str:
        """Names of what exposures are tied to."""
        fits = (entry.record.absolute for entry in self.direct)
        return listed(sorted({fit.reference for fit in fits if fit}))

    @cached_property
    def matched(self) -> list[Entry]:
        """The exposures that are aligned with others or with a catalog."""
        return [entry for entry in self.entries if entry.is_aligned and not self.is_alone(entry)]

    @cached_property
    def source_errors(self) -> tuple[float, float]:
        """Median and least error of the sources that relative fits used, of one axis, mas; NaN for none."""
        return _errors([entry.record.relative for entry in self.direct if entry.record.relative])

    @cached_property
    def frames(self) -> list[int]:
        """Numbers of the relative frames that have an exposure."""
        return sorted({entry.frame for entry in self.direct if entry.is_aligned})

    @cached_property
    def sky_of_source(self) -> dict[int, tuple[float, float]]:
        """RA and Dec, in deg, of the relative frame's sources, by number."""
        return {source.number: (source.ra, source.dec) for source in self.record.sources}

    def relative_residuals(self, entry: Entry) -> PlacedResiduals | None:
        """Return the matches of an exposure with others; None where there are none."""
        fit = entry.record.relative
        if fit is None or fit.residuals is None or len(fit.residuals.weight) == 0:
            return None
        unknown = (np.nan, np.nan)
        rows = [self.sky_of_source.get(int(n), unknown) for n in fit.residuals.matched.tolist()]
        return PlacedResiduals(fit, fit.residuals, np.array(rows, dtype=float))

    def absolute_residuals(self, entry: Entry) -> PlacedResiduals | None:
        """Return the matches of an exposure with the catalog; None where there are none."""
        fit, catalog = entry.record.absolute, self.record.reference_catalog
        if fit is None or fit.residuals is None or len(fit.residuals.weight) == 0:
            return None
        seen = catalog.exposures.get(entry.key) if catalog else None
        sky = np.full((len(fit.residuals.weight), 2), np.nan) if seen is None else seen.reference_position
        return PlacedResiduals(fit, fit.residuals, sky)
