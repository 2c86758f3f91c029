"""Mosaics of simulated exposures: places, fluxes, files, catalogs, and the same by AstroDrizzle."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from astropy.wcs import WCS

from grism_align.io.catalogs.reference import read_reference_catalog
from grism_align.io.missions import file_source
from grism_align.io.missions.hst.flags import flag_cosmic_rays
from grism_align.io.mosaics.files import read_grid
from grism_align.simulation import SimulatedExposure, SimulatedVisit, Simulation, case_a, usual_scene
from grism_align.values.errors import InputError, OutputError
from grism_align.values.settings import MosaicSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.workflows.load import load
from grism_align.workflows.mosaics.catalogs import _extended
from grism_align.workflows.mosaics.checks import check_products
from tests.support.astrodrizzle import run_astrodrizzle
from tests.support.fields import make_field
from tests.support.mosaics import GOOD_BITS, drizzled, files_of

SIZE = 200


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two visits of three direct exposures."""
    dithers = ((0.0, 0.0), (1.355, 0.424), (0.881, 1.212))
    exposures = tuple(SimulatedExposure("F140W", 250.0, dither) for dither in dithers)
    visits = (
        SimulatedVisit("01", exposures),
        SimulatedVisit("02", exposures, angle=52.0, offset=(2.0, -1.0), start=57061.7),
    )
    simulation = Simulation("wfc3_ir", visits, size=SIZE, scene=usual_scene("wfc3_ir", SIZE))
    return make_field(simulation, tmp_path_factory.mktemp("mosaic"))


@pytest.fixture(scope="module")
def truly(field):
    """The exposures with the corrections that make their WCSs true."""
    return _corrected(field)


def _corrected(field):
    exposures = load(field.association)
    fits_ = {}
    for one in exposures.direct:
        correction = field.truth[one.key].correction(one.plane)
        fits_[one.key] = ExposureFit(
            FitStatus.ALIGNED, replace(correction, covariance=np.diag([1e-6, 1e-6, 0, 0, 0, 0]))
        )
    return replace(exposures, relative=AlignmentSolution(fits_))


