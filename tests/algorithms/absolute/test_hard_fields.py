"""Catalogs and fields that are none of the easy ones: the truth comes back, or a refusal that says why."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.absolute.align import AbsoluteResult, align_absolute
from grism_align.algorithms.relative.relative import RelativeResult, align_relative
from grism_align.io.catalogs.reference import reference_catalog_from
from grism_align.values.catalog import ReferenceCatalog, SourceCatalog, SourceFlag
from grism_align.values.failure import TooFewSources
from grism_align.values.field import ExposureSet
from grism_align.values.settings import (
    AbsoluteSettings,
    MatchSettings,
    PointingSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
    RelativeSettings,
    SelectionSettings,
)
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, agreement
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.exposures import (
    PIXEL_NOISE,
    PLANE,
    Stars,
    observe,
    offset,
    sky_sources,
    stars,
    together,
    with_errors,
)

if TYPE_CHECKING:
    from grism_align.values.exposure import Exposure

KEYS = ("iaaa01d1q", "iaaa01d2q", "ibbb02d1q", "ibbb02d2q")
SOLVES = ("joint", "frame", "visit", "exposure")
YEAR = 365.25 * 86400
# Error of one source in one exposure, mas.
ONE = 1e3 * PIXEL_NOISE * 0.128


@dataclass(frozen=True, eq=False)
class Field:
    """Exposures, what they measured, how they lie to each other, and the true errors of their WCSs."""

    exposures: list[Exposure]
    catalogs: dict[str, SourceCatalog]
    relative: RelativeResult
    errors: list[LinearTransform]

    def tied(
        self,
        catalog: ReferenceCatalog,
        solve: str = "joint",
        geometry: str = "rscale",
        selection: SelectionSettings | None = None,
        **match,
    ) -> AbsoluteResult:
        settings = AbsoluteSettings(
            ReferenceSettings(solve=solve, fitgeometry=geometry),
            selection or SelectionSettings(),
            match=ReferenceMatchSettings(**match),
        )
        known = ExposureSet(
            "field",
            tuple(self.exposures),
            catalogs=self.catalogs,
            sources=self.relative.sources,
            relative=self.relative.solution,
        )
        return align_absolute(known, catalog, settings)

    def left(self, result: AbsoluteResult, key: int) -> float:
        """Largest error of an exposure's corrected WCS, mas."""
        exposure = self.exposures[key]
        total = self.relative.solution.then(result.solution)[exposure.key]
        return 1e3 * float(np.abs(offset(exposure, total.transform, self.errors[key])).max())

    def worst(self, result: AbsoluteResult) -> float:
        """Largest error of any corrected WCS, mas."""
        assert result.is_complete, result.warnings
        return max(self.left(result, n) for n in range(len(self.exposures)))

    def pulls(self, result: AbsoluteResult, keys) -> list[np.ndarray]:
        """Errors of the shifts of some exposures in units of those claimed."""
        total, out = self.relative.solution.then(result.solution), []
        for n in keys:
            exposure = self.exposures[n]
            if result.solution[exposure.key].is_aligned:
                found = total[exposure.key].transform.at(exposure.plane)
                true = self.errors[n].inverted().at(exposure.plane)
                out.append((found.shift - true.shift) / found.shift_error)
        return out


def observed(rng, field: Stars, errors, keys=KEYS, *, apart=0.0, at=None, angle=(30.0, 70.0)) -> Field:
    """Visits with an error each, `apart` years one after the other, and their relative solution."""
    each = len(keys) // len(errors)
    made, visit = [], np.arange(len(keys)) // each
    for i, key in enumerate(keys):
        made.append(
            observe(
                field,
                errors[visit[i]],
                rng,
                key,
                start=1e3 * (i % each) + YEAR * apart * visit[i],
                at=(3.0 * i, 5.0 * i) if at is None else at[i],
                angle=angle[visit[i] % len(angle)],
            )
        )
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    return Field(exposures, catalogs, relative, [errors[n] for n in visit])


def two_errors(plane=PLANE):
    return [
        LinearTransform.from_parameters(plane, (0.4, -0.3), 0.02),
        LinearTransform.from_parameters(plane, (-3.0, 5.0), -0.1),
    ]


def made(seed, n=60, **options):
    """A generator, stars of a catalog, and two visits to them and to galaxies that no catalog has."""
    return np.random.default_rng(1), *_made(tuple(np.atleast_1d(seed)), n, **options)


