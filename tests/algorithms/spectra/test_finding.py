"""Exposures that are off by many pixels, found by what known spectra predict for them."""

import numpy as np
import pytest

from grism_align.algorithms.spectra.finding import Correlation, ImageSpectrum, predicted_light
from grism_align.algorithms.spectra.references import ReferenceSpectrum
from grism_align.algorithms.traces.cutouts import GrismImage
from grism_align.algorithms.traces.views import ChipView
from grism_align.values.trace import TraceModel

SHAPE = (160, 220)
MODEL = TraceModel.straight(10.0, 70.0, 2.0)
N = 12


def sources(rng):
    return np.column_stack([rng.uniform(30, 120, N), rng.uniform(30, 130, N)])


def references():
    """Spectra with a line each, along `MODEL`, of a Gaussian profile."""
    known = {}
    for number in range(N):
        along = np.arange(90.0)
        light = np.where((along > 14) & (along < 74), 1.0, 0.0) + 3.0 * (along == 20 + 4 * number)
        height = np.exp(-0.5 * (0.75 * np.arange(-7, 8)) ** 2)
        known[number, 1] = ReferenceSpectrum(number, 1, np.zeros(2), 4, -6.0, 20.0 * np.outer(light, height))
    return known


def view(places):
    ones = np.ones(N, dtype=bool)
    return ChipView(places, np.arange(20.0, 20.0 + N), ones, SHAPE)


def image(light, rng, good=None):
    good = np.ones(SHAPE, dtype=bool) if good is None else good
    return GrismImage(light + rng.standard_normal(SHAPE), np.ones(SHAPE), good)


def test_light_is_predicted_where_the_trace_runs():
    places = np.array([[60.0, 70.0]] * N)
    light = predicted_light({(0, 1): references()[0, 1]}, view(places), MODEL)
    rows, columns = light.sum(axis=1), light.sum(axis=0)
    assert rows.argmax() == 72
    assert columns[:66].max() == pytest.approx(0.0, abs=1e-9)
    assert columns[70:125].min() > 10.0


def correlated(radius, image, places):
    correlation = Correlation(radius)
    correlation.add(ImageSpectrum.of(image, radius), predicted_light(references(), view(places), MODEL))
    return correlation.peak()


@pytest.mark.parametrize(("radius", "lag"), [(25, (13, -9)), (70, (20, 35))])
def test_a_displaced_exposure_is_found_to_the_pixel(radius, lag):
    """Within a radius that is half of the chip, too."""
    rng = np.random.default_rng(4)
    places, lag = sources(rng), np.array(lag)
    good = rng.random(SHAPE) > 0.05
    seen = predicted_light(references(), view(places + lag), MODEL)
    peak = correlated(radius, image(seen, rng, good), places)
    assert peak.lag == pytest.approx(lag, abs=1)
    assert peak.height > 2 * peak.rival
    assert peak.false_match_probability < 1e-6


def test_another_field_is_not_found():
    heights = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        seen = predicted_light(references(), view(sources(rng)), MODEL)
        peak = correlated(25, image(seen, rng), sources(rng))
        heights.append(peak.height / max(peak.rival, 1e-9))
    assert np.median(heights) < 1.2
    assert max(heights) < 2.0


def test_without_a_prediction_there_is_no_peak():
    correlation = Correlation(5)
    assert correlation.peak() is None
    nothing = image(np.zeros(SHAPE), np.random.default_rng(1))
    correlation.add(ImageSpectrum.of(nothing, 5), np.zeros(SHAPE))
    assert correlation.peak() is None
