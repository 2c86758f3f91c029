"""Exposures of JWST: their WCSs, their headers, and where sources lie in them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from astropy.wcs import WCS

from grism_align.simulation import (
    PointingErrors,
    SceneSettings,
    SimulatedExposure,
    SimulatedVisit,
    Simulation,
    Special,
    case_a,
    case_c,
    images_last,
    simulate,
)
from grism_align.simulation.jwst.apertures import aperture
from grism_align.simulation.jwst.instruments import INSTRUMENTS
from grism_align.values.errors import SettingsError
from grism_align.values.exposure import ExposureKind
from grism_align.values.sphere import sky_to_vector, vector_to_sky
from tests.simulation.test_files import centroid

pytest.importorskip("stdatamodels", reason="it writes the files of JWST")
gwcs = pytest.importorskip("gwcs", reason="it is what stdatamodels has for WCSs")

MAS = 206264.806e3
STARS = SceneSettings(
    star_density=250, galaxy_density=0, star_magnitudes=(19.0, 21.5), star_slope=0.0, motion=200.0
)


def first_visit(simulation):
    return replace(simulation, visits=simulation.visits[:1])


def opened(exposure):
    from stdatamodels.jwst import datamodels

    return datamodels.open(exposure.path, strict_validation=True)


def grid(shape, n=5):
    ny, nx = shape
    return np.stack(np.meshgrid(np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)), -1).reshape(-1, 2)


def distance(first, second):
    """Largest angle between sky positions, mas."""
    return np.linalg.norm(sky_to_vector(first) - sky_to_vector(second), axis=-1).max() * MAS


def written(exposure, sky):
    """Where a file has what lies at a place of the sky."""
    return vector_to_sky(sky_to_vector(sky) @ exposure.rotation.T)


def sky_of(wcs, xy, wavelength=1.5):
    """Where an undispersed pixel looks."""
    if "grism_detector" in wcs.available_frames:
        rest = np.full(len(xy), wavelength), np.ones(len(xy))
        return np.stack(wcs.transform("detector", "world", *xy.T, *rest, with_bounding_box=False)[:2], axis=1)
    return np.stack(wcs(*xy.T, with_bounding_box=False), axis=1)


@pytest.fixture(scope="module", params=["niriss", "nircam"])
def truth(request, tmp_path_factory):
    plans = {
        "niriss": case_a("niriss", (150, 200), n_visits=1),
        "nircam": first_visit(images_last("nircam", (100, 140), n_grisms=1)),
    }
    return simulate(plans[request.param], tmp_path_factory.mktemp(request.param), np.random.default_rng(7))


def test_the_written_wcs_is_the_true_one_turned(truth):
    for exposure in truth.exposures.values():
        chip = exposure.chips[1]
        xy = grid(chip.shape)
        with opened(exposure) as model:
            found = sky_of(model.meta.wcs, xy)
        assert distance(found, written(exposure, chip.to_sky(xy))) < 1e-4
        assert distance(found, chip.to_sky(xy)) > 100


# what astropy says of all files of JWST
@pytest.mark.filterwarnings("ignore:.*datfix:astropy.wcs.FITSFixedWarning")
def test_fits_keywords_approximate_the_gwcs(truth):
    for exposure in truth.exposures.values():
        xy = grid(exposure.chips[1].shape)
        with opened(exposure) as model:
            expected = sky_of(model.meta.wcs, xy)
            corners = np.array(model.meta.wcsinfo.s_region.split()[2:], dtype=float).reshape(-1, 2)
        with fits.open(exposure.path) as hdus:
            wcs = WCS(hdus["SCI"].header)
        assert wcs.sip is not None
        # to 0.01 pixel, which assign_wcs asks for
        assert distance(wcs.all_pix2world(xy, 0), expected) < 0.01 * 66
        ny, nx = exposure.chips[1].shape
        edges = np.array([[0, 0], [0, ny], [nx, ny], [nx, 0]]) - 0.5
        assert distance(corners, written(exposure, exposure.chips[1].to_sky(edges))) < 0.01


def test_wcs_is_what_assign_wcs_makes(truth, tmp_path):
    pytest.importorskip("jwst", reason="its assign_wcs is what the simulation follows")
    from jwst.assign_wcs import nircam, niriss

    from tests.support.jwst_references import write_references

    modules = {"niriss": niriss, "nircam": nircam}
    references = {}
    for exposure in truth.exposures.values():
        instrument = "niriss" if exposure.key.endswith("_nis") else "nircam"
        if instrument == "niriss" and not exposure.is_direct:
            grism, wavelength = exposure.element, 1.5
        else:
            grism, wavelength = {"niriss": "GR150C", "nircam": "GRISMR"}[instrument], 3.5
        if grism not in references:
            references[grism] = write_references(instrument, grism, tmp_path / grism)
        make = modules[instrument].imaging if exposure.is_direct else modules[instrument].wfss
        with opened(exposure) as model:
            ours = model.meta.wcs
            theirs = gwcs.WCS(make(model, references[grism][model.meta.instrument.detector]))
        assert_alike(ours, theirs)
        xy = grid(exposure.chips[1].shape)
        sky = sky_of(theirs, xy)
        assert distance(sky_of(ours, xy), sky) < 1e-6
        rest = () if exposure.is_direct else (np.full(len(sky), wavelength), np.ones(len(sky)))
        back = [wcs.backward_transform(*sky.T, *rest) for wcs in (ours, theirs)]
        for mine, other in zip(*back, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-6)


def assert_alike(ours, theirs):
    """Frames, and what transforms between them are called and take."""
    assert ours.available_frames == theirs.available_frames
    assert ours.bounding_box == theirs.bounding_box
    for mine, other in zip(ours.pipeline, theirs.pipeline, strict=True):
        # a micron is um once it was in a file
        assert repr(mine.frame) == repr(other.frame).replace("micron", "um")
        if other.transform is not None:
            assert mine.transform.n_inputs == other.transform.n_inputs
            assert mine.transform.n_outputs == other.transform.n_outputs
            assert mine.transform.name == other.transform.name


@pytest.mark.parametrize("name", ["NIS_CEN", "NRCA5_FULL", *(f"NRCA{n}_FULL" for n in range(1, 5))])
def test_apertures_are_those_of_siaf(name):
    pysiaf = pytest.importorskip("pysiaf", reason="SIAF's tables come with it")
    theirs = pysiaf.Siaf("NIRISS" if name.startswith("NIS") else "NIRCam")[name]
    xy = grid((2048, 2048))
    found = aperture(name).to_telescope(xy)
    np.testing.assert_allclose(found, np.stack(theirs.sci_to_tel(*(xy + 1).T), axis=1), atol=1e-6)
    np.testing.assert_allclose(aperture(name).from_telescope(found), xy, atol=1e-8)


def test_the_reference_aperture_aims_as_planned(truth):
    """+y lies at the angle of the visit, and a dither moves the target along the detector's axes."""
    exposures = [
        e for e in truth.exposures.values() if e.key.endswith(("_nis", "_nrcalong")) and e.visit == "01"
    ]
    for exposure in exposures:
        jacobian = exposure.chips[1].jacobian()
        assert np.degrees(np.arctan2(*jacobian[:, 1])) % 360 == pytest.approx(35.0, abs=0.1)
    first, last = exposures[0], exposures[-1]
    with fits.open(last.path) as hdus:
        dither = [hdus[0].header[name] for name in ("XOFFSET", "YOFFSET")]
    middle = first.chips[1].center
    moved = last.chips[1].to_pixel(first.chips[1].to_sky(middle))[0] - middle
    # a filter's wedge is a fraction of a pixel
    np.testing.assert_allclose(moved * first.chips[1].pixel_scale, dither, atol=0.05)


