import hashlib
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import asdf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.algorithms.absolute.source_list import solved_sources
from grism_align.io.files.checksums import sha256_of
from grism_align.io.missions import file_source
from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.io.record.file import (
    Companions,
    FilePair,
    FileRecord,
    read_provenance,
    restore,
    write_provenance,
)
from grism_align.values.association import Association
from grism_align.values.catalog import CatalogAttempt, ReferenceCatalog, astrometric_covariance
from grism_align.values.errors import InputError
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.failure import TooFewMatches
from grism_align.values.field import Activity, ExposureSet, SkySource
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus, Governed, Residuals
from grism_align.values.sphere import ARCSEC_PER_RADIAN, sky_to_vector
from grism_align.values.transform import LinearTransform, TangentPlane

PLANE = TangentPlane(34.02, -5.0)
GAIA = ("Gaia 1", "Gaia 22", "Gaia 333")
PIXELS = np.array([[0.0, 0.0], [1013.0, 0.0], [500.0, 400.0], [3.0, 1000.0]])


@dataclass(frozen=True)
class TanSky:
    """A plain TAN of square pixels, followed on the sky by corrections."""

    plane0: TangentPlane
    moves: tuple[LinearTransform, ...] = ()
    pixel_scale: float = 0.13

    @property
    def plane(self):
        ra, dec = self.to_sky([[0.0, 0.0]])[0]
        return TangentPlane(float(ra), float(dec))

    def to_sky(self, xy):
        sky = self.plane0.to_sky(np.asarray(xy) * self.pixel_scale)
        for move in self.moves:
            sky = move.apply_to_sky(sky)
        return sky

    def to_pixel(self, sky):
        for move in reversed(self.moves):
            sky = move.inverted().apply_to_sky(sky)
        return self.plane0.to_plane(sky) / self.pixel_scale

    def corrected(self, transform):
        return replace(self, moves=(*self.moves, transform))

    def footprint(self):
        return self.to_sky([[-0.5, -0.5], [1013.5, -0.5], [1013.5, 1013.5], [-0.5, 1013.5]])


def _mas_apart(first, second):
    chord = np.linalg.norm(sky_to_vector(first) - sky_to_vector(second), axis=-1)
    return 1e3 * ARCSEC_PER_RADIAN * chord.max()


def _exposure(folder, key, kind=ExposureKind.DIRECT, content=None):
    path = folder / f"{key}_flt.fits"
    path.write_bytes(content or f"pixels of {key}".encode())
    number = int(key[-1])
    planes = [TangentPlane(34.0 + 0.01 * number, -5.0), TangentPlane(34.0 + 0.01 * number, -4.99)]
    return Exposure(
        key=key,
        source=file_source(path),
        kind=kind,
        telescope=TELESCOPE,
        instrument="wfc3_ir",
        filter="F140W" if kind is ExposureKind.DIRECT else "G141",
        program="id7y",
        visit="id7y01",
        group="id7y01a",
        guide_star=None if number else "S1AB000123",
        target="UDS",
        dither_offset=(0.0, 0.0),
        start=57000.0 + number,
        end=57000.01 + number,
        exposure_time=803.0,
        ab_zero_point=26.45,
        is_rate=True,
        rejects_cosmic_rays=True,
        chips=tuple(Chip(n + 1, (1014, 1014), TanSky(plane)) for n, plane in enumerate(planes)),
    )


def _transform(number=1.0):
    covariance = np.diag(np.arange(1.0, 7.0)) * 1e-8
    moved = LinearTransform.from_parameters(PLANE, [0.11 * number, -0.23], 0.013 * number, 1.0002)
    return replace(moved, covariance=covariance)


def _fit(number=1.0, matched=(4, 5, 8)):
    residuals = Residuals(
        np.array([7, 8, 9]),
        np.array(matched),
        np.arange(6.0).reshape(3, 2) - 2.5,
        np.array([1.0, 0.5, 0.0]),
        np.array([0.4, 0.5, 2.5]),
    )
    return ExposureFit(
        FitStatus.ALIGNED,
        _transform(number),
        reference="frame",
        frame=1,
        n_matched=3,
        n_used=2,
        rms=1.25,
        false_match_probability=1e-9,
        residuals=residuals,
    )


