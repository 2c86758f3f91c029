"""The pipeline on simulated fields: how close to the truth, and what is written."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import Special
from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.solution import FitStatus
from grism_align.values.sphere import sky_to_vector
from tests.support.fields import associate, edited, raw_hdus, score_of, wcs_apart


def run(source, **keywords):
    return GrismAlignPipeline.call(str(source), configure_log=False, **keywords)


def expected_rms(result):
    """What the noise of the centroids leaves, mas: shifts and a roll of some dozen sources."""
    fits_of = [f for f in result.relative.fits.values() if f.is_aligned]
    return float(np.median([f.rms * np.sqrt(4 / f.n_used) for f in fits_of if f.n_used]))


def assert_near_truth(truth, result, folder):
    """Each direct exposure within what noise allows, a grism exposure within what it claims beside."""
    scores = score_of(truth, folder)
    noise = expected_rms(result)
    pixel = 1e3 * result.direct[0].pixel_scale
    assert noise < 0.06 * pixel
    for key, found in scores.items():
        if truth[key].is_direct:
            assert found.relative < 2.5 * noise, key
        else:
            claimed = 1e3 * result.fit(key).transform.at(result[key].plane).axis_error
            assert found.relative < scores[truth[key].governor].relative + 4 * claimed, key
            assert claimed < 0.1 * pixel


@pytest.fixture(scope="module")
def relative(tmp_path_factory):
    """A function that aligns a field without a catalog, once: what came of it, and where it wrote."""

    @cache
    def aligned(field):
        folder = tmp_path_factory.mktemp("relative") / "out"
        return run(field.association, output_dir=str(folder)), folder

    return aligned


@pytest.mark.parametrize("case", ["field_a", "field_b", "field_c"])
def test_cases(request, relative, case):
    field = request.getfixturevalue(case)
    result, folder = relative(field)
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.REFERENCE, FitStatus.ALIGNED}
    assert_near_truth(field.truth, result, folder)
    before = score_of(field.truth, field.folder)
    # the simulated errors of the two visits differ by arcseconds
    assert max(found.relative for found in before.values()) > 200


@pytest.mark.parametrize("case", ["field_a", "field_b", "field_c"])
def test_each_grism_exposure_has_the_right_governor(request, relative, case):
    field = request.getfixturevalue(case)
    result, _ = relative(field)
    for key, true in field.truth.exposures.items():
        if not true.is_direct:
            assert result.fit(key).governors == (true.governor,)
            assert result.fit(key).governed.rule


@pytest.mark.slow
@pytest.mark.parametrize("name", ["acs_wfc", "wfc3_uvis"])
def test_two_chips(two_chip_fields, name, tmp_path):
    field = two_chip_fields[name]
    result = run(field.association, output_dir=str(tmp_path / "out"))
    assert_near_truth(field.truth, result, tmp_path / "out")
    for path in field.truth.paths:
        assert np.abs(_gap(tmp_path / "out" / path.name) - _gap(path)).max() < 0.05


def _gap(path):
    """Distances across the gap of two chips, mas."""
    first, second = read_exposure(path).chips
    x = np.linspace(0, first.shape[1] - 1, 5)
    upper = first.wcs.to_sky(np.column_stack([x, np.full(5, first.shape[0] - 1.0)]))
    lower = second.wcs.to_sky(np.column_stack([x, np.zeros(5)]))
    return np.degrees(np.linalg.norm(sky_to_vector(upper) - sky_to_vector(lower), axis=1)) * 3.6e6


# --- the user's catalog ---


def test_absolute(field_a, output_a):
    result, folder = output_a
    assert_near_truth(field_a.truth, result, folder)
    absolute = [found.absolute for found in score_of(field_a.truth, folder).values()]
    fit = next(iter(result.absolute.fits.values()))
    assert max(absolute) < 3 * np.hypot(expected_rms(result), fit.rms * np.sqrt(4 / fit.n_used))
    assert min(found.absolute for found in score_of(field_a.truth, field_a.folder).values()) > 200


def test_products(field_a, output_a):
    result, folder = output_a
    names = {path.name for path in folder.iterdir()}
    catalogs = {f"{e.key}_cat.ecsv" for e in result.direct}
    exposures = {path.name for path in field_a.truth.paths}
    tables = {"field_asn.json", "field_provenance.asdf", "field_fits.ecsv", "field_matches.ecsv"}
    tables |= {"field_refcat.ecsv", "field_sources.ecsv"}
    assert names == exposures | catalogs | tables | {"field_report.html"}
    assert "could not be made" not in (folder / "field_report.html").read_text(encoding="utf-8")
    for path in field_a.truth.paths:
        before, after = raw_hdus(path), raw_hdus(folder / path.name)
        assert [data for _, _, data in before] == [data for _, _, data in after]


@pytest.fixture(scope="module")
def measured_a(field_a):
    """Case A, relatively aligned, in memory."""
    sources = SourceCatalogStep.call(str(field_a.association), configure_log=False)
    return RelativeAlignStep.call(sources, configure_log=False)


def _absolute(measured, truth, catalog, **keywords):
    """The absolute step alone: the largest shift between its corrections and the true ones, mas."""
    result = AbsoluteAlignStep.call(measured, catalog=str(catalog), configure_log=False, **keywords)
    found = [
        (result.fit(e.key).transform, truth[e.key].correction(e.plane))
        for e in result.direct
        if result.fit(e.key).is_aligned
    ]
    return result, max(1e3 * np.hypot(*(one.shift - other.shift)) for one, other in found)


def _stars_at_epoch(catalog, epoch, path):
    """The stars of the catalog as they were at another epoch, written; galaxies don't move."""
    table = Table.read(catalog)
    table = table[table["star"]]
    years = epoch - table.meta["epoch"]
    table["ra"] += table["pmra"] * years / 3.6e6 / np.cos(np.radians(table["dec"]))
    table["dec"] += table["pmdec"] * years / 3.6e6
    table.meta["epoch"] = epoch
    table.write(path)
    return path


