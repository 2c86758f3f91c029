"""``grism-align inspect`` as users run it, on a small field: places, sizes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

from grism_align.algorithms.mosaics.mesh import tile_maps
from grism_align.cli import main
from grism_align.io.missions import read_exposure
from grism_align.io.record.file import read_record
from grism_align.simulation import case_a
from grism_align.values.transform import TangentPlane
from tests.support.browser import DATA
from tests.support.fields import few_galaxies, make_field, written_wcs

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.pixel_sky import PixelSky

_PIXEL = 0.13


def data_of(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(DATA, text, re.DOTALL)[1])


def rows(values: list[float | None], width: int = 2) -> np.ndarray:
    return np.array(values, dtype=float).reshape(-1, width)


def wcs_in(folder: Path, one: dict[str, Any]) -> PixelSky:
    """The WCS that the file of an exposure has."""
    return written_wcs(folder, [f"{one['key']}_flt.fits"])[one["key"], 1]


@dataclass(frozen=True)
class Inspected:
    """A run, its raw files, and its page."""

    raw: Path
    out: Path
    page: Path

    @property
    def data(self) -> dict[str, Any]:
        return data_of(self.page)

    def copied(self, folder: Path) -> Path:
        shutil.copytree(self.out, folder)
        return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    field = make_field(case_a(size=300, n_pairs=1, scene=few_galaxies(300)), tmp_path_factory.mktemp("field"))
    out = tmp_path_factory.mktemp("aligned") / "out"
    settings = ["--set", "relative_align.search_radius=60"]
    assert main(["align", str(field.folder), "-o", str(out), "--catalog", str(field.catalog), *settings]) == 0
    assert main(["inspect", str(out)]) == 0
    [page] = out.glob("*_inspect.html")
    return Inspected(field.folder, out, page)


def test_sources_lie_where_the_corrected_wcs_has_them(run):
    data = run.data
    plane = TangentPlane(*data["plane"])
    direct = [one for one in data["exposures"] if one["kind"] == "direct"]
    assert len(direct) == 2
    for one in direct:
        marks, wcs = one["sources"], wcs_in(run.out, one)
        place, xy = rows(marks["place"]), rows(marks["xy"])
        assert np.hypot(*(plane.to_plane(wcs.to_sky(xy)) - place).T).max() < 0.1 * _PIXEL
        assert {"matched", "rejected"} <= set(marks["status"])


def test_pictures_lie_there_too(run):
    for one in run.data["exposures"]:
        [chip] = one["chips"]
        assert chip["reduced"] == 1
        n = chip["tiles"]
        middle, along, up = tile_maps(rows(chip["nodes"]).reshape(n + 1, n + 1, 2))
        if one["kind"] == "direct":
            part = (rows(one["sources"]["xy"]) + 0.5) / np.array(chip["size"]) * n
            column, row = part.astype(int).T
            x, y = (part - np.column_stack([column, row]) - 0.5).T[:, :, None]
            place = middle[row, column] + x * along[row, column] + y * up[row, column]
            assert np.hypot(*(place - rows(one["sources"]["place"])).T).max() < 0.1 * _PIXEL


def test_before_is_where_the_files_had_it(run):
    data = run.data
    plane = TangentPlane(*data["plane"])
    for one in data["exposures"]:
        if one["kind"] != "direct":
            continue
        *matrix, east, north = one["before"]
        place, xy = rows(one["sources"]["place"]), rows(one["sources"]["xy"])
        before = place @ np.reshape(matrix, (2, 2)).T + [east, north]
        sky = wcs_in(run.raw, one).to_sky(xy)
        assert np.hypot(*(plane.to_plane(sky) - before).T).max() < 0.1 * _PIXEL
        assert np.hypot(*(before - place).T).min() > _PIXEL


def test_traces_begin_at_their_sources(run):
    data = run.data
    plane = TangentPlane(*data["plane"])
    grisms = [one for one in data["exposures"] if one["kind"] == "grism"]
    assert grisms
    for one in grisms:
        marks = one["traces"]
        assert 0 < len(marks["number"]) <= 120
        after = rows(marks["after"]).reshape(-1, marks["points"], 2)
        before = rows(marks["before"]).reshape(after.shape)
        pixels = wcs_in(run.out, one).to_pixel(plane.to_sky(after[:, 0]))
        start = pixels - rows(marks["xy"])
        # the first order of G141 begins some 15 pixels to the right of the direct image, in its row or near
        assert np.abs(start[:, 0] - 15).max() < 3
        assert np.abs(start[:, 1]).max() < 6
        # by the WCS before, the spectrum was expected elsewhere by the correction
        [east, north] = one["before"][4:]
        moved = (after - before).mean(axis=(0, 1))
        assert moved == pytest.approx([east, north], abs=0.2)


def test_residuals_are_those_on_record(run):
    [path] = run.out.glob("*_provenance.asdf")
    record = read_record(path)
    for one in run.data["exposures"]:
        entry = record.exposures[one["key"]]
        if one["sources"] is None:
            continue
        values = rows(one["sources"]["relative"], 3)
        fit = entry.relative.residuals
        found = dict(zip(one["sources"]["number"], values.tolist(), strict=True))
        for number, offset, weight in zip(fit.matched.tolist(), fit.offset, fit.weight, strict=True):
            assert found[number] == pytest.approx([*offset, weight], abs=0.0051)


def test_a_small_page_has_reduced_pictures(run, tmp_path, capsys):
    page = tmp_path / "small.html"
    command = ["inspect", str(run.out), "-o", str(page), "--megabytes"]
    assert main([*command, "0.05"]) == 1
    least = re.search(r"need at least ([\d.]+);", capsys.readouterr().err)[1]
    assert main([*command, least]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    assert page.stat().st_size <= 1e6 * float(least)
    chips = [chip for one in data_of(page)["exposures"] for chip in one["chips"]]
    assert all(chip["reduced"] > 1 for chip in chips)
    assert "are reduced" in page.read_text(encoding="utf-8")
    assert run.page.stat().st_size <= 25e6


def test_some_exposures(run, tmp_path):
    wanted = [one["key"] for one in run.data["exposures"]][1]
    page = tmp_path / "one.html"
    [record] = run.out.glob("*_provenance.asdf")
    assert main(["inspect", str(record), "-o", str(page), "--only", wanted]) == 0
    assert [one["key"] for one in data_of(page)["exposures"]] == [wanted]


def test_a_file_that_moved_is_named(run, tmp_path, capsys):
    folder = run.copied(tmp_path / "out")
    gone = sorted(folder.glob("*_flt.fits"))[2]
    gone.rename(tmp_path / gone.name)
    assert main(["inspect", str(folder)]) == 1
    told = capsys.readouterr().err
    assert "1 of " in told
    assert str(gone) in told
    assert told.count("\n") <= 3


def test_a_file_that_changed_is_named(run, tmp_path, capsys):
    folder = run.copied(tmp_path / "out")
    changed = sorted(folder.glob("*_flt.fits"))[1]
    with fits.open(changed, mode="update") as hdus:
        hdus[1].data[10, 10] += 1.0
    read_exposure(changed)
    assert main(["inspect", str(folder)]) == 1
    assert f"{changed}: it is not the file on record" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no such folder or record"),
        (["empty"], "no record of a run in it"),
        (["OUT", "-o", "empty"], "a folder, not a page"),
        (["OUT", "-o", "page.fits"], "ends with .html"),
        (["OUT", "--only", "no*such"], "no exposure is called so"),
        (["OUT", "--megabytes", "0.05"], "choose fewer exposures with --only"),
        (["OUT", "--megabytes", "nan"], "must be more than nothing"),
        (["alone_provenance.asdf"], "no such association"),
    ],
)
def test_what_it_refuses(run, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "alone_provenance.asdf").write_text("")
    assert main(["inspect", *(str(run.out) if word == "OUT" else word for word in words)]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone_provenance.asdf", "empty"]


def test_records_of_several_runs(run, tmp_path, capsys):
    folder = run.copied(tmp_path / "out")
    [record] = folder.glob("*_provenance.asdf")
    shutil.copy(record, folder / "other_provenance.asdf")
    assert main(["inspect", str(folder)]) == 1
    assert "records of several runs" in capsys.readouterr().err
