"""Subarrays beside full frames: what the detector reads out does not move the telescope."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from grism_align.simulation import case_a, simulate
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.solution import FitStatus
from tests.support.detector_parts import one_chip, subarray

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("instrument", "size", "cut"),
    [
        ("wfc3_ir", 440, partial(subarray, corner=(20, 130), shape=(300, 300))),
        ("acs_wfc", (300, 500), one_chip),
    ],
)
def test_the_subarray_of_its_pointing_governs(tmp_path, instrument, size, cut):
    """Its direct exposure is a subarray or one chip, and that of another pointing is a full frame."""
    truth = simulate(case_a(instrument, size=size, n_pairs=2), tmp_path / "in", np.random.default_rng(4))
    folder = tmp_path / "cut"
    folder.mkdir()
    paths = []
    for true in truth.exposures.values():
        is_cut = true.key[6:].startswith("a3")
        paths.append(cut(true.path, folder / true.path.name) if is_cut else true.path)
    found = GrismAlignPipeline.call(
        list(map(str, paths)), output_dir=str(tmp_path / "out"), report=False, configure_log=False
    )
    for grism in found.grisms:
        fit = found.fit(grism.key)
        direct = truth.exposures[grism.key].governor
        assert fit.status is FitStatus.ALIGNED
        assert (fit.governors, fit.governed.rule) == ((direct,), "paired")
        # drift alone: an offset of the telescope would add 28 mas
        assert fit.governed.propagation_error < 15.0
