"""Input that can't be used: the error names the file, and nothing is written."""

from __future__ import annotations

import json

import pytest
from astropy.io import fits
from stpipe import Step

from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import GrismAlignError, InputError, OutputError
from tests.support.fields import edited


@pytest.fixture
def folder(field_a, tmp_path):
    """A copy of the exposures that a test may spoil."""
    field_a.copied(tmp_path / "in")
    return tmp_path / "in"


@pytest.fixture
def names(field_a):
    return [path.name for path in field_a.truth.paths]


def _rewrite(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def _missing(folder, names):
    (folder / names[2]).unlink()
    return names[2]


def _truncated(folder, names):
    path = folder / names[2]
    path.write_bytes(path.read_bytes()[:-5000])
    return names[2]


def _half_a_header(folder, names):
    path = folder / names[3]
    with fits.open(path) as hdus:
        end = hdus["DQ"].fileinfo()["hdrLoc"] + 1500
    path.write_bytes(path.read_bytes()[:end])
    return names[3]


def _no_fits(folder, names):
    (folder / names[1]).write_text("<html>503 Service Unavailable</html>")
    return names[1]


def _changed(folder, name, *change):
    edited(folder / name, folder / "changed", change)
    (folder / "changed").replace(folder / name)
    return name


def _not_hst(folder, names):
    return _changed(folder, names[1], 0, "TELESCOP", "JWST")


def _no_distortion(folder, names):
    _changed(folder, names[1], "SCI", "CTYPE1", "RA---TAN")
    return names[1]


def _no_direct(folder, names):
    path = folder / "field_asn.json"

    def grisms(content):
        [product] = content["products"]
        product["members"] = [m for m in product["members"] if m["exptype"] == "science"]
        for member in product["members"]:
            member.pop("direct")

    _rewrite(path, grisms)
    return "no direct exposure"


def _two_of_one_name(folder, names):
    (folder / "other").mkdir()
    (folder / "other" / names[0]).write_bytes((folder / names[0]).read_bytes())
    member = {"expname": f"other/{names[0]}", "exptype": "direct_image"}
    _rewrite(folder / "field_asn.json", lambda c: c["products"][0]["members"].append(member))
    return "members of one name"


def _no_products(folder, names):
    _rewrite(folder / "field_asn.json", lambda c: {**c, "products": []})
    return "'products' of the top level is empty"


def _no_members(folder, names):
    _rewrite(folder / "field_asn.json", lambda c: {**c, "products": [{"name": "field", "members": []}]})
    return "'members' of products[0] is empty"


def _no_json(folder, names):
    (folder / "field_asn.json").write_text("{")
    return "no valid JSON"


def _grism_as_direct(folder, names):
    def relabel(content):
        for member in content["products"][0]["members"]:
            if member["expname"] == names[1]:
                member["exptype"] = "direct_image"
                member.pop("direct")

    _rewrite(folder / "field_asn.json", relabel)
    return names[1]


def _no_such_governor(folder, names):
    def rename(content):
        for member in content["products"][0]["members"]:
            if "direct" in member:
                member["direct"] = ["idem99a1q"]

    _rewrite(folder / "field_asn.json", rename)
    return "idem99a1q"


SPOILERS = [
    _missing,
    _truncated,
    _half_a_header,
    _no_fits,
    _not_hst,
    _no_distortion,
    _no_direct,
    _two_of_one_name,
    _no_products,
    _no_members,
    _no_json,
    _grism_as_direct,
    _no_such_governor,
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_bad_input(folder, names, spoil, tmp_path):
    named = spoil(folder, names)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    asn, out = str(folder / "field_asn.json"), f"--output_dir={tmp_path / 'out'}"
    with pytest.raises(InputError) as caught:
        Step.from_cmdline(["grism_align_pipeline", asn, out, "--bad_input=refuse"])
    assert named in str(caught.value)
    assert caught.value.remedy
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_association_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere_asn\.json"):
        Step.from_cmdline(["grism_align_pipeline", "nowhere_asn.json", f"--output_dir={tmp_path / 'out'}"])
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_inputs(folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    asn = str(folder / "field_asn.json")
    with pytest.raises(OutputError, match="folder of the input"):
        Step.from_cmdline(["grism_align_pipeline", asn, f"--output_dir={folder}"])
    # without output_dir, strun writes into the current folder
    monkeypatch.chdir(folder)
    with pytest.raises(OutputError, match="folder of the input"):
        Step.from_cmdline(["grism_align_pipeline", "field_asn.json"])
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_file_in_place_of_the_output_folder(folder, tmp_path):
    (tmp_path / "out").write_text("mine")
    asn = str(folder / "field_asn.json")
    with pytest.raises((OutputError, FileExistsError)):
        Step.from_cmdline(["grism_align_pipeline", asn, f"--output_dir={tmp_path / 'out'}"])
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "says"), [(None, "no such"), ("ra dec\n1 2\n3 north\n", "stars.csv"), ("", "stars.csv")]
)
def test_a_bad_catalog_costs_no_work(folder, tmp_path, content, says, caplog):
    caplog.set_level("INFO")
    catalog = tmp_path / "stars.csv"
    if content is not None:
        catalog.write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        GrismAlignPipeline.call(
            str(folder / "field_asn.json"),
            output_dir=str(tmp_path / "out"),
            steps={"absolute_align": {"catalog": str(catalog)}},
            configure_log=False,
        )
    assert caught.value.path == str(catalog)
    assert not (tmp_path / "out").exists()
    assert not any(record.message.startswith("Measuring") for record in caplog.records)


def test_an_output_folder_with_other_files_stays(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (folder / "field_asn.json").write_text("{")
    with pytest.raises(GrismAlignError):
        Step.from_cmdline(["grism_align_pipeline", str(folder / "field_asn.json"), f"--output_dir={out}"])
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_damaged_record(field_a, output_a, tmp_path):
    """The output of a run whose provenance was cut: refused, not taken as never aligned."""
    import shutil

    shutil.copytree(output_a[1], tmp_path / "in")
    record = tmp_path / "in" / "field_provenance.asdf"
    record.write_bytes(record.read_bytes()[:3000])
    with pytest.raises(InputError, match="field_provenance") as caught:
        GrismAlignPipeline.call(
            str(tmp_path / "in" / "field_asn.json"), output_dir=str(tmp_path / "out"), configure_log=False
        )
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()
