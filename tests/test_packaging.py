"""What a wheel holds."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
import yaml

_ROOT = Path(os.environ.get("GRISM_ALIGN", Path(__file__).parent.parent))


def _project():
    project = _ROOT / "pyproject.toml"
    if not project.exists():
        pytest.skip("the repository isn't there")
    return tomllib.loads(project.read_text())


def test_every_folder_with_modules_is_declared_as_a_package():
    declared = _project()["tool"]["setuptools"]["packages"]
    folders = {each.parent.relative_to(_ROOT) for each in (_ROOT / "grism_align").rglob("*.py")}
    assert set(declared) == {".".join(each.parts) for each in folders} | {"grism_align.cfg"}


def test_the_conda_recipe_asks_for_what_the_package_does():
    wanted = {each.replace(">=", " >=") for each in _project()["project"]["dependencies"]}
    recipe = yaml.safe_load((_ROOT / "conda.recipe" / "recipe.yaml").read_text())
    asked = {each.replace("matplotlib-base", "matplotlib") for each in recipe["requirements"]["run"]}
    assert asked == wanted | {f"python {_project()['project']['requires-python']}"}
