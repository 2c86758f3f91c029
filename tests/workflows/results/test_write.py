from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.catalogs.recorded import exposures_behind
from grism_align.io.catalogs.reference import read_reference_catalog
from grism_align.io.files.checksums import file_record, sha256_of
from grism_align.io.missions import file_source
from grism_align.io.record.file import read_record
from grism_align.values.catalog import ReferenceCatalog, SkySource, SourceCatalog, astrometric_covariance
from grism_align.values.errors import ChangedError, OutputError
from grism_align.values.failure import NoDirectExposure, NoSources
from grism_align.values.record import Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.executors import SerialExecutor
from grism_align.workflows.load import load
from grism_align.workflows.results import exposures as written
from grism_align.workflows.results import products
from grism_align.workflows.results import write as results
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.destination import Destination
from grism_align.workflows.results.write import write_results
from tests.support.associations import write_exposure
from tests.support.executors import HERE
from tests.support.fields import wcs_apart
from tests.support.governed import governed
from tests.support.residuals import star_residuals
from tests.support.strategies import assert_same

KEYS = ["iaaa01d1q", "iaaa01g1q", "iaaa01d2q", "iaaa01g2q"]


@pytest.fixture
def exposures(tmp_path):
    """Two direct and two grism exposures of an association that says more than we need."""
    folder = tmp_path / "in"
    for number, key in enumerate(KEYS):
        write_exposure(folder, key, 300 * number, "G141" if "g" in key else "F140W")
    members = [
        {"expname": f"{KEYS[2]}_flt.fits", "exptype": "direct_image", "note": "the better one"},
        {"expname": f"{KEYS[0]}_flt.fits", "exptype": "direct_image"},
        {"expname": f"{KEYS[3]}_flt.fits", "exptype": "science", "direct": KEYS[0]},
        {"expname": f"{KEYS[1]}_flt.fits", "exptype": "science"},
        {"expname": "segments.fits", "exptype": "segmap"},
    ]
    (folder / "segments.fits").write_bytes(b"")
    product = {"name": "deep", "members": members, "weight": 3}
    content = {"asn_type": "wfss-align", "target": "GOODS", "odd": [1, 2], "products": [product]}
    (folder / "any.json").write_text(json.dumps(content))
    return load(folder / "any.json")


def _transform(exposure, number=1):
    return LinearTransform.from_parameters(exposure.plane, (0.5 * number, -0.3), 0.01 * number)


@pytest.fixture
def aligned(exposures):
    """One direct exposure aligned, the other failed; one grism exposure each."""
    d1, g1, _, g2 = (exposures[key] for key in KEYS)
    fit = ExposureFit(
        FitStatus.ALIGNED,
        _transform(d1),
        "deep frame",
        n_matched=9,
        n_used=8,
        rms=4.5,
        rms_axes=(4.5, 4.5),
        geometry="shift",
    )
    grism = replace(fit, governed=governed(d1.key))
    settings = {"fitgeometry": "shift", "brightest": 50}
    return replace(
        exposures,
        relative=AlignmentSolution({d1.key: fit, KEYS[2]: ExposureFit.failed(NoSources(6.0))}, "deep frame"),
        grism=AlignmentSolution({g1.key: grism, g2.key: ExposureFit.failed(NoDirectExposure("iaaa01"))}),
        catalogs={d1.key: SourceCatalog.empty()},
        activities=(Activity("relative_align", "done", settings=settings),),
        parameter_file="wfc3_ir.asdf",
    )


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def _names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- where to ---


def test_names_of_products(exposures, out):
    beside = Destination(out, in_place=False)
    exposure = exposures[KEYS[0]]
    assert beside.exposure(exposure) == out / "iaaa01d1q_flt.fits"
    assert Destination(out, in_place=True).exposure(exposure) == Path(exposure.source)
    assert beside.association("deep") == out / "deep_asn.json"
    assert beside.provenance("deep") == out / "deep_provenance.asdf"
    assert beside.sources("deep") == out / "deep_sources.ecsv"
    assert beside.reference("deep") == out / "deep_refcat.ecsv"
    assert beside.catalog(exposure) == out / "iaaa01d1q_cat.ecsv"


