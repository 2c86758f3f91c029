from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from grism_align.io import missions
from grism_align.io.catalogs.sources import write_source_catalog
from grism_align.io.files.checksums import file_record
from grism_align.io.record.file import write_record
from grism_align.values.catalog import SourceCatalog
from grism_align.values.errors import AssociationError, InputError
from grism_align.values.mission import WcsLabel
from grism_align.values.record import FilePair
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load, peek_instrument
from grism_align.workflows.results.record import make_record
from tests.support.associations import write_exposure
from tests.support.fields import apart, edited, grid

DIRECT, GRISM = "direct_image", "science"


def write_asn(folder, *members, **header):
    """An association of (file, exptype) or (file, exptype, further keys)."""
    listed = [{"expname": name, "exptype": kind, **dict(*rest)} for name, kind, *rest in members]
    path = folder / "field_asn.json"
    content = {"asn_type": "wfss-align", **header, "products": [{"name": "field", "members": listed}]}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path):
    write_exposure(tmp_path, "iaaa01d1q", 0)
    write_exposure(tmp_path, "iaaa01g1q", 300, "G141")
    write_exposure(tmp_path, "iaaa01d2q", 600)
    return tmp_path


MEMBERS = [
    ("iaaa01d2q_flt.fits", DIRECT),
    ("iaaa01g1q_flt.fits", GRISM),
    ("iaaa01d1q_flt.fits", DIRECT),
]


def test_exposures_come_in_time_order(folder):
    loaded = load(write_asn(folder, *MEMBERS))
    assert [e.key for e in loaded.exposures] == ["iaaa01d1q", "iaaa01g1q", "iaaa01d2q"]
    assert [e.key for e in loaded.direct] == ["iaaa01d1q", "iaaa01d2q"]
    assert [e.key for e in loaded.grisms] == ["iaaa01g1q"]
    assert (loaded.product, loaded.catalogs, loaded.activities) == ("field", {}, ())
    assert loaded.total.fits == {}


@pytest.mark.parametrize("form", ["folder", "list", "text"])
def test_other_forms(folder, form):
    (folder / "list.txt").write_text("\n".join(name for name, _ in MEMBERS))
    source = {
        "folder": folder,
        "list": [folder / name for name, _ in MEMBERS],
        "text": folder / "list.txt",
    }[form]
    assert [e.key for e in load(source).exposures] == ["iaaa01d1q", "iaaa01g1q", "iaaa01d2q"]


def test_group_and_governors_of_the_association(folder):
    grism = ("iaaa01g1q_flt.fits", GRISM, {"direct": ["iaaa01d2q"], "group_id": "first"})
    loaded = load(write_asn(folder, MEMBERS[0], grism, MEMBERS[2]))
    assert loaded["iaaa01g1q"].governors == ("iaaa01d2q",)
    assert loaded["iaaa01g1q"].group == "first"
    assert loaded["iaaa01d1q"].group == "iaaa01"


def test_a_grism_exposure_listed_as_direct(folder):
    asn = write_asn(folder, MEMBERS[0], ("iaaa01g1q_flt.fits", DIRECT))
    with pytest.raises(AssociationError, match="listed as direct_image, but it is a grism") as caught:
        load(asn)
    assert caught.value.path.endswith("iaaa01g1q_flt.fits")


def test_a_direct_exposure_listed_as_science(folder, caplog):
    asn = write_asn(folder, MEMBERS[0], MEMBERS[1], ("iaaa01d1q_flt.fits", GRISM))
    loaded = load(asn)
    assert [e.key for e in loaded.direct] == ["iaaa01d1q", "iaaa01d2q"]
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "iaaa01d1q is listed as science but is a direct exposure (F140W)" in record.message


def test_science_means_anything_in_associations_of_others(folder, caplog):
    asn = write_asn(folder, *((name, GRISM) for name, _ in MEMBERS), asn_type="image3")
    assert len(load(asn).direct) == 2
    assert not caplog.records


def test_no_direct_exposure(folder):
    asn = write_asn(folder, MEMBERS[1])
    with pytest.raises(AssociationError, match="it has no direct exposure") as caught:
        load(asn)
    assert caught.value.path == str(asn)


def test_two_files_of_one_exposure(folder):
    """Their names differ, so that only their headers tell."""
    edited(folder / "iaaa01d1q_flt.fits", folder / "copy_flt.fits")
    with pytest.raises(AssociationError, match="are of one exposure, iaaa01d1q") as caught:
        load(write_asn(folder, *MEMBERS, ("copy_flt.fits", DIRECT)))
    assert "copy_flt.fits" in str(caught.value)