@cache
def _made(seed, n, *, motion=5.0, parallax=0.0, plane=PLANE, apart=0.0, side=150.0, n_galaxies=100):
    rng = np.random.default_rng(seed)
    known = replace(stars(rng, n, side, motion, plane=plane), parallax=parallax)
    field = observed(
        rng, together(known, stars(rng, n_galaxies, plane=plane)), two_errors(plane), apart=apart
    )
    return known, field


def assert_refused(field: Field, result: AbsoluteResult, reason: str):
    """That no exposure is tied, for a reason, and all keep their relative WCSs."""
    assert result.n_tied == 0
    total = field.relative.solution.then(result.solution)
    for key, before in field.relative.solution.fits.items():
        assert re.search(reason, result.solution[key].reason), result.solution[key].reason
        assert total[key].transform is before.transform or np.array_equal(
            total[key].transform.matrix, before.transform.matrix
        )
        assert total[key].is_aligned
    assert len(result.warnings) == 1
    assert re.search(reason, result.warnings[0])


def tolerance(n: float, exposures: int = 1) -> float:
    """Four errors at a corner of a fit of n sources, mas."""
    return 4 * 2.5 * ONE / np.sqrt(n * exposures)


PLACES = [
    (0.0, 2.0),
    (359.99, -85.0),
    (0.0, 89.9),
    (77.0, -89.9),
    (10.0, 90.0),
    *(
        pytest.param(place, marks=pytest.mark.slow)
        for place in [(150.0, 0.0), (359.995, -30.0), (0.005, 85.0), (200.0, 89.0), (0.0, -89.0)]
    ),
]


@pytest.mark.parametrize("place", PLACES)
def test_the_field_may_be_anywhere(place):
    """Two visits ten years apart of stars with motions and parallaxes, on the pole and on RA 0."""
    plane = TangentPlane(*place)
    rng, known, field = made(201, apart=10.3, parallax=15.0, plane=plane)
    assert field.worst(field.tied(with_errors(known, rng))) < tolerance(40, 2)


@given(ra=st.floats(0.0, 360.0), dec=st.floats(-90.0, 90.0))
@settings(max_examples=8, derandomize=True, deadline=None)
def test_a_frame_is_tied_anywhere(ra, dec):
    plane = TangentPlane(ra, dec)
    rng = np.random.default_rng(202)
    known = replace(stars(rng, 50, motion=10.0, plane=plane), parallax=20.0)
    error = LinearTransform.from_parameters(plane, (2.0, -1.0), 0.1)
    exposure, _ = observe(known, error, rng, KEYS[0])
    identity = ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(plane), frame=0, geometry="rshift")
    sources = sky_sources(known, error, rng, year=2009.3)
    relative = RelativeResult(AlignmentSolution({exposure.key: identity}), sources, (), {}, {})
    field = Field([exposure], {}, relative, [error])
    assert field.worst(field.tied(with_errors(known, rng))) < 4 * 2.5 * 1.1 / np.sqrt(45)


@pytest.mark.parametrize(
    ("n", "least", "reason"),
    [
        (0, 4, "it has no source"),
        (1, 4, "1 matched sources possible in the common field, 4 required"),
        (2, 3, "2 matched sources possible in the common field, 3 required"),
        (3, 4, "3 matched sources possible in the common field, 4 required"),
        (3, 3, r"3 matched sources could be chance: false-match probability \d"),
    ],
)
def test_too_few_stars_are_refused(n, least, reason):
    rng, known, field = made(203, 12, side=60.0)
    for solve in SOLVES:
        assert_refused(
            field, field.tied(with_errors(known, rng)[np.arange(n)], solve, min_matches=least), reason
        )


@pytest.mark.parametrize("solve", SOLVES)
def test_three_stars_are_enough_for_who_wants_that(solve):
    """And says where they may be: of the whole search three stars could be chance."""
    rng, known, field = made(204, 12, side=80.0)
    catalog = with_errors(known, rng)
    near = {"search_radius": 3.0, "max_roll": 0.5, "min_matches": 3}
    assert field.worst(field.tied(catalog[np.arange(3)], solve, **near)) < tolerance(1)
    assert field.worst(field.tied(catalog[np.arange(4)], solve)) < tolerance(1)


