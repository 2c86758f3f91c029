"""What a record says of each exposure, in the units and the order of the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Contents", "Entry", "Tie"]


@dataclass(frozen=True, eq=False)
class Entry:
    """One exposure of a record.

    Parameters
    ----------
    key : str
        Root name.
    record : mapping
        What the record has of it.
    """

    key: str
    record: Mapping[str, Any]

    @property
    def is_direct(self) -> bool:
        """Whether it shows the sky."""
        return bool(self.record["kind"] == "direct")

    @property
    def status(self) -> FitStatus | None:
        """How it came out; None where no step has fitted it."""
        total = self.record["total"]
        return FitStatus(total["status"]) if total else None

    @property
    def is_aligned(self) -> bool:
        """Whether its own sources, or those of the exposure that governs it, give its correction."""
        return self.status in {FitStatus.ALIGNED, FitStatus.REFERENCE}

    @property
    def is_tied(self) -> bool:
        """Whether it is on the reference catalog."""
        fit = self.record["absolute"]
        return bool(fit and fit["transform"])

    @property
    def reason(self) -> str:
        """Why it failed, or what to know about it."""
        return str(self.value("total", "reason", ""))

    def value(self, step: str, name: str, default: Any = float("nan")) -> Any:
        """One value of the fit of a step, or a default where there is none."""
        fit = self.record[step]
        found = fit.get(name) if fit else None
        return default if found is None else found

    @cached_property
    def transform(self) -> LinearTransform | None:
        """All corrections together, in the exposure's own tangent plane where that is on record."""
        entry = self.value("total", "transform", None)
        if entry is None:
            return None
        plane = TangentPlane(entry["plane"]["ra"], entry["plane"]["dec"])
        total = LinearTransform(entry["matrix"], entry["shift"], plane, entry["covariance"])
        own = self.record.get("plane")
        return total if own is None else total.in_plane(TangentPlane(own["ra"], own["dec"]))

    @property
    def shift(self) -> NDArray[np.float64]:
        """Total shift to the east and north, (2,) mas."""
        return np.full(2, np.nan) if self.transform is None else 1e3 * self.transform.shift

    @property
    def roll(self) -> float:
        """Total roll, deg."""
        return np.nan if self.transform is None else self.transform.roll

    @property
    def error(self) -> float:
        """Claimed error of the correction at its tangent point, of one axis, mas; NaN if unknown."""
        if self.transform is None or not self.transform.covariance.any():
            return float("nan")
        return float(1e3 * np.sqrt(np.mean(self.transform.shift_error**2)))

    @property
    def mid(self) -> float:
        """Mid time, MJD."""
        return 0.5 * float(self.record["start"] + self.record["end"])

    @cached_property
    def outlines(self) -> list[NDArray[np.float64]]:
        """Corners (M, 2) of each chip on the sky, in deg, corrected; empty where not on record."""
        found = self.record.get("footprint")
        chips = [] if found is None else [np.asarray(chip, dtype=float) for chip in found]
        return [self.transform.apply_to_sky(chip) for chip in chips] if self.transform else chips

    def residuals(self, step: str) -> Mapping[str, Any] | None:
        """The matched sources of one step's fit; None where there are none."""
        found = self.value(step, "residuals", None)
        return found if found is not None and len(found["weight"]) else None


@dataclass(frozen=True)
class Tie:
    """How a relative frame is tied to the reference catalog.

    Parameters
    ----------
    frame : int
        Its number.
    n_exposures : int
        Exposures that share the numbers below.
    reference : str
        Name of the catalog.
    n_used, n_matched : int
        Stars.
    rms : float, mas
        Of one axis.
    probability : float
        That lists without a common star match as well.
    reduced_chi2, leverage : float
        As on record; NaN where unknown.
    """

    frame: int
    n_exposures: int
    reference: str
    n_used: int
    n_matched: int
    rms: float
    probability: float
    reduced_chi2: float
    leverage: float


@dataclass(frozen=True, eq=False)
class Contents:
    """A record, read for the report.

    Parameters
    ----------
    record : mapping
        What is under ``grism_align`` in a provenance file.
    """

    record: Mapping[str, Any]

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The exposures, in time order."""
        found = (Entry(key, record) for key, record in self.record["exposures"].items())
        return tuple(sorted(found, key=lambda entry: (entry.mid, entry.key)))

    @property
    def direct(self) -> list[Entry]:
        """The direct exposures."""
        return [entry for entry in self.entries if entry.is_direct]

    @property
    def grisms(self) -> list[Entry]:
        """The grism exposures."""
        return [entry for entry in self.entries if not entry.is_direct]

    @cached_property
    def visits(self) -> dict[str, list[Entry]]:
        """The exposures of each visit."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.record["visit"], []).append(entry)
        return found

    def activity(self, step: str) -> Mapping[str, Any] | None:
        """What is on record of one step."""
        return next((one for one in self.record["activities"] if one["step"] == step), None)

    @cached_property
    def ties(self) -> list[Tie]:
        """Each tie to the catalog once: of a frame, or of the part of it that was tied by itself."""
        names = ("reference", "n_used", "n_matched", "rms", "false_match_probability")
        tied = [entry for entry in self.direct if entry.is_tied]
        numbers = [
            (
                int(entry.value("relative", "frame", 0)),
                *(entry.value("absolute", name, "") for name in names),
                *(round(float(entry.value("absolute", name)), 6) for name in ("reduced_chi2", "leverage")),
            )
            for entry in tied
        ]
        # NaN differs from itself; its text does not
        counts = Counter(map(repr, numbers))
        first = {repr(one): one for one in reversed(numbers)}
        return sorted(
            (Tie(one[0], counts[text], *one[1:]) for text, one in first.items()),
            key=lambda tie: (tie.frame, -tie.n_exposures),
        )

    @cached_property
    def frames(self) -> list[int]:
        """Numbers of the relative frames that have an exposure."""
        return sorted({int(entry.value("relative", "frame", 0)) for entry in self.direct if entry.is_aligned})

    @cached_property
    def sky_of_source(self) -> dict[int, tuple[float, float]]:
        """RA and Dec, in deg, of the relative frame's sources, by number."""
        columns = self.record["sources"]
        positions = zip(columns["ra"].tolist(), columns["dec"].tolist(), strict=True)
        return dict(zip(columns["number"].tolist(), positions, strict=True))

    def residual_sky(self, entry: Entry, step: str) -> NDArray[np.float64]:
        """Where the sources of an exposure's residuals are, (N, 2) deg; NaN where not on record."""
        residuals = entry.residuals(step)
        if residuals is None:
            return np.zeros((0, 2))
        unknown = (np.nan, np.nan)
        if step == "relative":
            rows = [self.sky_of_source.get(int(n), unknown) for n in residuals["matched"].tolist()]
            return np.array(rows, dtype=float).reshape(-1, 2)
        catalog = self.record["reference_catalog"] or {}
        found = catalog.get("exposures", {}).get(entry.key)
        if found is None:
            return np.full((len(residuals["weight"]), 2), np.nan)
        return np.asarray(found["reference_position"], dtype=float)