def test_root_names_are_compared_without_case(folder):
    edited(folder / "iaaa01d1q_flt.fits", folder / "copy_flt.fits", (0, "ROOTNAME", "IAAA01D1Q"))
    with pytest.raises(AssociationError, match="are of one exposure"):
        load(write_asn(folder, *MEMBERS, ("copy_flt.fits", DIRECT)))


def test_members_that_are_no_exposures_are_left_alone(folder):
    (folder / "segments.fits").write_bytes(b"no exposure")
    loaded = load(write_asn(folder, *MEMBERS, ("segments.fits", "segmap")))
    assert len(loaded.exposures) == 3


def test_a_bad_exposure_is_named(folder):
    (folder / "iaaa01d1q_flt.fits").write_bytes(b"an error page")
    with pytest.raises(InputError) as caught:
        load(write_asn(folder, *MEMBERS))
    assert caught.value.path.endswith("iaaa01d1q_flt.fits")


def test_catalogs_are_read(folder):
    write_source_catalog(SourceCatalog.empty(), folder / "d1.ecsv")
    named = {"tweakreg_catalog": "d1.ecsv"}
    grism = ("iaaa01g1q_flt.fits", GRISM, named)
    loaded = load(write_asn(folder, ("iaaa01d1q_flt.fits", DIRECT, named), MEMBERS[0], grism))
    assert list(loaded.catalogs) == ["iaaa01d1q"]
    (folder / "d1.ecsv").write_text("no catalog")
    with pytest.raises(InputError, match=r"d1\.ecsv"):
        load(folder / "field_asn.json")


# --- results of earlier steps ---


def test_earlier_results_are_restored(folder):
    """The file has a correction: it is known, and taken off the WCS."""
    (folder / "out").mkdir()
    before = load(write_asn(folder, *MEMBERS))
    first = before.direct[0]
    transform = LinearTransform.from_parameters(first.plane, (0.4, -0.2), 0.01)
    fits = {first.key: ExposureFit(FitStatus.ALIGNED, transform, "itself")}
    output = folder / "out" / "iaaa01d1q_flt.fits"
    label = WcsLabel("NONE", "IDC_w3m18525i-FIT_REL_NONE", 10, (1.0, 1.0), "rshift")
    missions.write_exposure(first, fits[first.key], output, label)
    done = replace(before, relative=AlignmentSolution(fits, "itself"), parameter_file="wfc3_ir.asdf")
    records = {e.key: FilePair(file_record(e.source)) for e in before.exposures}
    records[first.key] = FilePair(file_record(first.source), file_record(output))
    write_record(folder / "record.asdf", make_record(done, records))

    members = [*MEMBERS[:2], ("out/iaaa01d1q_flt.fits", DIRECT)]
    loaded = load(write_asn(folder, *members, provenance="record.asdf"))
    exposure = loaded["iaaa01d1q"]
    np.testing.assert_allclose(exposure.applied.matrix, transform.matrix)
    assert loaded.fit("iaaa01d1q").is_aligned
    assert loaded.parameter_file == "wfc3_ir.asdf"
    assert loaded.record.path == str(folder / "record.asdf")
    assert loaded["iaaa01d2q"].applied is None
    xy = grid((32, 32))
    assert apart(exposure.chips[0].wcs.to_sky(xy), first.chips[0].wcs.to_sky(xy)) < 0.01


def test_a_record_that_is_not_there(folder):
    with pytest.raises(InputError, match="no such provenance file"):
        load(write_asn(folder, *MEMBERS, provenance="gone.asdf"))


def test_a_provenance_key_that_is_no_name_is_ignored(folder):
    assert load(write_asn(folder, *MEMBERS, provenance={"by": "others"})).activities == ()


# --- which instrument ---


def test_peek_instrument(folder, truths):
    asn = write_asn(folder, *MEMBERS)
    assert peek_instrument(asn) == peek_instrument(str(asn)) == "wfc3_ir"
    assert peek_instrument(load(asn)) == "wfc3_ir"
    for name, truth in truths.items():
        assert peek_instrument(truth.paths) == name
        assert peek_instrument(truth.paths[0]) == name


def test_the_first_direct_exposure_decides(folder, truths):
    acs = truths["acs_wfc"].paths
    asn = write_asn(folder, (str(acs[1]), GRISM), *MEMBERS)
    assert peek_instrument(asn) == "wfc3_ir"


@pytest.mark.parametrize("source", ["nowhere_asn.json", ["a.fits", "b.fits"], 5, None, {"a": 1}])
def test_peeking_never_fails(source, folder):
    assert peek_instrument(source) is None
    (folder / "iaaa01d1q_flt.fits").write_bytes(b"")
    assert peek_instrument([folder / "iaaa01d1q_flt.fits"]) is None