def test_fpacked_exposures_are_written_plain_and_so_not_in_place(exposures, tmp_path):
    packed = file_source(tmp_path / "in" / "iaaa01d1q_flt.fits.fz")
    other = replace(exposures.exposures[0], source=packed)
    fpacked = replace(exposures, exposures=(other, *exposures.exposures[1:]))
    beside = Destination(tmp_path / "out", in_place=False)
    check_destination(fpacked, beside)
    assert beside.exposure(other) == tmp_path / "out" / "iaaa01d1q_flt.fits"
    with pytest.raises(OutputError, match="fpacked"):
        check_destination(fpacked, Destination(tmp_path / "out", in_place=True))


def test_the_folder_of_the_inputs_is_refused(exposures, tmp_path):
    with pytest.raises(OutputError, match="folder of the input iaaa01d1q_flt"):
        check_destination(exposures, Destination(tmp_path / "in", in_place=False))
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(OutputError, match="would be replaced"):
        check_destination(exposures, Destination(tmp_path / "link", in_place=False))
    check_destination(exposures, Destination(tmp_path / "in", in_place=True))
    check_destination(exposures, Destination(tmp_path / "out", in_place=False))


def test_a_file_is_no_folder(exposures, tmp_path):
    (tmp_path / "file").write_text("mine")
    for in_place in (False, True):
        with pytest.raises(OutputError, match="not a folder"):
            check_destination(exposures, Destination(tmp_path / "file", in_place=in_place))


def test_the_input_association_is_not_replaced(exposures, tmp_path):
    origin = tmp_path / "asn" / "deep_asn.json"
    moved = replace(exposures, association=replace(exposures.association, origin=str(origin)))
    with pytest.raises(OutputError, match="would replace the input's"):
        check_destination(moved, Destination(origin.parent, in_place=False))
    check_destination(moved, Destination(origin.parent, in_place=True))


@pytest.mark.parametrize("name", ["deep_sources.ecsv", "deep_refcat.ecsv", "deep_provenance.asdf"])
def test_a_reference_catalog_is_not_replaced(aligned, out, name):
    """Be it told beforehand, on record, or seen when the results are there."""
    out.mkdir()
    (out / name).write_text("positions of an earlier run")
    destination = Destination(out, in_place=False)
    with pytest.raises(OutputError, match="it is the reference catalog"):
        check_destination(aligned, destination, [out / name])
    check_destination(aligned, destination, [out / "other.ecsv"])
    used = Activity("absolute_align", "done", settings={"catalog": str(out / name)})
    for known in (_with_absolute(aligned, out / name), aligned.with_activity(used)):
        with pytest.raises(OutputError, match="it is the reference catalog"):
            check_destination(known, destination)
        with pytest.raises(OutputError, match="it is the reference catalog") as caught:
            write_results(known, destination, HERE)
        assert "another output_dir" in caught.value.remedy
    assert (out / name).read_text() == "positions of an earlier run"
    assert _names(out) == [name]


# --- what is written ---


def test_products(aligned, out):
    inputs = {e.source: sha256_of(Path(e.source)) for e in aligned.exposures}
    write_results(aligned, Destination(out, in_place=False), HERE)
    tables = ["deep_fits.ecsv", "deep_matches.ecsv", "iaaa01d1q_cat.ecsv"]
    products = ["deep_asn.json", "deep_provenance.asdf", *tables]
    assert _names(out) == sorted([*products, *(f"{key}_flt.fits" for key in KEYS)])
    assert {path: sha256_of(path) for path in inputs} == inputs
    status = {key: fits.getheader(out / f"{key}_flt.fits")["GALIGN"] for key in KEYS}
    assert status == dict(zip(KEYS, ["ALIGNED", "ALIGNED", "FAILED", "FAILED"], strict=True))
    for key in KEYS[2:]:
        assert wcs_apart(out / f"{key}_flt.fits", Path(aligned[key].source)) == 0
    for key in KEYS[:2]:
        assert wcs_apart(out / f"{key}_flt.fits", Path(aligned[key].source)) > 400


