"""Checksums of files."""

from __future__ import annotations

import hashlib
import os

from grism_align.io.files.checksums import file_record, sha256_of


def test_checksum_of_a_long_file(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    assert sha256_of(tmp_path / "a") == digest
    record = file_record(tmp_path / "a")
    assert (record.path, record.sha256) == (str(tmp_path / "a"), digest)
