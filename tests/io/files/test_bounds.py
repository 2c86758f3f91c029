"""Bytes, YAML and ASDF of others: no more than there may be, and nothing from elsewhere."""

from __future__ import annotations

import gzip
import io
import os

import asdf
import numpy as np
import pytest
from astropy.io import fits

from grism_align.io.files.asdf_bounds import check_asdf
from grism_align.io.files.bounded import read_start, read_whole
from grism_align.io.files.fits import open_fits
from grism_align.io.files.yaml_bounds import check_yaml
from grism_align.values.errors import InputError


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_are_counted_as_they_unpack(tmp_path, pack):
    path = tmp_path / "x"
    path.write_bytes(pack(b"a" * 1000))
    assert read_whole(path, 1000) == b"a" * 1000
    assert read_start(path, 999) is None
    with pytest.raises(InputError) as caught:
        read_whole(path, 999)
    assert caught.value.path == str(path)


def test_what_can_not_be_read_to_its_end(tmp_path):
    (tmp_path / "cut").write_bytes(gzip.compress(os.urandom(1000))[:-9])
    os.mkfifo(tmp_path / "pipe")
    for name in ("cut", "pipe", "none", "."):
        with pytest.raises(InputError):
            read_whole(tmp_path / name, 1000)


def _bomb(levels):
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join([*lines, *(f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels))])


@pytest.mark.parametrize(
    "text",
    [_bomb(9), "[" * 200 + "]" * 200, "a: &a [1, *a]", "a: &a {b: {c: *a}}", "{a: " * 200 + "1" + "}" * 200],
    ids=["aliases", "deep", "in itself", "further in itself", "deep mappings"],
)
def test_yaml_that_would_fill_the_memory(text):
    with pytest.raises(ValueError, match=r"alias|deep"):
        check_yaml(text)


def test_yaml_of_ours_passes():
    seen = []
    check_yaml("{a: &a [1, 2], b: *a, c: {shape: [3, 4], d: [[1]]}}\n---\n[1]", seen.append)
    assert seen == [{"shape": ["3", "4"], "d": None}, {"a": ["1", "2"], "b": None, "c": None}]


def _asdf(**options):
    buffer = io.BytesIO()
    asdf.AsdfFile({"a": np.arange(1000), "b": np.arange(12.0).reshape(3, 4).T}).write_to(buffer, **options)
    return buffer.getvalue()


def test_asdf_that_stands_alone_passes():
    check_asdf(_asdf())
    check_asdf(_asdf(all_array_storage="inline"))
    of_fits = _asdf(include_block_index=False).replace(b"source: 0", b"source: 'fits:SCI,1'")
    check_asdf(of_fits, sources="fits:")


@pytest.mark.parametrize(
    "source", ["http://127.0.0.1:9/x.asdf", "file:///etc/x.asdf", "other.asdf", "fits:SCI,1"]
)
@pytest.mark.parametrize("key", ["source", '"sou\\x72ce"', "? source\n  "])
def test_asdf_whose_arrays_are_elsewhere(source, key):
    tree = f"#ASDF 1.0.0\n%YAML 1.1\n---\na:\n  {key}: '{source}'\n  shape: [4]\n...\n"
    with pytest.raises(ValueError, match="outside the file"):
        check_asdf(tree.encode())


@pytest.mark.parametrize(
    "content",
    [
        _asdf(all_array_compression="zlib"),
        _asdf(all_array_compression="bzp2"),
        _asdf()[:-5000],
        b"#ASDF 1.0.0\n---\na: {$ref: 'other.asdf#/a'}\n...\n",
        b"#ASDF 1.0.0\n---\na: {source: 0, shape: [100000, 100000], strides: [0, 0]}\n...\n",
        b"#ASDF 1.0.0\n---\na: {strides: [1, 1], source: 0, shape: [10000, 10000]}\n...\n",
        b"SIMPLE  =",
        b"#ASDF 1.0.0\n---\n" + _bomb(9).encode() + b"\n...\n",
    ],
    ids=["zlib", "bzip2", "cut", "reference", "no strides", "folded", "no ASDF", "aliases"],
)
def test_asdf_that_is_larger_than_it_seems(content):
    with pytest.raises(ValueError, match=r"\w"):
        check_asdf(content)


def test_an_index_that_leads_elsewhere():
    whole = _asdf()
    start = whole.index(b"#ASDF BLOCK INDEX")
    changed = whole[:start] + whole[start:].replace(b"- ", b"- 1", 1)
    check_asdf(whole)
    with pytest.raises(ValueError, match="index"):
        check_asdf(changed)


def _header(**cards):
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    extension = fits.Header(
        [("XTENSION", "BINTABLE"), ("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 0), ("NAXIS2", 0)]
    )
    extension.update({"PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 0, **cards})
    return header.tostring().encode() + extension.tostring().encode()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    "content",
    [
        _header(NAXIS1=10**20),
        _header(NAXIS=10**9),
        _header(TFIELDS=10**8),
        _header(ZIMAGE=True, ZNAXIS=2, ZNAXIS1=10**5, ZNAXIS2=10**5, ZBITPIX=-32),
        _header(ZIMAGE=True, ZNAXIS=2, ZNAXIS1=10, ZNAXIS2=10, ZTILE1=10**6, ZTILE2=10**6),
        b"SIMPLE  =                    T".ljust(80) + b" " * 80 * 40_000,
        fits.PrimaryHDU().header.tostring().encode() + 2100 * _header()[2880:],
    ],
    ids=["NAXIS1", "NAXIS", "TFIELDS", "ZNAXIS", "ZTILE", "no END", "extensions"],
)
def test_fits_files_that_say_to_be_huge(tmp_path, content, pack):
    path = tmp_path / "x.fits"
    path.write_bytes(pack(content))
    with pytest.raises(InputError) as caught, open_fits(path):
        pass
    assert caught.value.path == str(path)
