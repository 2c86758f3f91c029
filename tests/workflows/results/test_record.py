"""What is put on record of exposures, of the solution's sources and of the reference catalog."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.absolute.epoch import errors_at, positions_at
from grism_align.algorithms.absolute.source_list import frame_numbers, solved_sources
from grism_align.io.files.checksums import sha256_of
from grism_align.values.exposure import ExposureKind
from grism_align.values.solution import AlignmentSolution
from grism_align.workflows.results.record import aligned_sources, make_record, reference_record
from tests.support.recorded_fields import inputs, recorded_field, reference


@pytest.fixture
def field(tmp_path):
    return recorded_field(tmp_path)


def test_the_record_of_a_set(field):
    record = make_record(field, inputs(field))
    assert set(record.software) == {"grism_align", "python", "numpy", "astropy", "asdf", "stpipe"}
    assert (record.product, record.association) == ("uds-f140w", "uds_asn.json")
    assert (record.parameter_file, record.activities) == ("wfc3_ir.asdf", field.activities)
    assert record.activity("relative_align").note == "fine"
    assert record.activity("absolute_align") is None
    references = record.references
    assert (references.relative, references.absolute, references.grism) == ("direct1", "Gaia DR3", "")
    assert record.sources is field.sources
    assert record.reference_catalog is record.aligned_sources is record.stamps is None
    assert list(record.exposures) == [one.key for one in field.exposures]
    bare = make_record(replace(field, association=replace(field.association, origin="")), inputs(field))
    assert bare.association == ""


def test_the_record_of_an_exposure(field):
    entry = make_record(field, inputs(field)).exposures["direct2"]
    own = field["direct2"]
    assert (entry.kind, entry.filter, entry.guide_star) == (ExposureKind.DIRECT, "F140W", None)
    assert (entry.input.path, entry.input.sha256) == (str(own.source), sha256_of(own.source))
    assert entry.output is entry.applied is None
    assert entry.relative is field.relative["direct2"]
    assert [chip.number for chip in entry.input_wcs.chips] == [1, 2]
    np.testing.assert_array_equal(entry.input_wcs.chips[1].sky[0], own.chips[1].wcs.to_sky([[0.0, 0.0]])[0])
    total = field.total["direct2"].transform
    there = total.at(own.plane)
    np.testing.assert_allclose(entry.displacement.shift, 1e3 * there.shift)
    assert (entry.displacement.roll, entry.displacement.error) == (there.roll, 1e3 * there.axis_error)
    assert entry.total.residuals is None
    assert entry.total.transform.shift.tolist() == total.shift.tolist()


def test_what_has_no_correction_or_no_fit(field):
    entries = make_record(field, inputs(field)).exposures
    assert entries["direct3"].displacement is None
    assert entries["direct3"].total.remarks == field.relative["direct3"].remarks
    # the exposure that fixes the frame is moved with it
    assert np.isnan(entries["direct1"].relative.rms)
    assert entries["grism4"].relative is None
    assert entries["grism4"].total.governors == ("direct1", "direct2")
    bare = replace(field, grism=AlignmentSolution())
    assert make_record(bare, inputs(field)).exposures["grism4"].total is None


def test_the_reference_catalog(field, tmp_path):
    """Where its sources were at the mean epoch, and at the time of each exposure those of its fit."""
    catalog = replace(field.reference_catalog, sha256="of what was read")
    entry = reference_record(field, catalog, None)
    assert (entry.sha256, entry.file) == ("of what was read", None)
    years = {key: field[key].epoch for key in ("direct1", "direct2")}
    assert entry.mean_epoch == pytest.approx(np.mean(list(years.values())))
    assert entry.sources.identifier.tolist() == catalog.identifier.tolist()
    sky = np.column_stack([entry.sources.ra, entry.sources.dec])
    np.testing.assert_array_equal(sky, positions_at(catalog, entry.mean_epoch))
    np.testing.assert_array_equal(entry.sources.error, errors_at(catalog, entry.mean_epoch))
    # The third pair was clipped in both fits.
    assert entry.sources.n_fits.tolist() == [2, 2, 0, 0]
    np.testing.assert_array_equal(entry.sources.mag, catalog.mag)
    assert set(entry.exposures) == set(years)
    for key, year in years.items():
        assert entry.exposures[key].epoch == year
        expected = positions_at(catalog[[0, 1, 2]], year)
        np.testing.assert_array_equal(entry.exposures[key].reference_position, expected)


def test_a_catalog_of_a_service(field):
    entry = reference_record(field, reference("TAP service", 5), "uds_refcat.ecsv")
    known = (entry.name, entry.origin, entry.n, entry.sha256, entry.file)
    assert known == ("Gaia DR3", "TAP service", 5, None, "uds_refcat.ecsv")


def test_a_matched_source_that_the_catalog_does_not_have(field):
    entry = reference_record(field, reference("TAP service", 2), None).exposures["direct1"]
    assert np.isnan(entry.reference_position).any(axis=1).tolist() == [False, False, True]


def test_an_empty_reference_catalog(field):
    """As where no star of a service lies in the field."""
    bare = replace(field, absolute=AlignmentSolution())
    entry = reference_record(bare, reference("SELECT " + "ra, " * 2000, 0), None)
    assert entry.n == len(entry.sources.ra) == 0
    assert entry.exposures == {}


def test_the_aligned_sources(field):
    found = solved_sources(field)
    entry = aligned_sources(found, "uds_sources.ecsv")
    assert (entry.name, entry.file) == ("UDSF140W", "uds_sources.ecsv")
    np.testing.assert_array_equal(np.column_stack([entry.ra, entry.dec]), found.sky)
    np.testing.assert_array_equal(np.column_stack([entry.ra_error, entry.dec_error]), found.error)
    assert entry.identifier.tolist() == found.identifier.tolist()
    assert entry.frame.tolist() == frame_numbers(found).tolist()
    assert aligned_sources(None, None) is None