def test_catalogs_of_other_fields_are_refused():
    rng, _, field = made(205)
    other = stars(rng, 60, motion=5.0).catalog()
    assert_refused(field, field.tied(other), "could be chance|matched sources, 4 required")
    away = stars(rng, 60, motion=5.0, east=1800.0).catalog()
    assert_refused(field, field.tied(away), r"its nearest source is 28\.\d arcmin from the exposures")
    beside = stars(rng, 60, motion=5.0, east=230.0).catalog()
    assert_refused(field, field.tied(beside), "could be chance|matched sources")


def test_catalogs_of_few_unrelated_sources_are_refused():
    """Three to ten of them on 200 sources, at any offset and roll."""
    rng = np.random.default_rng(206)
    identity = LinearTransform.identity(PLANE)
    exposure, _ = observe(stars(rng), identity, rng, KEYS[0])
    fit = ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(PLANE), frame=0, geometry="rshift")
    sources = sky_sources(stars(rng, 200), identity, rng)
    field = Field(
        [exposure], {}, RelativeResult(AlignmentSolution({exposure.key: fit}), sources, (), {}, {}), []
    )
    for n in np.tile(np.arange(3, 11), 4):
        result = field.tied(stars(rng, n, 100.0, motion=5.0).catalog(0.5, rng), min_matches=3)
        assert result.n_tied == 0


@cache
def fast_star():
    rng = np.random.default_rng(207)
    known = stars(rng, 20, 100.0, motion=5.0)
    known.motion[0] = 800.0, -600.0
    return known, observed(rng, together(known, stars(rng, 100)), two_errors(), apart=10.0)


@pytest.mark.parametrize("solve", SOLVES)
def test_a_star_of_an_arcsec_a_year_harms_nothing(solve):
    """Between visits ten years apart it moves by ten arcsec; where it is used, it is where it was."""
    known, field = fast_star()
    result = field.tied(with_errors(known, np.random.default_rng(1)), solve)
    assert field.worst(result) < tolerance(15)
    for fit in result.solution.fits.values():
        mine = fit.residuals.matched == "S0"
        if solve != "frame":  # whose sources are those of both visits
            assert mine.sum() == 1
        assert np.abs(fit.residuals.offset[mine]).max(initial=0.0) < 4 * ONE


@cache
def few_stars(seed, n, side, *, apart, stream=(0.0, 0.0)):
    """Two visits to few stars, which may move with a stream, and to galaxies."""
    rng = np.random.default_rng(seed)
    known = stars(rng, n, side, motion=5.0)
    known = replace(known, motion=known.motion + np.array(stream))
    errors = [LinearTransform.from_parameters(PLANE, rng.normal(0, 0.3, 2), 0.01) for _ in range(2)]
    return known, observed(rng, together(known, stars(rng, 100)), errors, apart=apart)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("n", [4, pytest.param(5, marks=pytest.mark.slow)])
def test_few_stars_tie_visits_ten_years_apart(solve, n):
    """By when each has moved by more than the errors: the relative frame has it twice, or at one of them."""
    worst = []
    for seed in range(3):
        known, field = few_stars((208, seed), n, 75.0, apart=10.0, stream=(-4.0, -6.0))
        result = field.tied(with_errors(known, np.random.default_rng(seed)), solve)
        assert result.is_complete, result.warnings
        worst.append(field.worst(result))
    # four stars, the arms of which are shorter than those of the corners
    assert np.median(worst) < tolerance(n, 1 if solve == "exposure" else 2)


@pytest.mark.parametrize("kind", ["same", "near"])
def test_ten_rows_of_one_source_are_one(kind):
    rng, known, field = made(209, 20)
    rows = np.concatenate([np.zeros(10, dtype=int), np.arange(20)])
    catalog = with_errors(known, rng)[rows]
    if kind == "near":
        xy = PLANE.to_plane(catalog.sky)
        xy[:10] += rng.uniform(-0.0035, 0.0035, (10, 2))
        names = np.array([f"row {i}" for i in range(30)])
        catalog = replace(catalog, sky=PLANE.to_sky(xy), identifier=names)
    for solve in ("joint", "frame"):
        result = field.tied(catalog, solve)
        assert result.counts["reference_without_duplicates"] == 20
        assert field.worst(result) < tolerance(12, 2)


