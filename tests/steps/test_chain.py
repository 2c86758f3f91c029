"""The steps one after the other, in memory and through files, equal the pipeline."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from stpipe import Step

from grism_align.io.missions import read_exposure, write_exposure
from grism_align.io.record.file import read_record
from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import GrismAlignError, OutputError, SettingsError
from grism_align.values.mission import WcsLabel
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.trace import SpectralCheck
from grism_align.values.transform import LinearTransform
from tests.support.fields import apart, wcs_apart, written_wcs
from tests.support.strategies import assert_same

STEPS = (SourceCatalogStep, RelativeAlignStep, AbsoluteAlignStep, GrismWCSPropagateStep)


def _parameters(step, field):
    return {"catalog": str(field.catalog)} if step is AbsoluteAlignStep else {}


def chained(field, source, **keywords):
    for step in STEPS:
        source = step.call(source, configure_log=False, **_parameters(step, field), **keywords)
    return source


def assert_same_corrections(one, other):
    for exposure in one.exposures:
        corners = exposure.chips[0].wcs.footprint()
        moved = [result.fit(exposure.key).transform.apply_to_sky(corners) for result in (one, other)]
        np.testing.assert_allclose(*moved, atol=0.01 / 3.6e6, rtol=0)


@pytest.mark.slow
def test_in_memory(field_a, output_a):
    result = chained(field_a, str(field_a.association))
    assert_same_corrections(result, output_a[0])
    steps = [(a.step, a.outcome) for a in result.activities]
    assert steps == [(a.step, a.outcome) for a in output_a[0].activities]
    assert result.parameter_file == "wfc3_ir.asdf"


@pytest.fixture(scope="module")
def folders(field_a, tmp_path_factory):
    """Each step's output, made as strun makes it, each from the association of the one before."""
    source, found = field_a.association, []
    for number, step in enumerate(STEPS):
        folder = tmp_path_factory.mktemp("chain") / str(number)
        extra = [f"--{name}={value}" for name, value in _parameters(step, field_a).items()]
        Step.from_cmdline([step.class_alias, str(source), f"--output_dir={folder}", *extra])
        source = folder / "field_asn.json"
        found.append(folder)
    return found


@pytest.mark.slow
def test_through_files(field_a, output_a, folders):
    for path in field_a.truth.paths:
        assert wcs_apart(folders[-1] / path.name, output_a[1] / path.name) < 0.01


def test_each_step_writes_what_it_found(field_a, folders):
    names = [{path.name for path in folder.iterdir()} for folder in folders]
    direct = {e.path.name for e in field_a.truth.exposures.values() if e.is_direct}
    every = {path.name for path in field_a.truth.paths}
    assert [found & every for found in names] == [set(), direct, direct, every]
    for found in names:
        assert {"field_asn.json", "field_provenance.asdf"} < found
        assert sum(name.endswith("_cat.ecsv") for name in found) == 2


def test_the_record_grows(field_a, folders, output_a):
    trees = [read_record(folder / "field_provenance.asdf") for folder in folders]
    every = ["source_catalog", "relative_align", "absolute_align", "grism_wcs_propagate"]
    for number, tree in enumerate(trees, start=1):
        assert [activity.step for activity in tree.activities] == every[:number]
        assert tree.parameter_file == "wfc3_ir.asdf"
    at_once = read_record(output_a[1] / "field_provenance.asdf")
    for tree in trees[-2:]:
        assert_same(tree.reference_catalog, at_once.reference_catalog)
    assert at_once.reference_catalog.sha256
    for key, record in at_once.exposures.items():
        assert trees[-1].exposures[key].total.status == record.total.status


def test_files_then_memory(field_a, output_a, folders):
    source = str(folders[1] / "field_asn.json")
    absolute = AbsoluteAlignStep.call(source, catalog=str(field_a.catalog), configure_log=False)
    assert_same_corrections(output_a[0], GrismWCSPropagateStep.call(absolute, configure_log=False))


