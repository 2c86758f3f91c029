"""A set of exposures as people see it in Python: short texts, tables, plots, units, pages and files."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.wcs.wcsapi import BaseHighLevelWCS, validate_physical_types

from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.steps.pipeline import GrismAlignPipeline
from grism_align.values.errors import SettingsError
from grism_align.values.record import Displacement
from grism_align.values.sky_wcs import SkyWcs
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.tables import TABLES, results_table
from grism_align.workflows.load import load
from grism_align.workflows.viewing import VIEWER, record_of
from tests.support.fields import EMPTY, apart, grid, make_field
from tests.support.reports import field as made_field


@pytest.fixture(scope="module")
def unfitted(tmp_path_factory):
    simulation = case_a(size=96, n_pairs=1, scene=EMPTY)
    return load(str(make_field(simulation, tmp_path_factory.mktemp("field")).association))


@pytest.fixture(scope="module")
def result():
    """Two visits that are aligned, of values alone."""
    return replace(made_field(), viewer=VIEWER)


def test_a_fit_is_never_none(unfitted):
    fit = unfitted.fit(unfitted.exposures[0].key)
    assert (fit.status, fit.is_fitted, fit.is_aligned, fit.transform) == (
        FitStatus.NOT_FITTED,
        False,
        False,
        None,
    )
    assert repr(fit) == "<ExposureFit not fitted>"
    assert len(fit.table()) == 0
    assert unfitted.correction(unfitted.exposures[0].key) is None
    assert unfitted.corrected(unfitted.exposures[0].key) is unfitted.exposures[0]


def test_texts_are_short(result):
    assert repr(result) == "<ExposureSet field: 4 direct, 4 grism; 8 ALIGNED>"
    direct, grism = (result.fit(one[0].key) for one in (result.direct, result.grisms))
    assert repr(direct) == "<ExposureFit ALIGNED, 11 of 12 matches used, rms 2.5 mas>"
    assert repr(grism) == f"<ExposureFit ALIGNED, governed by {result.direct[0].key}>"
    assert repr(ExposureFit.failed()) == "<ExposureFit FAILED>"
    html = result._repr_html_()
    assert html.count("<tr>") == 1 + len(result.exposures)
    assert all(f"<td>{one.key}</td>" in html for one in result.exposures)
    assert "2.50 mas" in direct._repr_html_()


def test_odd_names_are_text(result):
    odd = replace(made_field(odd_name=True), viewer=VIEWER)
    assert "<b>" not in odd._repr_html_()


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_files(result, name):
    table = result.table(name)
    wanted = results_table(name, record_of(result).exposures, "field")
    assert table.colnames == wanted.colnames
    assert len(table) == len(wanted) > 0
    with pytest.raises(SettingsError):
        result.table("others")


def test_the_matches_of_one_fit(result):
    fit = result.fit(result.direct[0].key)
    table = fit.table()
    assert table["residual_east"].unit == "mas"
    np.testing.assert_array_equal(table["residual_north"], fit.residuals.offset[:, 1])


def test_corrections_have_units(result):
    exposure = result.direct[1]
    found = result.correction(exposure.key)
    there = Displacement.of(result.fit(exposure.key).transform, exposure.plane)
    assert found.east.to_value("arcsec") == pytest.approx(there.shift[0] / 1e3)
    assert found.north.to(units.mas).value == pytest.approx(there.shift[1])
    assert found.roll.to_value(units.deg) == pytest.approx(there.roll)
    assert "mas" in repr(found)


def test_the_wcs_of_a_chip_is_one_of_astropys(result):
    exposure = result.direct[1]
    wcs, chip = result.wcs(exposure.key), result.corrected(exposure.key).chips[0]
    assert isinstance(wcs, BaseHighLevelWCS)
    validate_physical_types(wcs.world_axis_physical_types)
    xy = grid(chip.shape)
    sky = wcs.pixel_to_world(*xy.T)
    assert isinstance(sky, SkyCoord)
    found = np.column_stack([sky.ra.deg, sky.dec.deg])
    assert apart(found, chip.wcs.to_sky(xy)) < 1e-6
    np.testing.assert_allclose(np.column_stack(wcs.world_to_pixel(sky)), xy, atol=1e-5)
    # arrays of any shape, and numbers
    x, y = np.meshgrid([0.0, 3.0, 5.0], [1.0, 2.0])
    assert wcs.pixel_to_world_values(x, y)[0].shape == (2, 3)
    assert np.ndim(wcs.pixel_to_world_values(1.0, 2.0)[0]) == 0
    assert wcs.array_shape == chip.shape == wcs.pixel_shape[::-1]


def test_matplotlib_draws_with_it(unfitted):
    from astropy.visualization.wcsaxes import WCSAxes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 2))
    axes = WCSAxes(figure, [0.2, 0.2, 0.7, 0.7], wcs=unfitted.wcs(unfitted.exposures[0].key))
    figure.add_axes(axes)
    axes.set(xlim=(0, 95), ylim=(0, 95))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    beside = np.asarray(canvas.buffer_rgba())[:, : int(0.15 * canvas.get_width_height()[0]), :3]
    assert beside.min() < 128


@pytest.mark.parametrize("number", [1, 2])
def test_a_chip_by_its_number(tmp_path, number):
    simulation = case_a("acs_wfc", size=(64, 96), n_pairs=1, n_visits=1, scene=EMPTY)
    found = make_field(simulation, tmp_path)
    exposures = load(str(found.association))
    key = exposures.exposures[0].key
    chip = next(one for one in read_exposure(found.truth.paths[0]).chips if one.number == number)
    xy = [(10.0, 20.0)]
    sky = exposures.wcs(key, chip=number).pixel_to_world(*xy[0])
    assert apart(chip.wcs.to_sky(xy), [(sky.ra.deg, sky.dec.deg)]) < 1e-6
    corners = exposures.footprint(key)
    assert [len(one) for one in corners] == [4, 4]
    assert isinstance(pickle.loads(pickle.dumps(exposures)).wcs(key), SkyWcs)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("plot_sky", {}),
        ("plot_residuals", {}),
        ("plot_residuals", {"against": "time"}),
        ("plot_residuals", {"catalog": True}),
        ("plot_residuals", {"catalog": True, "against": "time"}),
        ("plot_residuals", {"key": "DIRECT"}),
        ("plot_residuals", {"key": "DIRECT", "catalog": True}),
        ("plot_offsets", {}),
        ("plot_offsets", {"visit": "i01v01"}),
    ],
)
def test_plots(result, method, words):
    words = {name: result.direct[0].key if value == "DIRECT" else value for name, value in words.items()}
    plot = getattr(result, method)(**words)
    assert plot._repr_png_()[0].startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("method", "words"),
    [("plot_traces", {}), ("plot_residuals", {"against": "mood"}), ("plot_residuals", {"key": "GRISM"})],
)
def test_plots_of_what_is_not_there(result, method, words):
    words = {name: result.grisms[0].key if value == "GRISM" else value for name, value in words.items()}
    with pytest.raises(SettingsError):
        getattr(result, method)(**words)


def test_a_set_that_was_made_by_hand_has_no_viewer():
    with pytest.raises(TypeError, match=r"grism_align\.load"):
        made_field().table()


def test_a_page_and_files(unfitted, tmp_path):
    result = GrismAlignPipeline.call(unfitted)
    page = result.report(tmp_path / "page.html")
    assert "<h1>field</h1>" in page.read_text(encoding="utf-8")
    assert result.write(tmp_path / "out") is result
    record = read_record(tmp_path / "out" / "field_provenance.asdf")
    assert set(record.exposures) == {one.key for one in result.exposures}
    assert (tmp_path / "out" / "field_report.html").exists()
