"""Records to report on: what a run would leave, made from values alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.values.association import Association
from grism_align.values.catalog import CatalogAttempt, ReferenceCatalog, SkySource, astrometric_covariance
from grism_align.values.field import ExposureSet
from grism_align.values.mosaic import MosaicGrid, MosaicPlan, MosaicProduct
from grism_align.values.record import Activity, FilePair, FileRecord, Record, StarStamps
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals
from grism_align.values.transform import LinearTransform, TangentPlane
from grism_align.workflows.results.record import make_record, reference_record
from tests.support.associations import exposure
from tests.support.governed import governed

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure

PLANE = TangentPlane(53.0, -27.8)
HOUR = 3600.0
#: Names that a page must show as they are, and neither run nor typeset.
ODD = "a$b$_<b>&\"'{{x}}"
N_SOURCES = 40


def transform(place: TangentPlane, east: float, north: float) -> LinearTransform:
    """A shift in mas of a place and a small roll about it, with errors of 0.9 mas an axis."""
    center = PLANE.to_plane([place.ra, place.dec])
    moved = LinearTransform.from_parameters(PLANE, [east / 1e3, north / 1e3], 0.01, center=center)
    return replace(moved, covariance=np.diag([0.9e-3, 0.9e-3, 1e-6, 1e-6, 1e-6, 1e-6]) ** 2)


def field(n_visits: int = 2, n_pairs: int = 2, *, tied: bool = True, odd_name: bool = False) -> ExposureSet:
    """Visits of pairs of a direct and a grism exposure, all aligned; the first exposure fixes the frame."""
    exposures = [
        member
        for visit in range(n_visits)
        for pair in range(n_pairs)
        for member in _pair(visit, pair, odd=odd_name and visit == pair == 0)
    ]
    rng = np.random.default_rng(1)
    sky = PLANE.to_sky(rng.uniform(-60, 60, (N_SOURCES, 2)))
    sources = tuple(
        SkySource(number, *place, 1.0, 20.0 + 0.1 * number, 2015.0, 0, n_visits * n_pairs)
        for number, place in enumerate(sky.tolist())
    )
    direct = [one for one in exposures if one.is_direct]
    relative = {one.key: _fit(one, rng, place) for place, one in enumerate(direct)}
    catalog = _catalog(sky[:12]) if tied else None
    absolute = {one.key: _tie(one) for one in direct} if tied else {}
    total = AlignmentSolution(relative).then(AlignmentSolution(absolute))
    grism = {
        one.key: replace(
            total[other.key],
            governed=governed(other.key, idle_time=-90.0),
            residuals=None,
        )
        for other, one in zip(direct, (e for e in exposures if not e.is_direct), strict=True)
    }
    return ExposureSet(
        product=ODD if odd_name else "field",
        exposures=tuple(exposures),
        association=Association("field", ()),
        sources=sources,
        relative=AlignmentSolution(relative, direct[0].key),
        absolute=AlignmentSolution(absolute, "MADE" if tied else ""),
        grism=AlignmentSolution(grism, "MADE" if tied else ""),
        reference_catalog=catalog,
        activities=_activities(tied=tied),
        parameter_file="wfc3_ir.asdf",
    )


def _pair(visit: int, pair: int, *, odd: bool) -> list[Exposure]:
    root = f"i{visit:02d}v{visit:02d}"
    start = (1000 * visit + 1.5 * pair) * HOUR
    names = [f"{root}{pair}{kind}q" for kind in "dg"]
    place = {"east": 5.0 * pair, "north": 3.0 * visit}
    return [
        exposure(ODD if odd else names[0], start, visit=root, group=root, **place),
        exposure(names[1], start + 300.0, grism=True, visit=root, group=root, length=900.0, **place),
    ]


def _fit(one: Exposure, rng: np.random.Generator, place: int) -> ExposureFit:
    number = np.arange(N_SOURCES)
    residuals = Residuals(
        source=number + 1,
        matched=number,
        offset=rng.normal(0, 3.0, (N_SOURCES, 2)),
        weight=np.where(number % 10 == 0, 0.0, 1.0),
        error=np.full(N_SOURCES, 3.0),
    )
    return ExposureFit(
        FitStatus.ALIGNED if place else FitStatus.REFERENCE,
        transform(one.plane, 10.0 * place, -4.0 * place),
        reference="frame",
        n_matched=N_SOURCES,
        n_used=N_SOURCES - 4,
        rms=3.0,
        rms_axes=(3.0, 3.1),
        reduced_chi2=1.1,
        leverage=0.1,
        false_match_probability=1e-30,
        geometry="rshift",
        residuals=residuals,
    )


def _tie(one: Exposure) -> ExposureFit:
    number = np.arange(12)
    residuals = Residuals(
        source=number,
        matched=np.array([f"S{n}" for n in number]),
        offset=np.column_stack([np.linspace(-4, 4, 12), np.linspace(3, -3, 12)]),
        weight=np.where(number < 11, 1.0, 0.0),
        error=np.full(12, 2.0),
    )
    return ExposureFit(
        FitStatus.ALIGNED,
        transform(one.plane, 300.0, -200.0),
        reference="MADE",
        n_matched=12,
        n_used=11,
        rms=2.5,
        rms_axes=(2.4, 2.6),
        reduced_chi2=1.2,
        leverage=0.2,
        false_match_probability=1e-20,
        geometry="joint",
        residuals=residuals,
    )


def _catalog(sky: np.ndarray) -> ReferenceCatalog:
    n = len(sky)
    return ReferenceCatalog(
        sky=sky,
        covariance=astrometric_covariance(np.full((n, 2), 0.5)),
        motion=np.zeros((n, 2)),
        parallax=np.zeros(n),
        radial_velocity=np.zeros(n),
        epoch=np.full(n, 2016.0),
        mag=np.linspace(17, 20, n),
        identifier=np.array([f"S{i}" for i in range(n)]),
        name="MADE",
        origin="made here",
    )


def _activities(*, tied: bool) -> tuple[Activity, ...]:
    attempt = CatalogAttempt("MADE", "file", "made here", "tied", "all", 12, "SELECT 1 < 2", "2026-01-01")
    absolute = Activity(
        "absolute_align",
        "done" if tied else "skipped",
        "" if tied else "no catalog given",
        {"catalog": "made.ecsv", "min_matches": 3, "max_ruwe": 1.4} if tied else {},
        {"reference_in_catalog": 14, "reference_used_frame_1": 11, "something_else": 2} if tied else {},
        (attempt,) if tied else (),
    )
    return (
        Activity("source_catalog", "done", settings={"threshold": 7.5}, counts={"peaks": 1234, "pixels": 9}),
        Activity("relative_align", "done", counts={"sources": N_SOURCES}),
        absolute,
        Activity("grism_wcs_propagate", "done", counts={"grisms": 4}),
    )


def changed(exposures: ExposureSet, key: str, fit: ExposureFit, step: str = "relative") -> ExposureSet:
    """A set in which one exposure came out differently."""
    solution = getattr(exposures, step)
    return replace(exposures, **{step: replace(solution, fits={**solution.fits, key: fit})})


def record(exposures: ExposureSet, **more: Any) -> Record:
    """The record of a set of exposures, with further parts."""
    digest = "0" * 64
    files = {
        e.key: FilePair(FileRecord(str(e.source), digest), FileRecord(f"out/{e.key}", digest))
        for e in exposures.exposures
    }
    catalog = exposures.reference_catalog
    reference = None if catalog is None else reference_record(exposures, catalog, "field_refcat.ecsv")
    return replace(make_record(exposures, files, reference=reference), **more)


def altered(whole: Record, key: str, **changes: Any) -> Record:
    """A record that says other things of one exposure."""
    entry = replace(whole.exposures[key], **changes)
    return replace(whole, exposures={**whole.exposures, key: entry})


def refitted(whole: Record, key: str, step: str, **changes: Any) -> Record:
    """A record with another fit of one exposure."""
    return altered(whole, key, **{step: replace(getattr(whole.exposures[key], step), **changes)})


def stamps(n: int = 3, size: int = 41) -> StarStamps:
    """Pictures of stars: two blobs before, one in the middle after."""
    y, x = np.indices((size, size)) - size // 2
    blob = np.exp(-(x**2 + y**2) / 18.0)
    before = 0.5 * (np.roll(blob, 6, axis=0) + np.roll(blob, -8, axis=1))
    pictures = [np.repeat(one[None], n + 1, axis=0).astype(np.float32) for one in (before, blob)]
    return StarStamps(
        identifier=np.array([f"F-0-{k}" for k in range(n)]),
        ra=np.full(n, 53.0),
        dec=np.full(n, -27.8),
        n_exposures=np.full(n, 4),
        scale=0.065,
        common_offset=(1.6, 0.0),
        before=pictures[0],
        after=pictures[1],
        off_before=np.full(n + 1, 0.325),
        off_after=np.zeros(n + 1),
    )


def mosaic(
    keys: tuple[str, ...], files: dict[str, str] | None = None, n_sources: int | None = None
) -> MosaicProduct:
    """A mosaic of exposures of the first visit."""
    grid = MosaicGrid(PLANE, np.array([1540.0, 1475.0]), np.array([[-0.06, 0.0], [0.0, 0.06]]), (2951, 3080))
    return MosaicProduct(MosaicPlan("i00v00-f140w", "F140W", keys, grid), files or {}, n_sources)
