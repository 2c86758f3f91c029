from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.traces.cutouts import GrismImage
from grism_align.algorithms.traces.model import find_trace, measure_chip
from grism_align.algorithms.traces.views import ChipView
from grism_align.io.missions.hst.coarse_traces import COARSE_TRACES
from grism_align.values.detector import DetectorWindow
from grism_align.values.settings import TraceSettings
from grism_align.values.trace import TraceModel

SHAPE = (700, 900)


def dispersed(xy, curve, start, end, rng, flux=40.0):
    """An image of traces ``curve(dx)`` above their sources, Gaussian across, with noise of one."""
    ny, nx = SHAPE
    image = 1.0 * rng.standard_normal(SHAPE)
    y = np.arange(ny)[:, None]
    for x0, y0 in xy:
        columns = np.arange(max(0, int(x0 + start)), min(nx, int(x0 + end)))
        if len(columns):
            image[:, columns] += flux * np.exp(-0.5 * ((y - y0 - curve(columns - x0)) / 0.9) ** 2) / 2.25
    return GrismImage.of(image, np.ones(SHAPE), np.zeros(SHAPE, int), 0)


def view_of(xy):
    xy = np.asarray(xy, dtype=float)
    return ChipView(xy, np.linspace(18, 20, len(xy)), np.ones(len(xy), bool), SHAPE)


def curved(dx):
    """About that of G280 on WFC3/UVIS: 175 pixels up, and rising to the left."""
    return 174.5 - 0.03 * (dx + 165) + 5e-5 * (dx + 165) ** 2


def test_a_curved_trace_far_from_its_source_is_found_and_measured():
    rng = np.random.default_rng(1)
    xy = np.column_stack([rng.uniform(400, 880, 12), 20 + 40 * np.arange(12) + rng.uniform(0, 1, 12)])
    image, view = dispersed(xy, curved, -360, -165, rng), view_of(xy)
    model = find_trace(image, view, COARSE_TRACES["G280"])
    dx, dy = model.offsets([[500.0, 300.0]])
    inner = (dx[0] > -350) & (dx[0] < -175)
    assert np.abs(dy[0] - curved(dx[0]))[inner].max() < 1.0
    heights, _ = measure_chip(image, view, model, TraceSettings())
    along = -360 + 24 * (heights.piece + 0.5)
    expected = curved(along) - np.interp(along, dx[0], dy[0])
    pull = (heights.height - expected) / np.hypot(heights.error, 0.02)
    assert len(heights) > 40
    assert abs(np.median(pull)) < 4 * 1.25 / np.sqrt(len(pull))
    assert np.percentile(np.abs(pull), 90) < 3


def test_no_trace_is_found_where_there_is_none():
    rng = np.random.default_rng(2)
    xy = np.column_stack([rng.uniform(50, 500, 12), np.linspace(50, 650, 12)])
    image = dispersed(xy[:0], curved, 0, 0, rng)
    assert find_trace(image, view_of(xy), COARSE_TRACES["G141"]) is None
    assert find_trace(image, view_of(xy[:0]), COARSE_TRACES["G141"]) is None
    assert find_trace(image, view_of([[-500.0, 50.0]]), COARSE_TRACES["G141"]) is None


def test_spectra_that_overlap_are_not_used_but_for_a_faint_one_below():
    rng = np.random.default_rng(3)
    model = TraceModel.straight(15, 196, 1.0)
    xy = np.array([[300.0, 100.3], [330.0, 104.3], [300.0, 300.2]])
    image, view = dispersed(xy, lambda dx: 1.0 + 0 * dx, 15, 196, rng), view_of(xy)
    heights, _ = measure_chip(image, view, model, TraceSettings())
    # Of each of the first two, the pieces that the other does not reach are left: too few of the second.
    assert set(heights.source[heights.piece >= 2]) == {2}
    faint = ChipView(xy, np.array([18.0, 22.0, 23.0]), view.is_target, SHAPE)
    used, _ = measure_chip(image, faint, model, TraceSettings(trace_contrast=3.0))
    assert {0, 2} <= set(used.source)
    none = measure_chip(image, view_of([[2000.0, 100.0]]), model, TraceSettings())
    assert none == (None, "no trace bright and isolated enough")
    assert measure_chip(image, view_of([[300.0, 500.0]]), model, TraceSettings())[0] is None


