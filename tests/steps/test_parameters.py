"""Parameters: declarations, instrument files, command line; and that CRDS has no say."""

from __future__ import annotations

import logging
from dataclasses import asdict
from importlib import resources

import numpy as np
import pytest
from stpipe import Step, config_parser, entry_points

from grism_align.integration import get_steps
from grism_align.io.record.file import read_record
from grism_align.steps.absolute_align_step import AbsoluteAlignStep
from grism_align.steps.grism_wcs_propagate_step import GrismWCSPropagateStep
from grism_align.steps.parameter_files import instrument_config, instrument_values, parameter_file_name
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.steps.relative_align_step import RelativeAlignStep
from grism_align.steps.source_catalog_step import SourceCatalogStep
from grism_align.steps.visit_mosaic_step import VisitMosaicStep
from grism_align.values.errors import GrismAlignError, InputError
from grism_align.values.settings import DetectionSettings, parameters_of

STEPS = {
    "source_catalog": SourceCatalogStep,
    "relative_align": RelativeAlignStep,
    "visit_mosaic": VisitMosaicStep,
    "absolute_align": AbsoluteAlignStep,
    "grism_wcs_propagate": GrismWCSPropagateStep,
}
OF_HST = ("acs_wfc", "wfc3_ir", "wfc3_uvis")
INSTRUMENTS = (*OF_HST, "niriss", "nircam_long", "nircam_short", "roman_wfi")
ALIASES = [alias for _, alias, _ in get_steps()]


def _file(instrument):
    return resources.files("grism_align.cfg") / parameter_file_name(instrument)


# --- declarations ---


def test_entry_points_name_classes():
    registered = {info.class_alias: info for info in entry_points.get_steps()}
    for dotted, alias, is_pipeline in get_steps():
        assert registered[alias].class_name == dotted
        module, _, name = dotted.rpartition(".")
        step = getattr(__import__(module, fromlist=[name]), name)
        assert step.class_alias == alias
        assert bool(getattr(step, "step_defs", {})) == is_pipeline
    assert set(ALIASES) == {GrismAlignPipeline.class_alias, *(s.class_alias for s in STEPS.values())}


@pytest.mark.usefixtures("everything_by_default")
@pytest.mark.parametrize("name", STEPS)
def test_specs_have_every_parameter_once_with_its_default(name):
    step = STEPS[name]
    instance = step()
    for group in step.groups:
        assert asdict(instance.settings(group)) == asdict(group())
    declared = [p.name for group in step.groups for p in parameters_of(group)]
    assert len(set(declared)) == len(declared)
    assert set(declared) < set(step.load_spec_file())


def _outside(parameter):
    """Values that the declaration of a parameter excludes."""
    if parameter.choices:
        yield "none of these"
    for bound, step in ((parameter.minimum, -1), (parameter.maximum, 1)):
        if bound is not None:
            yield parameter.kind(bound + step)


@pytest.mark.parametrize("name", STEPS)
def test_bounds_are_those_of_the_settings(name):
    for group in STEPS[name].groups:
        for parameter in parameters_of(group):
            for value in _outside(parameter):
                with pytest.raises(config_parser.ValidationError, match=parameter.name):
                    STEPS[name](**{parameter.name: value})
                with pytest.raises(GrismAlignError, match=parameter.name):
                    group(**{parameter.name: value})


