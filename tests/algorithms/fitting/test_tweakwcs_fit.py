"""The fit by tweakwcs against this package's own."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.fitting import tweakwcs_fit
from grism_align.algorithms.fitting.fit import fit_linear
from grism_align.algorithms.fitting.tweakwcs_fit import fit_by_tweakwcs, require_tweakwcs
from grism_align.values.errors import SettingsError
from grism_align.values.transform import LinearTransform
from tests.support.lists import NOISE, PLANE

GEOMETRIES = ("shift", "rshift", "rscale", "general")
NEVER = 1e3
ERROR = LinearTransform.from_parameters(PLANE, (3.0, -2.0), 0.05, center=(20.0, 30.0))


def pairs(rng, n=50, noise=NOISE):
    source = rng.uniform([-40, -30], [80, 90], (n, 2))
    return source, ERROR.apply(source) + noise * rng.normal(size=(n, 2)), np.full(n, NOISE)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_with_equal_weights_it_is_the_same(geometry):
    """No clipping, no outliers, equal errors: both are plain least squares."""
    pytest.importorskip("tweakwcs")
    own = pairs(np.random.default_rng(91))
    if geometry == "shift":
        own = own[0], own[0] + [3.0, -2.0] + (own[1] - ERROR.apply(own[0])), own[2]
    ours, theirs = (fit(*own, PLANE, geometry, NEVER) for fit in (fit_linear, fit_by_tweakwcs))
    np.testing.assert_allclose(theirs.transform.matrix, ours.transform.matrix, atol=1e-9)
    np.testing.assert_allclose(theirs.transform.shift, ours.transform.shift, atol=1e-7)
    np.testing.assert_allclose(theirs.residual, ours.residual, atol=1e-9)
    assert (theirs.n_used, theirs.geometry, theirs.scatter) == (50, geometry, 0)
    # its covariance comes from its own residuals; ours by the errors or what they leave unexplained
    claimed = [np.sqrt(fit.transform.covariance[0, 0]) for fit in (theirs, ours)]
    assert claimed[0] == pytest.approx(claimed[1], rel=0.25)


@pytest.mark.parametrize("geometry", GEOMETRIES[1:])
def test_it_recovers_what_was_injected(geometry):
    pytest.importorskip("tweakwcs")
    found = fit_by_tweakwcs(*pairs(np.random.default_rng(92), noise=0.0), PLANE, geometry, 4.0).transform
    np.testing.assert_allclose(found.matrix, ERROR.matrix, atol=1e-9)
    np.testing.assert_allclose(found.shift, ERROR.shift, atol=1e-7)


def test_outliers_are_clipped():
    pytest.importorskip("tweakwcs")
    rng = np.random.default_rng(93)
    source, target, error = pairs(rng, 100)
    target[:5] += 0.3
    found = fit_by_tweakwcs(source, target, error, PLANE, "rshift", 4.0)
    assert not found.weight[:5].any()
    assert found.n_used > 85
    center = source.mean(axis=0)
    assert np.abs(found.transform.apply(center) - ERROR.apply(center)).max() < 5 * NOISE / np.sqrt(95)
    assert found.rms == pytest.approx(NOISE, rel=0.2)


def test_pulls_have_unit_width():
    pytest.importorskip("tweakwcs")
    pulls = []
    for seed in range(60):
        fit = fit_by_tweakwcs(*pairs(np.random.default_rng([94, seed]), 30), PLANE, "rscale", 4.0)
        pulls.append((fit.transform.shift - ERROR.shift) / fit.transform.shift_error)
    # 120 pulls: 6 %; residuals of 60 numbers less 4 make the claimed error 3 % too small
    assert np.sqrt(np.mean(np.square(pulls))) == pytest.approx(1.03, abs=0.25)


def test_without_tweakwcs_the_setting_is_refused(monkeypatch):
    monkeypatch.setattr(tweakwcs_fit, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="pip install tweakwcs") as refused:
        require_tweakwcs()
    assert "engine" in str(refused.value)


def test_with_tweakwcs_it_is_allowed(monkeypatch):
    asked = []
    monkeypatch.setattr(tweakwcs_fit, "find_spec", lambda name: asked.append(name) or name)
    require_tweakwcs()
    assert asked == ["tweakwcs"]
