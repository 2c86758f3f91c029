"""What is refused before any work, because results could not be written."""

from __future__ import annotations

import os

import pytest

from grism_align.io.files.names import LONGEST_NAME
from grism_align.values.errors import OutputError
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.destination import Destination
from tests.support.runs import loaded, make_exposures


def _make_folder(path):
    try:
        path.mkdir()
    except OSError:
        pytest.skip("this file system takes names of text only")
    return path


@pytest.mark.parametrize("is_input", [True, False])
def test_a_path_that_no_record_can_hold(tmp_path, is_input):
    odd = _make_folder(tmp_path / os.fsdecode(b"odd\xff"))
    raw = odd / "raw" if is_input else tmp_path / "raw"
    make_exposures(raw)
    with pytest.raises(OutputError) as caught:
        check_destination(loaded(raw), Destination(tmp_path if is_input else odd, in_place=False))
    # it can be printed
    assert caught.value.problem.isascii()


def test_a_name_that_is_too_long_for_a_product(tmp_path):
    make_exposures(tmp_path / "raw")
    [first, *_] = (tmp_path / "raw").iterdir()
    first.rename(first.with_name("x" * (LONGEST_NAME - 8) + "_flt.fits"))
    with pytest.raises(OutputError):
        check_destination(loaded(tmp_path / "raw"), Destination(tmp_path / "out", in_place=False))
