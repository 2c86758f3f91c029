from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits

from grism_align.cli import main
from grism_align.io.export.grizli_visits import grizli_visits, visits_path, write_grizli_visits
from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.values.errors import InputError, OutputError
from grism_align.values.solution import ExposureFit, Governed
from grism_align.values.sphere import project
from tests.support.aligned_fields import NOT_FOUND, make_aligned, rewrite_record
from tests.support.fields import SMALL

DIRECT, GRISM = "idem{}a1q_flt.fits", "idem{}a2q_flt.fits"


@pytest.fixture(scope="module")
def aligned(tmp_path_factory):
    """Two visits of a direct and a grism exposure; not to be changed."""
    return make_aligned(case_a("wfc3_ir", SMALL["wfc3_ir"], n_pairs=1), tmp_path_factory.mktemp("visits"))


@pytest.fixture(scope="module")
def content(aligned):
    return grizli_visits(aligned.record).content


def corners_of(polygons):
    """Corners (N, 2) of each polygon of a region."""
    texts = polygons.removeprefix("POLYGON ").split(" POLYGON ")
    return [np.array(text.split(), dtype=float).reshape(-1, 2) for text in texts]


def contains(outline, points):
    """Whether points lie within a convex outline, whichever way round that goes, to 1e-6 arcsec."""
    centre = outline.mean(axis=0)
    corners, inner = project(outline, *centre), project(points, *centre)
    edges = np.roll(corners, -1, axis=0) - corners
    from_corners = inner[:, None] - corners
    sides = edges[:, 0] * from_corners[..., 1] - edges[:, 1] * from_corners[..., 0]
    lengths = np.linalg.norm(edges, axis=1)
    return bool(np.all(sides / lengths > -1e-4) or np.all(sides / lengths < 1e-4))


def test_visits_are_those_of_program_visit_and_filter(content):
    names = [visit["product"].split("-") for visit in content["visits"]]
    files = {
        name[-1] + name[-3]: visit["files"] for name, visit in zip(names, content["visits"], strict=True)
    }
    assert files == {
        "f140w01": [DIRECT.format("01")],
        "g14101": [GRISM.format("01")],
        "f140w02": [DIRECT.format("02")],
        "g14102": [GRISM.format("02")],
    }


def test_products_are_lower_case_with_program_and_visit_where_grizli_looks_for_them(content):
    for visit in content["visits"]:
        *target, program, number, angle, name = visit["product"].split("-")
        assert target
        assert (program, number) == ("dem", visit["files"][0][4:6])
        assert 0 <= float(angle) < 360
        assert name in {"f140w", "g141"}
        assert visit["product"] == visit["product"].lower()


def test_grism_visits_are_paired_with_the_direct_visits_that_govern_them(content):
    pairs = [(group["direct"]["files"], group["grism"]["files"]) for group in content["groups"]]
    assert pairs == [([DIRECT.format(n)], [GRISM.format(n)]) for n in ("01", "02")]


def test_a_grism_visit_is_paired_by_weight(aligned, tmp_path):
    def shared(key, entry):
        if not key.endswith("a2q"):
            return entry
        both = Governed(("idem01a1q", "idem02a1q"), "interpolated", (0.3, 0.7), (-30.0, 30.0), 1.0)
        return replace(entry, grism=replace(entry.grism, governed=both))

    record = rewrite_record(aligned.record, tmp_path / "field_provenance.asdf", shared)
    groups = grizli_visits(record).content["groups"]
    assert [group["direct"]["files"] for group in groups] == [[DIRECT.format("02")]] * 2


def test_footprints_are_those_of_the_aligned_files(aligned, content):
    for visit in content["visits"]:
        outline = corners_of(visit["footprint"])[0]
        for name, footprint in zip(visit["files"], visit["footprints"], strict=True):
            chips = read_exposure(aligned.out / name).chips
            for chip, corners in zip(chips, corners_of(footprint), strict=True):
                # eight decimals of a degree
                np.testing.assert_allclose(corners, chip.wcs.footprint(), rtol=0, atol=6e-9)
                assert contains(outline, corners)


def test_both_chips_have_an_outline_and_the_visit_holds_both(tmp_path):
    field = make_aligned(case_a("acs_wfc", SMALL["acs_wfc"], n_pairs=2, n_visits=1), tmp_path)
    visits = grizli_visits(field.record).content["visits"]
    assert [len(visit["files"]) for visit in visits] == [2, 2]
    for visit in visits:
        for footprint in visit["footprints"]:
            first, second = corners_of(footprint)
            assert contains(corners_of(visit["footprint"])[0], np.concatenate([first, second]))