def test_pixels_of_the_sky(truth):
    for exposure in truth.exposures.values():
        xy = grid(exposure.chips[1].shape) * 1.4 - 30
        np.testing.assert_allclose(exposure.chips[1].to_pixel(exposure.chips[1].to_sky(xy)), xy, atol=1e-6)


def test_exposures_of_an_instant_are_one_group(truth):
    library_module = pytest.importorskip("jwst.datamodels", reason="its library names the groups")
    with library_module.ModelLibrary([str(path) for path in truth.paths]) as library:
        groups = {
            frozenset(library.read_metadata(i, flatten=False)["meta"]["filename"] for i in indices)
            for indices in library.group_indices.values()
        }
        names = set(library.group_names)
    instants = {}
    for exposure in truth.exposures.values():
        instants.setdefault(exposure.pointing, set()).add(exposure.path.name)
    assert names == set(instants)
    assert groups == set(map(frozenset, instants.values()))


def test_headers_tell_what_the_pipeline_tells(truth):
    for exposure in truth.exposures.values():
        with fits.open(exposure.path) as hdus:
            primary, science = hdus[0].header, hdus["SCI"].header
        assert primary["TELESCOP"] == "JWST"
        assert exposure.element in (primary["FILTER"], primary["PUPIL"])
        assert primary["EXP_TYPE"].endswith("IMAGE" if exposure.is_direct else "WFSS")
        assert primary["VISIT_ID"] == primary["PROGRAM"] + primary["OBSERVTN"] + primary["VISIT"]
        assert primary["ENGQLPTG"] == "CALCULATED"
        assert primary["PCS_MODE"] == "FINEGUIDE"
        assert primary["GDSTARID"].endswith(exposure.visit)
        assert Time(primary["GSSTRTTM"]).mjd < primary["EXPSTART"]
        assert primary["EXPMID"] == pytest.approx(exposure.mid)
        assert primary["EXPEND"] - primary["EXPSTART"] == pytest.approx(primary["EFFEXPTM"] / 86400)
        assert primary["S_WCS"] == "COMPLETE"
        assert science["VPARITY"] == -1
        assert ("PHOTMJSR" in science) == ("PIXAR_SR" in science) == exposure.is_direct
        assert science["BUNIT"] == ("MJy/sr" if exposure.is_direct else "DN/s")
        assert primary["FILENAME"] == exposure.path.name
        if not exposure.is_direct:
            assert science["DISPAXIS"] == (2 if exposure.element in {"GR150R", "GRISMC"} else 1)