@pytest.fixture(scope="module")
def made(truly, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    return drizzled(truly, folder), folder


def _matched(catalog, sky, limit=0.1):
    """Offsets east and north, mas, of the sources of a catalog from the nearest true position."""
    ra, dec = np.asarray(catalog["ra"]), np.asarray(catalog["dec"])
    east = (ra[:, None] - sky[:, 0]) * np.cos(np.radians(dec))[:, None] * 3600
    north = (dec[:, None] - sky[:, 1]) * 3600
    nearest = np.argmin(np.hypot(east, north), axis=1)
    rows = np.arange(len(ra))
    offset = np.column_stack([east[rows, nearest], north[rows, nearest]])
    return 1e3 * offset, np.hypot(*offset.T) < limit


def test_what_is_written(made, truly):
    outcome, folder = made
    assert {path.name for path in files_of(outcome)} == {path.name for path in folder.iterdir()}
    assert len(files_of(outcome)) == 8
    assert outcome.counts["mosaics"] == 2
    assert not outcome.cosmic_rays
    name = files_of(outcome)[0].name
    with fits.open(files_of(outcome)[0]) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        members = [one for one in truly.direct if one.visit == name[:6]]
        assert header["EXPTIME"] == sum(one.exposure_time for one in members)
        assert header["NDRIZIM"] == len(members) == 3
        assert header["BUNIT"] == "ELECTRONS/S"
        for keyword in ("PHOTFLAM", "PHOTPLAM", "TELESCOP", "INSTRUME"):
            assert header[keyword]
        grid = read_grid(files_of(outcome)[0])
        xy = np.array([[3.0, 4.0], [100.0, 50.0]])
        assert np.allclose(WCS(header).all_pix2world(xy, 0), grid.to_sky(xy), atol=1e-10)
        assert grid.shape == hdus[0].data.shape


def test_sources_are_where_they_are(made, field):
    """Positions on the true sky, within errors; magnitudes of stars; a reference catalog for others."""
    outcome, _ = made
    truth = field.truth.catalog
    sky = np.column_stack([truth["ra"], truth["dec"]])
    for path in files_of(outcome):
        if path.suffix != ".ecsv":
            continue
        table = Table.read(path)
        offset, found = _matched(table, sky)
        good = found & (table["flags"] == 0) & (table["mag_error"] < 0.04) & (table["ra_error"] < 12)
        assert good.sum() > 10
        assert np.abs(np.median(offset[good], axis=0)).max() < 4
        reference = read_reference_catalog(path)
        assert np.allclose(reference.sky[:, 0], table["ra"])
        assert np.allclose(reference.error[:, 0][good], table["ra_error"][good])
        assert np.allclose(reference.epoch, table["ref_epoch"])
        assert np.allclose(reference.mag, table["mag"], equal_nan=True)


def test_the_catalog_is_what_grism_extraction_of_jwst_reads(made):
    """The columns that its assign_wcs asks for, of the kinds that it computes with."""
    outcome, _ = made
    wanted = ["label", "xcentroid", "ycentroid", "sky_centroid", "isophotal_abmag", "isophotal_abmag_err"]
    wanted += [f"sky_bbox_{corner}" for corner in ("ll", "lr", "ul", "ur")] + ["is_extended"]
    path = next(path for path in files_of(outcome) if path.name.endswith("cat.ecsv"))
    table = QTable.read(path, format="ascii.ecsv")
    assert set(wanted) <= set(table.colnames)
    grid = read_grid(path.with_name(path.name.replace("cat.ecsv", "drz_sci.fits")))
    for row in table[:10]:
        assert (row["isophotal_abmag"] < 99.0) or np.isnan(row["isophotal_abmag"])
        center = row["sky_centroid"].icrs
        xy = grid.to_pixel([center.ra.value, center.dec.value])
        assert np.allclose(xy, [row["xcentroid"].value, row["ycentroid"].value], atol=1e-3)
        low, high = (row[f"sky_bbox_{corner}"] for corner in ("ll", "ur"))
        size = grid.to_pixel([high.ra.value, high.dec.value]) - grid.to_pixel([low.ra.value, low.dec.value])
        assert np.allclose(
            size, [row["bbox_xmax"] - row["bbox_xmin"] + 1, row["bbox_ymax"] - row["bbox_ymin"] + 1]
        )


def test_segments_are_those_of_the_catalog(made):
    outcome, _ = made
    table = Table.read(next(path for path in files_of(outcome) if path.name.endswith("cat.ecsv")))
    segments = fits.getdata(next(path for path in files_of(outcome) if path.name.endswith("seg.fits")))
    area = np.bincount(segments.ravel(), minlength=len(table) + 1)[1:]
    assert np.array_equal(area, table["isophotal_area"])
    assert np.array_equal(table["label"], np.arange(1, len(table) + 1))


def test_tiles_make_no_difference(made, truly, tmp_path):
    _, folder = made
    other = drizzled(truly, tmp_path, tile=64, make_catalog=False)
    for path in files_of(other):
        assert np.allclose(fits.getdata(path), fits.getdata(folder / path.name), rtol=1e-4, atol=1e-4)


def test_a_catalog_of_several_tiles_has_the_sources_of_one(made, truly, tmp_path):
    """Segments have the labels of the catalog, which are counted through all tiles."""
    _, folder = made
    outcome = drizzled(truly, tmp_path, tile=150)
    test_segments_are_those_of_the_catalog((outcome, tmp_path))
    for path in (one for one in files_of(outcome) if one.name.endswith("cat.ecsv")):
        found, wanted = Table.read(path), Table.read(folder / path.name)
        found.sort("xcentroid")
        wanted.sort("xcentroid")
        for name in ("xcentroid", "ycentroid", "isophotal_area", "mag", "flags"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-3)


def test_cosmic_rays_are_handed_back(truly, tmp_path):
    outcome = drizzled(truly, tmp_path, flag_exposures=True, make_catalog=False)
    assert outcome.counts["cosmic_ray_pixels"] == sum(
        mask.number for own in outcome.cosmic_rays.values() for mask in own.values()
    )
    key, rays = next((key, own) for key, own in outcome.cosmic_rays.items() if own[1].number)
    copy = tmp_path / truly[key].source.name
    copy.write_bytes(Path(truly[key].source).read_bytes())
    flag_cosmic_rays(file_source(copy), rays)
    with fits.open(copy) as new, fits.open(truly[key].source) as old:
        assert np.array_equal(new["DQ"].data & 4096 > 0, rays[1].unpacked())
        assert np.array_equal(new["SCI"].data, old["SCI"].data)
        assert np.array_equal(new["DQ"].data & ~4096, old["DQ"].data & ~4096)


def _stars(folder, field, column="aper_abmag"):
    """Magnitudes of bright stars of all mosaics of a folder, and theirs in truth."""
    truth = field.truth.catalog
    stars = truth[np.asarray(truth["star"], bool)]
    found, true = [], []
    for path in sorted(folder.glob("*-f140w_cat.ecsv")):
        table = Table.read(path)
        _, near = _matched(table, np.column_stack([stars["ra"], stars["dec"]]), 0.05)
        good = near & (table["flags"] == 0) & (table["mag_error"] < 0.05)
        sky = np.column_stack([table["ra"], table["dec"]])[good] - 0
        index = [np.argmin(np.hypot(stars["ra"] - ra, stars["dec"] - dec)) for ra, dec in sky]
        found.append(np.asarray(table[column])[good])
        true.append(np.asarray(stars["mag"])[index])
    return np.concatenate(found), np.concatenate(true)


def _with_status(exposures, key, status):
    fits_ = dict(exposures.relative.fits)
    fits_[key] = replace(fits_[key], status=status)
    return replace(exposures, relative=AlignmentSolution(fits_))


def _blanked(exposures, key, folder, dq=0):
    """The set with one exposure that shows nothing but noise."""
    copy = folder / exposures[key].source.name
    with fits.open(Path(exposures[key].source)) as hdus:
        shape = hdus["SCI"].data.shape
        hdus["SCI"].data = np.random.default_rng(8).normal(0.7, 0.02, shape).astype(np.float32)
        hdus["DQ"].data = np.full(shape, dq, np.int16)
        hdus.writeto(copy)
    other = replace(exposures[key], source=file_source(copy))
    changed = tuple(other if one.key == key else one for one in exposures.exposures)
    return replace(exposures, exposures=changed)


def test_an_exposure_corrected_like_its_neighbours_is_not_stacked(made, truly, field, tmp_path, caplog):
    """A blank one would make stars faint by 2.5 log(3 / 2) = 0.44 mag, or scatter where it is rejected."""
    key = truly.direct[1].key
    blank = _with_status(_blanked(truly, key, tmp_path, 0), key, FitStatus.PRIOR_ONLY)
    out = drizzled(blank, tmp_path / "out")
    assert f"PRIOR_ONLY): {key}" in caplog.text
    found, true = _stars(tmp_path / "out", field)
    usual, same = _stars(made[1], field)
    assert len(found) > 5
    # both scatter by a few hundredths, which the stars' phases on the pixels make
    assert abs(np.median(found - true) - np.median(usual - same)) < 0.03
    header = fits.getheader(files_of(out)[0])
    assert header["NDRIZIM"] == 2
    assert header["EXPTIME"] == 2 * truly.direct[0].exposure_time


def test_what_is_stacked_where_nothing_is_aligned_by_itself(truly, tmp_path):
    """With no better one of that filter, what is merely corrected makes a mosaic, or what is not at all."""
    for status in (FitStatus.PRIOR_ONLY, FitStatus.FAILED):
        exposures = truly
        for one in truly.direct:
            exposures = _with_status(exposures, one.key, status)
        if status is FitStatus.FAILED:
            exposures = replace(exposures, relative=AlignmentSolution({}))
        out = drizzled(exposures, tmp_path / status.value, make_catalog=False)
        assert [fits.getheader(path)["NDRIZIM"] for path in files_of(out)] == [3] * 4


def test_an_exposure_without_a_usable_pixel_is_not_counted(truly, tmp_path, caplog):
    key = truly.direct[0].key
    out = drizzled(_blanked(truly, key, tmp_path, 4), tmp_path / "out", make_catalog=False)
    header = fits.getheader(files_of(out)[0])
    assert header["NDRIZIM"] == 2
    assert header["EXPTIME"] == 2 * truly.direct[0].exposure_time
    assert key in caplog.text
    assert key not in out.products[0].plan.keys


def test_the_sky_of_two_exposures_is_zero(truly, tmp_path):
    """The lower of two skies is under both by half a scatter; levels must not follow it.

    A level is known to about 2 / sqrt(40000) = 0.01 scatters of a pixel, as sources leave four fifths of
    them; the mosaic's own median to half of that.
    """
    gone = {one.key for one in truly.direct[2::3]}
    kept = tuple(one for one in truly.exposures if one.key not in gone)
    pair = replace(truly, exposures=kept)
    skies = []
    for method in ("none", "median"):
        out = drizzled(pair, tmp_path / method, make_catalog=False, cosmic_rays=method)
        image, weight = (fits.getdata(path) for path in files_of(out)[:2])
        both = weight > 0.9 * np.percentile(weight[weight > 0], 90)
        skies.append(np.median(image[both] * np.sqrt(weight[both])))
    assert abs(skies[1] - skies[0]) < 0.03


def test_the_pixels_of_a_given_image(made, truly, tmp_path):
    outcome, _ = made
    wanted = files_of(outcome)[0]
    other = drizzled(truly, tmp_path, grid_image=str(wanted), extent="field", make_catalog=False)
    assert [path.name for path in files_of(other)] == ["field-f140w_drz_sci.fits", "field-f140w_drz_wht.fits"]
    assert np.allclose(
        WCS(fits.getheader(files_of(other)[0])).wcs.crpix, WCS(fits.getheader(wanted)).wcs.crpix
    )
    assert fits.getdata(files_of(other)[0]).shape == fits.getdata(wanted).shape
    with pytest.raises(InputError, match="CTYPE"):
        read_grid(Path(truly.direct[0].source))


def test_products_replace_no_input(truly, tmp_path):
    settings = MosaicSettings()
    wanted = tmp_path / f"{truly.direct[0].visit}-f140w_cat.ecsv"
    with pytest.raises(OutputError, match="is read"):
        check_products(truly, settings, tmp_path, [wanted])
    check_products(truly, settings, tmp_path, [tmp_path / "other.ecsv"])


def test_one_exposure_of_two_chips(tmp_path):
    """A CCD's single exposure: the Laplacian filter, counts, lookup tables."""
    field = make_field(case_a("acs_wfc", size=(128, 256), n_pairs=1, n_visits=1), tmp_path)
    exposures = load(field.association)
    out = drizzled(exposures, tmp_path / "out", scale=0.05, weights="exposure")
    with fits.open(files_of(out)[0]) as hdus, fits.open(files_of(out)[1]) as weights:
        image, weight = hdus[0].data, weights[0].data
    assert (weight > 0).mean() > 0.3
    assert np.isfinite(image).all()
    assert out.counts["cosmic_ray_pixels"] > 0
    table = Table.read(next(path for path in files_of(out) if path.name.endswith("cat.ecsv")))
    assert len(table) > 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_astrodrizzle_makes_the_same(field, tmp_path):
    """Same WCSs, weights and kernel: no difference beyond 1e-3 of the noise in 99.9 % of the pixels."""
    pytest.importorskip("drizzlepac.astrodrizzle", exc_type=ImportError)
    exposures = load(field.association)
    same = {"level_background": False, "cosmic_rays": "none", "make_catalog": False, "weights": "error"}
    ours = drizzled(exposures, tmp_path / "ours", **same)
    keys = ours.products[0].plan.keys
    paths = [Path(exposures[key].source) for key in keys]
    bits = GOOD_BITS["wfc3_ir"]
    theirs = run_astrodrizzle(
        paths, files_of(ours)[0], tmp_path / "theirs",
        final_bits=bits, final_wht_type="ERR", final_pixfrac=0.8, stepsize=1,
    )  # fmt: skip
    # files that it leaves open must not be found by another test
    gc.collect()
    image, weight = (fits.getdata(path) for path in files_of(ours)[:2])
    used = weight > 0
    one, known = image[used], weight[used]
    # of rates it takes the errors for those of counts
    two, found = theirs[0][used], theirs[1][used] / exposures.direct[0].exposure_time ** 2
    for difference in ((two - one) * np.sqrt(known), (found - known) / np.median(known)):
        assert abs(np.median(difference)) < 1e-6
        assert np.mean(np.abs(difference) < 1e-3) > 0.999


def test_what_is_wider_than_a_star():
    """Remnants of cosmic rays, narrower than any star, make no star wide; nor do few bright sources."""
    rng = np.random.default_rng(3)
    width = np.concatenate([rng.normal(4.3, 0.1, 20), rng.normal(2.0, 0.3, 60), rng.normal(9, 1, 20)])
    table = Table({"fwhm": width, "aperture_flux": np.full(100, 100.0)})
    table["aperture_flux_err"], table["flags"] = 1.0, 0
    wide = _extended(table, 3.5)
    assert not wide[:80].any()
    assert wide[80:].all()
    few = np.r_[0:2, 80:82]
    assert _extended(table[few], 3.5).tolist() == [False, False, True, True]
