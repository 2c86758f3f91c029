"""Exposures pictured for the inspection page: chips, those without a correction, spectra along columns."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from grism_align.algorithms.mosaics.mesh import tile_maps
from grism_align.io.missions import read_exposure
from grism_align.simulation import case_a
from grism_align.values.exposure import Chip
from grism_align.values.trace import CoarseTrace, TraceModel
from grism_align.workflows.inspection.make import inspect_results
from grism_align.workflows.inspection.predicted import POINTS, trace_points
from grism_align.workflows.load import load
from tests.support.aligned_fields import make_aligned
from tests.support.associations import FlatSky
from tests.support.executors import HERE
from tests.support.fields import SMALL, grid


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Two-chip exposures, of which the first has no correction."""
    simulation = case_a("acs_wfc", SMALL["acs_wfc"], n_pairs=1)
    return make_aligned(simulation, tmp_path_factory.mktemp("field"), failed=(0,))


@pytest.fixture(scope="module")
def page(field):
    return inspect_results(load(field.out / "field_asn.json", bad_input="refuse"), HERE)


def test_every_chip_is_where_its_wcs_has_it(field, page):
    assert [len(one.chips) for one in page.exposures] == [2] * len(page.exposures)
    for one, path in zip(page.exposures, field.truth.paths, strict=True):
        written = read_exposure(field.out / path.name)
        for shown, chip in zip(one.chips, written.chips, strict=True):
            ny, nx = chip.shape
            assert Image.open(io.BytesIO(shown.jpeg)).size == (nx, ny)
            n = len(shown.nodes) - 1
            xy = grid(chip.shape)
            part = (xy + 0.5) / [nx, ny] * n
            column, row = np.minimum(part.astype(int), n - 1).T
            x, y = (part - np.column_stack([column, row]) - 0.5).T[:, :, None]
            middle, along, up = tile_maps(shown.nodes)
            place = middle[row, column] + x * along[row, column] + y * up[row, column]
            apart = np.hypot(*(place - page.plane.to_plane(chip.wcs.to_sky(xy))).T)
            assert apart.max() < 0.1 * chip.wcs.pixel_scale


def test_an_exposure_without_a_correction_stays(page):
    first, *others = page.exposures
    assert first.status == "FAILED"
    assert first.shift == ""
    assert first.before.matrix == pytest.approx(np.eye(2))
    assert first.before.shift == pytest.approx(0)
    assert first.remarks
    assert all(np.hypot(*one.before.shift) > 0.05 for one in others if one.status == "ALIGNED")


def test_nothing_is_marked_that_nobody_measured(page):
    assert all(one.sources is None and one.traces is None for one in page.exposures)
    assert page.stars is None


def test_traces_along_columns():
    model = TraceModel(np.array([[0.0], [1.0]]), np.array([[3.0], [0.1]]), (10.0, 110.0))
    coarse = CoarseTrace(model, 10)
    rows = Chip(1, (1000, 1000), FlatSky(150.0, 2.0), trace=coarse)
    columns = replace(rows, trace=replace(coarse, along_columns=True))
    xy = np.array([[200.0, 300.0]])
    [level], [upright] = (trace_points(chip, model, xy, "") for chip in (rows, columns))
    assert level.shape == (POINTS, 2)
    assert level[0] == pytest.approx([210.0, 304.0])
    assert level[-1] == pytest.approx([310.0, 314.0])
    assert upright[0] == pytest.approx([204.0, 310.0])
    assert upright[-1] == pytest.approx([214.0, 410.0])
