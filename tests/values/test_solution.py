from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.values.errors import PlaneMismatchError
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Residuals, agreement
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(53.1, -27.8)


def test_the_plane_of_a_solution():
    fits = {
        "a": ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(PLANE)),
        "b": ExposureFit.failed("no sources"),
    }
    assert AlignmentSolution(fits).plane == PLANE
    away = LinearTransform.identity(TangentPlane(PLANE.ra + 0.01, PLANE.dec))
    for mixed in ({"b": fits["b"]}, {**fits, "c": ExposureFit(FitStatus.ALIGNED, away)}):
        with pytest.raises(PlaneMismatchError):
            _ = AlignmentSolution(mixed).plane


def test_stars_of_several_exposures_count_once():
    """With the weights that they have anywhere."""
    names, weights = (["a", "b"], ["b", "c", "d"]), ([1.0, 0.0], [1.0, 0.0, 1.0])
    fits = [
        ExposureFit(
            FitStatus.ALIGNED,
            None,
            residuals=Residuals(
                np.arange(len(name)),
                np.array(name),
                np.array([[3.0, 1.0]] * len(name)),
                np.array(weight),
                np.ones(len(name)),
            ),
        )
        for name, weight in zip(names, weights, strict=True)
    ]
    whole = agreement(fits)
    assert (whole.n_matched, whole.n_used) == (4, 3)
    assert whole.rms == pytest.approx(np.sqrt(5.0))
    lost = agreement([replace(fits[0], residuals=replace(fits[0].residuals, weight=np.zeros(2)))])
    assert (lost.n_used, np.isnan(lost.rms)) == (0, True)
