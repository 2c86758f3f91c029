"""The zero of a frame is not a displaced visit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.relative.relative import align_relative
from grism_align.algorithms.relative.zero import zero_of
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import FitStatus
from grism_align.values.transform import LinearTransform
from tests.support.exposures import PIXEL_NOISE, PLANE, observe, offset, stars

ERROR = PointingSettings().visit_error
FAR = np.array([36.0, -5.0])


def _visits(rng, n_visits, n_each, displaced=()):
    """Shifts of the pointings of visits, each wrong by the pointing's error; some displaced besides."""
    names = np.repeat([f"v{number}" for number in range(n_visits)], n_each)
    own = ERROR * rng.normal(size=(n_visits, 2)) + [FAR * (number in displaced) for number in range(n_visits)]
    return np.repeat(own, n_each, axis=0) + 0.02 * rng.normal(size=(len(names), 2)), names.tolist()


@given(seed=st.integers(0, 10**6), n_visits=st.integers(3, 12), n_each=st.integers(1, 4))
def test_no_displaced_visit_fixes_a_frame(seed, n_visits, n_each):
    rng = np.random.default_rng(seed)
    n_displaced = int(rng.integers(0, (n_visits + 1) // 2))
    displaced = rng.choice(n_visits, n_displaced, replace=False).tolist()
    shifts, visits = _visits(rng, n_visits, n_each, displaced)
    zero = zero_of(shifts, visits, ERROR)
    assert visits[zero.row] not in {f"v{number}" for number in displaced}
    assert zero.apart == 0.0
    # whatever solution brings them together
    assert zero_of(shifts + np.array([100.0, -50.0]), visits, ERROR) == zero


@given(seed=st.integers(0, 10**6), n_visits=st.integers(1, 4), n_each=st.integers(1, 4))
def test_the_first_one_where_none_is_displaced(seed, n_visits, n_each):
    """With errors of pointings as they are, within three of them."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"v{number}" for number in range(n_visits)], n_each).tolist()
    own = rng.uniform(-1, 1, (n_visits, 2)) * 1.5 * ERROR
    assert zero_of(np.repeat(own, n_each, axis=0), names, ERROR).row == 0


def test_many_visits_tell_how_good_pointings_are():
    """One off by 1 arcsec among nine that agree to 0.02, though a pointing may be wrong by 0.5."""
    rng = np.random.default_rng(5)
    shifts = 0.02 * rng.normal(size=(10, 2))
    shifts[0] += [1.0, 0.0]
    assert zero_of(shifts, [f"v{number}" for number in range(10)], ERROR).row == 1


@pytest.mark.parametrize("n_each", [1, 3])
def test_of_two_visits_neither_is_known_to_be_right(n_each):
    shifts, visits = _visits(np.random.default_rng(6), 2, n_each, displaced=[1])
    zero = zero_of(shifts, visits, ERROR)
    assert zero.row == 0
    # each is wrong by the error of a pointing; of both, within four of them
    assert abs(zero.apart - np.hypot(*FAR)) < 4 * ERROR * np.sqrt(2)


def test_the_first_exposure_of_a_visit_may_be_displaced():
    shifts = np.array([[30.0, 0.0], [0.01, 0.0], [0.0, 0.02], [-0.01, 0.0]])
    assert zero_of(shifts, ["v0"] * 4, ERROR).row == 1


def test_right_visits_stay_where_they_are():
    """Three visits, the first displaced: it is brought to the others."""
    rng = np.random.default_rng(7)
    field = stars(rng)
    errors = [LinearTransform.from_parameters(PLANE, shift) for shift in (FAR, (0.3, 0.2), (-0.2, 0.1))]
    made = [
        observe(field, error, rng, f"i{letter * 3}01d1q", start=1e4 * number)
        for number, (letter, error) in enumerate(zip("abc", errors, strict=True))
    ]
    exposures = [exposure for exposure, _ in made]
    result = align_relative(
        exposures,
        {exposure.key: catalog for exposure, catalog in made},
        RelativeSettings(),
        MatchSettings(),
        PointingSettings(),
    )
    fits = result.solution.fits
    assert [fits[exposure.key].status for exposure in exposures] == [
        FitStatus.ALIGNED,
        FitStatus.REFERENCE,
        FitStatus.ALIGNED,
    ]
    assert result.solution.reference == exposures[1].key
    # 20 mpx of a hundred stars of two exposures; at a corner twice that
    limit = 4 * PIXEL_NOISE * 0.128 / np.sqrt(100) * np.sqrt(2) * 2
    for exposure, error in zip(exposures, errors, strict=True):
        assert np.abs(offset(exposure, fits[exposure.key].transform, error, goal=errors[1])).max() < limit