@pytest.mark.parametrize(
    "column", ["mag", "ra_error", "dec_error", "pmra", "pmra_error", "parallax", "ra", "ruwe", "ref_epoch"]
)
def test_blanks_of_any_column_harm_nothing(column):
    rng, known, field = made(210, 50, motion=1.0)
    true = with_errors(known, rng)
    columns = {
        "source_id": np.arange(len(true)),
        "ra": true.sky[:, 0].copy(),
        "dec": true.sky[:, 1],
        "ra_error": true.error[:, 0],
        "dec_error": true.error[:, 1],
        "pmra": true.motion[:, 0],
        "pmdec": true.motion[:, 1],
        "pmra_error": true.motion_error[:, 0],
        "pmdec_error": true.motion_error[:, 1],
        "parallax": np.zeros(len(true)),
        "parallax_error": np.full(len(true), 0.1),
        "ref_epoch": true.epoch,
        "phot_g_mean_mag": true.mag,
        "ruwe": np.ones(len(true)),
    }
    name = "phot_g_mean_mag" if column == "mag" else column
    for part in (10, len(true)):
        if (part, column) == (len(true), "ra"):
            continue
        blank = {**columns, name: columns[name].copy()}
        blank[name][:part] = np.nan
        if column == "ref_epoch":  # which motions must have
            blank["pmra"], blank["pmdec"] = (np.where(np.arange(50) < part, np.nan, v) for v in true.motion.T)
        result = field.tied(reference_catalog_from(Table(blank), "here"))
        # without motions a mas of each star is left
        assert field.worst(result) < tolerance(30)


@pytest.mark.parametrize(
    "off", [2.0, -16.0, 66.0, *(pytest.param(off, marks=pytest.mark.slow) for off in (-2.0, 16.0))]
)
@pytest.mark.parametrize("apart", [0.0, 10.0])
def test_a_wrong_epoch_is_told_where_motions_tell_it(off, apart):
    rng, known, field = made(211, apart=apart)
    true = with_errors(known, rng)
    wrong = replace(true, epoch=true.epoch + off)
    for solve in ("joint", "frame"):
        result = field.tied(wrong, solve)
        if off == 66.0:  # stars are a third of an arcsec off
            assert_refused(field, result, r"match where they stand, and not .*: its epoch, 2082\.0, or its")
            continue
        assert_refused(field, result, f"the catalog says {2016 + off:.1f}")
        says = re.search(r"the positions are those of (\d+\.\d) \(\+- (\d+\.\d)\)", result.warnings[0])
        assert abs(float(says[1]) - 2016.0) < max(1.0, 4 * float(says[2]))


def test_a_wrong_epoch_that_motions_do_not_tell_harms_nothing():
    rng, known, field = made(212, motion=0.2)
    true = with_errors(known, rng)
    assert field.worst(field.tied(replace(true, epoch=true.epoch + 2.0))) < tolerance(40)


def test_a_right_epoch_is_not_refused():
    """However few stars tell it."""
    for seed in range(4):
        rng, known, field = made([213, seed], 7, side=80.0, motion=0.5, n_galaxies=60)
        result = field.tied(with_errors(known, rng, 2.0))
        assert result.is_complete, result.warnings


@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_errors_that_a_catalog_misstates_are_found(factor):
    pulls = {"joint": [], "frame": []}
    for seed in range(4):
        rng, known, field = made([214, seed], 50, n_galaxies=60)
        catalog = with_errors(known, rng, 5.0)
        misstated = replace(catalog, covariance=factor**2 * catalog.covariance)
        for solve in pulls:
            pulls[solve] += field.pulls(field.tied(misstated, solve), (0, 2))
    for solve, found in pulls.items():
        # A rigid fit grants the scatter no less than a tenth of the stated variance.
        least = 0.25 if (solve, factor) == ("frame", 5.0) else 0.5
        # 16 pulls, half of them independent, and a factor of 1.5
        assert least < np.sqrt(np.mean(np.square(found))) < 1.5
        assert np.abs(found).max() < 4


@pytest.mark.parametrize("solve", SOLVES)
def test_parallax_is_taken_to_each_exposures_season(solve):
    rng, known, field = made(215, 40, parallax=50.0, apart=0.5)
    catalog = with_errors(known, rng)
    assert field.worst(field.tied(catalog, solve)) < tolerance(30)
    none = field.tied(replace(catalog, parallax=np.zeros(40)), solve)
    assert none.n_tied == 0 or field.worst(none) > 20
    # a star of 50 mas that comes nearer by 100 km/s is 0.05 mas off after ten years
    fast = replace(catalog, radial_velocity=rng.normal(0, 100.0, 40))
    assert field.worst(field.tied(fast, solve)) < tolerance(30)


