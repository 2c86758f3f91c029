"""The corrected WCS against an independent implementation of the same correction."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from grism_align.algorithms.propagation.propagate import propagate
from grism_align.io.missions import read_exposure
from grism_align.simulation import (
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    case_a,
    simulate,
)
from grism_align.values.settings import GrismSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform

correctors = pytest.importorskip("tweakwcs.correctors")
pytestmark = pytest.mark.filterwarnings("ignore")  # of stwcs, on every header

# Nobody looks at sources.
EMPTY = SceneSettings(star_density=1.0, galaxy_density=1.0)


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
    simulation = case_a(instrument, size=size, n_pairs=1, n_visits=1, scene=EMPTY)
    truth = simulate(simulation, tmp_path, np.random.default_rng(3))
    direct, grism = (read_exposure(path) for path in truth.paths)
    transform = LinearTransform.from_parameters(direct.plane, shift=(3.0, -2.0), roll=0.03)
    assert largest_difference(direct, grism, transform, transform) < 0.01


def largest_difference(direct, grism, map_of_sky, transform):
    """Between a grism's corrected WCS and tweakwcs's with a map in the direct exposure's plane, mas."""
    reference = corrector(direct.source, direct.chips[0].number)
    matrix, shift = in_tangent_plane(reference, map_of_sky)
    largest = 0.0
    for chip in grism.chips:
        theirs = corrector(grism.source, chip.number)
        theirs.set_correction(matrix, shift, ref_tpwcs=reference)
        xy = chip.wcs.grid()
        expected = theirs.wcs.all_pix2world(xy, 0)
        found = chip.wcs.corrected(transform).to_sky(xy)
        difference = direct.plane.to_plane(found) - direct.plane.to_plane(expected)
        largest = max(largest, 1e3 * float(np.abs(difference).max()))
    return largest


@pytest.mark.parametrize("instrument", ["wfc3_ir", "acs_wfc", "wfc3_uvis"])
def test_a_direct_exposure_of_another_subarray(tmp_path, instrument):
    """CRPIX differs by the cuts of the two, besides by those of filter and grism."""
    exposures = []
    for number, size in enumerate((240, 120)):
        shape = size if instrument == "wfc3_ir" else (size // 2, size)
        folder = tmp_path / str(number)
        simulation = case_a(instrument, size=shape, n_pairs=1, n_visits=1, scene=EMPTY)
        truth = simulate(simulation, folder, np.random.default_rng(3))
        exposures.append(read_exposure(truth.paths[number]))
    direct, grism = exposures
    reference_pixels = [fits.getval(each.source, "CRPIX1", ("SCI", 1)) for each in exposures]
    assert abs(np.diff(reference_pixels)[0]) > 20
    sky = LinearTransform.from_parameters(direct.plane, (3.0, -2.0), 0.05)
    solution = AlignmentSolution({direct.key: ExposureFit(FitStatus.ALIGNED, sky)})
    found = propagate([grism], [direct], solution, GrismSettings())[grism.key]
    assert largest_difference(direct, grism, sky, found.transform) < 0.01


FILTERS = {
    "wfc3_ir": ("F140W", "F105W", "G141"),
    "acs_wfc": ("F814W", "F606W", "G800L"),
    "wfc3_uvis": ("F606W", "F814W", "G280"),
}


@pytest.fixture(scope="module", params=sorted(FILTERS))
def dithered(request, tmp_path_factory):
    """Two direct exposures in two filters around a grism exposure, and one at another roll, all dithered."""
    first, second, disperser = FILTERS[request.param]
    exposures = (
        SimulatedExposure(first, 100.0),
        SimulatedExposure(disperser, 200.0, (3.0, -2.0)),
        SimulatedExposure(second, 100.0, (-4.0, 5.0)),
    )
    turned = (SimulatedExposure(second, 100.0, (2.0, 1.0)),)
    visits = (
        SimulatedVisit("01", exposures, angle=35.0, roll=0.02),
        SimulatedVisit("02", turned, angle=97.0, start=57001.0, roll=0.02),
    )
    size = 200 if request.param == "wfc3_ir" else (128, 256)
    simulation = Simulation(request.param, visits, size=size, ra=31.0, dec=-64.0, scene=EMPTY)
    truth = simulate(simulation, tmp_path_factory.mktemp(request.param), np.random.default_rng(3))
    return [read_exposure(path) for path in truth.paths]


@pytest.mark.parametrize(
    ("shift", "roll"),
    [
        ((0.4, -0.3), 0.01),
        pytest.param((3.0, -2.0), 0.05, marks=pytest.mark.slow),
        ((10.0, -7.0), 0.3),
    ],
)
@pytest.mark.parametrize("method", ["previous", "interpolate", "visit", "association"])
def test_propagated_equal_corrections(dithered, shift, roll, method):
    before, grism, after, turned = dithered
    sky = LinearTransform.from_parameters(before.plane, shift, roll)
    fits = {each.key: ExposureFit(FitStatus.ALIGNED, sky.at(each.plane)) for each in (before, after, turned)}
    governors = (turned.key,) if method == "association" else ()
    grism = replace(grism, governors=governors)
    settings = GrismSettings() if governors else GrismSettings(PropagationSettings(method=method))
    found = propagate([grism], [before, after, turned], AlignmentSolution(fits), settings)[grism.key]
    number = {"previous": 1, "association": 1}.get(method, 2)
    assert len(found.governors) == number
    assert largest_difference(before, grism, sky, found.transform) < 0.01
