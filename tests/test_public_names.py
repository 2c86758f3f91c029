"""What `import grism_align` offers, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import grism_align


@pytest.mark.parametrize("name", grism_align.__all__)
def test_every_public_name_is_there(name):
    assert getattr(grism_align, name) is not None


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError):
        _ = grism_align.no_such_name


def test_the_import_brings_in_nothing_heavy():
    code = "import sys, grism_align; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"numpy", "astropy", "stpipe", "asdf", "photutils", "scipy", "matplotlib"})


def test_files_are_loaded_and_written_without_a_step(direct_path, tmp_path):
    exposures = grism_align.load(direct_path)
    grism_align.write_results(exposures, grism_align.Destination(tmp_path / "out", in_place=False))
    record = grism_align.read_record(next((tmp_path / "out").glob("*_provenance.asdf")))
    assert list(record.exposures) == [exposure.key for exposure in exposures.exposures]