def test_a_frame_of_two_seasons_has_the_mean_of_both():
    """Stars of 8 mas, which it has once: at the mean time they are not at their mean place."""
    worst = []
    for seed in range(3):
        rng, known, field = made([216, seed], 30, parallax=8.0, motion=0.0, apart=0.5, n_galaxies=150)
        worst.append(field.worst(field.tied(with_errors(known, rng), "frame")))
    # the difference is 3 mas
    assert np.median(worst) < 0.5 * tolerance(25, 2)


@pytest.mark.parametrize("without", ["inflate", "drop"])
def test_unknown_motions_of_a_catalog_ten_years_old(without):
    """Of a third of the stars: they are dropped, or have a tenth of the others' weight."""
    rng, known, field = made(217, 60)
    true = with_errors(replace(known, sky=known.at(2004.9)), rng)
    motion = true.motion.copy()
    motion[rng.permutation(60)[:20]] = np.nan
    catalog = replace(true, motion=motion, epoch=np.full(60, 2004.9))
    for solve in ("joint", "frame"):
        result = field.tied(catalog, solve, selection=SelectionSettings(without_motion=without))
        assert result.counts["reference_with_motion"] == (60 if without == "inflate" else 40)
        assert field.worst(result) < tolerance(25)


@pytest.mark.parametrize("solve", ["joint", "frame"])
def test_a_catalog_without_motions_claims_what_they_would_do(solve):
    pulls = []
    for seed in range(4):
        _, known, field = made([218, seed], 50, n_galaxies=60)
        true = replace(known, sky=known.at(2004.9)).catalog()
        catalog = replace(true, motion=np.full((50, 2), np.nan), epoch=np.full(50, 2004.9))
        pulls += field.pulls(field.tied(catalog, solve), (0, 2))
        dropped = field.tied(catalog, solve, selection=SelectionSettings(without_motion="drop"))
        assert_refused(field, dropped, "none is left with motion")
    # one pull of an axis for all exposures
    assert 0.4 < np.std(pulls) < 1.6


@pytest.mark.parametrize("extended", [True, False])
def test_few_stars_that_move_among_galaxies_that_don_t(extended):
    """Ten of Gaia's and 200 galaxies of 5 mas without motions, which a catalog may or may not call so."""
    rng = np.random.default_rng(219)
    moving, galaxies = stars(rng, 10, 110.0, 5.0), stars(rng, 200)
    moving = replace(moving, motion=moving.motion + np.array([-4.0, -6.0]))
    both = together(moving, galaxies)
    field = observed(rng, both, two_errors(), apart=10.0)
    one, other = with_errors(moving, rng, 0.5), with_errors(galaxies, rng, 5.0, 0.0)
    catalog = replace(
        both.catalog(),
        sky=np.concatenate([one.sky, other.sky]),
        motion=np.concatenate([one.motion, np.full((200, 2), np.nan)]),
        covariance=np.concatenate([one.covariance, other.covariance]),
        quality={"extended": np.arange(210) >= 10.0} if extended else {},
    )
    for solve in SOLVES:
        assert field.worst(field.tied(catalog, solve)) < tolerance(50 if extended else 8)


def test_saturated_stars_are_not_believed():
    """The ten brightest, whose centroids are off by half a pixel."""
    rng = np.random.default_rng(220)
    known = stars(rng, 60, 120.0, 3.0)
    field = observed(rng, together(known, stars(rng, 100)), two_errors())
    catalogs = {}
    for key, catalog in field.catalogs.items():
        table, burnt = catalog.table.copy(), np.asarray(catalog.table["id"]) < 1010
        table["flags"][burnt] |= int(SourceFlag.SATURATED)
        table["x"][burnt] += 0.5
        catalogs[key] = SourceCatalog(table)
    relative = align_relative(
        field.exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings()
    )
    field = replace(field, catalogs=catalogs, relative=relative)
    result = field.tied(with_errors(known, rng))
    assert result.counts["saturated_frame_1"] >= 8
    assert field.worst(result) < tolerance(40)


def joined_catalogs(one: ReferenceCatalog, other: ReferenceCatalog) -> ReferenceCatalog:
    names = ("sky", "covariance", "motion", "parallax", "radial_velocity", "epoch", "mag", "identifier")
    columns = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names}
    return replace(one, **{**columns, "identifier": np.array([f"S{i}" for i in range(len(columns["mag"]))])})