def test_the_output_association(aligned, out, tmp_path):
    write_results(aligned, Destination(out, in_place=False), HERE)
    content = json.loads((out / "deep_asn.json").read_text())
    assert content["asn_type"] == "wfss-align"
    assert content["provenance"] == "deep_provenance.asdf"
    assert (content["target"], content["odd"]) == ("GOODS", [1, 2])
    [product] = content["products"]
    assert (product["name"], product["weight"]) == ("deep", 3)
    members = {member["expname"]: member for member in product["members"]}
    segments = str(tmp_path / "in" / "segments.fits")
    assert list(members) == [*(f"{key}_flt.fits" for key in KEYS), segments]
    d1, g1, d2, g2, _ = members.values()
    assert (d1["exptype"], d1["tweakreg_catalog"]) == ("direct_image", "iaaa01d1q_cat.ecsv")
    assert (g1["exptype"], g1["direct"]) == ("science", [KEYS[0]])
    assert (d2["note"], "tweakreg_catalog" in d2) == ("the better one", False)
    assert g2["direct"] == [KEYS[0]]


def test_exposures_without_fit_stay_where_they_are(aligned, out):
    """As after a step that comes before the grism exposures' turn."""
    write_results(replace(aligned, grism=AlignmentSolution()), Destination(out, in_place=False), HERE)
    assert not list(out.glob("*g?q_flt.fits"))
    content = json.loads((out / "deep_asn.json").read_text())
    names = [member["expname"] for member in content["products"][0]["members"]]
    assert str(aligned[KEYS[1]].source) in names
    assert f"{KEYS[0]}_flt.fits" in names
    record = read_record(out / "deep_provenance.asdf").exposures[KEYS[1]]
    assert (record.output, record.total) == (None, None)


def test_the_record(aligned, out):
    write_results(aligned, Destination(out, in_place=False), HERE)
    tree = read_record(out / "deep_provenance.asdf")
    for key in KEYS:
        record, output = tree.exposures[key], out / f"{key}_flt.fits"
        source = Path(aligned[key].source)
        assert record.input == file_record(source)
        assert record.output == file_record(output)
    assert tree.exposures[KEYS[2]].total.reason == "no source above 6 sigma"
    assert tree.exposures[KEYS[1]].total.governed.exposures == (KEYS[0],)
    assert tree.parameter_file == "wfc3_ir.asdf"


def test_labels(aligned, out):
    write_results(aligned, Destination(out, in_place=False), HERE)
    header = fits.getheader(out / f"{KEYS[0]}_flt.fits", "SCI")
    assert header["WCSNAME"].endswith("-FIT_REL_NONE")
    assert (header["NMATCHES"], header["FITGEOM"], header["RMS_RA"]) == (8, "shift", 4.5)


def _with_absolute(aligned, path=""):
    catalog = ReferenceCatalog(
        name="Gaia DR3",
        sky=np.array([[53.0, -27.8]]),
        epoch=np.array([2016.0]),
        covariance=astrometric_covariance(np.ones((1, 2))),
        motion=np.zeros((1, 2)),
        parallax=np.zeros(1),
        radial_velocity=np.zeros(1),
        mag=np.array([18.0]),
        identifier=np.array(["1"]),
        origin=str(path),
        sha256=sha256_of(path) if Path(path).is_file() else "",
    )
    d1 = aligned[KEYS[0]]
    fit = ExposureFit(
        FitStatus.ALIGNED,
        _transform(d1, 2),
        "Gaia DR3",
        n_used=5,
        rms=2.0,
        geometry="rscale",
        residuals=star_residuals(np.ones(5)),
    )
    return replace(
        aligned,
        absolute=AlignmentSolution({d1.key: fit}, "Gaia DR3"),
        reference_catalog=catalog,
    )


def test_each_exposure_fitted_to_the_catalog(aligned, out):
    """drizzlepac calls that IMG, and reads the name."""
    fit = replace(_with_absolute(aligned).absolute[KEYS[0]], rms_axes=(2.5, 1.5))
    absolute = AlignmentSolution({KEYS[0]: fit}, "Gaia DR3")
    done = Activity("absolute_align", "done", settings={"solve": "exposure"})
    exposures = replace(_with_absolute(aligned), absolute=absolute).with_activity(done)
    write_results(exposures, Destination(out, in_place=False), HERE)
    header = fits.getheader(out / f"{KEYS[0]}_flt.fits", "SCI")
    assert header["WCSNAME"].endswith("-FIT_IMG_GaiaDR3")
    assert "aligned image-by-image to GAIA DR3" in header["WCSTYPE"]
    assert (header["RMS_RA"], header["RMS_DEC"]) == (2.5, 1.5)


