import numpy as np
import pytest
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.io.catalogs.sources import read_source_catalog, write_source_catalog
from grism_align.io.files.builtin import to_builtin
from grism_align.values.catalog import SourceCatalog, SourceFlag
from grism_align.values.errors import InputError
from grism_align.values.failure import NoSources, remark_entry


def _catalog(rng, n=7, meta=None):
    names = SourceCatalog.empty().table.colnames
    columns = {name: rng.uniform(0, 1000, n) for name in names}
    columns["chip"] = np.ones(n)
    columns["flags"] = rng.integers(0, 64, n)
    columns["mag"][:1] = np.nan
    return SourceCatalog.from_columns(columns, meta)


def _assert_same(first, second):
    assert first.table.colnames == second.table.colnames
    for name in first.table.colnames:
        np.testing.assert_array_equal(first.table[name], second.table[name])
        assert first.table[name].dtype == second.table[name].dtype
        assert first.table[name].unit == second.table[name].unit


@pytest.mark.parametrize("n", [0, 1, 50])
def test_round_trip_is_exact(tmp_path, n):
    catalog = _catalog(np.random.default_rng(1), n)
    write_source_catalog(catalog, tmp_path / "a.ecsv")
    _assert_same(catalog, read_source_catalog(tmp_path / "a.ecsv"))


def test_display_formats_do_not_round(tmp_path):
    catalog = _catalog(np.random.default_rng(2))
    catalog.table["x"].info.format = "%.1f"
    write_source_catalog(catalog, str(tmp_path / "a.ecsv"))
    _assert_same(catalog, read_source_catalog(str(tmp_path / "a.ecsv")))
    assert catalog.table["x"].info.format == "%.1f"


def test_meta_and_descriptions(tmp_path):
    meta = {
        "remarks": [remark_entry(NoSources(6.0))],
        "settings": {"threshold": np.float64(3.5), "avoid": SourceFlag.EDGE, "path": tmp_path, "sky": None},
        "counts": {"detected": np.int64(12), "kept": 4},
        "limits": (1.5, float("nan")),
    }
    write_source_catalog(SourceCatalog.empty(meta), tmp_path / "a.ecsv")
    table = Table.read(tmp_path / "a.ecsv")
    assert all(table[name].description for name in table.colnames)
    assert table.meta["settings"] == {"threshold": 3.5, "avoid": 1, "path": str(tmp_path), "sky": None}
    assert table.meta["counts"] == {"detected": 12, "kept": 4}
    assert table.meta["limits"][0] == 1.5
    assert np.isnan(table.meta["limits"][1])
    assert read_source_catalog(tmp_path / "a.ecsv").remarks == (NoSources(6.0),)


def test_more_columns_are_kept_and_missing_units_set(tmp_path):
    table = _catalog(np.random.default_rng(3)).table
    table["class"] = "star"
    table["x"].unit = None
    table["chip"] = table["chip"].astype("int32")
    table.write(tmp_path / "a.ecsv")
    read = read_source_catalog(tmp_path / "a.ecsv").table
    assert list(read["class"]) == ["star"] * len(read)
    assert read["x"].unit == "pix"
    assert read["chip"].dtype == np.int64


def test_failures_name_file_problem_and_remedy(tmp_path):
    def refused(name):
        with pytest.raises(InputError) as caught:
            read_source_catalog(tmp_path / name)
        assert name in str(caught.value)
        assert caught.value.remedy
        return caught.value.problem

    assert "no such" in refused("missing.ecsv")
    (tmp_path / "text.ecsv").write_text("hello\n")
    assert "not an ECSV" in refused("text.ecsv")
    (tmp_path / "binary.ecsv").write_bytes(bytes(range(256)))
    assert "not an ECSV" in refused("binary.ecsv")
    Table({"ra": [1.0], "x": [2.0]}).write(tmp_path / "other.ecsv")
    assert "id, chip, y" in refused("other.ecsv")

    good = _catalog(np.random.default_rng(4)).table
    for name, column, problem in (
        ("texts", ["a"] * 7, "not float64"),
        ("arcsec", Table({"x": good["x"]})["x"].quantity.value, "is in arcsec"),
        ("blank", np.ma.masked_greater(good["x"], 0.0), "blank"),
    ):
        table = good.copy()
        table["x"] = column
        if name == "arcsec":
            table["x"].unit = "arcsec"
        table.write(tmp_path / f"{name}.ecsv")
        assert problem in refused(f"{name}.ecsv")


_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
_plain = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


@settings(derandomize=True, deadline=None)
@given(_plain)
def test_plain_leaves_plain_values(value):
    assert to_builtin(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        ((np.int16(1), {"b", "a"}), [1, ["a", "b"]]),
        ({1: np.str_("x")}, {"1": "x"}),
        (SourceFlag.EDGE | SourceFlag.TRAILED, 17),
    ],
)
def test_plain_reduces(value, expected):
    result = to_builtin(value)
    assert result == expected
    assert type(result) is type(expected)
