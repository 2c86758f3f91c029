from __future__ import annotations

import re

import numpy as np
import pytest

from grism_align.io.export.regions import region_lines, write_regions
from grism_align.io.record.file import write_record
from grism_align.io.report.contents import Contents
from grism_align.values.errors import OutputError
from grism_align.values.failure import NoSources
from grism_align.values.solution import ExposureFit
from tests.support.reports import N_SOURCES, PLANE, changed, field, record

PLACE = re.compile(r"\w+\((?P<ra>[\d.]+),(?P<dec>[-\d.]+)")


def _places(lines, tag):
    chosen = [PLACE.match(line) for line in lines if f"tag={{{tag}}}" in line]
    return np.array([(float(one["ra"]), float(one["dec"])) for one in chosen])


@pytest.mark.parametrize("tied", [True, False])
def test_sources_are_where_the_corrected_wcs_has_them(tied):
    exposures = field(n_visits=1, tied=tied)
    contents = Contents(record(exposures))
    entry = contents.direct[1]
    lines = region_lines(contents, entry)
    assert lines[2] == "icrs"
    found = {tag: _places(lines, tag) for tag in ("matched", "rejected")}
    assert len(found["matched"]) == N_SOURCES - 4
    assert len(found["rejected"]) == 4
    fit = exposures.relative[entry.key]
    sky = np.array([(source.ra, source.dec) for source in exposures.sources])
    sky = PLANE.to_sky(PLANE.to_plane(sky) + fit.residuals.offset / 1e3)
    if tied:
        sky = exposures.absolute[entry.key].transform.apply_to_sky(sky)
    # places have seven decimals of a degree
    assert found["matched"] == pytest.approx(sky[fit.residuals.weight > 0], abs=1e-7)


def test_reference_sources_used_and_not():
    exposures = field(n_visits=1)
    contents = Contents(record(exposures))
    lines = region_lines(contents, contents.direct[0])
    assert len(_places(lines, "reference")) == 11
    assert len(_places(lines, "unused reference")) == 1
    assert any("text={S3}" in line for line in lines)
    entry = contents.record.reference_catalog.exposures[contents.direct[0].key]
    assert _places(lines, "reference") == pytest.approx(entry.reference_position[:11], abs=1e-7)


def test_a_file_an_exposure_but_for_those_that_failed(tmp_path):
    exposures = field(n_visits=1, tied=False)
    exposures = changed(exposures, exposures.direct[1].key, ExposureFit.failed(NoSources(6.0)))
    source = tmp_path / "field_provenance.asdf"
    write_record(source, record(exposures))
    written = write_regions(source, tmp_path / "regions")
    assert [path.name for path in written] == [f"{exposures.direct[0].key}.reg"]
    assert written[0].read_text().startswith("# Region file format: DS9")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_regions(record(exposures), tmp_path / "file")
