"""The table that a run ends with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from grism_align.values.association import Association
from grism_align.values.failure import NoSources, TooFewSources
from grism_align.values.field import ExposureSet
from grism_align.values.record import LeftOut
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.workflows.closing_table import WIDTH, closing_table
from grism_align.workflows.telling import figures_of
from tests.support.reports import field


@pytest.fixture(scope="module")
def aligned():
    return field(n_visits=3)


def _renamed(exposures: ExposureSet, start: str) -> ExposureSet:
    """The same with the long names that other telescopes give."""
    names = {one.key: f"{start}{one.visit}_04101_{n:05}_nis" for n, one in enumerate(exposures.exposures)}
    fits = [
        AlignmentSolution({names[key]: fit for key, fit in one.fits.items()}, one.reference)
        for one in (exposures.relative, exposures.absolute)
    ]
    renamed = tuple(replace(one, key=names[one.key]) for one in exposures.exposures)
    return replace(
        exposures, exposures=renamed, relative=fits[0], absolute=fits[1], grism=AlignmentSolution()
    )


def test_a_line_an_exposure_and_one_between_visits(aligned):
    lines = closing_table(aligned).splitlines()
    rules = [number for number, line in enumerate(lines) if set(line) == {"-"}]
    assert len(rules) == 4
    for one in aligned.exposures:
        assert sum(line.startswith(one.key) for line in lines[: rules[-1]]) == 1
    for first, last in pairwise(rules):
        keys = [line.split()[0] for line in lines[first + 1 : last]]
        assert len({aligned[key].visit for key in keys}) == 1


def test_it_fits_the_screen(aligned):
    keys = [one.key for one in aligned.exposures]
    failed = ExposureFit.failed(NoSources(6.0))
    fits = {**aligned.relative.fits, keys[0]: failed}
    left_out = (LeftOut("/data/x_flt.fits", "truncated, " * 20, "Fetch it again"),)
    for exposures in (
        aligned,
        replace(aligned, relative=AlignmentSolution(fits, keys[0]), left_out=left_out),
        _renamed(aligned, "jw0108500"),
    ):
        lines = closing_table(exposures).splitlines()
        assert max(map(len, lines)) <= WIDTH
    assert max(map(len, closing_table(aligned, wide=True).splitlines())) > WIDTH


def test_long_names_can_be_told_apart(aligned):
    lines = closing_table(_renamed(aligned, "jw0108500")).splitlines()
    names = [line.split()[0] for line in lines if line.startswith("..")]
    assert len(set(names)) == len(names) == len(aligned.exposures)


def test_the_like_is_said_once(aligned):
    few = {
        key: replace(fit, status=FitStatus.PRIOR_ONLY, remarks=(TooFewSources(n, 9, 6),))
        for n, (key, fit) in enumerate(aligned.relative.fits.items())
    }
    exposures = replace(aligned, relative=AlignmentSolution(few), absolute=AlignmentSolution())
    said = " ".join(closing_table(exposures).split())
    assert said.count("required") == 1
    assert f"so {len(few) - 1} more" in said


def test_the_frame_without_a_catalog():
    relative = field(tied=False)
    assert "not tied to a catalog" in closing_table(relative)
    assert "not tied to a catalog" not in closing_table(field())


def test_nothing_is_told_of_a_step_that_was_not_done(aligned):
    empty = ExposureSet("x", aligned.exposures, Association("x", ()))
    for step in ("source_catalog", "relative_align", "absolute_align", "visit_mosaic", "grism_wcs_propagate"):
        assert figures_of(step, empty) == ""