@pytest.mark.parametrize("headerlets", ["none", "file", "attach"])
def test_headerlets(aligned, out, headerlets):
    write_results(aligned, Destination(out, in_place=False, headerlets=headerlets), HERE)
    files = [name for name in _names(out) if name.endswith("_hlet.fits")]
    assert files == ([f"{key}_hlet.fits" for key in sorted(KEYS[:2])] if headerlets == "file" else [])
    for key in KEYS:
        with fits.open(out / f"{key}_flt.fits") as hdus:
            attached = sum(hdu.name == "HDRLET" for hdu in hdus)
        assert attached == (headerlets == "attach" and key in KEYS[:2])


def test_labels_of_an_absolute_alignment(aligned, out):
    write_results(_with_absolute(aligned), Destination(out, in_place=False), HERE)
    header = fits.getheader(out / f"{KEYS[0]}_flt.fits", "SCI")
    assert header["WCSNAME"].endswith("-FIT_REL_GaiaDR3")
    assert (header["NMATCHES"], header["FITGEOM"]) == (5, "rscale")
    assert "GAIA DR3" in header["WCSTYPE"]


def _with_sources(aligned):
    """Two sources of the frame."""
    ra, dec = aligned[KEYS[0]].plane.ra, aligned[KEYS[0]].plane.dec
    sources = tuple(SkySource(n, ra + 0.001 * n, dec, 2.0 + n, 21.0 + n, 2014.9, 0, 2) for n in range(2))
    return replace(aligned, sources=sources)


def test_the_sources_as_a_reference_catalog(aligned, out):
    write_results(_with_sources(aligned), Destination(out, in_place=False), HERE)
    assert "deep_sources.ecsv" in _names(out)
    assert "deep_refcat.ecsv" not in _names(out)
    catalog = read_reference_catalog(out / "deep_sources.ecsv")
    entry = read_record(out / "deep_provenance.asdf").aligned_sources
    assert (catalog.name, entry.name, entry.file) == ("DEEP", "DEEP", "deep_sources.ecsv")
    assert catalog.identifier.tolist() == entry.identifier.tolist() == ["DEEP-0-0", "DEEP-0-1"]
    np.testing.assert_allclose(catalog.sky[:, 0], entry.ra, rtol=1e-15)
    np.testing.assert_allclose(catalog.error[:, 1], entry.dec_error)
    np.testing.assert_allclose(catalog.epoch, 2014.9)
    assert not catalog.has_motion.any()


def test_the_reference_catalog_as_used(aligned, out, tmp_path):
    """It lies beside the record of the step that used it, and of those after it."""
    write_results(_with_absolute(aligned, "TAP service"), Destination(out, in_place=False), HERE)
    catalog = read_reference_catalog(out / "deep_refcat.ecsv")
    assert (catalog.name, catalog.origin, len(catalog)) == ("Gaia DR3", "TAP service", 1)
    first = read_record(out / "deep_provenance.asdf").reference_catalog
    assert first.file == "deep_refcat.ecsv"
    again = load(out / "deep_asn.json")
    before = (out / "deep_refcat.ecsv").read_bytes()
    for folder, in_place in ((out, True), (tmp_path / "next", False)):
        again = write_results(again, Destination(folder, in_place=in_place), HERE)
        assert (folder / "deep_refcat.ecsv").read_bytes() == before
        entry = read_record(folder / "deep_provenance.asdf").reference_catalog
        assert_same(entry, first)


def test_a_reference_catalog_of_an_earlier_run_does_not_stay(aligned, out):
    """Beside products that have none of it."""
    write_results(_with_absolute(aligned, "TAP service"), Destination(out, in_place=False), HERE)
    assert "deep_refcat.ecsv" in _names(out)
    write_results(aligned, Destination(out, in_place=False), HERE)
    assert "deep_refcat.ecsv" not in _names(out)
    assert read_record(out / "deep_provenance.asdf").reference_catalog is None


@pytest.mark.parametrize("is_tied", [True, False])
def test_the_source_list_of_a_run_that_is_not_on_the_sky_says_so(aligned, out, caplog, is_tied):
    exposures = _with_sources(_with_absolute(aligned) if is_tied else aligned)
    write_results(exposures, Destination(out, in_place=False), HERE)
    read_reference_catalog(out / "deep_sources.ecsv")
    assert ("it was aligned to no catalog" in caplog.text) != is_tied
    assert exposures_behind(out / "deep_sources.ecsv") == {KEYS[0], KEYS[2]}


