from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.trace_fit import Heights, contrast_with_others, fit_offsets

ERROR = 0.05


def drawn(rng, offsets, visits, source_scatter=0.2, field=0.0):
    """Heights of six pieces of the traces of thirty sources in every exposure."""
    n_sources, n_pieces = 30, 6
    e, s, p = (a.ravel() for a in np.meshgrid(*map(np.arange, (len(offsets), n_sources, n_pieces))))
    visit = np.asarray(visits)[e]
    # One number for each source and visit, besides one for each piece, correlates the pieces of a source.
    own = source_scatter * rng.standard_normal((visit.max() + 1, n_sources))[visit, s]
    own += 0.3 * source_scatter * rng.standard_normal((visit.max() + 1, n_sources, n_pieces))[visit, s, p]
    place = rng.uniform(-0.9, 0.9, (n_sources, 2))[s] + 0.05 * rng.standard_normal((len(offsets), 2))[e]
    x, y = place.T
    height = np.asarray(offsets)[e] + own + field * (y - 0.5 * x + 0.3 * x * y)
    height = height + ERROR * rng.standard_normal(len(e))
    zero = np.zeros(len(e), int)
    d = 2 * (p + 0.5) / n_pieces - 1
    return Heights(height, np.full(len(e), ERROR), e, s, p, visit, zero, np.column_stack([place, d]))


def pulls(field, kind, n=24):
    """Pulls of differences within a visit, and between visits."""
    inner, outer = [], []
    for seed in range(n):
        rng = np.random.default_rng(seed)
        truth = rng.normal(0, 0.3, 4)
        found = fit_offsets(drawn(rng, truth, (0, 0, 1, 1), field=field), 4, kind)
        off = found.offset - truth

        def pull(contrast, off=off, covariance=found.covariance):
            contrast = np.array(contrast)
            return contrast @ off / np.sqrt(contrast @ covariance @ contrast)

        inner.append(pull([1, -1, 0, 0]))
        outer.append(pull([0.5, 0.5, -0.5, -0.5]))
    return np.array(inner), np.array(outer)


@pytest.mark.parametrize(
    ("field", "kind"), [(0.0, ""), (0.0, "calibrated"), (1.0, "free"), (1.0, "calibrated")]
)
def test_differences_of_offsets_are_recovered_within_their_errors(field, kind):
    for found in pulls(field, kind):
        assert abs(found.mean()) < 4 / np.sqrt(len(found))
        assert 0.6 < found.std() < 1.5


def test_exposures_of_a_visit_are_compared_better_than_sources_agree():
    rng = np.random.default_rng(1)
    found = fit_offsets(drawn(rng, [0.0, 0.1], (0, 0)), 2)
    difference = np.array([-1.0, 1.0])
    error = np.sqrt(difference @ found.covariance @ difference)
    expected = ERROR * np.sqrt(2 / 180)
    assert error == pytest.approx(expected, rel=0.5)
    assert np.sqrt(found.covariance[0, 0]) == pytest.approx(0.21 / np.sqrt(30), rel=0.5)
    assert found.source_scatter == pytest.approx(0.2, rel=0.4)
    assert found.n_sources.tolist() == [30, 30]


def test_outliers_of_both_kinds_are_left_out():
    rng = np.random.default_rng(2)
    clean = drawn(rng, [0.0, 0.2, 0.0], (0, 0, 0), source_scatter=0.05)
    height = clean.height.copy()
    height[rng.random(len(height)) < 0.1] += 1.5
    height[clean.source < 4] += 3.0
    found = fit_offsets(replace(clean, height=height), 3)
    assert found.offset == pytest.approx([0.0, 0.2, 0.0], abs=0.05)
    relative = contrast_with_others(np.ones(3, bool)) @ found.offset
    assert relative == pytest.approx([-0.1, 0.2, -0.1], abs=0.02)


def test_an_exposure_without_measurements_has_no_offset():
    rng = np.random.default_rng(3)
    found = fit_offsets(drawn(rng, [0.0, 0.1], (0, 0)), 3, "free")
    is_known = np.isfinite(found.offset)
    assert is_known.tolist() == [True, True, False]
    relative = contrast_with_others(is_known) @ found.offset[is_known]
    assert relative == pytest.approx([-0.1, 0.1], abs=0.03)
    none = fit_offsets(Heights.joined([]), 2, "free")
    assert np.isnan(none.offset).all()
    assert contrast_with_others(np.isfinite(none.offset)).shape == (0, 0)