def test_detectors_of_an_instant_share_its_attitude(tmp_path):
    truth = simulate(first_visit(images_last("nircam", 64, n_grisms=2)), tmp_path, np.random.default_rng(3))
    by_pointing = {}
    for exposure in truth.exposures.values():
        by_pointing.setdefault(exposure.pointing, []).append(exposure)
    assert {len(members) for members in by_pointing.values()} == {5}
    for members in by_pointing.values():
        poses = []
        for exposure in members:
            with fits.open(exposure.path) as hdus:
                poses.append([hdus["SCI"].header[name] for name in ("RA_V1", "DEC_V1", "PA_V3")])
        np.testing.assert_allclose(poses, [poses[0]] * 5, atol=1e-9)
        assert len({str(exposure.rotation) for exposure in members}) == 1
        for exposure in (e for e in members if not e.is_direct):
            assert truth[exposure.governor].is_direct
            assert truth[exposure.governor].pointing == exposure.pointing
    # no two instants point alike
    shifts = np.array([members[0].offset()[0] for members in by_pointing.values()])
    assert np.linalg.norm(np.diff(shifts, axis=0), axis=1).min() > 1e-4


def test_a_pair_of_niriss_shares_its_error(tmp_path):
    truth = simulate(case_a("niriss", 64, n_visits=1), tmp_path, np.random.default_rng(1))
    grisms = [e for e in truth.exposures.values() if not e.is_direct]
    assert [e.element for e in grisms] == ["GR150R", "GR150C"]
    for exposure in grisms:
        np.testing.assert_allclose(exposure.rotation, truth[exposure.governor].rotation, atol=1e-15)


def test_companions_may_be_left_out(tmp_path):
    visit = SimulatedVisit("01", (SimulatedExposure("GRISMC", 100.0), SimulatedExposure("F356W", 50.0)))
    simulation = Simulation("nircam", (visit,), size=64, companions=("NRCA3",))
    truth = simulate(simulation, tmp_path, np.random.default_rng(1))
    assert [key.split("_")[-1] for key in truth.exposures] == ["nrcalong", "nrca3"] * 2
    alone = Simulation("nircam", (visit,), size=64, companions=())
    grism, _ = simulate(alone, tmp_path, np.random.default_rng(1)).exposures.values()
    assert grism.governor.endswith("nrcalong")
    with pytest.raises(SettingsError):
        Simulation("niriss", (), companions=("NRCA3",))


