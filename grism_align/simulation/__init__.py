"""Exposures with a known truth, for the demo and for tests.

>>> truth = simulate(case_a(size=400), Path("demo"), np.random.default_rng(1))   # doctest: +SKIP
"""

from grism_align.simulation.cases import (
    case_a,
    case_b,
    case_c,
    images_last,
    interleaved,
    small_dithers,
    usual_errors,
    usual_scene,
)
from grism_align.simulation.plan import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    Special,
)
from grism_align.simulation.run import simulate
from grism_align.simulation.scoring import ExposureScore, score
from grism_align.simulation.truth import TrueExposure, Truth

__all__ = [
    "ExposureScore",
    "PointingErrors",
    "SceneSettings",
    "SimulatedExposure",
    "SimulatedVisit",
    "Simulation",
    "Special",
    "TrueExposure",
    "Truth",
    "case_a",
    "case_b",
    "case_c",
    "images_last",
    "interleaved",
    "score",
    "simulate",
    "small_dithers",
    "usual_errors",
    "usual_scene",
]
