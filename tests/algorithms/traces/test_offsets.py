from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.traces.offsets import (
    TraceMeasurements,
    TraceOffsets,
    contrast_with_others,
    disagreements,
    fit_offsets,
)

ERROR = 0.05


def drawn(rng, offsets, visits, source_scatter=0.2, field=0.0):
    """TraceMeasurements of six pieces of the traces of thirty sources in every exposure."""
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
    return TraceMeasurements(
        height, np.full(len(e), ERROR), e, s, p, visit, zero, np.column_stack([place, d])
    )


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
    none = fit_offsets(TraceMeasurements.joined([]), 2, "free")
    assert np.isnan(none.offset).all()
    assert contrast_with_others(np.isfinite(none.offset)).shape == (0, 0)


def measured(offsets, error=0.005):
    offset = np.array(offsets, dtype=float)
    n = len(offset)
    return TraceOffsets(offset, error**2 * np.eye(n), np.full(n, 20), np.zeros(2), np.eye(2), {}, 0.05, 0.1)


def test_one_that_lies_off_does_not_make_the_others_disagree():
    value, error, reference = disagreements(measured([0.5, 0.503, 1.1, 0.497, np.nan]), 3.0)
    assert reference.tolist() == [True, True, False, True, False]
    assert value[:4] == pytest.approx([0.0, 0.0045, 0.6, -0.0045], abs=1e-9)
    assert error[2] == pytest.approx(np.sqrt(0.005**2 * (1 + 1 / 3) + 0.01**2))
    assert np.isnan(value[4])
    # where most disagree, each is compared with all others; where there are two, both are off
    value, _, reference = disagreements(measured([-0.4, 0.0, 0.4, 0.8]), 3.0)
    assert reference.all()
    assert value[3] == pytest.approx(0.8)
    value, _, _ = disagreements(measured([0.0, 0.4]), 3.0)
    assert value == pytest.approx([-0.4, 0.4])
    assert np.isnan(disagreements(measured([0.4]), 3.0)[0]).all()


def test_an_exposure_whose_traces_are_all_outliers_has_no_offset_rather_than_no_error():
    rng = np.random.default_rng(6)
    clean = drawn(rng, [0.0, 0.1, 0.0, 0.0], (0, 0, 0, 0), source_scatter=0.05)
    few = (clean.exposure != 3) | ((clean.source < 3) & (clean.piece < 2))
    some = TraceMeasurements(*(getattr(clean, name)[few] for name in TraceMeasurements.__dataclass_fields__))
    height = np.where(some.exposure == 3, rng.uniform(-6, 6, len(some)), some.height)
    found = fit_offsets(replace(some, height=height), 4)
    assert found.offset[:3] == pytest.approx([0.0, 0.1, 0.0], abs=0.05)
    alone = np.sqrt(found.covariance[3, 3])
    assert not np.isfinite(alone) or alone > 0.005


def test_constants_of_chips_make_no_differences_between_exposures():
    rng = np.random.default_rng(7)
    clean = drawn(rng, [0.0, 0.0, 0.2], (0, 1, 2), source_scatter=0.05)
    chip = clean.source % 2
    # the second exposure shows hardly any source on the second chip
    kept = (clean.exposure != 1) | (chip == 0) | (clean.source < 6)
    some = TraceMeasurements(
        *(getattr(replace(clean, chip=chip), n)[kept] for n in TraceMeasurements.__dataclass_fields__)
    )
    found = fit_offsets(replace(some, height=some.height + 0.4 * some.chip), 3)
    contrast = np.array([-1.0, 1.0, 0.0])
    error = np.sqrt(contrast @ found.covariance @ contrast)
    assert abs(contrast @ found.offset) < 4 * error < 0.3
    assert found.offset == pytest.approx([0.2, 0.2, 0.4], abs=0.1)


def test_the_errors_of_a_few_sources_are_those_of_the_fit():
    pull = []
    for seed in range(24):
        all_of_them = drawn(np.random.default_rng(seed), [0.0, 0.1], (0, 0))
        few = all_of_them.source < 4
        names = all_of_them.__dataclass_fields__
        found = fit_offsets(TraceMeasurements(*(getattr(all_of_them, name)[few] for name in names)), 2)
        contrast = np.array([-1.0, 1.0])
        pull.append((contrast @ found.offset - 0.1) / np.sqrt(contrast @ found.covariance @ contrast))
    assert abs(np.mean(pull)) < 4 / np.sqrt(24)
    assert 0.5 < np.std(pull) < 1.5


def test_heights_without_any_scatter_have_errors_all_the_same():
    heights = drawn(np.random.default_rng(1), [0.0, 0.1], (0, 0), source_scatter=0.0)
    found = fit_offsets(replace(heights, height=np.zeros(len(heights))), 2)
    assert found.offset == pytest.approx([0.0, 0.0], abs=1e-6)
    # by the pixels' noise alone
    contrast = np.array([-1.0, 1.0])
    expected = ERROR * np.sqrt(2 / 180)
    assert np.sqrt(contrast @ found.covariance @ contrast) == pytest.approx(expected, rel=0.5)


def test_the_slope_of_traces_has_a_true_error_where_few_sources_decide():
    pulls = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n_sources, n_pieces = 9, 6
        s, p = (a.ravel() for a in np.meshgrid(np.arange(n_sources), np.arange(n_pieces)))
        place = rng.uniform(-0.9, 0.9, (n_sources, 2))[s]
        # the brightest are measured a hundred times as well as the faintest; all are off by as much
        error = np.geomspace(0.002, 0.2, n_sources)[s]
        off = 0.1 * rng.standard_normal(n_sources)[s]
        slope = rng.normal(0, 0.3, 2)
        height = place @ slope + off + error * rng.standard_normal(len(s))
        zero = np.zeros(len(s), int)
        field = np.column_stack([place, 2 * (p + 0.5) / n_pieces - 1])
        found = fit_offsets(TraceMeasurements(height, error, zero, s, p, zero, zero, field), 1, "free")
        pulls.append((found.gradient - slope) / np.sqrt(np.diag(found.gradient_covariance)))
    assert np.sqrt(np.mean(np.square(pulls))) < 1.3
    assert np.abs(pulls).max() < 5