def brightness(image, dq):
    """Good pixels beyond the background; others are none."""
    good = np.isfinite(image) & ((dq & 1) == 0)
    return np.where(good, image - np.median(image[good]), np.nan)


@pytest.mark.parametrize("instrument", ["niriss", "nircam"])
def test_stars_lie_where_the_true_wcs_says(instrument, tmp_path):
    # stars of NIRISS are undersampled: Gaussian moments err by some hundredths of a pixel with the phase
    plan, typical = {
        "niriss": (case_a("niriss", 400, n_pairs=1, scene=STARS), 0.06),
        "nircam": (first_visit(images_last("nircam", 400, n_grisms=0, scene=STARS)), 0.01),
    }[instrument]
    truth = simulate(plan, tmp_path, np.random.default_rng(11))
    differences = {}
    for exposure in (e for e in truth.exposures.values() if e.is_direct):
        with opened(exposure) as model:
            image = brightness(model.data, model.dq)
        year = 2000 + (exposure.mid - 51544.5) / 365.25
        seen = differences.setdefault(exposure.key.split("_")[-1], [])
        for x, y in exposure.chips[1].to_pixel(truth.scene.sky_at(year)):
            left, low = round(x) - 4, round(y) - 4
            cut = np.s_[max(low, 0) : low + 9, max(left, 0) : left + 9]
            if left >= 0 and low >= 0 and image[cut].shape == (9, 9) and np.isfinite(image[cut]).all():
                seen.append(centroid(image[cut], (x - left, y - low)) - [x - left, y - low])
    assert set(differences) == {name.lower() for name in INSTRUMENTS[instrument].detectors(plan)}
    for seen in differences.values():
        assert len(seen) >= 3
        assert np.abs(np.median(seen, axis=0)).max() < 0.5 * typical
        assert np.median(np.abs(seen)) < typical


def pixels_of(wcs, sky, wavelength, order):
    """Where light of a wavelength falls, (N, 2) pixels."""
    n = len(sky)
    x, y = wcs.backward_transform(*sky.T, np.full(n, wavelength), np.full(n, order))[:2]
    return np.stack([np.ravel(x), np.ravel(y)], axis=1)


def heights(image, xy, across, half=7):
    """Where the light across the dispersion is, in pixels from those that are asked about."""
    found = []
    for x, y in xy:
        window = [slice(round(v) - 2, round(v) + 3) for v in (y, x)]
        window[across] = slice(round((y, x)[across]) - half, round((y, x)[across]) + half + 1)
        cut = image[tuple(window)]
        profile = np.nanmean(cut, axis=1 - across)
        if cut.shape[across] < 2 * half + 1 or cut.shape[1 - across] < 5 or not np.isfinite(profile).all():
            continue
        place = np.arange(len(profile)) - half
        at = 0.0
        for _ in range(10):
            weight = profile * np.exp(-0.5 * (place - at) ** 2 / 1.5**2)
            at += 2 * ((place * weight).sum() / weight.sum() - at)
        found.append(at + round((y, x)[across]) - (y, x)[across])
    return found


@pytest.mark.parametrize(
    ("instrument", "grism"),
    [
        ("niriss", "GR150R"),
        ("niriss", "GR150C"),
        ("niriss", "GR150R-F200W"),
        ("nircam", "GRISMR"),
        ("nircam", "GRISMC"),
    ],
)
def test_spectra_lie_where_the_wcs_of_the_file_says(instrument, grism, tmp_path):
    """Along the axis of the grism, and across it at the height of the trace."""
    scene = SceneSettings(star_density=20, galaxy_density=0, star_magnitudes=(17.0, 18.5), star_slope=0.0)
    visit = SimulatedVisit("01", (SimulatedExposure(grism, 900.0),))
    simulation = Simulation(instrument, (visit,), size=500, scene=scene, companions=())
    truth = simulate(simulation, tmp_path, np.random.default_rng(2))
    [exposure] = truth.exposures.values()
    element = simulation.element(visit.exposures[0])
    blue, red = element.orders[0].wavelengths
    differences = []
    with opened(exposure) as model:
        image, wcs = brightness(model.data, model.dq), model.meta.wcs
        sky = written(exposure, truth.scene.sky)
        across = 1 if element.along_columns else 0
        for wave in np.linspace(blue + 0.2 * (red - blue), red - 0.2 * (red - blue), 9):
            xy = pixels_of(wcs, sky, wave, 1)
            inside = ((xy > 8) & (xy < simulation.size - 9)).all(axis=1)
            differences += heights(image, xy[inside], across)
        ends = pixels_of(wcs, sky[:1], blue, 1), pixels_of(wcs, sky[:1], red, 1)
        assert np.argmax(np.abs(ends[1] - ends[0])) == across
    assert len(differences) > 20
    # others' spectra cross some
    assert abs(np.median(differences)) < 0.05
    assert np.percentile(np.abs(differences), 70) < 0.1


