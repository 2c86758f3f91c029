"""Tables as files."""

import sys

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from grism_align.io.catalogs.tables import read_table
from grism_align.io.files import ecsv
from grism_align.io.files.tables import write_table
from grism_align.values.errors import InputError, OutputError


def test_without_the_libraries_for_parquet_an_error_tells_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1" + bytes(20))
    before = path.read_bytes()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pandas", "pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(OutputError, match=r"Install grism_align\[parquet\]"):
        write_table(Table({"ra": [1.0]}), path)
    with pytest.raises(InputError, match=r"Install grism_align\[parquet\]"):
        read_table(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_long_tables_are_written_as_astropy_writes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(ecsv, "_TOGETHER", 3)
    texts = np.array(["x", "a b", "", 'q"r', "#c", "é", "it's", "a,b"])
    table = Table(
        {
            "text": texts,
            "number": MaskedColumn([1.5, 2, 3e-300, np.nan, np.inf, 1e22, -0.0, 0.3], mask=[0, 1] + [0] * 6),
            "row": MaskedColumn(np.arange(8), mask=[1] + [0] * 7),
            "is": np.arange(8) > 3,
            "single": np.arange(8, dtype=np.float32) / 3,
            "gap": MaskedColumn(texts, mask=[1] + [0] * 7),
        },
        meta={"product": "p"},
    )
    table["number"].unit, table["number"].description = "mas", "what it is"
    write_table(table, tmp_path / "ours.ecsv")
    table.write(tmp_path / "theirs.ecsv", format="ascii.ecsv")
    assert (tmp_path / "ours.ecsv").read_text() == (tmp_path / "theirs.ecsv").read_text()