def test_epoch_and_proper_motions(field_a, measured_a, tmp_path):
    """Positions of 2005 with proper motions are as good as present ones, and without them are not."""
    now = _stars_at_epoch(field_a.catalog, 2014.9, tmp_path / "now.ecsv")
    old = _stars_at_epoch(field_a.catalog, 2005.0, tmp_path / "old.ecsv")
    of_now, shift_now = _absolute(measured_a, field_a.truth, now)
    of_old, shift_old = _absolute(measured_a, field_a.truth, old)
    key = of_now.direct[0].key
    assert shift_now < 10
    assert shift_old == pytest.approx(shift_now, abs=0.2)
    assert of_old.absolute[key].rms == pytest.approx(of_now.absolute[key].rms, rel=0.05)
    still = Table.read(old)
    still.remove_columns(["pmra", "pmdec"])
    still.write(tmp_path / "still.ecsv")
    resting, shift_still = _absolute(measured_a, field_a.truth, tmp_path / "still.ecsv", max_rms=5.0)
    assert resting.absolute[key].rms > 3 * of_now.absolute[key].rms
    assert shift_still > 3 * shift_now


def test_an_epoch_that_the_file_does_not_give(field_a, measured_a, tmp_path):
    old = _stars_at_epoch(field_a.catalog, 2005.0, tmp_path / "old.ecsv")
    table = Table.read(old)
    table.meta.clear()
    table.write(tmp_path / "bare.ecsv")
    _, shift = _absolute(measured_a, field_a.truth, tmp_path / "bare.ecsv", epoch=2005.0)
    assert shift == pytest.approx(_absolute(measured_a, field_a.truth, old)[1], abs=1e-3)


def test_names_of_columns(field_a, measured_a, tmp_path):
    table = Table.read(field_a.catalog)
    table.rename_columns(["ra", "dec", "mag"], ["laenge", "breite", "helligkeit"])
    table.write(tmp_path / "own.ecsv")
    result, shift = _absolute(
        measured_a,
        field_a.truth,
        tmp_path / "own.ecsv",
        ra_column="laenge",
        dec_column="breite",
        mag_column="helligkeit",
        catalog_name="eigener",
    )
    assert shift < 10
    assert result.absolute.reference == "eigener"


def test_a_catalog_of_another_field(field_a, measured_a, tmp_path, caplog):
    """Nothing matches: the relative frame stays, and the user is told."""
    table = Table.read(field_a.catalog)
    rng = np.random.default_rng(8)
    for name in ("ra", "dec"):
        table[name] = rng.permutation(np.asarray(table[name])) * table[name].unit
    table.write(tmp_path / "other.ecsv")
    result = AbsoluteAlignStep.call(measured_a, catalog=str(tmp_path / "other.ecsv"), configure_log=False)
    assert {fit.status for fit in result.absolute.fits.values()} == {FitStatus.FAILED}
    for exposure in result.direct:
        fit = result.fit(exposure.key)
        assert fit.is_aligned
        assert "not tied to" in fit.reason
    assert any("not tied to" in r.message for r in caplog.records if r.levelname == "WARNING")