def test_a_reference_catalog_that_is_gone(aligned, out, tmp_path, caplog):
    write_results(_with_absolute(aligned, "TAP service"), Destination(out, in_place=False), HERE)
    again = load(out / "deep_asn.json")
    (out / "deep_refcat.ecsv").unlink()
    write_results(again, Destination(tmp_path / "next", in_place=False), HERE)
    assert "no longer beside the record" in caplog.text
    entry = read_record(tmp_path / "next" / "deep_provenance.asdf").reference_catalog
    assert (entry.file, entry.name) == (None, "Gaia DR3")


def test_the_next_step_finds_everything_again(aligned, out, tmp_path):
    """Through files: fits, catalogs and corrections come back, and writing again changes nothing."""
    (tmp_path / "gaia.ecsv").write_text("positions")
    write_results(_with_absolute(aligned, tmp_path / "gaia.ecsv"), Destination(out, in_place=False), HERE)
    again = load(out / "deep_asn.json")
    assert [e.key for e in again.exposures] == KEYS
    assert list(again.catalogs) == [KEYS[0]]
    for key in KEYS:
        assert again.fit(key).status == aligned.fit(key).status
        is_aligned = aligned.fit(key).is_aligned
        assert (again[key].applied is not None) == is_aligned
    write_results(again, Destination(tmp_path / "again", in_place=False), HERE)
    for key in KEYS:
        assert wcs_apart(out / f"{key}_flt.fits", tmp_path / "again" / f"{key}_flt.fits") == 0
    # identity of the reference catalog stays on record although only its name came back
    first, second = (
        read_record(folder / "deep_provenance.asdf").reference_catalog for folder in (out, tmp_path / "again")
    )
    assert first.sha256 == sha256_of(tmp_path / "gaia.ecsv")
    assert_same(second, first)


def test_in_place(aligned, tmp_path):
    folder = tmp_path / "in"
    before = {key: fits.getheader(folder / f"{key}_flt.fits", "SCI")["CRVAL1"] for key in KEYS}
    write_results(aligned, Destination(folder, in_place=True), HERE)
    after = {key: fits.getheader(folder / f"{key}_flt.fits", "SCI")["CRVAL1"] for key in KEYS}
    assert [before[key] != after[key] for key in KEYS] == [True, True, False, False]
    assert {"deep_asn.json", "deep_provenance.asdf", "any.json"} < set(_names(folder))
    assert load(folder / "deep_asn.json")[KEYS[0]].applied is not None


def test_in_place_twice_applies_once(aligned, tmp_path):
    """Two steps one after the other, the second with what the first returned."""
    folder, once = tmp_path / "in", tmp_path / "once"
    write_results(aligned, Destination(once, in_place=False), HERE)
    for _ in range(2):
        aligned = write_results(aligned, Destination(folder, in_place=True), HERE)
    for key in KEYS:
        assert wcs_apart(folder / f"{key}_flt.fits", once / f"{key}_flt.fits") < 1e-4


def test_a_full_disk(aligned, out, monkeypatch):
    write, seen = written.write_exposure, []

    def failing(exposure, *arguments):
        seen.append(exposure.key)
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(exposure, *arguments)

    monkeypatch.setattr(written, "write_exposure", failing)
    with pytest.raises(OutputError, match="No space left") as caught:
        write_results(aligned, Destination(out, in_place=False), HERE)
    assert caught.value.remedy
    assert not out.exists()


def test_a_full_disk_in_place_changes_nothing(aligned, tmp_path, monkeypatch):
    """Wherever it strikes: not one exposure is new while others are old."""
    folder = tmp_path / "in"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def failing(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    places = {written: "write_source_catalog", products: "association_text", results: "write_record"}
    for module, name in places.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            with pytest.raises(OutputError, match="no file was changed"):
                write_results(aligned, Destination(folder, in_place=True), HERE)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_input_that_vanishes(aligned, out):
    Path(aligned[KEYS[1]].source).unlink()
    with pytest.raises(ChangedError) as caught:
        write_results(aligned, Destination(out, in_place=False), HERE)
    assert caught.value.path.endswith("iaaa01g1q_flt.fits")
    assert not out.exists()


def test_progress_is_told_of_every_exposure(aligned, out):
    seen = []

    def tell(names, label):
        for name in names:
            seen.append((label, name))
            yield name

    write_results(aligned, Destination(out, in_place=False), SerialExecutor(tell))
    assert seen == [("Writing", key) for key in KEYS]