@pytest.mark.parametrize(("n_false", "side"), [(60, 150.0), (10000, 170.0)])
def test_false_sources_harm_nothing(n_false, side):
    """Half of the catalog, or all but one of a hundred: the real ones stand out."""
    rng, known, field = made(221, 60, n_galaxies=40)
    catalog = joined_catalogs(with_errors(known, rng), stars(rng, n_false, side, motion=5.0).catalog())
    every = SelectionSettings(max_sources=20000)
    for solve in ("joint", "frame"):
        assert field.worst(field.tied(catalog, solve, selection=every)) < tolerance(25)


@cache
def off_by(shift, *rolls):
    rng = np.random.default_rng(222)
    known = stars(rng, 60, motion=5.0)
    errors = [LinearTransform.from_parameters(PLANE, shift, roll) for roll in rolls]
    return known, observed(rng, together(known, stars(rng, 100)), errors)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize(("shift", "roll"), [((14.0, -14.0), 1.0), ((0.0, 1.0), 180.0)])
def test_a_frame_far_off(solve, shift, roll):
    known, field = off_by(shift, roll, roll + 0.05)
    assert field.worst(field.tied(with_errors(known, np.random.default_rng(1)), solve)) < tolerance(35)


def shaken(field: Field, moves) -> Field:
    """The field with wrong relative corrections of its exposures."""
    fits, moved = {}, {}
    for exposure, move in zip(field.exposures, moves, strict=True):
        fit = field.relative.solution[exposure.key]
        wrong = LinearTransform.from_parameters(fit.transform.plane, move)
        fits[exposure.key] = replace(fit, transform=fit.transform.then(wrong))
        moved[exposure.key] = wrong
    solution = AlignmentSolution(fits, field.relative.solution.reference)
    return replace(field, relative=replace(field.relative, solution=solution))


VISITS = [(0.0, 0.0), (0.0, 0.0), (0.03, -0.02), (0.03, -0.02)]
EXPOSURES = [(0.01, 0.0), (0.0, -0.02), (0.03, -0.02), (-0.015, 0.02)]


@pytest.mark.parametrize(
    ("solve", "moves", "mended"),
    [
        ("frame", VISITS, False),
        ("visit", VISITS, True),
        ("visit", EXPOSURES, False),
        ("exposure", VISITS, True),
        ("exposure", EXPOSURES, True),
        ("joint", EXPOSURES, True),
    ],
)
def test_what_moves_as_one(solve, moves, mended):
    rng, known, field = made(223, 60, motion=0.5)
    field = shaken(field, moves)
    worst = field.worst(field.tied(with_errors(known, rng), solve))
    assert worst < tolerance(35) if mended else worst > 10


def test_rigid_parts_keep_what_is_within_them():
    """The exposures of a frame, and those of a visit, lie to each other as the relative solution has them."""
    rng, known, field = made(224, 60)
    for solve, parts in (("frame", [(0, 1, 2, 3)]), ("visit", [(0, 1), (2, 3)])):
        solution = field.tied(with_errors(known, rng), solve).solution
        for part in parts:
            first, *others = (solution[KEYS[n]].transform for n in part)
            for other in others:
                np.testing.assert_array_equal(other.matrix, first.matrix)
                np.testing.assert_array_equal(other.shift, first.shift)


def test_units_with_too_few_stars_move_with_the_frame():
    rng = np.random.default_rng(225)
    known = together(stars(rng, 12, 70.0, 2.0, east=-70.0), stars(rng, 2, 60.0, east=75.0))
    field = observed(
        rng,
        together(known, stars(rng, 400, 320.0)),
        two_errors()[:1] * 2,
        at=[(-65.0, 0.0), (-62.0, 5.0), (50.0, 0.0), (53.0, 5.0)],
        angle=(0.0,),
    )
    for solve, unit in (("visit", "ibbb02"), ("exposure", "ibbb02d1q")):
        result = field.tied(with_errors(known, rng), solve)
        assert field.worst(result) < tolerance(4)
        fits = [result.solution[key] for key in KEYS]
        assert [fit.status for fit in fits] == [FitStatus.ALIGNED] * 2 + [FitStatus.PRIOR_ONLY] * 2
        assert fits[2].reason == f"{unit} moves with its frame: 2 matched sources, 4 required"
        assert result.warnings == tuple(sorted({fit.reason for fit in fits[2:]}))


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
def test_no_more_is_fitted_than_the_geometry(solve, geometry):
    known, field = off_by((0.4, -0.3), 0.0, -0.1)
    result = field.tied(with_errors(known, np.random.default_rng(1)), solve, geometry)
    assert field.worst(result) < tolerance(20)
    for fit in result.solution.fits.values():
        transform = fit.transform
        if geometry == "shift":
            assert abs(transform.roll) < 1e-9
        if geometry in ("shift", "rshift"):
            np.testing.assert_allclose(transform.matrix @ transform.matrix.T, np.eye(2), atol=1e-9)
        assert fit.geometry == geometry or (geometry, fit.geometry) == ("rscale", "rshift")


