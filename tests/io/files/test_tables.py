"""Tables as files."""

import sys

import pytest
from astropy.table import Table

from grism_align.io.catalogs.tables import read_table
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
