"""Scores of WCSs against the truth."""

from dataclasses import dataclass

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.simulation import score
from grism_align.simulation.hst.chips import ChipWcs
from grism_align.values.transform import LinearTransform, TangentPlane


@dataclass(frozen=True)
class Moved:
    """A WCS whose sky is moved."""

    chip: ChipWcs
    transform: LinearTransform

    def to_sky(self, xy):
        return self.transform.apply_to_sky(self.chip.to_sky(xy))


class Written:
    """The WCS of a file."""

    def __init__(self, path, extver):
        with fits.open(path) as hdus:
            self.wcs = WCS(hdus["SCI", extver].header, hdus)

    def to_sky(self, xy):
        return self.wcs.all_pix2world(xy, 0)


def test_the_truth_has_no_error(simulated):
    for result in score(simulated, lambda key, extver: simulated[key].chips[extver]).values():
        assert result.absolute < 1e-3
        assert result.relative < 1e-3


def test_a_common_move_is_no_relative_error(simulated):
    plane = TangentPlane(150.11, 2.22)
    move = LinearTransform.from_parameters(plane, shift=(0.3, -0.4), roll=0.01)
    results = score(simulated, lambda key, extver: Moved(simulated[key].chips[extver], move))
    for result in results.values():
        assert result.absolute == pytest.approx(500, rel=0.05)
        assert result.relative < 0.01


def test_the_pointing_error_of_a_file_is_its_score(simulated):
    results = score(simulated, lambda key, extver: Written(simulated[key].path, extver))
    for key, exposure in simulated.exposures.items():
        error = np.hypot(*exposure.offset()[0]) * 1e3
        assert results[key].absolute == pytest.approx(error, rel=0.1)
        assert results[key].relative > 1.0


def test_without_a_usable_direct_exposure_there_is_no_relative_error(simulated):
    grisms = {key: e for key, e in simulated.exposures.items() if not e.is_direct}
    part = type(simulated)(grisms, simulated.catalog, simulated.scene)
    results = score(part, lambda key, extver: simulated[key].chips[extver])
    assert all(np.isnan(result.relative) and result.absolute < 1e-3 for result in results.values())
