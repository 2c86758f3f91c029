"""Products that other files have overtaken say so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from grism_align.cli import main
from grism_align.io.files.checksums import sha256_of
from grism_align.io.record.file import read_record
from grism_align.simulation import SceneSettings, case_a, simulate
from grism_align.workflows.load import load
from grism_align.workflows.results.superseded import SUPERSEDED, left_there, leftovers, products_before

KEYS = ("idem01a1q", "idem01a2q", "idem02a1q", "idem02a2q")
FIRST, SECOND = KEYS[:2], KEYS[2:]
KINDS = {"a1": "direct_image", "a2": "science"}
OUT_OF_DATE = "This page is out of date"


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    """Two visits of a direct and a grism exposure; nobody looks for sources."""
    empty, folder = SceneSettings(star_density=1.0, galaxy_density=1.0), tmp_path_factory.mktemp("fetched")
    simulate(replace(case_a(size=64, n_pairs=1), scene=empty), folder, np.random.default_rng(2))
    return folder


@pytest.fixture
def raw(fetched, tmp_path):
    """These in a folder of their own, to be changed."""
    return shutil.copytree(fetched, tmp_path / "raw")


@pytest.fixture
def shift(raw, tmp_path):
    """Correct exposures, as one product, by a table; the folder of the products."""

    def run(product, keys, *place):
        asn, table = raw / f"{product}_asn.json", tmp_path / "mine.csv"
        members = [{"expname": f"{key}_flt.fits", "exptype": KINDS[key[6:8]]} for key in keys]
        asn.write_text(json.dumps({"products": [{"name": product, "members": members}]}))
        table.write_text("exposure,dra,ddec\n" + "".join(f"{key},0.1,0.2\n" for key in keys))
        words = place or ["--output_dir", str(tmp_path / "out")]
        assert main(["shift", str(table), str(asn), *words]) == 0
        return raw if place else tmp_path / "out"

    return run


def page(folder, product):
    return (folder / f"{product}_report.html").read_text()


def test_a_page_names_the_files_that_it_speaks_of(shift):
    out = shift("one", KEYS)
    for key in KEYS:
        assert sha256_of(out / f"{key}_flt.fits") in page(out, "one")
    assert OUT_OF_DATE not in page(out, "one")


@pytest.mark.parametrize("keys", [pytest.param(KEYS, marks=pytest.mark.slow), SECOND])
def test_another_product_in_the_same_folder(shift, keys):
    out = shift("one", KEYS)
    record = (out / "one_provenance.asdf").read_bytes()
    shift("two", keys)
    assert OUT_OF_DATE in page(out, "one")
    assert f"{len(keys)} of 4 exposures have changed since: {', '.join(keys)}" in page(out, "one")
    assert OUT_OF_DATE not in page(out, "two")
    # what was done stays on record
    assert (out / "one_provenance.asdf").read_bytes() == record


def test_one_visit_after_the_other_into_one_folder(shift):
    out = shift("one", FIRST)
    before = page(out, "one")
    shift("two", SECOND)
    assert page(out, "one") == before
    assert sorted(path.name for path in out.glob("*_flt.fits")) == [f"{key}_flt.fits" for key in KEYS]


def test_the_same_product_again(shift):
    out = shift("one", KEYS)
    shift("one", KEYS)
    assert OUT_OF_DATE not in page(out, "one")
    assert not (out / SUPERSEDED).exists()


def test_exposures_that_a_run_of_the_same_name_no_longer_has(shift):
    """They are of another solution than the rest."""
    out = shift("one", KEYS)
    before = {key: (out / f"{key}_flt.fits").read_bytes() for key in KEYS}
    shift("one", KEYS[1:])
    assert sorted(path.name for path in out.glob("*_flt.fits")) == [f"{key}_flt.fits" for key in KEYS[1:]]
    for key in KEYS[:1]:
        assert (out / SUPERSEDED / f"{key}_flt.fits").read_bytes() == before[key]


def test_files_corrected_in_place_stay_where_they_are(shift, raw):
    """They are the only ones that the user has."""
    shift("one", KEYS, "--in_place")
    again = [raw / f"{key}_flt.fits" for key in KEYS[1:]]
    assert leftovers(raw / "one_provenance.asdf", again) == []


def test_files_that_somebody_changed_are_left_alone(shift):
    out = shift("one", KEYS)
    (out / f"{KEYS[0]}_flt.fits").write_bytes(b"mine")
    shift("one", KEYS[1:])
    assert (out / f"{KEYS[0]}_flt.fits").read_bytes() == b"mine"
    assert not (out / SUPERSEDED / f"{KEYS[0]}_flt.fits").exists()


def test_undone_in_place(shift, raw):
    shift("one", KEYS, "--in_place")
    files = [str(raw / f"{key}_flt.fits") for key in FIRST]
    assert main(["undo", *files, "--in_place"]) == 0
    assert f"2 of 4 exposures have changed since: {', '.join(FIRST)}" in page(raw, "one")


def test_undone_elsewhere(shift, tmp_path):
    out = shift("one", KEYS)
    before = page(out, "one")
    files = [str(out / f"{key}_flt.fits") for key in FIRST]
    assert main(["undo", *files, "--output_dir", str(tmp_path / "back")]) == 0
    assert page(out, "one") == before


def test_a_page_made_again_looks_at_the_files(shift):
    """Whoever changed them."""
    out = shift("one", KEYS)
    (out / f"{KEYS[1]}_flt.fits").write_bytes(b"mine")
    assert main(["report", str(out / "one_provenance.asdf")]) == 0
    assert f"1 of 4 exposures have changed since: {KEYS[1]}" in page(out, "one")


def test_products_that_were_moved_are_known_by_their_record(shift, tmp_path):
    moved = shift("one", KEYS).rename(tmp_path / "moved")
    assert main(["report", str(moved / "one_provenance.asdf")]) == 0
    assert OUT_OF_DATE not in page(moved, "one")
    (moved / f"{KEYS[1]}_flt.fits").write_bytes(b"mine")
    assert main(["report", str(moved / "one_provenance.asdf")]) == 0
    assert OUT_OF_DATE in page(moved, "one")


def test_a_run_without_a_page(shift, caplog):
    out = shift("one", KEYS)
    (out / "one_report.html").unlink()
    shift("two", KEYS)
    assert not (out / "one_report.html").exists()
    assert "one_provenance.asdf" in caplog.text
    assert read_record(out / "one_provenance.asdf").product == "one"


def test_what_another_record_names_is_not_left_there(shift):
    out = shift("one", KEYS)
    regions = {f"{key}.reg" for key in KEYS}
    for name in ("one_sky.pdf", "one_inspect.html", "one_scene.pdf", "my.reg", *regions):
        (out / name).write_text("")
    record = out / "one_provenance.asdf"
    before, now = products_before(record), load([out / "one_asn.json"])
    named = {"one_fits.ecsv", "one_matches.ecsv", "one_report.html", "one_inspect.html", "one_sky.pdf"}
    assert set(left_there(before, record, now)) == named | regions
    (out / "one_fits.ecsv").write_text("anew")
    shift("two", FIRST)
    # the page is written anew, as it is out of date
    left = named - {"one_fits.ecsv", "one_report.html"} | {f"{key}.reg" for key in SECOND}
    assert set(left_there(before, record, now)) == left


def test_of_no_earlier_record_nothing_is_known(shift):
    out = shift("one", KEYS)
    assert products_before(out / "none_provenance.asdf") == {}
    (out / "one_provenance.asdf").write_bytes(b"damaged")
    assert products_before(out / "one_provenance.asdf") == {}