@pytest.mark.parametrize("alias", ALIASES)
def test_help(alias, capsys):
    with pytest.raises(SystemExit) as caught:
        Step.from_cmdline([alias, "--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    step = {GrismAlignPipeline.class_alias: GrismAlignPipeline, **{s.class_alias: s for s in STEPS.values()}}[
        alias
    ]
    groups = (
        [(f"steps.{name}.", s) for name, s in STEPS.items()] if alias.endswith("pipeline") else [("", step)]
    )
    words = " ".join(printed.split())
    for prefix, each in groups:
        for parameter in (p for group in each.groups for p in parameters_of(group)):
            assert f"--{prefix}{parameter.name}" in words
            assert parameter.help.split(";")[0] in words


# --- the instruments' files ---


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_each_file_loads_and_has_valid_values(instrument):
    with resources.as_file(_file(instrument)) as path:
        pipeline = Step.from_config_file(str(path))
    assert isinstance(pipeline, GrismAlignPipeline)
    pipeline.check()
    for name in STEPS:
        step, values = getattr(pipeline, name), instrument_values(instrument, name)
        settings = {}
        for group in step.groups:
            settings |= asdict(step.settings(group))
        assert values.items() <= settings.items()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_each_file_names_its_steps(instrument):
    with resources.as_file(_file(instrument)) as path:
        config = config_parser.load_config_file(str(path))
    assert config["class"] == config["name"] == GrismAlignPipeline.class_alias
    assert set(config["steps"]) == set(STEPS)
    for name, step in STEPS.items():
        assert config["steps"][name]["class"] == step.class_alias
        parameters = set(config["steps"][name]) - {"class", "name"}
        assert parameters <= {p.name for group in step.groups for p in parameters_of(group)}
    assert not {"class", "name"} & set(instrument_config(instrument, None))


def test_no_file_but_those_of_the_instruments():
    names = {item.name for item in resources.files("grism_align.cfg").iterdir() if item.name.endswith("asdf")}
    assert names == set(map(parameter_file_name, INSTRUMENTS))


# --- which values hold ---


@pytest.fixture
def paths(truths):
    """Small exposures of each instrument, in a folder of each."""
    return {name: truth.paths for name, truth in truths.items()}


@pytest.mark.parametrize("instrument", OF_HST)
def test_the_data_pick_the_file(paths, instrument, tmp_path):
    out = tmp_path / "out"
    [folder] = {str(path.parent) for path in paths[instrument]}
    Step.from_cmdline(["grism_source_catalog", folder, f"--output_dir={out}"])
    tree = read_record(next(out.glob("*_provenance.asdf")))
    assert tree.parameter_file == f"{instrument}.asdf"
    settings = tree.activities[0].settings
    assert instrument_values(instrument, "source_catalog").items() <= settings.items()


def test_the_log_names_the_file(field_a, caplog):
    caplog.set_level(logging.INFO)
    SourceCatalogStep.call(str(field_a.association), configure_log=False)
    assert any("instrument_parameters: wfc3_ir.asdf" in record.message for record in caplog.records)


@pytest.mark.slow
def test_a_file_given_by_the_user_wins(paths, tmp_path, monkeypatch):
    """Values of another instrument's file on ACS data."""
    monkeypatch.chdir(tmp_path)
    with resources.as_file(_file("wfc3_ir")) as path:
        Step.from_cmdline([str(path), str(paths["acs_wfc"][0].parent), "--output_dir=out"])
    tree = read_record(next((tmp_path / "out").glob("*_provenance.asdf")))
    assert tree.parameter_file.endswith("wfc3_ir.asdf")
    settings = tree.activities[0].settings
    assert instrument_values("wfc3_ir", "source_catalog").items() <= settings.items()


@pytest.mark.slow
def test_the_instruments_own_file_changes_nothing(field_a, output_a, tmp_path):
    with resources.as_file(_file("wfc3_ir")) as path:
        Step.from_cmdline([str(path), str(field_a.association), f"--output_dir={tmp_path / 'out'}"])
    tree = read_record(tmp_path / "out" / "field_provenance.asdf")
    before = read_record(output_a[1] / "field_provenance.asdf")
    assert tree.activities[:2] == before.activities[:2]
    assert "wfc3_ir.asdf" in tree.parameter_file


def test_saved_parameters_can_be_used_again(field_a, tmp_path):
    saved = tmp_path / "mine.asdf"
    common = [str(field_a.association), f"--output_dir={tmp_path / 'out'}"]
    options = ["--threshold=9.5", f"--save-parameters={saved}"]
    Step.from_cmdline(["grism_source_catalog", *common, *options])
    step = Step.from_config_file(str(saved))
    assert isinstance(step, SourceCatalogStep)
    assert step.settings(DetectionSettings).threshold == 9.5
    again = [str(field_a.association), f"--output_dir={tmp_path / 'again'}"]
    Step.from_cmdline([str(saved), *again])
    one, other = (read_record(tmp_path / name / "field_provenance.asdf") for name in ("out", "again"))
    assert one.activities == other.activities


def _detection(result, instrument):
    key = next(e.key for e in result.direct if e.instrument == instrument)
    return result.catalogs[key].table.meta["settings"]


@pytest.fixture
def mixed(paths):
    """Direct exposures of two instruments; those of ACS were taken by another program."""
    return [str(path) for path in (*paths["wfc3_ir"], *paths["acs_wfc"])]


def test_each_instrument_has_its_own_values(mixed):
    for order in (mixed, mixed[::-1]):
        result = SourceCatalogStep.call(order, configure_log=False)
        for instrument in ("wfc3_ir", "acs_wfc"):
            assert (
                instrument_values(instrument, "source_catalog").items()
                <= _detection(result, instrument).items()
            )


def test_a_users_value_holds_for_all_instruments(mixed):
    result = SourceCatalogStep.call(mixed, threshold=11.0, edge=9, configure_log=False)
    for instrument in ("wfc3_ir", "acs_wfc"):
        settings = _detection(result, instrument)
        assert (settings["threshold"], settings["edge"]) == (11.0, 9)
        assert settings["aperture"] == instrument_values(instrument, "source_catalog")["aperture"]


def test_parameters_take_effect(field_a):
    few = SourceCatalogStep.call(str(field_a.association), threshold=50.0, configure_log=False)
    many = SourceCatalogStep.call(str(field_a.association), configure_log=False)
    for key, catalog in few.catalogs.items():
        assert 0 < len(catalog) < len(many.catalogs[key])


# --- mistakes ---


@pytest.mark.parametrize(
    "option",
    ["--treshold=5", "--threshold=low", "--threshold=-1", "--good_bits=1.5", "--steps.source_catalog.edge=3"],
)
def test_mistakes_on_the_command_line(field_a, tmp_path, option, capsys):
    out = tmp_path / "out"
    with pytest.raises((SystemExit, ValueError, GrismAlignError)):
        Step.from_cmdline(["grism_source_catalog", str(field_a.association), f"--output_dir={out}", option])
    assert not out.exists()
    said = capsys.readouterr()
    assert option.split("=")[0].lstrip("-").split(".")[-1] in said.out + said.err


def test_mistyped_parameters_in_python(field_a):
    with pytest.raises(config_parser.ValidationError, match="treshold"):
        SourceCatalogStep.call(str(field_a.association), treshold=5.0, configure_log=False)
    with pytest.raises(config_parser.ValidationError, match="brightst"):
        GrismAlignPipeline.call(
            str(field_a.association), steps={"relative_align": {"brightst": 5}}, configure_log=False
        )


def test_a_mistyped_parameter_in_a_file(field_a, tmp_path):
    path = tmp_path / "mine.cfg"
    path.write_text('class = "grism_source_catalog"\nname = "grism_source_catalog"\ntreshold = 4\n')
    with pytest.raises(InputError, match="treshold") as caught:
        Step.from_cmdline([str(path), str(field_a.association)])
    assert caught.value.path == str(path)


def test_an_unknown_reference_costs_no_work(field_a, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(GrismAlignError, match="nowhere"):
        GrismAlignPipeline.call(
            str(field_a.association),
            output_dir=str(tmp_path / "out"),
            steps={"relative_align": {"reference": "nowhere"}},
            configure_log=False,
        )
    assert not (tmp_path / "out").exists()
    assert not any(record.message.startswith("Measuring") for record in caplog.records)


def test_steps_ask_for_no_reference_files():
    for step in (GrismAlignPipeline, *STEPS.values()):
        instance = step()
        assert list(instance.reference_file_types) == []
        assert not step.prefetch_references
        assert step._get_crds_parameters("x")[1] == "none"
        assert dict(step.get_config_from_reference("nowhere_asn.json")) in ({}, {"steps": {}})
    assert np.all([name.startswith("grism_") for name in ALIASES])
