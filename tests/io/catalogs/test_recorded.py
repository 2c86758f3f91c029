from __future__ import annotations

from dataclasses import replace

import asdf
import numpy as np
import pytest

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.algorithms.absolute.source_list import solved_sources
from grism_align.algorithms.fitting.fit import fit_linear
from grism_align.algorithms.matching.match import match_lists
from grism_align.algorithms.relative.relative import align_relative
from grism_align.io.catalogs.recorded import exposures_behind, is_provenance, read_recorded_catalog
from grism_align.io.catalogs.reference import read_reference_catalog, write_reference_catalog
from grism_align.io.record.file import write_record
from grism_align.values.errors import InputError
from grism_align.values.field import ExposureSet
from grism_align.values.plane_list import PlaneList
from grism_align.values.record import FilePair, FileRecord
from grism_align.values.settings import MatchSettings, PointingSettings, RelativeSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.results.record import aligned_sources, make_record
from tests.support.exposures import PIXEL_NOISE, PLANE, observe, stars

FIRST = LinearTransform.from_parameters(PLANE, (0.4, -0.7), 0.01)
SECOND = LinearTransform.from_parameters(PLANE, (-1.3, 0.9), -0.02)


def _visit(field, error, name, start, rng):
    """Three exposures of a visit with their relative solution."""
    made = [
        observe(field, error, rng, f"{name}0{n}d{n}q", start=start + 1000.0 * n, at=at)
        for n, at in enumerate([(0.0, 0.0), (9.0, 3.0), (-5.0, 7.0)])
    ]
    exposures, catalogs = [e for e, _ in made], {e.key: catalog for e, catalog in made}
    result = align_relative(exposures, catalogs, RelativeSettings(), MatchSettings(), PointingSettings())
    return ExposureSet(
        f"visit-{name}", tuple(exposures), catalogs=catalogs, sources=result.sources, relative=result.solution
    )


def _tied(visit, undo, error):
    covariance = np.diag([error**2, error**2, 0, 0, 0, 0])
    fits = {
        e.key: ExposureFit(
            FitStatus.ALIGNED, replace(undo.at(visit.relative.plane), covariance=covariance), "MADE"
        )
        for e in visit.exposures
    }
    return replace(visit, absolute=AlignmentSolution(fits, "MADE"))


def _written(visit, path):
    files = {e.key: FilePair(FileRecord(str(e.source), "0" * 64)) for e in visit.exposures}
    aligned = aligned_sources(solved_sources(visit), "visit_sources.ecsv")
    write_record(path, make_record(visit, files, aligned))
    return path


@pytest.fixture(scope="module")
def field():
    return stars(np.random.default_rng(11))


@pytest.fixture
def record(field, tmp_path):
    """Of a visit that is tied to the sky, but for 1 mas an axis."""
    visit = _visit(field, FIRST, "iaaa", 0.0, np.random.default_rng(12))
    return _written(_tied(visit, FIRST.inverted(), 1e-3), tmp_path / "one_provenance.asdf")


