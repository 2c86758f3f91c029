"""The list of parameters, as a file too, and completion."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest

from grism_align.cli import main
from grism_align.steps.choices import choice_of, choices_of_file, full_name, known_parameters
from grism_align.values.errors import GrismAlignError

ALL = [(step, name) for step, parameters in known_parameters().items() for name in parameters]


def test_all_are_listed(capsys):
    assert main(["parameters"]) == 0
    said = capsys.readouterr().out
    for step, name in ALL:
        assert f"{full_name(step, name)} = " in said


@pytest.mark.parametrize("word", ["relative_align", "relative-align", "search_radius", "arcsec", "centroid"])
def test_some_are_listed(capsys, word):
    assert main(["parameters", word]) == 0
    said = capsys.readouterr().out
    listed = [line for line in said.splitlines() if not line.startswith(" ")]
    assert 0 < len(listed) < len(ALL)


def test_an_unknown_word(capsys):
    assert main(["parameters", "relativ_align"]) == 1
    assert "relative_align" in capsys.readouterr().err


def test_the_file_of_all_defaults_is_read(tmp_path, capsys):
    assert main(["parameters", "--toml"]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text) == {step: {} for step in known_parameters() if step}
    lines = (line.removeprefix("#") if not line.startswith("# ") else line for line in text.splitlines())
    (tmp_path / "all.toml").write_text("\n".join(lines))
    read = choices_of_file(tmp_path / "all.toml")
    assert [(one.step, one.parameter.name) for one in read] == ALL
    for one in read:
        assert one.value == one.parameter.default


@pytest.mark.parametrize(("step", "name"), ALL)
def test_a_default_can_be_given(step, name):
    parameter = known_parameters()[step][name]
    default = ",".join(parameter.default) if parameter.kind is tuple else parameter.default
    for written in (name, name.replace("_", "-")):
        choice = choice_of(f"{full_name(step, written)}={default}")
        assert choice.value == parameter.default


@pytest.mark.parametrize(
    "content",
    [
        "[relative_align]\nserch_radius = 3",
        "[relative_align]\nsearch_radius = 'far'",
        "[relative_align]\nsearch_radius = true",
        "[relative_align]\nroll = 3",
        "[visit_mosaic]\nskip = 1",
        "[grism_wcs_propagate]\ntrace_config = 'a.conf'\nspectra = ['on']",
        "[relativ_align]\nroll = 'auto'",
        "nproc = -1",
        "not toml",
    ],
)
def test_a_file_with_a_mistake(tmp_path, content):
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(GrismAlignError, match=r"mine\.toml"):
        choices_of_file(path)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_set_up(capsys, shell):
    pytest.importorskip("argcomplete")
    assert main(["completion", shell]) == 0
    assert "grism-align" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("grism-align al", {"align "}),
        ("grism-align align --cat", {"--catalog "}),
        ("grism-align align --headerlets ", {"none", "file", "attach"}),
    ],
)
def test_completion(tmp_path, typed, completed):
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\v",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": typed,
        "COMP_POINT": str(len(typed)),
    }
    code = "from grism_align.cli import main; main()"
    subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True)
    assert completed <= set(answer.read_text().split("\v"))
