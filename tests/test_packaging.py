"""What a wheel holds."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(os.environ.get("GRISM_ALIGN", Path(__file__).parent.parent))


def test_every_folder_with_modules_is_declared_as_a_package():
    project = _ROOT / "pyproject.toml"
    if not project.exists():
        pytest.skip("the repository isn't there")
    declared = tomllib.loads(project.read_text())["tool"]["setuptools"]["packages"]
    folders = {each.parent.relative_to(_ROOT) for each in (_ROOT / "grism_align").rglob("*.py")}
    assert set(declared) == {".".join(each.parts) for each in folders} | {"grism_align.cfg"}