@pytest.mark.slow
def test_in_place_in_memory(field_a, output_a, tmp_path):
    """Each step replaces the files; no correction is applied twice."""
    chained(field_a, str(field_a.copied(tmp_path / "in")), in_place=True)
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "in" / path.name, output_a[1] / path.name) < 0.01


@pytest.mark.slow
def test_in_place_through_files(field_a, output_a, tmp_path):
    asn = field_a.copied(tmp_path / "in")
    for step in STEPS:
        step.call(str(asn), in_place=True, configure_log=False, **_parameters(step, field_a))
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "in" / path.name, output_a[1] / path.name) < 0.01


@pytest.mark.slow
def test_a_step_of_the_pipeline_that_saves_too(field_a, output_a, tmp_path):
    steps = {"relative_align": {"save_results": True}, "absolute_align": {"catalog": str(field_a.catalog)}}
    asn = field_a.copied(tmp_path / "in")
    GrismAlignPipeline.call(str(asn), in_place=True, steps=steps, configure_log=False)
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "in" / path.name, output_a[1] / path.name) < 0.01


def test_a_new_relative_frame_drops_what_was_built_on_the_old_one(field_a, output_a):
    [key, *_] = [one.key for one in output_a[0].grisms]
    before = replace(output_a[0], spectra={key: SpectralCheck.missing("too faint")})
    assert before.traces
    assert before.reference_catalog is not None
    again = RelativeAlignStep.call(before, configure_log=False)
    assert again.absolute.fits == {}
    assert again.reference_catalog is None
    tied = AbsoluteAlignStep.call(before, catalog=str(field_a.catalog), configure_log=False)
    for result in (again, tied):
        assert result.grism.fits == result.traces == result.spectra == {}


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (RelativeAlignStep, "run grism_source_catalog first"),
        (AbsoluteAlignStep, "run grism_relative_align first"),
        (GrismWCSPropagateStep, "run grism_relative_align first"),
    ],
)
def test_steps_out_of_order(field_a, step, says):
    with pytest.raises(SettingsError, match=says):
        step.call(str(field_a.association), configure_log=False, **_parameters(step, field_a))


def test_no_input():
    with pytest.raises(GrismAlignError, match="give an association"):
        SourceCatalogStep().run()


def test_run_without_parameter_file(field_a, output_a):
    """`run` reads no parameter file; the instrument's own detection values hold all the same."""
    result = SourceCatalogStep().run(str(field_a.association))
    for key, catalog in result.catalogs.items():
        np.testing.assert_array_equal(catalog.xy, output_a[0].catalogs[key].xy)


def test_a_list_of_files_and_a_folder(field_a):
    for source in (str(field_a.folder / "*").replace("*", ""), [str(p) for p in field_a.truth.paths]):
        result = SourceCatalogStep.call(source, configure_log=False)
        assert len(result.catalogs) == 2
    several = SourceCatalogStep().run(*map(str, field_a.truth.paths))
    assert len(several.catalogs) == 2


@pytest.mark.slow
def test_going_on_from_finished_products(field_a, output_a, tmp_path):
    """A step done again, and then the grisms: as if all had been done at once."""
    finished = tmp_path / "relative"
    GrismAlignPipeline.call(str(field_a.association), output_dir=str(finished), configure_log=False)
    source = str(finished / "field_asn.json")
    for number, step in enumerate((AbsoluteAlignStep, GrismWCSPropagateStep, GrismWCSPropagateStep)):
        folder = tmp_path / str(number)
        step.call(source, output_dir=str(folder), configure_log=False, **_parameters(step, field_a))
        source = str(folder / "field_asn.json")
    for path in field_a.truth.paths:
        assert wcs_apart(folder / path.name, output_a[1] / path.name) < 0.01