@cache
def three_frames():
    rng = np.random.default_rng(227)
    keys = (*KEYS, "iccc03d1q", "iccc03d2q")
    errors = [LinearTransform.from_parameters(PLANE, rng.normal(0, 0.5, 2), 0.02) for _ in range(3)]
    known = stars(rng, 700, 1100.0, motion=3.0)
    middles = [(-400.0, 0.0), (-397.0, 5.0), (0.0, 0.0), (3.0, 5.0), (400.0, 0.0), (403.0, 5.0)]
    return known, observed(rng, together(known, stars(rng, 4000, 1100.0)), errors, keys, at=middles)


@pytest.mark.parametrize("solve", ["joint", "frame"])
def test_frames_that_do_not_overlap(solve):
    """Each is tied; and where the catalog is wrong around one, that one is not."""
    rng, (known, field) = np.random.default_rng(1), three_frames()
    keys = [exposure.key for exposure in field.exposures]
    assert [field.relative.solution[key].frame for key in keys] == [0, 0, 1, 1, 2, 2]
    catalog = with_errors(known, rng)
    assert field.worst(field.tied(catalog, solve)) < tolerance(3)
    xy = PLANE.to_plane(catalog.sky)
    bad = np.abs(xy[:, 0]) < 200
    xy[bad] += rng.uniform(-20.0, 20.0, (int(bad.sum()), 2))
    result = field.tied(replace(catalog, sky=PLANE.to_sky(xy)), solve)
    assert [result.solution[key].is_aligned for key in keys] == [True, True, False, False, True, True]
    assert "could be chance" in result.warnings[0] or "matched sources" in result.warnings[0]
    assert result.warnings[0].startswith("ibbb02d1q, ibbb02d2q not tied to MADE")
    assert not result.is_complete
    assert max(field.left(result, n) for n in (0, 1, 4, 5)) < tolerance(3)


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("n", [4, 30])
def test_an_exposure_alone(solve, n):
    rng = np.random.default_rng([228, n])
    known = stars(rng, n, 90.0)
    field = observed(rng, together(known, stars(rng, 100)), two_errors()[:1], KEYS[:1])
    result = field.tied(with_errors(known, rng), solve)
    assert field.worst(result) < tolerance(n)
    assert result.solution[KEYS[0]].n_used == n


@pytest.mark.parametrize("solve", SOLVES)
def test_an_exposure_with_no_correction_of_its_own_moves_with_others(solve):
    """With next to no source, or with none."""
    rng, known, field = made(229, 60)
    lost = field.relative.solution[KEYS[3]]
    fits = {
        **field.relative.solution.fits,
        KEYS[3]: replace(
            lost, status=FitStatus.PRIOR_ONLY, residuals=None, remarks=(TooFewSources(3, 9, 6),)
        ),
    }
    relative = replace(field.relative, solution=AlignmentSolution(fits, KEYS[0]))
    for n in (0, 3):
        catalogs = {**field.catalogs, KEYS[3]: field.catalogs[KEYS[3]].selected(np.arange(n))}
        result = replace(field, relative=relative, catalogs=catalogs).tied(with_errors(known, rng), solve)
        assert field.worst(result) < tolerance(35)
        total = relative.solution.then(result.solution)[KEYS[3]]
        assert (total.status, total.remarks) == (FitStatus.PRIOR_ONLY, (TooFewSources(3, 9, 6),))


@pytest.mark.parametrize("solve", SOLVES)
def test_a_set_without_its_source_catalogs_moves_as_one(solve):
    rng, known, field = made(230, 60, apart=10.0)
    result = replace(field, catalogs={}).tied(with_errors(known, rng), solve)
    assert field.worst(result) < tolerance(30)
    assert {fit.includes_earlier for fit in result.solution.fits.values()} == {False}
    if solve in ("visit", "exposure"):
        assert result.warnings == (
            f"solve={solve}: {', '.join(KEYS)} move as one, since their source catalogs are not at hand",
        )
    else:
        assert result.warnings == ()


