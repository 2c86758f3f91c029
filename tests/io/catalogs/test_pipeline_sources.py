"""Source catalogs of romancal: which positions are taken, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from grism_align.io.catalogs.sources import read_source_catalog
from grism_align.values.catalog import SourceFlag
from grism_align.values.errors import InputError


def columns(n=6):
    """Fluxes of 1 uJy in nJy: 23.9 mag."""
    x = np.arange(10.0, 10.0 + n)
    return {
        "label": np.arange(1, n + 1),
        "x_centroid": x + 0.5,
        "y_centroid": x,
        "x_psf": x,
        "y_psf": x + 100,
        "x_psf_err": np.full(n, 0.01),
        "y_psf_err": np.full(n, 0.02),
        "psf_flux": np.full(n, 1000.0),
        "psf_flux_err": np.full(n, 10.0),
        "warning_flags": np.array([0, 1, 2, 0, 0, 0][:n]),
        "ellipticity": np.full(n, 0.1),
    }


def written(path, found):
    if path.suffix == ".parquet":
        pq.write_table(pa.table(found), path)
    else:
        Table(found).write(path, format="ascii.ecsv")
    return path


@pytest.mark.parametrize("name", ["x_cat.parquet", "x_cat.ecsv"])
def test_positions_of_the_psf_are_taken(tmp_path, name):
    found = columns()
    found["x_psf_err"][3], found["x_psf"][4] = np.nan, np.nan
    catalog = read_source_catalog(written(tmp_path / name, found))
    np.testing.assert_array_equal(catalog.xy[:3], np.column_stack([found["x_psf"], found["y_psf"]])[:3])
    np.testing.assert_array_equal(catalog.xy_error[0], [0.01, 0.02])
    none, bad = int(SourceFlag.NO_CENTROID), int(SourceFlag.MASKED_CORE)
    assert catalog.flags.tolist() == [0, bad, 0, none, none, 0]
    assert catalog.table["mag"][0] == pytest.approx(23.9, abs=1e-3)
    assert catalog.table["snr"][0] == pytest.approx(100.0)


def test_without_a_fit_of_the_psf(tmp_path):
    found = {name: one for name, one in columns().items() if "psf" not in name}
    with pytest.raises(InputError, match="no positions by the PSF"):
        read_source_catalog(written(tmp_path / "x_cat.parquet", found))


def test_another_parquet_file(tmp_path):
    with pytest.raises(InputError, match="no source catalog"):
        read_source_catalog(written(tmp_path / "x.parquet", {"ra": np.arange(3.0)}))
