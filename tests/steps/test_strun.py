"""strun as a process of its own: exit codes, output, files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.table import Table

from grism_align.io.missions import read_exposure
from tests.support.fields import wcs_apart


def strun(*arguments, cwd):
    """Run strun with neither CRDS settings nor a network that could answer."""
    environment = {key: value for key, value in os.environ.items() if "CRDS" not in key}
    environment |= {"https_proxy": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
    command = [str(Path(sys.executable).with_name("strun")), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_run(field_a, output_a, tmp_path):
    catalog = f"--steps.absolute_align.catalog={field_a.catalog}"
    given = (
        "grism_align_pipeline",
        field_a.association,
        "--output_dir=out",
        catalog,
        "--steps.visit_mosaic.skip=true",
    )
    done = strun("--log-level=ERROR", *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for path in field_a.truth.paths:
        assert wcs_apart(tmp_path / "out" / path.name, output_a[1] / path.name) < 1e-4
        assert read_exposure(path).key in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {p.name for p in output_a[1].iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    # whatever is logged
    assert "ALIGNED" in done.stdout
    assert "Traceback" not in said
    assert len(Table.read(next((tmp_path / "out").glob("*_cat.ecsv")))) > 20


def test_bad_input(field_a, tmp_path):
    asn = field_a.copied(tmp_path / "in")
    path = tmp_path / "in" / field_a.truth.paths[1].name
    path.write_bytes(path.read_bytes()[:9000])
    done = strun("grism_align_pipeline", asn, "--output_dir=out", "--bad_input=refuse", cwd=tmp_path)
    assert done.returncode == 1
    assert str(path) in done.stdout + done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
