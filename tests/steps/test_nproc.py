"""Several processes find what one finds, to the last bit, and leave nothing behind when they fail."""

from __future__ import annotations

import logging

import pytest
import remote_jobs
from stpipe import Step

from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.values.errors import OutputError, WorkerError
from grism_align.values.settings import ExecutionSettings
from grism_align.workflows import executors
from tests.support.outputs import contents

EVERYTHING = {
    "visit_mosaic": {"skip": False, "scale": 0.1, "flag_exposures": True},
}


def _run(field, out, **options):
    result = GrismAlignPipeline.call(
        str(field.association),
        output_dir=str(out),
        headerlets="file",
        regions=True,
        configure_log=False,
        **options,
    )
    return result, contents(out)


def test_the_same_files_and_the_same_log(field_a, tmp_path, caplog):
    steps = {**EVERYTHING, "absolute_align": {"catalog": str(field_a.catalog)}}
    written, said = [], []
    for nproc in (1, 2):
        caplog.clear()
        caplog.set_level(logging.INFO)
        written.append(_run(field_a, tmp_path / "out", steps=steps, nproc=nproc)[1])
        records = [one for one in caplog.records if one.name.startswith(("grism_align.w", "grism_align.s"))]
        said.append([record.getMessage() for record in records])
        (tmp_path / "out").rename(tmp_path / f"out{nproc}")
    assert written[0].keys() == written[1].keys()
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []
    assert {"field_report.html", "field_provenance.asdf"} < written[0].keys()
    # each said what it did when it was its turn
    assert said[0] == said[1]


@pytest.mark.slow
def test_in_place(field_a, tmp_path):
    for nproc in (1, 2):
        association = field_a.copied(tmp_path / f"in{nproc}")
        GrismAlignPipeline.call(str(association), in_place=True, nproc=nproc, configure_log=False)
    one, two = (contents(tmp_path / f"in{nproc}") for nproc in (1, 2))
    assert one == two


def test_a_step_has_its_own(field_a, tmp_path, monkeypatch):
    asked = []

    def counted(settings, workload):
        asked.append(settings)
        return original(ExecutionSettings(1), workload)

    original = executors.executor_for
    monkeypatch.setattr("grism_align.steps.base.executor_for", counted)
    Step.from_cmdline(
        ["grism_align_pipeline", str(field_a.association), "--steps.source_catalog.nproc=2", "--nproc=1"]
        + [
            f"--steps.{name}.skip=true"
            for name in ("relative_align", "absolute_align", "grism_wcs_propagate")
        ]
        + [f"--output_dir={tmp_path}"]
    )
    assert asked == [ExecutionSettings(1), ExecutionSettings(2)]


def test_a_process_that_dies_costs_the_run_and_no_file(field_a, tmp_path, monkeypatch):
    """It names the exposure that it was at."""
    monkeypatch.setattr("grism_align.workflows.measure._MEASUREMENT", remote_jobs.be_killed)
    out = tmp_path / "out"
    with pytest.raises(WorkerError, match=f"Measuring {field_a.truth.paths[0].name[:9]}: .*SIGKILL"):
        SourceCatalogStep.call(str(field_a.association), output_dir=str(out), nproc=2, configure_log=False)
    assert not out.exists()


def test_a_full_disk_in_another_process_changes_nothing(field_a, tmp_path, monkeypatch):
    """The error names the file that was to be, not the one that another process wrote."""
    monkeypatch.setattr("grism_align.workflows.results.exposures._write", remote_jobs.find_no_space)
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("stays")
    with pytest.raises(OutputError, match=r"No space left.*no file was changed") as caught:
        SourceCatalogStep.call(str(field_a.association), output_dir=str(out), nproc=2, configure_log=False)
    assert caught.value.path == str(out / f"{field_a.truth.paths[0].name[:9]}_cat.ecsv")
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