@pytest.mark.parametrize("offset", [-2.0, 0.3, 3.0, 6.0, 40.0, -60.0])
def test_only_a_trace_near_the_predicted_place_is_measured(offset):
    rng = np.random.default_rng(4)
    # half of the sources have traces, so that the others' pieces lie on anything
    xy = np.column_stack([rng.uniform(20, 700, 30), rng.uniform(30, 670, 30)])
    image = dispersed(xy[:15], lambda dx: 1.0 + 0 * dx, 15, 196, rng)
    model = replace(TraceModel.straight(15, 196, 1.0 - offset), name="some.conf")
    settings = TraceSettings(trace_isolation=4.0)
    heights, reason = measure_chip(image, view_of(xy), model, settings)
    if abs(offset) < 4:
        assert np.median(heights.height) == pytest.approx(offset, abs=0.1)
        assert reason == ""
    else:
        assert heights is None
        assert reason == "no trace within 4 px of where some.conf has it"


def binned_by_two(image):
    """An image of noise one, its pixels added up two by two."""
    ny, nx = SHAPE
    value = image.data.reshape(ny // 2, 2, nx // 2, 2).sum(axis=(1, 3))
    return GrismImage.of(value, np.full(value.shape, 2.0), np.zeros(value.shape, int), 0)


def binned_view(xy):
    return replace(
        view_of((np.asarray(xy) - 0.5) / 2),
        shape=(SHAPE[0] // 2, SHAPE[1] // 2),
        window=DetectorWindow(ltm=(0.5, 0.5), ltv=(0.25, 0.25)),
    )


def test_a_binned_array_has_its_traces_where_those_of_the_detector_are():
    rng = np.random.default_rng(4)
    xy = np.column_stack([rng.uniform(20, 600, 14), 30 + 45 * np.arange(14) + rng.uniform(0, 2, 14)])
    model = TraceModel.straight(15, 196, 12.0, 0.05)
    image = binned_by_two(dispersed(xy, lambda dx: 12.0 + 0.05 * dx, 15, 196, rng))
    view = binned_view(xy)
    assert view.window.to_chip(view.xy) == pytest.approx(xy)
    heights, _ = measure_chip(image, view, model, TraceSettings(trace_isolation=4.0))
    # a trace of 0.45 pixels sigma is sampled badly: some hundredths of a pixel of its own for each source
    assert len(set(heights.source)) >= 10
    assert abs(np.median(heights.height)) < 0.05
    assert np.percentile(np.abs(heights.height), 90) < 0.2


def test_a_trace_is_found_in_a_binned_array_too():
    rng = np.random.default_rng(1)
    xy = np.column_stack([rng.uniform(400, 880, 12), 20 + 40 * np.arange(12) + rng.uniform(0, 1, 12)])
    image = binned_by_two(dispersed(xy, curved, -360, -165, rng))
    dx, dy = find_trace(image, binned_view(xy), COARSE_TRACES["G280"]).offsets([[500.0, 300.0]])
    inner = (dx[0] > -350) & (dx[0] < -175)
    assert np.abs(dy[0] - curved(dx[0]))[inner].max() < 2.0


def test_peaks_that_do_not_agree_are_no_trace():
    rng = np.random.default_rng(6)
    xy = np.column_stack([rng.uniform(50, 500, 12), np.linspace(50, 650, 12)])
    jumps = np.array([-11.0, 10.0, -6.0, 4.5, -1.0, -11.0, 10.0])
    steps = lambda dx: 1.9 + jumps[np.clip(((dx - 15) // 24).astype(int), 0, 6)]  # noqa: E731
    assert find_trace(dispersed(xy, steps, 15, 196, rng), view_of(xy), COARSE_TRACES["G141"]) is None


@pytest.mark.parametrize("case", ["too faint", "too short"])
def test_traces_that_are_too_faint_or_too_short_are_not_measured(case):
    rng = np.random.default_rng(7)
    xy = np.column_stack([np.full(5, 300.3), np.linspace(100, 600, 5)])
    image = dispersed(xy, lambda dx: 1.0 + 0 * dx, 15, 196, rng)
    model = TraceModel.straight(15, 196 if case == "too faint" else 30, 1.0)
    heights, reason = measure_chip(image, view_of(xy), model, TraceSettings(trace_snr=1e4))
    assert heights is None
    assert reason == "no trace bright and isolated enough"
