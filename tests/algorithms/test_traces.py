from types import SimpleNamespace

import numpy as np
import pytest

from grism_align.algorithms.trace_pieces import ChipImage
from grism_align.algorithms.traces import ChipView, chip_heights, found_trace, has_partner, refinement
from grism_align.values.settings import TraceSettings
from grism_align.values.solution import ExposureFit
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
    return ChipImage.of(image, np.ones(SHAPE), np.zeros(SHAPE, int), 0)


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
    model = found_trace(image, view, "G280")
    dx, dy = model.offsets([[500.0, 300.0]])
    inner = (dx[0] > -350) & (dx[0] < -175)
    assert np.abs(dy[0] - curved(dx[0]))[inner].max() < 1.0
    heights = chip_heights(image, view, model, TraceSettings())
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
    assert found_trace(image, view_of(xy), "G141") is None
    assert found_trace(image, view_of(xy), "G000") is None
    assert found_trace(image, view_of(xy[:0]), "G141") is None
    assert found_trace(image, view_of([[-500.0, 50.0]]), "G141") is None


def test_spectra_that_overlap_are_not_used_but_for_a_faint_one_below():
    rng = np.random.default_rng(3)
    model = TraceModel.straight(15, 196, 1.0)
    xy = np.array([[300.0, 100.3], [330.0, 104.3], [300.0, 300.2]])
    image, view = dispersed(xy, lambda dx: 1.0 + 0 * dx, 15, 196, rng), view_of(xy)
    heights = chip_heights(image, view, model, TraceSettings())
    # Of each of the first two, the pieces that the other does not reach are left: too few of the second.
    assert set(heights.source[heights.piece >= 2]) == {2}
    faint = ChipView(xy, np.array([18.0, 22.0, 23.0]), view.is_target, SHAPE)
    used = chip_heights(image, faint, model, TraceSettings(trace_contrast=3.0))
    assert {0, 2} <= set(used.source)
    assert chip_heights(image, view_of([[2000.0, 100.0]]), model, TraceSettings()) is None
    assert chip_heights(image, view_of([[300.0, 500.0]]), model, TraceSettings()) is None


def test_nothing_is_corrected_without_a_measurement():
    extra, reason = refinement(None, ExposureFit.failed("no"), (0.3, 0.01), TraceSettings())
    assert extra is None
    assert reason == "no drift measured"


@pytest.mark.parametrize(("gap", "expected"), [(300.0, True), (900.0, False)])
def test_a_partner_is_near_in_time_before_or_after(gap, expected):
    grism = SimpleNamespace(start=57000.0, end=57000.01)
    day = gap / 86400
    before = SimpleNamespace(start=57000.0 - day - 0.004, end=57000.0 - day)
    after = SimpleNamespace(start=57000.01 + day, end=57000.01 + day + 0.004)
    for direct in (before, after):
        assert has_partner(grism, [direct], TraceSettings()) is expected
    assert not has_partner(grism, [], TraceSettings())