def test_zeroth_orders_lie_where_the_wcs_of_the_file_says(tmp_path):
    scene = SceneSettings(star_density=100, galaxy_density=0, star_magnitudes=(17.0, 18.0), star_slope=0.0)
    visit = SimulatedVisit("01", (SimulatedExposure("GR150C", 900.0),))
    simulation = Simulation("niriss", (visit,), size=500, scene=scene)
    truth = simulate(simulation, tmp_path, np.random.default_rng(2))
    [exposure] = truth.exposures.values()
    differences = []
    with opened(exposure) as model:
        image, wcs = brightness(model.data, model.dq), model.meta.wcs
        for x, y in pixels_of(wcs, written(exposure, truth.scene.sky), 1.5005, 0):
            left, low = round(x) - 4, round(y) - 4
            cut = np.s_[max(low, 0) : low + 9, max(left, 0) : left + 9]
            if image[cut].shape == (9, 9) and np.isfinite(image[cut]).all():
                differences.append(centroid(image[cut], (x - left, y - low)) - [x - left, y - low])
    assert len(differences) > 8
    assert np.abs(np.median(differences, axis=0)).max() < 0.1


def test_extraction_of_jwst_cuts_out_the_spectra(tmp_path):
    pytest.importorskip("jwst", reason="it extracts the spectra")
    from jwst.extract_2d.grisms import extract_grism_objects

    from tests.support.jwst_references import write_references

    scene = SceneSettings(star_density=20, galaxy_density=0, star_magnitudes=(17.0, 18.5), star_slope=0.0)
    visit = SimulatedVisit("01", (SimulatedExposure("GR150R", 900.0),))
    simulation = Simulation("niriss", (visit,), size=600, scene=scene)
    truth = simulate(simulation, tmp_path, np.random.default_rng(2))
    [exposure] = truth.exposures.values()
    sky = SkyCoord(*written(exposure, truth.scene.sky).T, unit="deg")
    catalog = QTable({"label": np.arange(len(sky)) + 1, "sky_centroid": sky})
    catalog["xcentroid"] = catalog["ycentroid"] = np.zeros(len(sky))
    catalog["isophotal_abmag"], catalog["isophotal_abmag_err"] = (
        np.full(len(sky), 18.0),
        np.full(len(sky), 0.1),
    )
    catalog["is_extended"] = np.zeros(len(sky), dtype=bool)
    for corner, (east, north) in {"ll": (1, -1), "lr": (-1, -1), "ul": (1, 1), "ur": (-1, 1)}.items():
        catalog[f"sky_bbox_{corner}"] = sky.spherical_offsets_by(
            0.3 * east * units.arcsec, 0.3 * north * units.arcsec
        )
    catalog.write(tmp_path / "cat.ecsv", format="ascii.ecsv")
    references = write_references("niriss", "GR150R", tmp_path / "references")["NIS"]
    with opened(exposure) as model:
        model.meta.source_catalog = str(tmp_path / "cat.ecsv")
        slits = extract_grism_objects(model, reference_files=references).slits
        whole = [slit for slit in slits if slit.ystart > 60 and slit.ystart + slit.ysize < 540]
        assert len(whole) >= 3
        for slit in whole:
            # along columns, as long as the order, with the light in the middle
            assert slit.ysize == pytest.approx(0.341 / 0.0047, abs=16)
            profile = np.nansum(slit.data - np.nanmedian(model.data), axis=0)
            assert abs(np.argmax(profile) - 0.5 * (slit.xsize - 1)) < 3