@pytest.fixture
def field(tmp_path):
    """Two direct exposures aligned, one failed, one grism exposure."""
    first, second, failed = (_exposure(tmp_path, f"direct{n}") for n in (1, 2, 3))
    grism = _exposure(tmp_path, "grism4", ExposureKind.GRISM)
    reference = ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(PLANE), "itself")
    (tmp_path / "gaia.ecsv").write_text("positions")
    return ExposureSet(
        product="uds-f140w",
        exposures=(first, second, failed, grism),
        association=Association("uds", (), origin=str(tmp_path / "uds_asn.json")),
        sources=(
            SkySource(0, 34.01, -5.0, 0.7, 21.5, 2014.9, 0, 2),
            SkySource(4, 34.02, -5.0, float("nan"), 22.5, 2014.9, 1, 3),
        ),
        relative=AlignmentSolution(
            {
                first.key: reference,
                second.key: _fit(),
                failed.key: ExposureFit.failed(TooFewMatches(4, 10)),
            },
            "direct1",
        ),
        absolute=AlignmentSolution({first.key: _fit(2.0, GAIA), second.key: _fit(2.0, GAIA)}, "Gaia DR3"),
        grism=AlignmentSolution(
            {
                grism.key: ExposureFit(
                    FitStatus.ALIGNED,
                    _transform(3.0),
                    governed=Governed(
                        ("direct1", "direct2"), "interpolated", (0.25, 0.75), (-300.0, 100.0), 4.5, ("IDC",)
                    ),
                )
            }
        ),
        reference_catalog=_reference(tmp_path / "gaia.ecsv"),
        activities=(
            Activity(
                "relative_align",
                "done",
                "fine",
                {
                    "fitgeometry": "rshift",
                    "kind": ExposureKind.DIRECT,
                    "limits": (1.0, None),
                    "path": tmp_path,
                },
                {"matched": np.int64(12)},
                (CatalogAttempt("Gaia DR3", "ESA", "https://gea/tap", "unreachable", "no answer in 60 s"),),
            ),
            Activity("visit_mosaic", "skipped"),
        ),
        parameter_file="wfc3_ir.asdf",
    )


def _reference(origin, n=4):
    """Moving stars; the fits match the first three."""
    zeros = np.zeros(n)
    sky = np.column_stack([34.0 + 0.01 * np.arange(n), np.full(n, -5.0)])
    return ReferenceCatalog(
        sky=sky,
        covariance=astrometric_covariance(np.full((n, 2), 0.3), np.full((n, 2), 0.1)),
        motion=np.tile([20.0, -30.0], (n, 1)),
        parallax=zeros,
        radial_velocity=zeros,
        epoch=np.full(n, 2016.0),
        mag=np.linspace(18, 20, n),
        identifier=np.array([*GAIA, "Gaia 4444", "Gaia 55555"][:n]),
        name="Gaia DR3",
        origin=str(origin),
    )


def _inputs(exposures):
    return {e.key: FilePair(FileRecord.of(Path(e.source))) for e in exposures.exposures}


def _with_outputs(exposures, folder):
    """Write outputs as a mission writer would; the pairs, and the set as read from those."""
    folder.mkdir()
    pairs, read = {}, []
    for exposure in exposures.exposures:
        fit = exposures.fit(exposure.key)
        applied = fit and fit.transform
        path = folder / exposure.source.name
        path.write_bytes(Path(exposure.source).read_bytes() + (b" corrected" if applied else b""))
        pairs[exposure.key] = FilePair(FileRecord.of(Path(exposure.source)), FileRecord.of(path))
        chips = exposure.chips
        if applied:
            chips = tuple(replace(chip, wcs=chip.wcs.corrected(applied)) for chip in chips)
        read.append(replace(exposure, source=file_source(path), chips=chips))
    return pairs, ExposureSet(exposures.product, tuple(read), association=exposures.association)


def _assert_same_fit(first, second):
    for name in ("status", "reference", "frame", "n_matched", "n_used", "remarks", "governed", "given_by"):
        assert getattr(first, name) == getattr(second, name)
    np.testing.assert_equal(
        (first.rms, first.false_match_probability),
        (second.rms, second.false_match_probability),
    )
    assert (first.transform is None) == (second.transform is None)
    if first.transform is not None:
        np.testing.assert_array_equal(first.transform.matrix, second.transform.matrix)
        np.testing.assert_array_equal(first.transform.shift, second.transform.shift)
        np.testing.assert_array_equal(first.transform.covariance, second.transform.covariance)
        assert first.transform.plane == second.transform.plane
    assert (first.residuals is None) == (second.residuals is None)
    if first.residuals is not None:
        for name in ("source", "matched", "offset", "weight"):
            np.testing.assert_array_equal(getattr(first.residuals, name), getattr(second.residuals, name))