def test_it_is_the_list_as_it_was(field, record, tmp_path):
    visit = _tied(_visit(field, FIRST, "iaaa", 0.0, np.random.default_rng(12)), FIRST.inverted(), 1e-3)
    expected, found = solved_sources(visit), read_recorded_catalog(record)
    assert (found.name, found.origin) == ("VISITIAAA", str(record))
    write_reference_catalog(expected, tmp_path / "sources.ecsv")
    for one in (found, read_reference_catalog(tmp_path / "sources.ecsv")):
        assert one.identifier.tolist() == expected.identifier.tolist()
        np.testing.assert_allclose(one.sky, expected.sky, rtol=1e-14)
        np.testing.assert_allclose(one.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(one.epoch, expected.epoch)
        np.testing.assert_allclose(one.mag, expected.mag)
        assert not one.has_motion.any()


def test_it_names_its_exposures(record):
    assert exposures_behind(record) == {"iaaa00d0q", "iaaa01d1q", "iaaa02d2q"}


def test_another_visit_is_aligned_to_it(field, record):
    """Of unknown pointing; where it comes to lie is known to the noise of both visits."""
    catalog = read_recorded_catalog(record)
    visit = _visit(field, SECOND, "ibbb", 3e7, np.random.default_rng(13))
    year = visit.sources[0].epoch
    own = PlaneList(
        PLANE.to_plane([(s.ra, s.dec) for s in visit.sources]),
        1e-3 * np.array([s.error for s in visit.sources]),
        np.array([s.mag for s in visit.sources]),
        np.array([s.epoch for s in visit.sources]),
    )
    error = 1e-3 * errors_at(catalog, year)
    there = PlaneList(PLANE.to_plane(positions_at(catalog, year)), error, catalog.mag, catalog.epoch)
    i, j = match_lists(own, there, PLANE, MatchSettings()).pairs.T
    assert len(i) > 80
    fit = fit_linear(own.xy[i], there.xy[j], np.hypot(own.error[i], error[j]), PLANE, "rshift", 4.0)
    left = SECOND.then(fit.transform)
    noise = PIXEL_NOISE * 0.128 * np.sqrt(2 / 3 / len(i))
    assert np.abs(left.shift).max() < 5 * noise
    assert abs(left.roll) < 5 * np.degrees(noise / 40)


def test_frames_that_are_not_tied(field, tmp_path, caplog):
    near = _visit(field, FIRST, "iaaa", 0.0, np.random.default_rng(12))
    moved = {key: replace(fit, frame=1) for key, fit in near.relative.fits.items()}
    more = tuple(replace(s, frame=1, number=s.number) for s in near.sources)
    caplog.set_level("INFO")
    assert len(read_recorded_catalog(_written(near, tmp_path / "one.asdf"))) == len(near.sources)
    assert "of 1 frames, 0 tied to a catalog" in caplog.text
    assert "not tied to the others" not in caplog.text
    [first, *others] = near.exposures
    fits = {first.key: near.relative[first.key], **{e.key: moved[e.key] for e in others}}
    half = len(more) // 2
    two = replace(near, sources=near.sources[:half] + more[half:], relative=AlignmentSolution(fits))
    read_recorded_catalog(_written(two, tmp_path / "two.asdf"))
    assert "its frames [0, 1] are not tied to the others" in caplog.text


def test_a_source_list_says_what_its_record_says(field, tmp_path, caplog):
    """Whether its frames are on the sky, and which exposures it was measured on."""
    visit = _visit(field, FIRST, "iaaa", 0.0, np.random.default_rng(12))
    path = tmp_path / "visit_sources.ecsv"
    keys = [exposure.key for exposure in visit.exposures]
    for tied, frames, text in (
        ([], [0], "it was aligned to no catalog"),
        ([0], [0, 1], "its frames [1] are not tied to the others"),
    ):
        caplog.clear()
        about = {"frames": frames, "tied_frames": tied, "exposures": keys}
        write_reference_catalog(solved_sources(visit), path, about)
        read_reference_catalog(path)
        assert [text in record.message for record in caplog.records] == [True]
    assert exposures_behind(path) == set(keys)
    caplog.clear()
    write_reference_catalog(solved_sources(visit), path, {"frames": [0], "tied_frames": [0]})
    read_reference_catalog(path)
    assert not caplog.records
    assert exposures_behind(path) == set()


def test_records_without_sources(field, tmp_path):
    bare = ExposureSet("bare", _visit(field, FIRST, "iaaa", 0.0, np.random.default_rng(12)).exposures)
    with pytest.raises(InputError, match="aligned_sources: nothing was aligned") as caught:
        read_recorded_catalog(_written(bare, tmp_path / "bare.asdf"))
    assert "_sources.ecsv" in caught.value.remedy


def test_files_that_are_no_record(record, tmp_path):
    renamed = tmp_path / "record"
    renamed.write_bytes(record.read_bytes())
    table = tmp_path / "table.ecsv"
    table.write_text("ra,dec")
    assert [is_provenance(p) for p in (record, renamed, table)] == [True, True, False]
    assert is_provenance(tmp_path / "none.asdf")
    assert not is_provenance(tmp_path / "none.fits")
    with pytest.raises(InputError, match="no such provenance file"):
        read_recorded_catalog(tmp_path / "none.asdf")
    asdf.AsdfFile({"roman": {}}).write_to(tmp_path / "other.asdf")
    with pytest.raises(InputError, match="not a provenance file of grism_align"):
        read_recorded_catalog(tmp_path / "other.asdf")
