"""Mosaics: cores of stars that stay, flags that settle, weights in seconds, frames that miss the field."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from grism_align.io.missions import file_source
from grism_align.io.missions.hst.flags import flag_cosmic_rays
from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, usual_scene
from grism_align.values.errors import InputError
from grism_align.values.settings import MosaicSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.workflows.load import load
from grism_align.workflows.mosaics.checks import check_grid, check_units
from grism_align.workflows.mosaics.cosmic_rays import _method
from tests.support.exposures import exposure as an_exposure
from tests.support.fields import SMALL, few_galaxies, make_field
from tests.support.mosaics import drizzled, files_of

DITHERS = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212), (0.477, 0.801))


def _field(folder, n, size):
    exposures = tuple(SimulatedExposure("F140W", 250.0, dither) for dither in DITHERS[:n])
    visit = SimulatedVisit("01", exposures)
    return make_field(Simulation("wfc3_ir", (visit,), size=size, scene=few_galaxies(size)), folder)


def _truly(field, association=None):
    """The exposures with the corrections that make their WCSs true."""
    exposures = load(association or field.association)
    corrections = {
        one.key: ExposureFit(FitStatus.ALIGNED, field.truth[one.key].correction(one.plane))
        for one in exposures.direct
    }
    return replace(exposures, relative=AlignmentSolution(corrections))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return _field(tmp_path_factory.mktemp("small"), 2, 120)


@pytest.mark.parametrize("n", [2, pytest.param(3, marks=pytest.mark.slow), 4])
def test_the_cores_of_stars_are_no_cosmic_rays(tmp_path, n):
    """Undersampled, saturated or beside a bad pixel: magnitudes are those without rejection."""
    exposures = _truly(_field(tmp_path, n, 300))
    tables = []
    for method in ("none", "auto"):
        made = drizzled(exposures, tmp_path / method, scale=0.06, cosmic_rays=method)
        tables.append(Table.read(files_of(made)[3]))
    one, other = tables
    apart = np.hypot(
        one["xcentroid"][:, None] - np.asarray(other["xcentroid"]),
        one["ycentroid"][:, None] - np.asarray(other["ycentroid"]),
    )
    bright = np.asarray(one["aperture_flux"] > 100 * one["aperture_flux_err"])
    assert bright.sum() > 10
    nearest = apart.argmin(axis=1)
    assert apart.min(axis=1)[bright].max() < 1
    change = np.asarray(other["aper_abmag"])[nearest] - np.asarray(one["aper_abmag"])
    assert np.abs(change[bright]).max() < 0.005


def test_flags_settle(small, tmp_path):
    """What one run flags does not change what the next one finds."""
    folder = tmp_path / "in"
    association = small.copied(folder)
    found = []
    for _ in range(3):
        made = drizzled(_truly(small, association), tmp_path / "out", flag_exposures=True, make_catalog=False)
        found.append({key: own[1].unpacked() for key, own in made.cosmic_rays.items()})
        counts = made.counts
        assert counts["flagged_pixels"] == sum(int(mask.sum()) for mask in found[-1].values()) > 0
        for key, own in made.cosmic_rays.items():
            path = folder / f"{key}_flt.fits"
            flag_cosmic_rays(file_source(path), own)
            assert np.array_equal(fits.getdata(path, "DQ") & 4096 > 0, own[1].unpacked())
    for later in found[1:]:
        assert all(np.array_equal(later[key], found[0][key]) for key in found[0])


def test_exposures_that_are_not_written_are_named(small, tmp_path, caplog):
    exposures = load(small.association)
    made = drizzled(exposures, tmp_path, flag_exposures=True, make_catalog=False)
    counts = made.counts
    assert made.cosmic_rays == {}
    assert counts["flagged_pixels"] == 0 < counts["cosmic_ray_pixels"]
    assert all(exposure.key in caplog.text for exposure in exposures.direct)


def test_times_are_seconds(small, tmp_path):
    made = drizzled(_truly(small), tmp_path, weights="exposure", make_catalog=False)
    science, weight = (fits.getheader(path) for path in files_of(made))
    assert (science["BUNIT"], weight["BUNIT"]) == ("ELECTRONS/S", "s")
    assert science["CRREJECT"] == "median"
    times = fits.getdata(files_of(made)[1])
    # pixels cover more of the sky here than in the middle of the whole detector
    assert np.median(times[times > 0.7 * science["EXPTIME"]]) == pytest.approx(science["EXPTIME"], rel=0.1)


@pytest.mark.parametrize(("ra", "dec"), [(1.0, 0.0), (180.0, None)])
def test_pixels_of_another_field(small, tmp_path, ra, dec):
    exposures = _truly(small)
    path = files_of(drizzled(exposures, tmp_path, cosmic_rays="none", make_catalog=False))[0]
    far = tmp_path / "far.fits"
    shutil.copyfile(path, far)
    with fits.open(far, mode="update") as hdus:
        header = hdus[0].header
        header["CRVAL1"] = (header["CRVAL1"] + ra) % 360
        if dec is None:
            header["CRVAL2"] = -header["CRVAL2"]
    for check in (
        lambda: check_grid(exposures, MosaicSettings(grid_image=str(far))),
        lambda: drizzled(exposures, tmp_path / "out", grid_image=str(far)),
    ):
        with pytest.raises(InputError, match=r"far\.fits"):
            check()


def test_pixels_in_two_units_make_no_mosaic(small):
    exposures = _truly(small)
    check_units(exposures, MosaicSettings())
    last = exposures.direct[-1]
    changed = [replace(e, rate_unit="COUNTS/S") if e is last else e for e in exposures.exposures]
    with pytest.raises(InputError, match="COUNTS/S"):
        check_units(replace(exposures, exposures=tuple(changed)), MosaicSettings())


def test_rays_that_hide_each_other_stay_as_the_files_have_them(tmp_path):
    """Two exposures of a CCD, hit at one place on the sky, and flagged."""
    exposures = tuple(SimulatedExposure("F814W", 250.0, dither) for dither in DITHERS[:2])
    size = SMALL["acs_wfc"]
    scene = usual_scene("acs_wfc", size)
    visits = (SimulatedVisit("01", exposures),)
    field = make_field(Simulation("acs_wfc", visits, size=size, scene=scene), tmp_path)
    pair = _truly(field).direct
    first, second = (e.corrected(field.truth[e.key].correction(e.plane)).chips[0].wcs for e in pair)
    middle = np.array([[size[1] // 2, size[0] // 2]])
    places = [middle[0], np.rint(second.to_pixel(first.to_sky(middle)))[0].astype(int)]
    for exposure, (x, y) in zip(pair, places, strict=True):
        with fits.open(exposure.source, mode="update") as hdus:
            hdus["SCI", exposure.chips[0].number].data[y, x] += 3000.0
            hdus["DQ", exposure.chips[0].number].data[y, x] |= 4096
    made = drizzled(_truly(field), tmp_path / "out", flag_exposures=True, make_catalog=False, good_bits=480)
    for exposure, (x, y) in zip(pair, places, strict=True):
        assert made.cosmic_rays[exposure.key][exposure.chips[0].number].unpacked()[y, x]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_single_exposure_of_a_ccd(monkeypatch, caplog, is_there):
    """By the Laplacian filter, where what does it is installed; else not at all, and that is said."""
    monkeypatch.setattr("grism_align.algorithms.mosaics.cosmic_rays.find_spec", lambda _: is_there or None)
    ccd, ramp = (an_exposure(key, 57000.0, rejects_cosmic_rays=key == "ramp") for key in ("ccd", "ramp"))
    assert _method("auto", [ccd]) == ("laplacian" if is_there else "none")
    assert ("astroscrappy" in caplog.text) is not is_there
    assert [_method("auto", [ramp]), _method("median", [ccd])] == ["none", "none"]
    assert [_method("auto", [ccd, ccd]), _method("laplacian", [ccd, ccd])] == ["median", "laplacian"]