def a_posteriori(field, folder, name):
    """A copy of a field whose direct exposures were moved and rolled one by one by another tool."""
    asn = field.copied(folder)
    rng = np.random.default_rng(5)
    for true in field.truth.exposures.values():
        if not true.is_direct:
            continue
        exposure = read_exposure(true.path)
        step = LinearTransform.from_parameters(
            exposure.plane, rng.uniform(-0.9, 0.9, 2), rng.uniform(-0.02, 0.02)
        )
        fit = ExposureFit(FitStatus.ALIGNED, step)
        target = folder / true.path.name
        write_exposure(exposure, fit, target, WcsLabel("X", "FIT_IMG_X", 9, (1.0, 1.0), "rshift"))
        with fits.open(target, mode="update") as hdus:
            del hdus[0].header["GALIGN"]
            if name is not None:
                hdus["SCI"].header["WCSNAME"] = name
    return asn


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "TWEAK"])
def test_direct_exposures_that_another_tool_aligned(field_a, output_a, tmp_path, name):
    """Their grisms start elsewhere, and no two of them share a roll."""
    asn = a_posteriori(field_a, tmp_path / "in", name)
    catalog = {"absolute_align": {"catalog": str(field_a.catalog)}}
    GrismAlignPipeline.call(str(asn), output_dir=str(tmp_path / "out"), steps=catalog, configure_log=False)
    for path in field_a.truth.paths:
        # the same sources, but each exposure's roll is now its own: some mas
        assert wcs_apart(tmp_path / "out" / path.name, output_a[1] / path.name) < 15.0


@pytest.mark.slow
@pytest.mark.parametrize("as_files", [False, True])
def test_a_second_run_in_place_goes_on_from_the_record(field_a, tmp_path, caplog, as_files):
    """Every fit starts from the WCS before the first run, though nobody named the record."""
    field_a.copied(tmp_path / "in")
    folder, names = tmp_path / "in", [path.name for path in field_a.truth.paths]
    (folder / "field_asn.json").unlink()
    options = {"in_place": True, "configure_log": False}
    steps = {"absolute_align": {"catalog": str(field_a.catalog)}}
    GrismAlignPipeline.call(str(folder), steps=steps, **options)
    before = written_wcs(folder, names)
    source = sorted(map(str, folder.glob("*_flt.fits"))) if as_files else str(folder)
    result = GrismAlignPipeline.call(source, steps=steps, **options)
    # as it is made anew
    assert "is dropped" not in caplog.text
    for (key, extver), wcs in written_wcs(folder, names).items():
        assert apart(wcs.to_sky(wcs.grid()), before[key, extver].to_sky(wcs.grid())) < 1e-3
        assert result[key].applied is not None
        assert "WCSNAMEB" not in fits.getheader(folder / result[key].source.name, "SCI", extver)


@pytest.mark.slow
def test_a_second_run_in_place_of_changed_files_is_refused(field_a, tmp_path):
    field_a.copied(tmp_path / "in")
    (tmp_path / "in" / "field_asn.json").unlink()
    GrismAlignPipeline.call(str(tmp_path / "in"), in_place=True, configure_log=False)
    before = (tmp_path / "in" / "in_provenance.asdf").read_bytes()
    fits.setval(tmp_path / "in" / field_a.truth.paths[0].name, "COMMENT", value="edited")
    with pytest.raises(OutputError, match="was aligned before, and this may be its record"):
        GrismAlignPipeline.call(str(tmp_path / "in"), in_place=True, configure_log=False)
    assert (tmp_path / "in" / "in_provenance.asdf").read_bytes() == before


@pytest.mark.parametrize("step", ["source_catalog", "relative_align"])
def test_a_skipped_step_that_others_need(field_a, tmp_path, step):
    with pytest.raises(SettingsError, match=f"steps.{step}.skip"):
        GrismAlignPipeline.call(str(field_a.association), steps={step: {"skip": True}}, configure_log=False)


def test_an_output_folder_that_is_a_file(field_a, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="a file, not a folder"):
        GrismAlignPipeline.call(
            str(field_a.association), output_dir=str(tmp_path / "out"), configure_log=False
        )
