"""Bayes factors of nested linear models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from grism_align.algorithms.fitting.evidence import log_bayes_factor


@given(st.integers(1, 4), st.integers(0, 2**32))
def test_it_is_the_ratio_of_the_evidences(n, seed):
    """Of the data themselves, with another parameter that both models have marginalised."""
    rng = np.random.default_rng(seed)
    design, common = rng.normal(size=(12, n)), rng.normal(size=(12, 1))
    root = rng.normal(size=(n, n))
    prior = root @ root.T + 0.1 * np.eye(n)
    data = design @ rng.normal(size=n) + common[:, 0] + rng.normal(size=12)
    # a parameter that is hardly known beforehand
    noise = np.eye(12) + 1e6 * common @ common.T
    rich, simple = (
        multivariate_normal(cov=c).logpdf(data) for c in (noise + design @ prior @ design.T, noise)
    )
    weight = np.linalg.inv(noise)
    covariance = np.linalg.inv(design.T @ weight @ design)
    found = log_bayes_factor(covariance @ design.T @ weight @ data, covariance, prior)
    assert found == pytest.approx(rich - simple, abs=1e-5 * max(1.0, abs(found)))


def test_data_that_say_nothing_leave_it_open():
    assert log_bayes_factor(np.zeros(3), 1e12 * np.eye(3), np.eye(3)) == pytest.approx(0, abs=1e-9)
    assert log_bayes_factor(np.zeros(0), np.zeros((0, 0)), np.zeros((0, 0))) == 0


def test_good_data_at_zero_speak_for_zero():
    """By the logarithm of how much narrower they are."""
    assert log_bayes_factor(np.zeros(1), np.eye(1), 1e4 * np.eye(1)) == pytest.approx(-np.log(100), rel=1e-4)
