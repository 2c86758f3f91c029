"""How spectra change over the detector, by what traces tell of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from grism_align.algorithms.traces.offsets import TraceOffsets
from grism_align.algorithms.traces.verification import GrismOffsets
from grism_align.values.detector import DetectorWindow
from grism_align.values.trace import TraceModel
from grism_align.workflows.traces.spectral_groups import _gradient

MODEL = TraceModel(np.array([[0.0], [1.0]]), np.array([[2.0, 1e-3, 2e-3], [0.01, 0.0, 0.0]]), (10.0, 200.0))
CHIP = SimpleNamespace(window=DetectorWindow(), shape=(1000, 1000), along_columns=False)


@pytest.mark.parametrize(
    ("config", "n_measured", "is_told"), [("", 3, True), ("", 1, False), ("a.conf", 1, True)]
)
def test_a_few_exposures_tell_it_only_where_traces_are_known_beforehand(config, n_measured, is_told):
    """Without a configuration the few that show traces may be the ones that are elsewhere."""
    number = np.arange(4)
    offsets = TraceOffsets(
        offset=np.where(number < n_measured, 0.0, np.nan),
        covariance=1e-4 * np.eye(4),
        n_sources=10 * (number < n_measured),
        gradient=np.zeros(2),
        gradient_covariance=0.03**2 * np.eye(2),
        fields={},
        piece_scatter=0.0,
        source_scatter=0.0,
    )
    keys = tuple("abcd")
    gradient = _gradient(GrismOffsets(keys, offsets, np.zeros(4), config, {1: MODEL}), CHIP)
    slope_error = np.sqrt(gradient.across_covariance[0, 0])
    assert (slope_error < 1e-4) == is_told
    assert gradient.across_covariance == pytest.approx(gradient.across_covariance.T)
