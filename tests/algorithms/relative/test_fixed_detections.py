"""Detections that are fixed to the detector, told from the sky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.relative.fixed_detections import flag_fixed_detections
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.detector import DetectorWindow
from grism_align.values.failure import FarFromDither
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, REST, observe, offset, stars

MATCH = MatchSettings()
POINTING = PointingSettings()
DITHERS = ((0.0, 0.0), (6.0, 3.0), (-4.0, 8.0), (2.0, -7.0))
# Ids of detections that were put in; those of stars begin at 1000.
FALSE = 100_000


def shifted(east=0.0, north=0.0):
    return LinearTransform.from_parameters(PLANE, (east, north), 0.0)


def exposures(field, rng, dithers=DITHERS, errors=None, angles=None, visits=None):
    """Exposures at dithers, each with an error of its own; by default all of one acquisition."""
    made = []
    for i, at in enumerate(dithers):
        visit = "iaaa01" if visits is None else visits[i]
        error = shifted(*rng.normal(0, 0.01, 2)) if errors is None else errors[i]
        angle = 30.0 if angles is None else angles[i]
        made.append(
            observe(
                field,
                error,
                rng,
                f"{visit}d{i}q",
                start=1e3 * i,
                at=at,
                angle=angle,
                visit=visit,
                group=visit,
            )
        )
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}


def with_detections(catalog, xy, flux=1e4, first=FALSE):
    """The catalog with further detections at some pixels."""
    n = len(xy)
    columns = {
        **{name: np.full(n, value) for name, value in REST.items()},
        "id": first + np.arange(n),
        "chip": np.ones(n),
        "x": xy[:, 0],
        "y": xy[:, 1],
        "x_error": np.full(n, 0.02),
        "y_error": np.full(n, 0.02),
        "flux": np.full(n, flux),
        "mag": np.full(n, 26 - 2.5 * np.log10(flux)),
        "flags": np.zeros(n),
    }
    return catalog.joined(SourceCatalog.from_columns(columns))


def hot_pixels(rng, n=60):
    """Detections in place in every exposure, as well centred as stars."""
    place = rng.uniform(10, 1000, (n, 2))
    return lambda _: place + 0.02 * rng.normal(size=place.shape)


def columns(rng, n=60):
    """Detections along three bad columns."""
    place = np.column_stack([rng.choice(rng.uniform(10, 1000, 3), n), rng.uniform(10, 1000, n)])
    return lambda _: place + [0.02, 0.1] * rng.normal(size=place.shape)


def flagged(catalogs):
    """Of every catalog, the ids that are flagged, and all others."""
    found = [(np.asarray(c.table["id"]), (c.flags & SourceFlag.FIXED) != 0) for c in catalogs.values()]
    return [(ids[bad], ids[~bad]) for ids, bad in found]


@pytest.mark.parametrize("kind", [hot_pixels, columns])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dithers": DITHERS[:2]},
        {"angles": (30.0, 30.0, 75.0, 75.0), "visits": ("iaaa01", "iaaa01", "ibbb02", "ibbb02")},
        {"visits": ("iaaa01", "ibbb02", "iccc03", "iddd04")},
        {"dithers": ((0.0, 0.0), (0.0, 0.0), (0.6, 0.3))},
    ],
    ids=["four", "two", "two rolls", "four visits", "small dither"],
)
def test_what_is_fixed_is_flagged_and_no_star(kind, options):
    rng = np.random.default_rng(11)
    frames, catalogs = exposures(stars(rng), rng, **options)
    place = kind(rng)
    catalogs = {key: with_detections(c, place(key)) for key, c in catalogs.items()}
    found = flag_fixed_detections(frames, catalogs, POINTING)
    for bad, good in flagged(found):
        # chance brings a star onto another one's pixels, or onto a hot one: 4 x 200 x 1.5 pixels of 1e6
        assert (bad < FALSE).sum() <= 3
        assert (good >= FALSE).sum() <= 1
    counts = [found[frame.key].table.meta["counts"]["flagged_fixed"] for frame in frames]
    assert counts == [len(bad) for bad, _ in flagged(found)]
    again = flag_fixed_detections(frames, found, POINTING)
    assert [bad.tolist() for bad, _ in flagged(again)] == [bad.tolist() for bad, _ in flagged(found)]


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (150, {}),
        (5000, {}),
        (150, {"dithers": ((0.0, 0.0),) * 4}),
        (150, {"dithers": ((0.0, 0.0),) * 2, "visits": ("iaaa01", "ibbb02")}),
        (150, {"angles": (30.0, 75.0, 120.0, 210.0)}),
    ],
    ids=["dithered", "crowded", "undithered", "two visits undithered", "rolls"],
)
def test_of_a_field_of_stars_none_is_flagged(n, options):
    rng = np.random.default_rng(12)
    frames, catalogs = exposures(stars(rng, n), rng, **options)
    for bad, good in flagged(flag_fixed_detections(frames, catalogs, POINTING)):
        assert len(bad) <= 2e-3 * len(good)


def test_stars_that_are_a_dither_apart_are_not_flagged():
    """A star, then the next one, falls on the same pixels; both are seen on the sky."""
    rng = np.random.default_rng(13)
    step = np.array([6.0, 3.0])
    i, j = np.meshgrid(np.arange(-9, 10), np.arange(-9, 10))
    grid = i.reshape(-1, 1) * step + j.reshape(-1, 1) * [-3.0, 6.0]
    field = replace(stars(rng, len(grid)), sky=PLANE.to_sky(grid))
    frames, catalogs = exposures(field, rng, [tuple(n * step) for n in range(4)], [shifted()] * 4)
    for bad, good in flagged(flag_fixed_detections(frames, catalogs, POINTING)):
        # those that the others don't look at may be
        assert len(bad) < 0.15 * len(good)


def test_an_afterglow_is_flagged_and_its_star_is_not():
    rng = np.random.default_rng(14)
    frames, catalogs = exposures(stars(rng), rng)
    bright = {key: c.xy[c.mag < 20] for key, c in catalogs.items()}
    burnt = np.zeros((0, 2))
    for n, frame in enumerate(frames):
        catalogs[frame.key] = with_detections(
            catalogs[frame.key], burnt + 0.05 * rng.normal(size=burnt.shape)
        )
        burnt = bright[frame.key] if n == 0 else np.concatenate([burnt, bright[frame.key]])
    for bad, good in flagged(flag_fixed_detections(frames, catalogs, POINTING)):
        assert (bad < FALSE).sum() <= 3
        assert (good >= FALSE).sum() <= 2


def test_parts_of_a_detector_have_its_pixels():
    """A subarray, and an array binned by two, see a hot pixel where the whole detector has it."""
    rng = np.random.default_rng(15)
    frames, catalogs = exposures(stars(rng), rng)
    place = rng.uniform(300, 700, (60, 2))
    windows = (
        DetectorWindow(),
        DetectorWindow(ltv=(-250.0, -250.0)),
        DetectorWindow(ltm=(0.5, 0.5), ltv=(0.25, 0.25)),
    )
    for n, window in enumerate(windows):
        frame = frames[n]
        frames[n] = replace(frame, chips=(replace(frame.chips[0], window=window),))
        array = (place + 1.0) * window.ltm + window.ltv - 1.0
        catalogs[frame.key] = with_detections(catalogs[frame.key], array)
    for bad, _ in flagged(flag_fixed_detections(frames[:3], catalogs, POINTING)):
        # a few have another detection at their place on the sky by chance
        assert (bad >= FALSE).sum() >= 54


@pytest.mark.parametrize("n_fixed", [30, 100, 400])
@pytest.mark.parametrize("n_exposures", [2, 4])
@pytest.mark.parametrize("visits", [None, ("iaaa01", "ibbb02", "iccc03", "iddd04")])
def test_the_sky_wins(n_fixed, n_exposures, visits):
    """Some fifty stars, and many more detections that stay where they are, all brighter."""
    rng = np.random.default_rng(16)
    errors = [shifted(*rng.normal(0, 0.02, 2)) for _ in DITHERS]
    frames, catalogs = exposures(stars(rng, 60), rng, DITHERS[:n_exposures], errors, None, visits)
    place = hot_pixels(rng, n_fixed)
    catalogs = {key: with_detections(c, place(key)) for key, c in catalogs.items()}
    result = align_relative(frames, catalogs, RelativeSettings(), MATCH, POINTING)
    assert result.counts["flagged_fixed"] >= 0.98 * n_fixed * n_exposures
    for frame, error in zip(frames, errors, strict=False):
        fit = result.solution[frame.key]
        assert fit.status is not FitStatus.FAILED
        # 0.02 px over sqrt(25), of two exposures, and twice that at a corner
        limit = 4 * 0.02 * 0.128 / np.sqrt(25) * np.sqrt(2) * 2
        assert np.abs(offset(frame, fit.transform, error, errors[0])).max() < limit


def test_visits_at_one_place_of_the_sky_keep_their_stars():
    """Though the WCS of one is off by 10 arcsec: nothing lies where it says."""
    rng = np.random.default_rng(17)
    frames, catalogs = exposures(
        stars(rng),
        rng,
        ((0.0, 0.0),) * 4,
        [shifted(), shifted(), shifted(10.0), shifted(10.0)],
        visits=("iaaa01", "iaaa01", "ibbb02", "ibbb02"),
    )
    for bad, _ in flagged(flag_fixed_detections(frames, catalogs, POINTING)):
        assert len(bad) == 0
    result = align_relative(frames, catalogs, RelativeSettings(), MATCH, POINTING)
    assert all(fit.is_aligned for fit in result.solution.fits.values())


def test_without_exposures_nothing_is_flagged():
    assert flag_fixed_detections([], {}, POINTING) == {}


@pytest.mark.parametrize(("north", "status"), [(1.0, FitStatus.ALIGNED), (5.0, FitStatus.FAILED)])
def test_an_exposure_far_from_its_dither_fails_with_the_shift(north, status):
    rng = np.random.default_rng(18)
    errors = [shifted(), shifted(), shifted(), shifted(north=north)]
    frames, catalogs = exposures(stars(rng), rng, DITHERS, errors)
    result = align_relative(frames, catalogs, RelativeSettings(), MATCH, POINTING)
    *others, last = result.solution.fits.values()
    assert all(fit.is_aligned for fit in others)
    assert last.status is status
    if status is FitStatus.FAILED:
        (remark,) = (r for one in last.remarks for r in one.with_causes() if isinstance(r, FarFromDither))
        assert remark.shift == pytest.approx(north, abs=0.01)