def test_a_catalog_that_changes_is_read_again(field_a, measured_a, tmp_path):
    """In one Python session, under one name."""
    path = tmp_path / "mine.ecsv"
    table = Table.read(field_a.catalog)
    shifts = []
    for _ in range(2):
        table.write(path, overwrite=True)
        result, _ = _absolute(measured_a, field_a.truth, path)
        shifts.append(result.fit(result.direct[0].key).transform.shift[1])
        table["dec"] += 0.25 / 3600
    assert shifts[1] - shifts[0] == pytest.approx(0.25, abs=1e-3)


def test_without_a_catalog_the_step_is_skipped(measured_a):
    result = AbsoluteAlignStep.call(measured_a, configure_log=False)
    assert result.absolute.fits == {}
    assert (result.activities[-1].step, result.activities[-1].outcome) == ("absolute_align", "skipped")
    assert "no catalog given" in result.activities[-1].note


# --- exposures that can't be aligned ---


@pytest.fixture(scope="module")
def bad_run(bad_field, tmp_path_factory):
    """What came of it, where it wrote, and what it said."""
    folder, said = tmp_path_factory.mktemp("bad_aligned") / "out", []
    logger, handler = logging.getLogger("grism_align"), logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    result = run(bad_field.association, output_dir=str(folder))
    logger.removeHandler(handler)
    logger.setLevel(level)
    return result, folder, said


@pytest.fixture(scope="module")
def bad_result(bad_run):
    return bad_run[:2]


def _specials(field):
    return {key: true.special for key, true in field.truth.exposures.items() if true.is_direct}


def test_the_others_are_aligned(bad_field, bad_result):
    result, folder = bad_result
    specials = _specials(bad_field)
    status = {key: result.fit(key).status for key in specials}
    good = {key for key, special in specials.items() if special in (Special.NONE, Special.NAN)}
    assert {key for key in specials if status[key] in (FitStatus.REFERENCE, FitStatus.ALIGNED)} == good
    scores = score_of(bad_field.truth, folder)
    for key in good:
        assert scores[key].relative < 3 * expected_rms(result)


@pytest.mark.parametrize(
    ("special", "says"),
    [(Special.EMPTY, "sources"), (Special.FLAGGED, "flagged"), (Special.TRAILED, "trailed")],
)
def test_bad_exposures_say_why(bad_field, bad_result, special, says):
    """One without usable sources moves with its acquisition; a trailed one keeps its WCS."""
    result, folder = bad_result
    [key] = [key for key, found in _specials(bad_field).items() if found is special]
    source = bad_field.truth[key].path
    fit, written = result.fit(key), folder / source.name
    status = "FAILED" if special is Special.TRAILED else "PRIOR_ONLY"
    assert says in fit.reason
    assert (status == "FAILED") == (fit.transform is None)
    header = fits.getheader(written)
    assert header["GALIGN"] == status
    assert _unwrapped([fit.reason]) in _unwrapped(header["HISTORY"])
    record = read_record(folder / "field_provenance.asdf").exposures[key]
    assert (record.total.status.value, record.total.reason) == (status, fit.reason)
    if status == "FAILED":
        assert wcs_apart(source, written) == 0
    else:
        error = fit.transform.shift - bad_field.truth[key].correction(fit.transform.plane).shift
        reference = result.direct[0]
        common = -bad_field.truth[reference.key].correction(fit.transform.plane).shift
        assert (np.abs(error - common) < 5 * fit.transform.shift_error).all()


def _unwrapped(lines):
    return "".join(lines).replace(" ", "")


def test_grism_exposures_of_bad_ones_take_the_next_best(bad_field, bad_result):
    result, _ = bad_result
    specials = _specials(bad_field)
    for key, true in bad_field.truth.exposures.items():
        if true.is_direct:
            continue
        fit = result.fit(key)
        assert fit.is_aligned
        [governor] = fit.governors
        assert result.fit(governor).is_aligned
        assert bad_field.truth[governor].visit == true.visit
        if specials[true.governor] not in (Special.NONE, Special.NAN):
            assert true.governor in fit.reason


def test_the_closing_table_says_so(bad_run):
    result, _, said = bad_run
    [table] = [one for one in said if one.startswith("Result:")]
    lines = {line.split()[0]: line for line in table.splitlines()[3:]}
    for exposure in result.exposures:
        line, fit = lines[exposure.key], result.fit(exposure.key)
        assert fit.status.value in line
        assert fit.reason in line
        assert exposure.filter in line
    assert sum(one.startswith("Writing ") for one in said) == len(result.exposures)
    assert any("Writing" in one and "(1 of 10)" in one for one in said)


