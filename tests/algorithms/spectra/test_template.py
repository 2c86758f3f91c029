"""Gradient and information of one spectrum, against numbers and draws."""

import numpy as np
import pytest

from grism_align.algorithms.spectra.banded import N_BLOCKS, diagonals, factorised, inner_product, solved
from grism_align.algorithms.spectra.shifts import SpectralShifts
from grism_align.algorithms.spectra.template import KNOTS_ACROSS, TemplatePrior, fit_template
from tests.support.spectra import shifts, spectra


def prior(spectrum):
    return TemplatePrior(
        spectrum.first - 2.0, np.full(spectrum.length + 6, 0.1), np.full(len(KNOTS_ACROSS), 30.0)
    )


def test_a_banded_matrix_is_solved_as_a_full_one():
    rng = np.random.default_rng(0)
    n, m = 9, 6
    blocks = 0.1 * rng.normal(size=(N_BLOCKS, n, m, m))
    blocks[0] = blocks[0] @ np.swapaxes(blocks[0], 1, 2) + 5 * np.eye(m)
    apart = np.abs(np.subtract.outer(np.arange(m), np.arange(m)))
    blocks = np.where(apart < N_BLOCKS, blocks + np.swapaxes(blocks, 2, 3), 0.0)
    full = np.zeros((n * m, n * m))
    for k in range(N_BLOCKS):
        for i in range(n - k):
            rows, columns = slice((i + k) * m, (i + k + 1) * m), slice(i * m, (i + 1) * m)
            full[rows, columns] = blocks[k, i]
            full[columns, rows] = blocks[k, i].T
    right = rng.normal(size=n * m)
    factor = factorised(diagonals(blocks))
    assert solved(factor, right) == pytest.approx(np.linalg.solve(full, right))
    vectors = rng.normal(size=(4, n * m))
    expected = vectors @ np.linalg.solve(full, vectors.T)
    assert inner_product(factor, vectors) == pytest.approx(expected)


def test_the_gradient_vanishes_at_the_true_offsets_and_grows_as_the_information_says():
    rng = np.random.default_rng(2)
    true = np.array([[0.1, -0.2], [-0.1, 0.2]])
    [spectrum] = spectra(rng, true, n=1, height=200.0, noise=1e-3, lines=1.0)
    at = fit_template(spectrum.cutouts, shifts(true), prior(spectrum))
    step = np.array([[0.004, 0.0], [-0.004, 0.0]])
    off = fit_template(spectrum.cutouts, shifts(true + step), prior(spectrum))
    expected = -at.variance[:-2, :-2] @ step.ravel()
    assert (off.gradient - at.gradient)[:-2] == pytest.approx(
        expected, rel=0.1, abs=0.03 * np.abs(expected).max()
    )


def test_the_gradient_by_the_stretch_grows_as_the_information_says():
    rng = np.random.default_rng(2)
    places = np.array([[0.0, 50.0], [0.0, -50.0]])
    at = SpectralShifts(np.zeros((2, 2)), places, np.array([0.0, 0.08]))
    true = np.column_stack([at.offset, places @ at.stretch / 1000.0])
    [spectrum] = spectra(rng, true, n=1, height=200.0, noise=1e-3, lines=1.0)
    here = fit_template(spectrum.cutouts, at, prior(spectrum))
    step = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1e-3])
    off = fit_template(spectrum.cutouts, at.moved(step), prior(spectrum))
    expected = -here.variance @ step
    assert off.gradient - here.gradient == pytest.approx(expected, rel=0.1, abs=0.03 * np.abs(expected).max())


def test_noise_has_the_variance_that_is_told():
    rng = np.random.default_rng(4)
    scores, told = [], []
    for _ in range(60):
        [spectrum] = spectra(rng, np.zeros((2, 2)), n=1, height=20.0, lines=0.0)
        profile = np.exp(-0.5 * (KNOTS_ACROSS / 0.7) ** 2)
        expected = TemplatePrior(
            spectrum.first - 2.0, np.full(spectrum.length + 6, 0.02), 5.0 * profile + 0.5
        )
        fit = fit_template(spectrum.cutouts, shifts(np.zeros((2, 2))), expected)
        scores.append(fit.gradient[1] - fit.gradient[3])
        told.append(fit.variance[1, 1] + fit.variance[3, 3] - 2 * fit.variance[1, 3])
    # templates that follow noise add some tens of per cent
    ratio = np.mean(np.square(scores)) / np.mean(told)
    assert ratio == pytest.approx(1.3, abs=4 * np.sqrt(2 / 60))


def test_what_is_only_noise_has_no_information():
    rng = np.random.default_rng(6)
    [spectrum] = spectra(rng, np.zeros((3, 2)), n=1, height=1e-3)
    fit = fit_template(spectrum.cutouts, shifts(np.zeros((3, 2))), prior(spectrum), rng)
    information = fit.variance - fit.own
    assert abs(np.trace(information)) < 0.3 * np.trace(fit.variance)
