"""Exposures of one instant, with a catalog in the solution: several files, one unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.align import align_absolute
from grism_align.algorithms.relative.relative import align_relative
from grism_align.values.field import ExposureSet
from grism_align.values.settings import (
    AbsoluteSettings,
    MatchSettings,
    PointingSettings,
    ReferenceSettings,
    RelativeSettings,
)
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PLANE, observe, offset, stars, together, with_errors
from tests.support.pointings import DITHERS, key_of, pointings

ERRORS = [
    LinearTransform.from_parameters(PLANE, (0.6, -0.4), 0.01),
    LinearTransform.from_parameters(PLANE, (0.63, -0.42), 0.01),
    LinearTransform.from_parameters(PLANE, (0.58, -0.37), 0.01),
]


def solved(made, catalog, solve="joint"):
    """The set with both solutions."""
    exposures, catalogs = made
    relative = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    known = ExposureSet(
        "field", tuple(exposures), catalogs=catalogs, sources=relative.sources, relative=relative.solution
    )
    found = align_absolute(known, catalog, AbsoluteSettings(ReferenceSettings(solve=solve)))
    return replace(known, absolute=found.solution)


@pytest.fixture(scope="module")
def known():
    """Stars that the catalog has, on the first three detectors alone."""
    field = stars(np.random.default_rng(721), 120, 330.0)
    east, north = PLANE.to_plane(field.sky).T
    kept = ~((east < 8) & (north > -8))
    return replace(field, sky=field.sky[kept], mag=field.mag[kept], motion=field.motion[kept])


@pytest.fixture(scope="module")
def everything(known):
    return together(known, stars(np.random.default_rng(722), 300, 330.0))


@pytest.mark.parametrize("solve", ["frame", "visit", "exposure", "joint"])
def test_an_exposure_without_stars_is_where_its_pointing_is(known, everything, solve):
    rng = np.random.default_rng(723)
    found = solved(pointings(rng, everything, ERRORS), with_errors(known, rng), solve)
    for exposure in found.exposures:
        fit, first = found.absolute[exposure.key], found.absolute[key_of(int(exposure.pointing[1]), 0)]
        assert fit.status is FitStatus.ALIGNED
        np.testing.assert_array_equal(fit.transform.shift, first.transform.shift)
        np.testing.assert_array_equal(fit.transform.covariance, first.transform.covariance)
        assert fit.n_matched > 0 or (solve == "joint" and exposure.key[-2] == "3")
        left = offset(exposure, found.total[exposure.key].transform, ERRORS[int(exposure.pointing[1])])
        assert 1e3 * np.abs(left).max() < 6


@pytest.mark.slow
def test_claimed_errors_are_true(known, everything):
    """Of a pointing they are those of all its detectors."""
    pulls, claimed = [], []
    for seed in range(6):
        for detectors in (range(4), range(1)):
            rng = np.random.default_rng([724, seed])
            found = solved(pointings(rng, everything, ERRORS, detectors=detectors), with_errors(known, rng))
            for number, error in enumerate(ERRORS):
                exposure = found[key_of(number, 0)]
                transform = found.total[exposure.key].transform.at(exposure.plane)
                true = error.inverted().at(exposure.plane)
                claimed.append(transform.axis_error)
                pulls.append((transform.shift - true.shift) / transform.shift_error)
    four, one = np.reshape(claimed, (6, 2, 3)).mean(axis=(0, 2))
    # three of four detectors have stars of the catalog, and the roll is known better
    assert 1.4 < one / four < 3.0
    for half in np.moveaxis(np.reshape(pulls, (6, 2, 3, 2)), 1, 0):
        assert np.sqrt(np.mean(half**2)) == pytest.approx(1, abs=0.45)


@pytest.mark.parametrize("solve", ["exposure", "joint"])
def test_parts_of_one_exposure_tell_what_it_tells(solve):
    rng = np.random.default_rng(725)
    field = stars(rng, 200, 150.0)
    catalog = with_errors(field, rng)
    made = [
        observe(field, error, rng, f"iaaa01d{n}q", start=1e3 * n, at=dither)
        for n, (error, dither) in enumerate(zip(ERRORS, DITHERS, strict=False))
    ]
    parts = [
        (replace(e, key=f"{e.key}{number}", pointing=e.key), own.selected(np.arange(number, len(own), 2)))
        for e, own in made
        for number in range(2)
    ]
    whole, halves = (
        solved(([e for e, _ in one], {e.key: own for e, own in one}), catalog, solve) for one in (made, parts)
    )
    for exposure, _ in made:
        expected = whole.absolute[exposure.key]
        own = [halves.absolute[f"{exposure.key}{number}"] for number in range(2)]
        for fit in own:
            np.testing.assert_allclose(fit.transform.shift, expected.transform.shift, atol=3e-6)
            np.testing.assert_allclose(fit.transform.shift_error, expected.transform.shift_error, rtol=5e-3)
        if solve == "joint":
            assert sum(fit.n_used for fit in own) == expected.n_used


def test_two_detectors_that_see_the_same_sky():
    """As in two wavelengths: what they alone saw has the catalog's stars, too."""
    rng = np.random.default_rng(726)
    field = stars(rng, 120, 150.0)
    made = [
        observe(field, error, rng, key_of(number, detector), start=1e3 * number, pointing=f"p{number}", at=at)
        for number, (error, at) in enumerate(zip(ERRORS, ((0.0, 0.0), (70.0, 0.0), (0.0, 75.0)), strict=True))
        for detector in (0, 1)
    ]
    found = solved(([e for e, _ in made], {e.key: own for e, own in made}), with_errors(field, rng))
    for exposure in found.exposures:
        fit = found.absolute[exposure.key]
        # nearly all stars, whether another pointing saw them or not
        assert fit.n_used > 0.8 * len(found.catalogs[exposure.key])
        left = offset(exposure, found.total[exposure.key].transform, ERRORS[int(exposure.pointing[1])])
        assert 1e3 * np.abs(left).max() < 6
