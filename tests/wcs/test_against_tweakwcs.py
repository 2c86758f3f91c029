"""The corrected WCS against an independent implementation of the same correction."""

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.missions.hst import read_exposure
from grism_align.simulation import case_a, simulate
from grism_align.values.transform import LinearTransform

correctors = pytest.importorskip("tweakwcs.correctors")
pytestmark = pytest.mark.filterwarnings("ignore")  # of stwcs, on every header


def corrector(path, extver):
    from stwcs.wcsutil import HSTWCS

    with fits.open(path) as hdus:
        return correctors.FITSWCSCorrector(HSTWCS(hdus, ext=("SCI", extver)))


def in_tangent_plane(reference, transform):
    """A correction as tweakwcs wants it: matrix and shift in the reference's tangent plane, in pixels."""
    corners = np.array([[0.0, 0.0], [200.0, 0.0], [0.0, 200.0], [200.0, 200.0]])
    before = np.column_stack(reference.det_to_tanp(*corners.T))
    sky = transform.apply_to_sky(np.column_stack(reference.tanp_to_world(*before.T)))
    after = np.column_stack(reference.world_to_tanp(*sky.T))
    terms, *_ = np.linalg.lstsq(np.column_stack([before, np.ones(4)]), after, rcond=None)
    return terms[:2].T, terms[2]


@pytest.mark.parametrize("instrument", ["wfc3_ir", "acs_wfc", "wfc3_uvis"])
def test_a_grism_in_the_plane_of_its_direct_exposure(tmp_path, instrument):
    size = 200 if instrument == "wfc3_ir" else (128, 256)
    simulation = case_a(instrument, size=size, n_pairs=1, n_visits=1)
    truth = simulate(simulation, tmp_path, np.random.default_rng(3))
    direct, grism = (read_exposure(path) for path in truth.paths)
    transform = LinearTransform.from_parameters(direct.plane, shift=(3.0, -2.0), roll=0.03)
    reference = corrector(direct.path, direct.chips[0].extver)
    matrix, shift = in_tangent_plane(reference, transform)
    for chip in grism.chips:
        theirs = corrector(grism.path, chip.extver)
        theirs.set_correction(matrix, shift, ref_tpwcs=reference)
        xy = chip.wcs.grid()
        expected = theirs.wcs.all_pix2world(xy, 0)
        found = chip.wcs.corrected(transform).to_sky(xy)
        difference = direct.plane.to_plane(found) - direct.plane.to_plane(expected)
        assert 1e3 * np.abs(difference).max() < 0.01
