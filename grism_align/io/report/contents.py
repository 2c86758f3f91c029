"""What a record says of each exposure, in the units and the order of the report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.failure import remark_from
from grism_align.values.solution import ExposureFit, FitStatus, Governed, Residuals, agreement
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.failure import Remark

__all__ = ["USER", "Contents", "Entry", "Tie"]

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
    def tie(self) -> ExposureFit:
        """Its fit to the catalog, of what is on record the numbers and the residuals."""
        found, fit = self.residuals("absolute"), self.record["absolute"]
        columns = {name: np.asarray(column) for name, column in (found or {}).items()}
        if found is not None and "error" not in columns:
            columns["error"] = np.full(len(columns["weight"]), np.nan)
        return ExposureFit(
            FitStatus(fit["status"]),
            transform=None,
            reference=fit["reference"],
            n_matched=fit["n_matched"],
            n_used=fit["n_used"],
            rms=fit["rms"],
            false_match_probability=fit["false_match_probability"],
            reduced_chi2=float(self.value("absolute", "reduced_chi2")),
            leverage=float(self.value("absolute", "leverage")),
            residuals=Residuals(**columns) if columns else None,
        )

    @property
    def remarks(self) -> tuple[Remark, ...]:
        """Why it failed, or what to know about it."""
        return tuple(map(remark_from, self.value("total", "remarks", ())))

    @property
    def governed(self) -> Governed | None:
        """How a grism exposure came by its correction; None of a direct one."""
        entry = self.value("total", "governed", None)
        given: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in (entry or {}).items()}
        return Governed(**given) if given else None

    def value(self, step: str, name: str, default: Any = float("nan")) -> Any:
        """One value of the fit of a step, or a default where there is none."""
        fit = self.record[step]
        found = fit.get(name) if fit else None
        return default if found is None else found

    @cached_property
    def transform(self) -> LinearTransform | None:
        """All corrections together, as they are at the exposure's reference point where that is on record."""
        entry = self.value("total", "transform", None)
        if entry is None:
            return None
        plane = TangentPlane(entry["plane"]["ra"], entry["plane"]["dec"])
        total = LinearTransform(entry["matrix"], entry["shift"], plane, entry["covariance"])
        own = self.record.get("plane")
        return total if own is None else total.at(TangentPlane(own["ra"], own["dec"]))

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
        return 1e3 * self.transform.axis_error

    @property
    def is_moved(self) -> bool:
        """Whether its correction is more than nothing: 0.05 mas, or such a turn across a detector."""
        return self.transform is not None and bool(np.hypot(*self.shift) > 0.05 or abs(self.roll) > 1e-6)

    @property
    def mid(self) -> float:
        """Mid time, MJD."""
        return 0.5 * float(self.record["start"] + self.record["end"])

    @cached_property
    def outlines(self) -> list[NDArray[np.float64]]:
        """Edge (8, 2) of each chip on the sky, in deg, corrected; empty where not on record."""
        chips = self.record.get("starting_wcs", {}).get("chips", ())
        edges = [np.asarray(chip["sky"], dtype=float)[_AROUND] for chip in chips]
        return [self.transform.apply_to_sky(edge) for edge in edges] if self.transform else edges

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

    @property
    def n_exposures(self) -> int:
        """How many exposures share it."""
        return len(self.keys)

    @classmethod
    def of(cls, frame: int, entries: Sequence[Entry]) -> Tie:
        """What the absolute fits of some exposures of a frame tell together."""
        fits = [entry.tie for entry in entries]
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
        )


def _largest_share(fits: Sequence[ExposureFit]) -> float:
    """Of one star in the weight of all fits together."""
    known = [fit.residuals for fit in fits if fit.residuals is not None]
    if not known or not all(np.isfinite(one.error).all() for one in known):
        return max(fit.leverage for fit in fits)
    names = np.concatenate([one.matched.astype(str) for one in known])
    weight = np.concatenate([one.weight / one.error**2 for one in known])
    total = np.bincount(np.unique(names, return_inverse=True)[1], weight)
    return float(total.max() / total.sum()) if total.sum() > 0 else float("nan")


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
    def is_given(self) -> bool:
        """Whether the corrections are the user's own, and nothing was measured."""
        return bool(self.record["solutions"]["absolute"]["reference"] == USER)

    @property
    def is_begun(self) -> bool:
        """Whether a step has fitted any exposure."""
        return any(entry.status is not None for entry in self.entries)

    @property
    def is_lone(self) -> bool:
        """Whether there is one direct exposure, which is the frame by itself."""
        return len(self.direct) == 1 and self.direct[0].status is FitStatus.REFERENCE and not self.ties

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

    @property
    def mosaics(self) -> list[dict[str, Any]]:
        """The mosaics that were made, with their pixel scales in arcsec, and what was left out of them."""
        return [
            {
                **one,
                "scale": f"{np.sqrt(abs(np.linalg.det(one['frame']['cd_arcsec']))):.4g}",
                "left_out": self._left_out(one),
            }
            for one in self.record.get("mosaics", ())
        ]

    def _left_out(self, mosaic: Mapping[str, Any]) -> list[str]:
        """Direct exposures of a mosaic's visits and filter that are not in it."""
        used = set(mosaic["exposures"])
        visits = {entry.record["visit"] for entry in self.direct if entry.key in used}
        alike = [entry for entry in self.direct if entry.record["filter"] == mosaic["filter"]]
        return [entry.key for entry in alike if entry.record["visit"] in visits and entry.key not in used]

    def activity(self, step: str) -> Mapping[str, Any] | None:
        """What is on record of one step."""
        return next((one for one in self.record["activities"] if one["step"] == step), None)

    @cached_property
    def ties(self) -> list[Tie]:
        """Each tie to the catalog once: of a frame, or of the visit or exposure that was tied by itself."""
        step = self.activity("absolute_align")
        solve = step["settings"].get("solve") if step else None
        groups: dict[tuple[int, str], list[Entry]] = {}
        for entry in [] if self.is_given else self.direct:
            if entry.is_tied:
                own = {"visit": str(entry.record["visit"]), "exposure": entry.key}.get(str(solve), "")
                groups.setdefault((int(entry.value("relative", "frame", 0)), own), []).append(entry)
        return [Tie.of(frame, entries) for (frame, _), entries in sorted(groups.items())]

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
