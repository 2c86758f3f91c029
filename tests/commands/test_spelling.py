"""Errors name the options of the command that was typed, not the parameters of strun."""

from __future__ import annotations

import argparse
import re

import pytest

from grism_align.cli import main
from grism_align.commands.spelling import in_options
from grism_align.simulation import case_a
from grism_align.steps.choices import choice_of
from grism_align.values.errors import ExecutorError, OutputError, SettingsError, UnknownParameterError
from tests.support.fields import EMPTY, make_field


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return make_field(case_a(size=200, n_pairs=1, scene=EMPTY), tmp_path_factory.mktemp("field"))


ALIGN = argparse.Namespace(output_dir=None, in_place=False, set=[], nproc=None, catalog=None, fail_on=None)
UNDO = argparse.Namespace(output_dir=None, in_place=False, nproc=None)
REPORT = argparse.Namespace(output=None)


@pytest.mark.parametrize(
    ("error", "options", "said"),
    [
        (
            OutputError("a", "it is there", "Give another output_dir, or in_place=True to replace inputs"),
            ALIGN,
            "a: it is there. Give another --output-dir, or --in-place to replace inputs.",
        ),
        (OutputError("a", "full", "Give another output_dir"), REPORT, "a: full. Give another --output."),
        (
            OutputError("a", "no", "Change its mode, or leave out in_place and give output_dir"),
            ALIGN,
            "a: no. Change its mode, or leave out --in-place and give --output-dir.",
        ),
        # a file may be called so
        (
            OutputError("/data/output_dir", "of /x/in_place/y.fits and in_place.fits", "Give nproc"),
            ALIGN,
            "/data/output_dir: of /x/in_place/y.fits and in_place.fits. Give --nproc.",
        ),
        (
            OutputError("a", "no epoch", "Give it with --steps.absolute_align.epoch=, as in 2016.0"),
            ALIGN,
            "a: no epoch. Give it with --set absolute_align.epoch=, as in 2016.0.",
        ),
        (
            OutputError("a", "no epoch", "Give it with --steps.absolute_align.epoch=, as in 2016.0"),
            UNDO,
            "a: no epoch. Give it with --steps.absolute_align.epoch=, as in 2016.0.",
        ),
        (SettingsError("fail_on", "x", "must be one of a, b"), ALIGN, "--fail-on x: must be one of a, b"),
        (SettingsError("catalog", "G", "no service"), ALIGN, "--catalog G: no service"),
        (
            SettingsError("relative_align.search_radius", -5.0, "must be within [0.1, 300]"),
            ALIGN,
            "--set relative_align.search_radius=-5.0: must be within [0.1, 300]",
        ),
        (
            SettingsError("steps.source_catalog.skip", True, "it is needed"),
            ALIGN,
            "--set source_catalog.skip: it is needed",
        ),
        (
            SettingsError("output_dir", None, "give the folder, or in_place"),
            UNDO,
            "--output-dir: give the folder, or --in-place",
        ),
        # the parameter of one step, and of several
        (SettingsError("epoch", 1700, "a year"), ALIGN, "--set absolute_align.epoch=1700: a year"),
        (SettingsError("epoch", 1700, "a year"), UNDO, "epoch 1700: a year"),
        (SettingsError("auto_order", ("A", "B"), "no"), ALIGN, "--set absolute_align.auto_order=A,B: no"),
        (SettingsError("brightest", 3, "must be more"), ALIGN, "brightest 3: must be more"),
        (SettingsError("seed", -1, "must be more"), UNDO, "seed -1: must be more"),
        (
            OutputError("a", "not on record", "Give it, or allow_missing to leave them out"),
            argparse.Namespace(allow_missing=False),
            "a: not on record. Give it, or --allow-missing to leave them out.",
        ),
        (UnknownParameterError("serch", "; did you mean search?"), ALIGN, None),
        (ExecutorError("mpi", "not there", "Start it, or give nproc"), UNDO, None),
    ],
)
def test_errors_have_options(error, options, said):
    expected = str(error).replace("give nproc", "give --nproc") if said is None else said
    assert in_options(error, options) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", 2016.0),
        ("scale", 0.05),
        ("grid_image", "a.fits"),
        ("cosmic_rays", "laplacian"),
        ("spectra", "on"),
        ("auto_order", ("GAIADR3", "PS1DR2")),
        ("service_url", "https://x.org"),
        ("csv", "true"),
    ],
)
def test_what_errors_name_can_be_set(name, value):
    said = in_options(SettingsError(name, value, "no"), ALIGN)
    assert said.startswith("--set ")
    choice = choice_of(said.removeprefix("--set ").removesuffix(": no"))
    assert choice.parameter.name == name
    assert choice.value == (True if name == "csv" else value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["align", "{raw}", "-o", "{raw}"], "Give another --output-dir, or --in-place to replace inputs"),
        (["plan", "{raw}", "--set", "source_catalog.threshold=x"], "--set source_catalog.threshold=x: must"),
        (["plan", "{raw}", "--set", "threshold"], "--set threshold: give STEP.PARAMETER=VALUE"),
        (["plan", "{raw}", "--fail-on", "x"], "--fail-on x: must be one of"),
        (["plan", "{raw}", "--reference", "x"], "--reference x: names no direct exposure"),
        (
            ["plan", "{raw}", "-c", "auto", "--set", "absolute_align.auto_order=none"],
            "--set absolute_align.auto_order=: no service to try",
        ),
        (["undo", "{raw}"], "--output-dir: give the folder of the products, or --in-place"),
        (["undo", "{raw}", "-o", "{raw}"], "Give another --output-dir"),
    ],
)
def test_commands_name_their_options(field, capsys, words, said):
    assert main([word.format(raw=field.folder) for word in words]) == 1
    text = capsys.readouterr().err
    assert said in text
    assert not re.search(r"output_dir|in_place|--steps|parameter ", text)
    assert len(text.splitlines()) <= 3