def _assert_same_solution(first, second, keys=None):
    assert set(second.fits) == set(first.fits if keys is None else keys)
    assert first.reference == second.reference
    for key in second.fits:
        _assert_same_fit(first[key], second[key])


def test_checksum_of_a_long_file(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_the_record(field, tmp_path):
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    tree = read_provenance(tmp_path / "p.asdf")
    assert tree["schema_version"] == "1.0.0"
    assert set(tree["software"]) == {"grism_align", "python", "numpy", "astropy", "asdf", "stpipe"}
    assert (tree["product"], tree["association"]) == ("uds-f140w", "uds_asn.json")
    assert tree["activities"][0]["settings"] == {
        "fitgeometry": "rshift",
        "kind": "direct",
        "limits": [1.0, None],
        "path": str(tmp_path),
    }
    assert tree["activities"][0]["counts"] == {"matched": 12}
    attempt = tree["activities"][0]["attempts"][0]
    assert (attempt["service"], attempt["outcome"], attempt["n_rows"]) == ("ESA", "unreachable", 0)
    assert set(tree["activities"][0]) == {one.name for one in fields(Activity)}
    assert set(attempt) == {one.name for one in fields(CatalogAttempt)}
    entry = tree["exposures"]["direct2"]
    assert (entry["kind"], entry["filter"], entry["guide_star"]) == ("direct", "F140W", None)
    assert entry["input"]["path"] == str(field["direct2"].source)
    assert entry["output"] is None
    assert entry["applied"] is None
    assert entry["total"]["transform"]["shift_mas"] == pytest.approx(
        1e3 * field.total["direct2"].transform.at(field["direct2"].plane).shift
    )
    assert entry["total"]["transform"]["roll_deg"] == pytest.approx(0.039)
    assert entry["relative"]["rms"] == 1.25
    assert set(entry["relative"]) == {one.name for one in fields(ExposureFit)} | {"reason"} | {"reason"}
    assert set(tree["sources"]) == {one.name for one in fields(SkySource)}
    assert np.isnan(tree["exposures"]["direct1"]["relative"]["rms"])
    assert tree["exposures"]["direct3"]["total"]["transform"] is None
    assert tree["exposures"]["grism4"]["grism"]["governed"]["exposures"] == ["direct1", "direct2"]
    assert tree["exposures"]["grism4"]["relative"] is None
    assert type(entry["relative"]["residuals"]["offset"]) is np.ndarray


def test_a_set_of_which_nothing_is_known(field, tmp_path):
    bare = ExposureSet("p", field.exposures)
    write_provenance(tmp_path / "p.asdf", bare, _inputs(bare))
    restored = restore(bare, read_provenance(tmp_path / "p.asdf"))
    assert restored.sources == ()
    assert not restored.total.fits
    assert restored.reference_catalog is None


def test_reference_of_a_service_and_of_an_earlier_record(field, tmp_path):
    remote = replace(field, reference_catalog=_reference("TAP service", 5))
    beside = Companions(reference_file="uds_refcat.ecsv")
    write_provenance(tmp_path / "p.asdf", remote, _inputs(field), beside)
    entry = read_provenance(tmp_path / "p.asdf")["reference_catalog"]
    known = [entry[name] for name in ("name", "origin", "n", "sha256", "file")]
    assert known == ["Gaia DR3", "TAP service", 5, None, "uds_refcat.ecsv"]
    later = replace(field, reference_catalog=None)
    beside = Companions(reference_file="new_refcat.ecsv", earlier_reference=entry)
    write_provenance(tmp_path / "q.asdf", later, _inputs(field), beside)
    again = read_provenance(tmp_path / "q.asdf")["reference_catalog"]
    assert again.pop("file") == "new_refcat.ecsv"
    np.testing.assert_equal(again, {name: entry[name] for name in again})
    assert set(again) == set(entry) - {"file"}


def test_the_reference_sources(field, tmp_path):
    """Where they were at the mean epoch, and at the time of each exposure those of its fit."""
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    entry, catalog = read_provenance(tmp_path / "p.asdf")["reference_catalog"], field.reference_catalog
    assert entry["sha256"] == sha256_of(tmp_path / "gaia.ecsv")
    assert entry["file"] is None
    years = {key: field[key].epoch for key in ("direct1", "direct2")}
    assert entry["mean_epoch"] == pytest.approx(np.mean(list(years.values())))
    columns = entry["sources"]
    assert columns["identifier"].tolist() == catalog.identifier.tolist()
    sky = np.column_stack([columns["ra"], columns["dec"]])
    np.testing.assert_array_equal(sky, positions_at(catalog, entry["mean_epoch"]))
    np.testing.assert_array_equal(columns["error"], errors_at(catalog, entry["mean_epoch"]))
    # The third pair was clipped in both fits.
    assert columns["n_fits"].tolist() == [2, 2, 0, 0]
    np.testing.assert_array_equal(columns["mag"], catalog.mag)
    assert set(entry["exposures"]) == set(years)
    for key, year in years.items():
        assert entry["exposures"][key]["epoch"] == year
        expected = positions_at(catalog[[0, 1, 2]], year)
        np.testing.assert_array_equal(entry["exposures"][key]["reference_position"], expected)


def test_a_matched_source_that_the_catalog_does_not_have(field, tmp_path):
    fewer = replace(field, reference_catalog=_reference("TAP service", 2))
    write_provenance(tmp_path / "p.asdf", fewer, _inputs(field))
    entry = read_provenance(tmp_path / "p.asdf")["reference_catalog"]["exposures"]["direct1"]
    assert np.isnan(entry["reference_position"]).any(axis=1).tolist() == [False, False, True]


def test_an_empty_reference_catalog(field, tmp_path):
    """As where no star of a service lies in the field."""
    empty = replace(
        field, reference_catalog=_reference("SELECT " + "ra, " * 2000, 0), absolute=AlignmentSolution()
    )
    write_provenance(tmp_path / "p.asdf", empty, _inputs(field))
    entry = read_provenance(tmp_path / "p.asdf")["reference_catalog"]
    assert entry["n"] == len(entry["sources"]["ra"]) == 0
    assert entry["exposures"] == {}


def test_the_aligned_sources(field, tmp_path):
    found = solved_sources(field)
    write_provenance(tmp_path / "p.asdf", field, _inputs(field), Companions(found, "uds_sources.ecsv"))
    entry = read_provenance(tmp_path / "p.asdf")["aligned_sources"]
    assert (entry["name"], entry["file"]) == ("UDSF140W", "uds_sources.ecsv")
    np.testing.assert_array_equal(np.column_stack([entry["ra"], entry["dec"]]), found.sky)
    np.testing.assert_array_equal(np.column_stack([entry["ra_error"], entry["dec_error"]]), found.error)
    assert entry["identifier"].tolist() == found.identifier.tolist()


def test_records_of_before_these_were_on_it(field, tmp_path):
    """They have neither attempts nor sources, and number the matches of each frame from zero."""

    def older(tree):
        del tree["aligned_sources"]
        for activity in tree["activities"]:
            del activity["attempts"]
        for name in ("file", "mean_epoch", "sources", "exposures"):
            del tree["reference_catalog"][name]
        residuals = tree["exposures"]["direct2"]["relative"]["residuals"]
        residuals["matched"] = np.array([0, 1, 2])

    numbered = tuple(SkySource(n, 34.01, -5.0, 0.7, 21.5, 2014.9, int(n > 3), 2) for n in range(9))
    field = replace(field, sources=numbered)
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    _altered(tmp_path / "p.asdf", older)
    read = ExposureSet(field.product, field.exposures, association=field.association)
    restored = restore(read, read_provenance(tmp_path / "p.asdf"))
    assert restored.activities[0].attempts == ()
    assert restored.relative["direct2"].residuals.matched.tolist() == [4, 5, 6]


def test_readable_without_the_package(field, tmp_path):
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    code = (
        "import asdf, sys\n"
        "with asdf.open('p.asdf') as f:\n"
        "    fit = f['grism_align']['exposures']['direct2']['total']\n"
        "    print(fit['transform']['matrix'], fit['transform']['model'](34.02, -5.0))\n"
        "assert not any(name.startswith('grism_align') for name in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_writing_checks_and_is_atomic(field, tmp_path):
    path = tmp_path / "out" / "p.asdf"
    write_provenance(path, field, _inputs(field))
    before = path.read_bytes()
    files = _inputs(field) | {"direct1": FilePair(FileRecord("a.fits", "no checksum"))}
    with pytest.raises(asdf.ValidationError, match="no checksum"):
        write_provenance(path, field, files)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


_coordinate = st.tuples(st.floats(0, 360), st.floats(-90, 90))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    _coordinate,
    st.tuples(st.floats(-20, 20), st.floats(-20, 20)),
    st.floats(-0.5, 0.5),
    st.floats(0.99, 1.01),
    st.floats(-0.01, 0.01),
)
def test_the_model_is_the_transform(point, shift, roll, scale, skew):
    from grism_align.io.record.encode import _sky_model

    plane = TangentPlane(*point)
    matrix = LinearTransform.from_parameters(plane, roll=roll, scale=scale).matrix @ [[1.0, skew], [0.0, 1.0]]
    transform = LinearTransform(matrix, shift, plane)
    corners = np.array([[0.0, 0.0], [-150, -150], [150, -120], [3.0, 180], [-90, 10.0]])
    sky = plane.to_sky(corners)
    assert _mas_apart(np.column_stack(_sky_model(transform)(*sky.T)), transform.apply_to_sky(sky)) < 1e-3


def test_the_model_survives_the_file(field, tmp_path):
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    model = read_provenance(tmp_path / "p.asdf")["exposures"]["direct2"]["total"]["transform"]["model"]
    sky = field["direct2"].chips[0].wcs.to_sky(PIXELS)
    moved = field.total["direct2"].transform.apply_to_sky(sky)
    assert _mas_apart(np.column_stack(model(*sky.T)), moved) < 1e-3
    assert _mas_apart(np.column_stack(model.inverse(*moved.T)), sky) < 1e-3


def test_restore_from_inputs(field, tmp_path):
    write_provenance(tmp_path / "p.asdf", field, _inputs(field))
    read = ExposureSet(field.product, field.exposures, association=field.association)
    restored = restore(read, read_provenance(tmp_path / "p.asdf"))
    for step in ("relative", "absolute", "grism", "total"):
        _assert_same_solution(getattr(field, step), getattr(restored, step))
    for one, other in zip(restored.sources, field.sources, strict=True):
        np.testing.assert_equal(astuple(one), astuple(other))
    assert restored.exposures == field.exposures
    assert restored.parameter_file == "wfc3_ir.asdf"
    assert [activity.step for activity in restored.activities] == ["relative_align", "visit_mosaic"]
    assert [a.attempts for a in restored.activities] == [a.attempts for a in field.activities]
    assert not read.relative.fits


def test_restore_from_outputs_takes_the_correction_off(field, tmp_path):
    pairs, read = _with_outputs(field, tmp_path / "out")
    write_provenance(tmp_path / "p.asdf", field, pairs)
    restored = restore(read, read_provenance(tmp_path / "p.asdf"))
    _assert_same_solution(field.total, restored.total)
    for before, corrected, after in zip(field.exposures, read.exposures, restored.exposures, strict=True):
        total = field.total[before.key].transform
        assert (after.applied is None) == (total is None)
        for chips in zip(before.chips, corrected.chips, after.chips, strict=True):
            raw, moved, undone = (chip.wcs.to_sky(PIXELS) for chip in chips)
            assert _mas_apart(raw, undone) < 1e-4
            if total is not None:
                assert _mas_apart(raw, moved) > 50
                assert _mas_apart(after.applied.apply_to_sky(undone), moved) < 1e-4
        assert before.plane.coincides(after.plane)


def test_restore_in_two_stages(field, tmp_path):
    relative_only = replace(field, absolute=AlignmentSolution(), grism=AlignmentSolution())
    pairs, read = _with_outputs(relative_only, tmp_path / "first")
    write_provenance(tmp_path / "p.asdf", relative_only, pairs)
    halfway = restore(read, read_provenance(tmp_path / "p.asdf"))
    # the next step goes on from what it restored, and its inputs are already corrected
    further = replace(halfway, absolute=field.absolute, grism=field.grism)
    records = {e.key: FilePair(FileRecord.of(Path(e.source))) for e in further.exposures}
    write_provenance(tmp_path / "q.asdf", further, records)
    restored = restore(read, read_provenance(tmp_path / "q.asdf"))
    _assert_same_solution(field.total, restored.total)
    applied = restored["direct2"].applied
    np.testing.assert_array_equal(applied.matrix, field.relative["direct2"].transform.matrix)
    undone = restored["direct2"].chips[1].wcs.to_sky(PIXELS)
    assert _mas_apart(undone, field["direct2"].chips[1].wcs.to_sky(PIXELS)) < 1e-4


def test_files_not_on_record_stay_as_they_are(field, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    pairs, read = _with_outputs(field, tmp_path / "out")
    write_provenance(tmp_path / "p.asdf", field, pairs)
    tree = read_provenance(tmp_path / "p.asdf")
    changed, renamed, _, gone = read.exposures
    Path(changed.source).write_bytes(b"something else")
    renamed = replace(renamed, source=file_source(shutil.move(renamed.source, tmp_path / "renamed.fits")))
    Path(gone.source).unlink()
    new = _exposure(tmp_path, "direct5")
    now = replace(read, exposures=(changed, renamed, read["direct3"], gone, new))
    restored = restore(now, tree)
    assert restored.exposures == now.exposures
    _assert_same_solution(field.relative, restored.relative, ["direct3"])
    assert not restored.absolute.fits
    assert not restored.grism.fits
    assert caplog.text.count("not the file on record") == 3
    assert caplog.text.count("direct5_flt.fits: not on record") == 1
    only_new = ExposureSet("p", (new,))
    assert restore(only_new, tree) is only_new


def test_a_correction_that_the_reader_knows_is_not_taken_off_twice(field, tmp_path):
    pairs, read = _with_outputs(field, tmp_path / "out")
    write_provenance(tmp_path / "p.asdf", field, pairs)
    total = field.total["direct2"].transform
    known = replace(field["direct2"], source=read["direct2"].source, applied=total)
    restored = restore(ExposureSet("p", (known,)), read_provenance(tmp_path / "p.asdf"))
    assert restored["direct2"] == known
    assert "direct2" in restored.absolute


def _altered(path, change):
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        tree = dict(file.tree)
    change(tree["grism_align"])
    asdf.AsdfFile({"grism_align": tree["grism_align"]}).write_to(path)


def test_unusable_files(field, tmp_path):
    def refused(name):
        with pytest.raises(InputError) as caught:
            read_provenance(tmp_path / name)
        assert name in str(caught.value)
        assert caught.value.remedy
        return caught.value.problem

    assert "no such" in refused("none.asdf")
    (tmp_path / "text.asdf").write_text("hello")
    assert "not a readable ASDF" in refused("text.asdf")
    (tmp_path / "broken.asdf").write_text("#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n---\n{a: [\n...\n")
    assert "not a readable ASDF" in refused("broken.asdf")
    write_provenance(tmp_path / "whole.asdf", field, _inputs(field))
    content = (tmp_path / "whole.asdf").read_bytes()
    for cut in (200, len(content) // 3, content.index(b"BLK") + 100):
        (tmp_path / "cut.asdf").write_bytes(content[:cut])
        assert "not a readable ASDF" in refused("cut.asdf")
    asdf.AsdfFile({"roman": {}}).write_to(tmp_path / "other.asdf")
    assert "not a provenance file" in refused("other.asdf")
    for name, change, problem in (
        ("version", lambda tree: tree.update(schema_version="2.0.0"), "version 2.0.0 of the schema"),
        ("lacking", lambda tree: tree.pop("sources"), "doesn't follow the schema ('sources'"),
        ("shape", lambda tree: tree["sources"].update(ra=np.zeros((2, 2))), "doesn't follow the schema"),
        ("outcome", lambda tree: tree["activities"][0].update(outcome="perhaps"), "doesn't follow"),
        ("attempt", lambda tree: tree["activities"][0]["attempts"][0].pop("url"), "doesn't follow"),
        ("columns", lambda tree: tree["reference_catalog"]["sources"].pop("mag"), "doesn't follow"),
        ("aligned", lambda tree: tree.update(aligned_sources={}), "doesn't follow"),
        (
            "status",
            lambda tree: tree["exposures"]["direct1"]["relative"].update(status="FINE"),
            "doesn't follow the schema",
        ),
    ):
        path = tmp_path / f"{name}.asdf"
        write_provenance(path, field, _inputs(field))
        _altered(path, change)
        assert problem in refused(path.name)
