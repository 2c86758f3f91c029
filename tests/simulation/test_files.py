"""The files that are written, and the truth about them."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from grism_align.simulation import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    Special,
    case_a,
    case_b,
    case_c,
    simulate,
)
from grism_align.simulation.detector import Flag
from grism_align.values.errors import SettingsError
from grism_align.values.sphere import project
from grism_align.values.transform import TangentPlane


def written_wcs(hdus, extver):
    return WCS(hdus["SCI", extver].header, hdus)


def grid(shape, n=5):
    ny, nx = shape
    return np.stack(np.meshgrid(np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)), -1).reshape(-1, 2)


def distance(first, second):
    """Distances in mas, of positions close to each other."""
    return (
        np.linalg.norm(
            project(first, *np.asarray(second)[0]) - project(second, *np.asarray(second)[0]), axis=1
        )
        * 1e3
    )


def test_correction_takes_the_written_sky_to_the_true_one(simulated):
    for exposure in simulated.exposures.values():
        with fits.open(exposure.path) as hdus:
            for extver, chip in exposure.chips.items():
                xy = grid(chip.shape)
                sky = written_wcs(hdus, extver).all_pix2world(xy, 0)
                assert distance(sky, chip.to_sky(xy)).min() > 100
                plane = TangentPlane(*(hdus["SCI", 1].header[f"CRVAL{axis}"] for axis in (1, 2)))
                corrected = exposure.correction(plane).apply_to_sky(sky)
                assert distance(corrected, chip.to_sky(xy)).max() < 0.01


def test_a_grism_exposure_shares_the_error_of_the_direct_one_before_it(simulated):
    for exposure in simulated.exposures.values():
        if exposure.is_direct:
            assert exposure.governor is None
            continue
        governor = simulated[exposure.governor]
        assert governor.is_direct
        assert governor.visit == exposure.visit
        assert governor.mid < exposure.mid
        np.testing.assert_allclose(exposure.rotation, governor.rotation, atol=1e-15)


def test_headers_read_as_those_of_hst(simulated):
    for exposure in simulated.exposures.values():
        with fits.open(exposure.path) as hdus:
            hdus.verify("exception")
            primary, science = hdus[0].header, hdus["SCI", 1].header
            assert primary["ROOTNAME"] == exposure.key
            assert len(exposure.key) == 9
            assert primary["OBSTYPE"] == ("IMAGING" if exposure.is_direct else "SPECTROSCOPIC")
            assert exposure.element in [primary.get(f"FILTER{n}") for n in ("", 1, 2)]
            assert primary["EXPEND"] - primary["EXPSTART"] == pytest.approx(primary["EXPTIME"] / 86400)
            assert science["CTYPE1"] == "RA---TAN-SIP"
            assert science["WCSNAME"].startswith("IDC_")
            assert science["WCSNAMEO"] == "OPUS"
            assert hdus["ERR", 1].header["CTYPE1"] == hdus["DQ", 1].header["CTYPE1"] == "RA---TAN"
            assert hdus["DQ", 1].header["BITPIX"] == 16
            for extver in exposure.chips:
                wcs = written_wcs(hdus, extver)
                assert wcs.sip is not None
                is_ccd = len(exposure.chips) == 2
                assert (wcs.det2im1 is not None) == (wcs.cpdis2 is not None) == is_ccd
                assert hdus["SCI", extver].header["BUNIT"] == ("ELECTRONS" if is_ccd else "ELECTRONS/S")


def test_the_opus_wcs_touches_the_written_one(simulated):
    for exposure in simulated.exposures.values():
        with fits.open(exposure.path) as hdus:
            science = hdus["SCI", 1].header
            before = WCS(science, hdus, key="O")
            xy = before.wcs.crpix + np.array([[0.0, 0.0], [20.0, 10.0]]) - 1
            expected = written_wcs(hdus, 1).all_pix2world(xy, 0)
            assert distance(before.wcs_pix2world(xy, 0), expected).max() < 10


def test_zero_point_of_the_headers(simulated):
    exposure = next(e for e in simulated.exposures.values() if e.is_direct)
    with fits.open(exposure.path) as hdus:
        header = hdus[0].header if "PHOTFLAM" in hdus[0].header else hdus["SCI", 1].header
        flam, pivot = header["PHOTFLAM"], header["PHOTPLAM"]
    zero_point = -2.5 * np.log10(flam) - 21.1 - 5 * np.log10(pivot) + 18.6921
    assert zero_point == pytest.approx({"F140W": 26.45, "F606W": 26.1, "F814W": 25.94}[exposure.element])


def test_constant_arrays_of_the_infrared_channel(simulated):
    exposure = next(iter(simulated.exposures.values()))
    with fits.open(exposure.path) as hdus:
        if len(exposure.chips) == 2:
            assert "SAMP" not in hdus
            return
        assert hdus["TIME"].data is None
        assert hdus["TIME"].header["PIXVALUE"] == hdus[0].header["EXPTIME"]
        assert hdus["SAMP"].header["NPIX1"] == hdus["SCI"].data.shape[1]


def centroid(image, start, n=15):
    """Moments under a Gaussian of 1.5 px that follows the centre: unbiased for a symmetric star."""
    y, x = np.indices(image.shape)
    at = np.array(start)
    for _ in range(n):
        weight = image * np.exp(-0.5 * ((x - at[0]) ** 2 + (y - at[1]) ** 2) / 1.5**2)
        at = at + 2 * (np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum() - at)
    return at


def test_stars_lie_where_the_true_wcs_says(output_dir):
    """Without galaxies, cosmic rays apart: the median over stars is within noise of the truth."""
    scene = SceneSettings(
        star_density=60, galaxy_density=0, star_magnitudes=(19.0, 21.0), star_slope=0.0, motion=200.0
    )
    simulation = case_a(size=300, n_pairs=1, n_visits=2, scene=scene)
    truth = simulate(simulation, output_dir, np.random.default_rng(11))
    differences = []
    for exposure in (e for e in truth.exposures.values() if e.is_direct):
        with fits.open(exposure.path) as hdus:
            image, dq = hdus["SCI"].data - np.median(hdus["SCI"].data), hdus["DQ"].data
        year = 2000 + (exposure.mid - 51544.5) / 365.25
        for x, y in exposure.chips[1].to_pixel(truth.scene.sky_at(year)):
            left, low = round(x) - 4, round(y) - 4
            cut = np.s_[max(low, 0) : low + 9, max(left, 0) : left + 9]
            if image[cut].shape == (9, 9) and left >= 0 and low >= 0 and not (dq[cut] & ~(512 + 8192)).any():
                differences.append(centroid(image[cut], (x - left, y - low)) - [x - left, y - low])
    assert len(differences) > 10
    assert np.abs(np.median(differences, axis=0)).max() < 0.02
    assert np.median(np.abs(differences)) < 0.04


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    simulation = case_a("acs_wfc", (64, 96), n_pairs=1, n_visits=1)
    runs = [simulate(simulation, tmp_path / name, np.random.default_rng(5)) for name in ("one", "two")]
    other = simulate(simulation, tmp_path / "three", np.random.default_rng(6))
    for first, second, third in zip(runs[0].paths, runs[1].paths, other.paths, strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes() != third.read_bytes()
    np.testing.assert_array_equal(runs[0].catalog["ra"], runs[1].catalog["ra"])


def test_given_errors_are_those_of_the_visit(output_dir):
    exposures = (SimulatedExposure("F140W", 100.0), SimulatedExposure("G141", 300.0))
    visit = SimulatedVisit("07", exposures, shift=(12.5, -8.3), roll=0.03)
    simulation = Simulation("wfc3_ir", (visit,), size=64, errors=PointingErrors(jitter=0.0))
    truth = simulate(simulation, output_dir, np.random.default_rng(1))
    for exposure in truth.exposures.values():
        shift, roll = exposure.offset()
        assert roll == pytest.approx(0.03, abs=1e-5)
        # the grism's reference pixel is 9" off the point that the roll is about
        np.testing.assert_allclose(shift, [12.5, -8.3], atol=0.01)


def test_own_jitter_and_drift_of_grism_exposures(output_dir):
    # the first visit, with few sources
    empty = SceneSettings(star_density=1.0, galaxy_density=1.0)
    simulation = case_c(size=64, errors=PointingErrors(grism_drift=0.5), scene=empty)
    simulation = replace(simulation, visits=simulation.visits[:1])
    truth = simulate(simulation, output_dir, np.random.default_rng(1))
    grisms = [e for e in truth.exposures.values() if not e.is_direct and e.visit == "01"]
    moved = [np.hypot(*(e.offset()[0] - truth[e.governor].offset()[0])) for e in grisms]
    hours = [24 * (e.mid - truth[e.governor].mid) for e in grisms]
    np.testing.assert_allclose(np.array(moved) / hours, 0.5 * 0.12825, rtol=0.1)


def test_special_exposures(output_dir):
    exposures = tuple(SimulatedExposure("F140W", 100.0, special=special) for special in Special)
    simulation = Simulation("wfc3_ir", (SimulatedVisit("01", exposures),), size=200)
    truth = simulate(simulation, output_dir, np.random.default_rng(1))
    data = {}
    for exposure in truth.exposures.values():
        with fits.open(exposure.path) as hdus:
            data[exposure.special] = hdus["SCI"].data.copy(), hdus["DQ"].data.copy()
    assert not (data[Special.EMPTY][0][data[Special.EMPTY][1] == 0] > 6).any()
    assert (data[Special.NONE][0][data[Special.NONE][1] == 0] > 6).sum() > 10
    assert (data[Special.FLAGGED][1] & int(Flag.BAD)).all()
    assert 0.03 < np.isnan(data[Special.NAN][0]).mean() < 0.1
    assert [e.is_usable for e in truth.exposures.values()] == [True, False, False, False, True]


def test_case_b_has_a_filter_and_a_grism_of_its_own_for_each_visit():
    elements = [{e.element for e in visit.exposures} for visit in case_b().visits]
    assert elements == [{"F140W", "G141"}, {"F105W", "G102"}]


def test_case_c_has_fewer_direct_exposures_than_grism_exposures():
    grisms = [[e.element.startswith("G") for e in visit.exposures] for visit in case_c().visits]
    assert [(each.count(False), each.count(True)) for each in grisms] == [(1, 4), (2, 4)]


def test_progress_is_told(output_dir):
    told = []
    simulate(
        case_a(size=64, n_pairs=1, n_visits=1),
        output_dir,
        np.random.default_rng(1),
        lambda *a: told.append(a),
    )
    assert told == [(1, 2, "idem01a1q_flt.fits"), (2, 2, "idem01a2q_flt.fits")]


@pytest.mark.parametrize(
    ("instrument", "element", "size", "names"),
    [
        ("wfpc2", "F140W", None, ("01",)),
        ("wfc3_ir", "F814W", None, ("01",)),
        ("wfc3_ir", "F140W", 2000, ("01",)),
        ("wfc3_ir", "F140W", None, ("01", "01")),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(instrument, element, size, names):
    visits = tuple(SimulatedVisit(name, (SimulatedExposure(element, 100.0),)) for name in names)
    with pytest.raises(SettingsError):
        Simulation(instrument, visits, size=size)
