from pathlib import Path

import numpy as np
import pytest

from grism_align.simulation import Truth, case_a, simulate

SIZES = {"wfc3_ir": 300, "wfc3_uvis": (192, 384), "acs_wfc": (192, 384)}


@pytest.fixture(scope="session", params=sorted(SIZES))
def simulated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Two visits of one pair each, for every instrument."""
    simulation = case_a(request.param, SIZES[request.param], n_pairs=1)
    return simulate(simulation, tmp_path_factory.mktemp(request.param), np.random.default_rng(7))


@pytest.fixture
def output_dir(tmp_path: Path) -> Path:
    return tmp_path / "exposures"