def test_regions_are_whole_where_ra_begins(tmp_path):
    simulation = case_a("wfc3_ir", SMALL["wfc3_ir"], n_pairs=1, n_visits=1)
    field = make_aligned(replace(simulation, ra=0.0), tmp_path)
    for visit in grizli_visits(field.record).content["visits"]:
        for corners in corners_of(visit["footprint"]):
            assert np.ptp(corners[:, 0]) < 0.1


def test_the_table_has_a_row_an_exposure_in_order_of_time(aligned, content):
    info = content["info"]
    assert {len(column) for column in info.values()} == {4}
    assert info["EXPSTART"] == sorted(info["EXPSTART"])
    for row, name in enumerate(info["FILE"]):
        header = fits.getheader(aligned.out / name)
        assert info["FILTER"][row] == header["FILTER"]
        for keyword in ("INSTRUME", "DETECTOR", "EXPTIME", "PA_V3", "DATE-OBS"):
            assert info[keyword][row] == header[keyword]


def failing(aligned, folder, *lost):
    """The record as if some exposures had failed."""

    def changes(key, entry):
        step = "relative" if entry.is_direct else "grism"
        return replace(entry, **{step: ExposureFit.failed(NOT_FOUND)}) if key in lost else entry

    return rewrite_record(aligned.record, folder / "field_provenance.asdf", changes)


def test_exposures_without_a_correction_are_left_out(aligned, tmp_path):
    visits = grizli_visits(failing(aligned, tmp_path, "idem01a1q", "idem01a2q"))
    assert visits.left_out == dict.fromkeys(("idem01a1q", "idem01a2q"), str(NOT_FOUND))
    assert visits.content["info"]["FILE"] == [DIRECT.format("02"), GRISM.format("02")]
    assert len(visits.content["groups"]) == 1


def test_a_grism_whose_direct_exposure_is_left_out_has_no_pair(aligned, tmp_path):
    content = grizli_visits(failing(aligned, tmp_path, "idem01a1q")).content
    assert len(content["visits"]) == 3
    assert [group["grism"]["files"] for group in content["groups"]] == [[GRISM.format("02")]]


def test_a_record_without_aligned_exposures_is_refused(aligned, tmp_path):
    record = failing(aligned, tmp_path, *(name[:9] for name in aligned.names))
    with pytest.raises(InputError, match="no exposure in it is aligned"):
        grizli_visits(record)


def test_products_that_were_moved_are_found_beside_the_record(aligned, tmp_path):
    def lost(key, entry):
        return replace(entry, output=replace(entry.output, path=f"/gone/{key}_flt.fits"))

    rewrite_record(aligned.record, tmp_path / "field_provenance.asdf", lost)
    for name in aligned.names:
        (tmp_path / name).symlink_to(aligned.out / name)
    assert len(grizli_visits(tmp_path / "field_provenance.asdf").content["visits"]) == 4
    (tmp_path / aligned.names[0]).unlink()
    with pytest.raises(InputError, match="no such file"):
        grizli_visits(tmp_path / "field_provenance.asdf")


def test_the_file_is_plain_yaml(aligned, content, tmp_path):
    target = tmp_path / "there_visits.yaml"
    assert write_grizli_visits(aligned.record, target).content == content
    text = target.read_text()
    assert yaml.safe_load(text) == content
    assert "&" not in text


def test_the_command_writes_beside_the_record(aligned, capsys):
    target = visits_path(aligned.record)
    assert target.name == "field_visits.yaml"
    assert main(["grizli-visits", str(aligned.record)]) == 0
    assert capsys.readouterr().out == f"{target}: 4 visits, 2 pairs of direct and grism\n"
    assert len(yaml.safe_load(target.read_text())["visits"]) == 4


def test_the_command_tells_what_it_left_out_and_what_is_wrong(aligned, tmp_path, capsys):
    record = failing(aligned, tmp_path, "idem01a2q")
    assert main(["grizli-visits", str(record), "-o", str(tmp_path / "mine.yaml")]) == 3
    assert capsys.readouterr().out.endswith(f"idem01a2q left out: {NOT_FOUND}\n")
    for target in (record, tmp_path):
        assert main(["grizli-visits", str(record), "-o", str(target)]) == 1
    assert read_record(record).product == "field"
    with pytest.raises(OutputError):
        write_grizli_visits(record, record / "below.yaml")


def test_grizli_reads_it(aligned, tmp_path):
    auto_script = pytest.importorskip("grizli.pipeline.auto_script", reason="grizli is not installed")
    target = tmp_path / "field_visits.yaml"
    write_grizli_visits(aligned.record, target)
    visits, groups, info = auto_script.load_visits_yaml(str(target))
    assert [len(group["grism"]["files"]) for group in groups] == [1, 1]
    assert list(info["FILE"]) == aligned.names
    for visit in visits:
        [footprint] = visit["footprints"]
        assert visit["footprint"].buffer(1e-6).contains(footprint[0])