def test_only_bad_exposures(bad_field, tmp_path):
    """Nothing can be aligned: everything keeps its WCS, and that is no error."""
    [path] = [e.path for e in bad_field.truth.exposures.values() if e.special is Special.EMPTY]
    grism = bad_field.truth.paths[1]
    result = run_list([path, grism], tmp_path / "out")
    assert {fit.status for fit in result.total.fits.values()} == {FitStatus.FAILED}
    for source in (path, grism):
        assert wcs_apart(source, tmp_path / "out" / source.name) == 0


def run_list(paths, folder, **keywords):
    return GrismAlignPipeline.call(
        [str(path) for path in paths], output_dir=str(folder), configure_log=False, **keywords
    )


@pytest.mark.slow
def test_one_direct_exposure(field_a, tmp_path):
    """Nothing to align it with, but with a catalog, and its grism exposure has its correction."""
    paths = field_a.truth.paths[:2]
    result = run_list(paths, tmp_path / "1")
    assert result.fit(result.direct[0].key).status is FitStatus.REFERENCE
    [note] = [a.note for a in result.activities if a.step == "relative_align"]
    assert "one direct exposure" in note
    assert max(wcs_apart(path, tmp_path / "1" / path.name) for path in paths) < 1e-4
    tied = run_list(paths, tmp_path / "2", steps={"absolute_align": {"catalog": str(field_a.catalog)}})
    for exposure in tied.exposures:
        transform = tied.fit(exposure.key).transform.at(exposure.plane)
        true = field_a.truth[exposure.key].correction(exposure.plane)
        assert 1e3 * np.hypot(*(transform.shift - true.shift)) < 10


# --- again ---


def test_running_on_the_output_changes_nothing(field_a, output_a, tmp_path):
    result, folder = output_a
    again = run(
        folder / "field_asn.json",
        output_dir=str(tmp_path / "out"),
        steps={"absolute_align": {"catalog": str(field_a.catalog)}},
    )
    for exposure in again.exposures:
        name = exposure.source.name
        assert exposure.applied is not None
        assert wcs_apart(tmp_path / "out" / name, folder / name) < 0.01
        one, other = result.fit(exposure.key), again.fit(exposure.key)
        np.testing.assert_allclose(one.transform.shift, other.transform.shift, atol=1e-5)
        header = fits.getheader(tmp_path / "out" / name, "SCI")
        assert "WCSNAMEA" in header
        assert "WCSNAMEB" not in header
    assert again.parameter_file == "wfc3_ir.asdf"


@pytest.mark.slow
def test_without_the_catalog_the_output_goes_back_to_the_relative_frame(
    field_a, output_a, relative, tmp_path
):
    """The correction on record is taken off first: the result is that of the untouched exposures."""
    run(output_a[1] / "field_asn.json", output_dir=str(tmp_path / "again"))
    _, fresh = relative(field_a)
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "again" / path.name, fresh / path.name) < 0.01
        assert wcs_apart(tmp_path / "again" / path.name, output_a[1] / path.name) > 100


@pytest.mark.slow
def test_another_governor_the_second_time(field_c, relative, tmp_path):
    """Corrections of a grism exposure are written in the plane of the exposure that governs it."""
    _, folder = relative(field_c)
    path = shutil.copytree(folder, tmp_path / "1") / "field_asn.json"
    content = json.loads(path.read_text())
    members = content["products"][0]["members"]
    direct = [m["expname"].split("_")[0] for m in members if m["exptype"] == "direct_image"]
    grism = next(m for m in members if m.get("direct") == [direct[1]])
    grism["direct"] = [direct[2]]
    path.write_text(json.dumps(content))
    result = run(path, output_dir=str(tmp_path / "2"))
    key = grism["expname"].split("_")[0]
    assert result.fit(key).governors == (direct[2],)
    transform = result.fit(key).transform
    [before], [after] = (
        read_exposure(folder / grism["expname"]).chips for folder in (field_c.folder, tmp_path / "2")
    )
    moved = transform.apply_to_sky(before.wcs.footprint())
    np.testing.assert_allclose(after.wcs.footprint(), moved, atol=0.02 / 3.6e6)


