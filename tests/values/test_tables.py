"""Tables of the results: what is on record, with units."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest

from grism_align.values.failure import NoSources
from grism_align.values.solution import ExposureFit
from grism_align.values.tables import TABLES, results_table
from tests.support.reports import field
from tests.support.reports import record as recorded


@pytest.fixture(scope="module")
def record():
    return recorded(field())


@pytest.mark.parametrize("name", TABLES)
def test_columns_say_what_they_are(record, name):
    for exposures in (record.exposures, {}):
        table = results_table(name, exposures, "field")
        assert table.meta["product"] == "field"
        for column in table.itercols():
            assert column.description
            assert column.unit is None or u.Unit(column.unit).is_equivalent((u.mas, u.pix, u.day, u.mag))


def test_a_row_is_an_exposure(record):
    table = results_table("fits", record.exposures)
    assert table["exposure"].tolist() == list(record.exposures)
    for row, one in zip(table, record.exposures.values(), strict=True):
        shift = [row["shift_east"], row["shift_north"]]
        np.testing.assert_allclose(shift, one.displacement.shift, atol=1e-3)
        assert row["shift_px"] == pytest.approx(np.hypot(*one.displacement.shift) / one.pixel_side, abs=1e-5)
        assert row["error"] == pytest.approx(one.displacement.error, abs=1e-4)
        assert row["error_px"] == pytest.approx(row["error"] / one.pixel_side, abs=1e-4)
        assert row["status"] == one.total.status.value
        assert row["governed_by"] == " ".join(one.total.governors)
        assert row["kind"] == one.kind.value
        if one.is_direct:
            assert row["matched"] == one.relative.n_matched
            assert row["catalog_used"] == one.absolute.n_used
            assert row["catalog"] == one.absolute.reference
        else:
            assert row["matched"] is np.ma.masked
            assert row["catalog_rms"] is np.ma.masked


def test_what_nobody_knows_is_masked(record):
    key, one = next(iter(record.exposures.items()))
    failed = replace(one, relative=ExposureFit.failed(NoSources(6.0)), absolute=None)
    unfitted = replace(one, relative=None, absolute=None)
    table = results_table("fits", {key: failed, "other": unfitted})
    assert table["status"].tolist() == ["FAILED", "not fitted"]
    assert table["codes"].tolist() == ["NO_SOURCES", ""]
    assert table["reason"][0] == str(NoSources(6.0))
    assert all(table["advice"][:1])
    for name in ("shift_east", "roll", "error_px", "matched", "rms", "frame"):
        assert table[name].mask.all()


def test_a_row_is_a_measurement(record):
    table = results_table("matches", record.exposures)
    for key, one in record.exposures.items():
        for step in ("relative", "absolute"):
            rows = table[(table["exposure"] == key) & (table["fit"] == step)]
            fit = getattr(one, step)
            if fit is None or fit.residuals is None:
                assert len(rows) == 0
                continue
            assert rows["matched"].tolist() == fit.residuals.matched.astype(str).tolist()
            residual = np.column_stack([np.array(rows[f"residual_{axis}"]) for axis in ("east", "north")])
            np.testing.assert_allclose(residual, fit.residuals.offset, atol=1e-4)
            np.testing.assert_allclose(rows["weight"], fit.residuals.weight, atol=1e-5)
