"""Plots of a record: what they show, and what they are as files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.io.report.contents import Contents
from grism_align.io.report.plots.carried import classes_of
from grism_align.io.report.plots.every import plot_names, plots_of
from grism_align.io.report.plots.figures import Plotter, dots, new_axes, new_figure, style
from grism_align.io.report.plots.trend_plots import trend_plots
from grism_align.values.record import Detections
from tests.support.reports import N_SOURCES, altered, field, record, refitted

#: East residuals grow by so much over the detector; scatter of one; mas.
SLOPE, SCATTER = 30.0, 1.0


@pytest.fixture(scope="module")
def whole():
    """A run whose residuals to the east grow with the column."""
    rng = np.random.default_rng(3)
    exposures = field()
    found = record(exposures)
    for one in exposures.direct:
        number = np.arange(N_SOURCES)
        x, y = rng.uniform(0, 1000, (2, N_SOURCES))
        seen = Detections(number, number, np.ones_like(number), x, y, 20 + 0.1 * number, x, y)
        found = altered(found, one.key, detections=seen)
        fit = found.exposures[one.key].relative
        offset = np.column_stack([SLOPE * (x / 1000 - 0.5), np.zeros(N_SOURCES)])
        offset += rng.normal(0, SCATTER, offset.shape)
        found = refitted(found, one.key, "relative", residuals=replace(fit.residuals, offset=offset))
    return found


@given(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=1, max_size=60))
def test_classes_follow_what_measurements_carry(shares):
    share = np.array(shares)
    found = classes_of(share)
    assert ((found == -1) == (share == 0)).all()
    for low, high in ((0, 1), (1, 2)):
        assert share[found == high].max(initial=0) <= share[found == low].min(initial=np.inf)
    total = share.sum()
    assert share[found == 0].sum() >= 0.5 * total * (1 - 1e-9)
    assert share[found == 2].sum() <= 0.1 * total * (1 + 1e-9)


def test_names_are_those_that_are_claimed(whole):
    found = plots_of(whole)
    assert set(found) <= set(plot_names(each.visit for each in field().exposures))
    wanted = {"sky", "scatter", "residuals", "residuals_x", "residuals_y", "residuals_mag", "residuals_time"}
    assert wanted | {"catalog_residuals", "catalog_residuals_x", "offsets_i00v00"} <= set(found)
    assert all(name == plot.name for name, plot in found.items())


@pytest.mark.parametrize(("name", "slope"), [("residuals_x", SLOPE / 1000), ("residuals_y", 0.0)])
def test_means_follow_what_residuals_depend_on(whole, name, slope):
    plot = next(one for one in trend_plots(Contents(whole), "relative") if one.name == name)
    east = plot.figure.axes[0]
    [means] = [line.get_xydata() for line in east.lines if line.get_marker() == "o"]
    assert len(means) == 8
    # of 144 used sources, uniform over the detector; against rows, columns are their scatter
    side = 1000 / np.sqrt(12)
    error = np.hypot(SCATTER, 0.0 if slope else SLOPE / np.sqrt(12)) / np.sqrt(144) / side
    assert abs(np.polyfit(*means.T, 1)[0] - slope) < 5 * error


def test_what_lies_beyond_the_axes_is_said(whole):
    key = field().direct[0].key
    matches = whole.exposures[key].relative.residuals
    offset = matches.offset.copy()
    offset[1] = 1e4, 0.0
    far = refitted(whole, key, "relative", residuals=replace(matches, offset=offset))
    plots = {plot.name: plot for plot in trend_plots(Contents(far), "relative")}
    assert "1 residual beyond" in plots["residuals_x"].caption
    assert [text.get_text() for text in plots["residuals"].figure.axes[0].texts] == ["+ 1 beyond"]


def test_visits_are_named_on_the_sky_and_north_is_shown(whole):
    texts = [text.get_text() for text in plots_of(whole)["sky"].figure.axes[0].texts]
    assert texts == ["i00v00", "i01v01", "N", "E"]


@pytest.mark.parametrize(("form", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_a_plot_is_a_file_of_each_form(tmp_path, whole, form, start):
    plot = plots_of(whole)["residuals"]
    plot.save(tmp_path / f"a.{form}")
    assert (tmp_path / f"a.{form}").read_bytes().startswith(start)
    # its title was for the file
    assert plot.figure.texts == []


def test_notebooks_show_a_plot_and_it_is_no_less_for_the_page(whole):
    plot = plots_of(whole)["sky"]
    before = Plotter().svg(plot)
    drawn, size = plot._repr_png_()
    assert drawn.startswith(b"\x89PNG")
    assert size["width"] == pytest.approx(72 * plot.figure.get_size_inches()[0], rel=0.1)
    assert "Footprints" in repr(plot)
    assert Plotter().svg(plot).count("<path") == before.count("<path")


def test_dots_in_a_row_are_all_drawn():
    """What stands above each other must not become one line, in pictures either."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style():
        figure = new_figure(100, 100)
        axes = new_axes(figure, (0, 0, 100, 100))
        axes.set(xlim=(0, 10), ylim=(0, 10))
        axes.set_axis_off()
        dots(axes, [(x, y) for x in (2, 8) for y in (2, 5, 8)], "#000000", 4.0)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    dark = np.asarray(canvas.buffer_rgba())[..., 3] > 128
    assert all(dark[100 - 10 * y, 10 * x] for x in (2, 8) for y in (2, 5, 8))
    assert dark.sum() < 6 * 30