@pytest.mark.slow
def test_in_place(field_a, output_a, tmp_path):
    asn = field_a.copied(tmp_path / "in")
    before = {path.name for path in (tmp_path / "in").iterdir()}
    result = run(asn, in_place=True, steps={"absolute_align": {"catalog": str(field_a.catalog)}})
    added = {path.name for path in (tmp_path / "in").iterdir()} - before
    tables = {"field_provenance.asdf", "field_refcat.ecsv", "field_sources.ecsv", "field_report.html"}
    tables |= {"field_fits.ecsv", "field_matches.ecsv"}
    assert added == tables | {f"{e.key}_cat.ecsv" for e in result.direct}
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "in" / path.name, output_a[1] / path.name) < 1e-4
    # a second time: nothing changes
    run(asn, in_place=True, steps={"absolute_align": {"catalog": str(field_a.catalog)}})
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "in" / path.name, output_a[1] / path.name) < 0.01


@pytest.mark.slow
def test_regions_instead_of_the_report(field_a, tmp_path):
    result = run(field_a.association, output_dir=str(tmp_path / "out"), report=False, regions=True)
    found = {path.name for path in (tmp_path / "out").iterdir() if path.suffix in {".html", ".reg"}}
    assert found == {f"{exposure.key}.reg" for exposure in result.direct}


@pytest.mark.slow
def test_in_place_without_an_association(field_a, tmp_path, monkeypatch):
    """Products come beside the exposures, not where the user happens to be."""
    field_a.copied(tmp_path / "in")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    paths = [str(tmp_path / "in" / path.name) for path in field_a.truth.paths]
    GrismAlignPipeline.call(paths, in_place=True, configure_log=False)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert len(list((tmp_path / "in").glob("*_provenance.asdf"))) == 1


@pytest.mark.slow
def test_nothing_is_written_unasked(field_a, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in field_a.folder.iterdir()}
    result = run(field_a.association)
    assert len(result.total.fits) == 4
    assert list(tmp_path.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in field_a.folder.iterdir()} == before


@pytest.mark.slow
def test_compressed_exposures(field_a, relative, tmp_path):
    import gzip

    folder = tmp_path / "in"
    folder.mkdir()
    for path in field_a.truth.paths:
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    run_list(sorted(folder.iterdir()), tmp_path / "out")
    _, plain = relative(field_a)
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "out" / f"{path.name}.gz", plain / path.name) < 1e-4


@pytest.mark.slow
def test_the_reference_keeps_its_wcs(field_a, tmp_path):
    """Named as an exposure and as a visit."""
    direct = [e for e in field_a.truth.exposures.values() if e.is_direct]
    for number, name in enumerate((direct[1].key, direct[1].key[:6])):
        folder = tmp_path / str(number)
        result = run(
            field_a.association, output_dir=str(folder), steps={"relative_align": {"reference": name}}
        )
        assert result.fit(direct[1].key).status is FitStatus.REFERENCE
        assert result.fit(direct[0].key).status is FitStatus.ALIGNED
        assert wcs_apart(direct[1].path, folder / direct[1].path.name) < 1e-4


@pytest.mark.slow
def test_steps_can_be_skipped(field_a, tmp_path):
    steps = {"grism_wcs_propagate": {"skip": True}, "absolute_align": {"skip": True}}
    result = run(field_a.association, output_dir=str(tmp_path / "out"), steps=steps)
    assert result.grism.fits == {}
    grisms = {e.source.name for e in result.grisms}
    assert not grisms & {path.name for path in (tmp_path / "out").iterdir()}
    members = json.loads((tmp_path / "out" / "field_asn.json").read_text())["products"][0]["members"]
    assert {m["expname"] for m in members if m["exptype"] == "science"} == {
        str(e.source) for e in result.grisms
    }


def test_another_order_of_members_changes_nothing(field_a, output_a, tmp_path):
    folder = tmp_path / "in"
    field_a.copied(folder)
    names = [path.name for path in field_a.truth.paths]
    (folder / "field.txt").write_text("\n".join(reversed(names)))
    run(
        folder / "field.txt",
        output_dir=str(tmp_path / "out"),
        steps={"absolute_align": {"catalog": str(field_a.catalog)}},
    )
    for name in names:
        assert wcs_apart(tmp_path / "out" / name, output_a[1] / name) < 1e-4


def test_names_of_files_do_not_matter(field_a, tmp_path):
    """Pairing goes by headers: names that sort the other way round give the same governors."""
    folder = tmp_path / "in"
    folder.mkdir()
    paths = [
        edited(path, folder / f"{letter}_flt.fits")
        for letter, path in zip("zyxw", field_a.truth.paths, strict=True)
    ]
    result = run(associate(paths), output_dir=str(tmp_path / "out"))
    for key, true in field_a.truth.exposures.items():
        if not true.is_direct:
            assert result.fit(key).governors == (true.governor,)
    assert {path.name for path in paths} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert replace(result, product="x").product == "x"