def test_flags_and_numbers_of_pixels(tmp_path):
    exposures = (
        SimulatedExposure("F150W", 400.0),
        SimulatedExposure("F150W", 400.0, special=Special.FLAGGED),
    )
    scene = SceneSettings(star_density=400, galaxy_density=0, star_magnitudes=(14.0, 19.0), star_slope=0.0)
    plan = Simulation("niriss", (SimulatedVisit("01", exposures),), size=300, scene=scene)
    first, flagged = simulate(plan, tmp_path, np.random.default_rng(1)).exposures.values()
    with opened(first) as model:
        gone = (model.dq & 1) != 0
        for array in (model.data, model.err, model.var_poisson, model.var_rnoise):
            np.testing.assert_array_equal(np.isnan(array), gone)
        total = model.var_poisson + model.var_rnoise
        typical = np.nanmedian(model.err**2 / total)
        saturated = (model.dq & 2) != 0
        # some are saturated in part, with good values, and some altogether
        assert (saturated & ~gone).sum() > 5
        assert (saturated & gone).sum() > 5
    assert typical == pytest.approx(1.0, abs=0.05)
    with opened(flagged) as model:
        assert (model.dq & 1).all()


def test_the_border_of_a_whole_detector_has_no_light(tmp_path):
    plan = Simulation(
        "niriss", (SimulatedVisit("01", (SimulatedExposure("F150W", 100.0),)),), size=(16, 2048)
    )
    [exposure] = simulate(plan, tmp_path, np.random.default_rng(1)).exposures.values()
    with opened(exposure) as model:
        outside = (model.dq & 2**31) != 0
        assert np.flatnonzero(outside.all(axis=0)).tolist() == [0, 1, 2, 3, 2044, 2045, 2046, 2047]
        assert model.meta.subarray.xstart == 1
        assert model.meta.subarray.name == "GENERIC"


def test_zero_point_of_the_headers(tmp_path):
    """A star's brightness in MJy/sr, times the pixel's solid angle, is its flux."""
    scene = SceneSettings(star_density=200, galaxy_density=0, star_magnitudes=(20.0, 20.1), star_slope=0.0)
    plan = case_a("niriss", 300, n_pairs=1, n_visits=1, scene=scene, errors=PointingErrors())
    truth = simulate(plan, tmp_path, np.random.default_rng(5))
    exposure = next(iter(truth.exposures.values()))
    found = []
    with opened(exposure) as model:
        image = brightness(model.data, model.dq)
        solid_angle = model.meta.photometry.pixelarea_steradians
    year = 2000 + (exposure.mid - 51544.5) / 365.25
    xy = exposure.chips[1].to_pixel(truth.scene.sky_at(year))
    expected = truth.scene.mag + truth.scene.color * np.log2(1.4 / 1.494)
    for (x, y), mag in zip(xy, expected, strict=True):
        cut = np.s_[round(y) - 12 : round(y) + 13, round(x) - 12 : round(x) + 13]
        if min(x, y) > 13 and image[cut].shape == (25, 25):
            flux = np.nansum(image[cut]) * solid_angle * 1e6
            found.append(-2.5 * np.log10(flux / 3631) - mag)
    assert len(found) > 5
    # bad pixels and the wings take some hundredths away
    assert 0 < np.median(found) < 0.08


def test_without_stdatamodels_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("grism_align.simulation.jwst.exposures.find_spec", lambda _: None)
    assert importlib.util.find_spec("stdatamodels") is not None
    with pytest.raises(SettingsError, match=r"grism_align\[jwst\]"):
        simulate(case_a("niriss", 64), tmp_path / "out", np.random.default_rng(1))
    assert not (tmp_path / "out").exists()


def test_case_c_of_niriss_has_few_images():
    kinds = [
        [INSTRUMENTS["niriss"].elements[e.element].is_grism for e in visit.exposures]
        for visit in case_c("niriss").visits
    ]
    assert [kind.count(False) for kind in kinds] == [1, 2]
    assert [kind.count(True) for kind in kinds] == [4, 4]


def test_kinds(truth):
    assert {e.kind for e in truth.exposures.values()} == {ExposureKind.DIRECT, ExposureKind.GRISM}
    assert [e.path.name.endswith("_cal.fits") for e in truth.exposures.values()] == [
        e.is_direct for e in truth.exposures.values()
    ]