@pytest.mark.parametrize("solve", SOLVES)
def test_claimed_errors_of_few_stars_are_true(solve):
    pulls = []
    for seed in range(6):
        known, field = few_stars((231, seed), (4, 6, 10)[seed % 3], 90.0, apart=1.0)
        catalog = with_errors(known, np.random.default_rng(seed), 0.5)
        pulls += field.pulls(field.tied(catalog, solve), (0, 2))
    assert len(pulls) > 8
    assert np.abs(pulls).max() < 5
    # some 24 pulls, not all independent
    assert 0.6 < np.sqrt(np.mean(np.square(pulls))) < 1.5


def test_motions_that_leave_no_star_where_it_should_be():
    """Thirty arcsec a year on every star: it is refused with a reason, whatever part of it matches."""
    rng = np.random.default_rng(977)
    field = stars(rng)
    made = [
        observe(field, LinearTransform.identity(PLANE), rng, key, start=15.8e6 * i)
        for i, key in enumerate(("iaaa01d1q", "ibbb02d1q"))
    ]
    catalog = field.catalog(0.3, rng)
    moving = replace(catalog, motion=np.full((len(catalog), 2), 30000.0))
    exposures, catalogs = [e for e, _ in made], {e.key: c for e, c in made}
    relative = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    known = ExposureSet(
        "field",
        tuple(exposures),
        catalogs=catalogs,
        sources=relative.sources,
        relative=relative.solution,
    )
    result = align_absolute(known, moving, AbsoluteSettings())
    assert not any(fit.is_aligned for fit in result.solution.fits.values())
    assert all(fit.reason for fit in result.solution.fits.values())


@pytest.mark.parametrize(
    ("seed", "reason"), [(2, ""), (5, "of 10 keep|disagree"), (6, "of 15 keep"), (11, "disagree")]
)
def test_a_minority_does_not_tie_a_frame(seed, reason):
    """Of stars, or of what the exposures of one visit measured of them.

    Most motions of the catalog are an arcsec a year off, with visits a year apart.
    """
    rng = np.random.default_rng([233, seed])
    known = stars(rng, 20, 130.0)
    field = observed(rng, together(known, stars(rng, 60)), two_errors(), apart=1.0)
    catalog = with_errors(known, rng)
    bad = rng.random(len(catalog)) < 0.6
    motion = np.where(bad[:, None], rng.normal(0, 1000.0, catalog.motion.shape), catalog.motion)
    result = field.tied(replace(catalog, motion=motion))
    if reason:
        assert_refused(field, result, reason)
    else:
        assert field.worst(result) < tolerance(7)


def test_too_large_errors_of_one_axis_leave_the_other_alone():
    """An axis without errors has 10 mas: its stars scatter less than that, those of the other axis do not."""
    rng, known, field = made(234, 50, motion=1.0)
    true = with_errors(known, rng, 1.0)
    covariance = true.covariance.copy()
    covariance[:, 0, 0] = 10.0**2
    result = field.tied(replace(true, covariance=covariance))
    assert field.worst(result) < tolerance(30)
    whole = agreement(list(result.solution.fits.values()))
    assert whole.n_used > 0.9 * whole.n_matched
    assert np.abs(field.pulls(result, (0, 2))).max() < 4


def test_numbers_are_those_of_each_exposure():
    """Its own stars, their residuals by its own measurements; and of the frame those of all."""
    rng, known, field = made(235, 60)
    result = field.tied(with_errors(known, rng))
    seen = []
    for exposure in field.exposures:
        fit = result.solution[exposure.key]
        ids = np.asarray(field.catalogs[exposure.key].table["id"]) - 1000
        mine = {f"S{i}" for i in ids[ids < 60]}
        assert set(fit.residuals.matched.tolist()) <= mine
        assert fit.n_matched == len(fit.residuals.offset) > 0.8 * len(mine)
        # a measurement and the catalog, each of whose errors is known
        assert fit.rms == pytest.approx(np.hypot(ONE, 0.3), rel=0.4)
        assert 0.5 < fit.reduced_chi2 < 1.6
        assert fit.reduced_chi2 == pytest.approx(np.mean(fit.reduced_chi2_axes))
        seen.append(set(fit.residuals.matched[fit.residuals.weight > 0].tolist()))
    assert len({fit.rms for fit in result.solution.fits.values()}) == len(field.exposures)
    whole = agreement(list(result.solution.fits.values()))
    assert whole.n_used == len(set.union(*seen)) == result.counts["reference_used_frame_1"]
