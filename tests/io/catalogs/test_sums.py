"""The SHA-256 of a catalog is of the file that was read."""

from __future__ import annotations

import pytest

from grism_align.io.catalogs import reference
from grism_align.io.catalogs.reference import read_reference_catalog
from grism_align.io.files.checksums import sha256_of
from grism_align.values.errors import ChangedError, InputError

TEXT = "ra,dec\n53.0,-27.8\n53.1,-27.7\n"


def test_it_is_taken_when_the_catalog_is_read(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text(TEXT)
    catalog = read_reference_catalog(path)
    known = sha256_of(path)
    path.write_text("another")
    assert catalog.sha256 == catalog[[0]].sha256 == known


def test_a_catalog_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path, read = tmp_path / "stars.csv", reference.read_table
    path.write_text(TEXT)

    def changing(given):
        table = read(given)
        path.write_text(TEXT + "53.2,-27.6\n")
        return table

    monkeypatch.setattr(reference, "read_table", changing)
    with pytest.raises(ChangedError):
        read_reference_catalog(path)


def test_a_missing_catalog_is_told_by_who_reads_it(tmp_path):
    with pytest.raises(InputError):
        read_reference_catalog(tmp_path / "none.csv")
