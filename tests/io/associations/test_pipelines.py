"""Associations of JWST's pipelines: what they list is found as what the pipelines made of it."""

from __future__ import annotations

import json

import pytest

from grism_align.io.associations import read_association

VISIT = "jw01234001001"


def association(folder, kind, *products):
    """An association of a kind, each product a list of (name, exptype)."""
    content = {
        "asn_type": kind,
        "products": [
            {"name": f"p{number}", "members": [{"expname": n, "exptype": e, "group_id": "g"} for n, e in one]}
            for number, one in enumerate(products)
        ],
    }
    path = folder / f"{kind}_{len(list(folder.iterdir()))}_asn.json"
    path.write_text(json.dumps(content))
    return path


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def names(found):
    return [member.source.name for member in found.exposures]


def spec2(number):
    root = f"{VISIT}_02101_{number:05d}_nis"
    return [
        (f"{root}_rate.fits", "science"),
        ("field_i2d.fits", "direct_image"),
        ("field_cat.ecsv", "sourcecat"),
        ("field_segm.fits", "segmap"),
    ]


@pytest.mark.parametrize("ending", ["_assignwcsstep.fits", "_assign_wcs.fits"])
def test_spectra_are_those_with_a_wcs(tmp_path, ending):
    """Mosaics and catalogs, which need not be there, are no exposures."""
    made = [name.replace("_rate.fits", ending) for number in (1, 2) for name, _ in spec2(number)[:1]]
    touch(tmp_path, *made, *(name.replace(ending, "_cal.fits") for name in made))
    assert names(read_association(association(tmp_path, "spec2", spec2(1), spec2(2)))) == made


def test_images_are_the_calibrated_ones(tmp_path):
    touch(tmp_path, "a_cal.fits", "b_cal.fits", "b_rate.fits")
    products = [[("a_rate.fits", "science")], [("b_rate.fits", "science")]]
    assert names(read_association(association(tmp_path, "image2", *products))) == ["a_cal.fits", "b_cal.fits"]


def test_what_was_not_processed_is_taken_as_listed(tmp_path):
    touch(tmp_path, "a_rate.fits")
    found = read_association(association(tmp_path, "image2", [("a_rate.fits", "science")]))
    assert names(found) == ["a_rate.fits"]


def test_several_associations_may_list_the_same(tmp_path):
    touch(tmp_path, "a_cal.fits", "b_cal.fits", f"{VISIT}_02101_00001_nis_assignwcsstep.fits")
    images = [("a_cal.fits", "science"), ("b_cal.fits", "science")]
    several = [
        association(tmp_path, "image3", images),
        association(tmp_path, "image3", images[:1]),
        association(tmp_path, "spec2", spec2(1)),
    ]
    assert sorted(names(read_association(several))) == [
        "a_cal.fits",
        "b_cal.fits",
        f"{VISIT}_02101_00001_nis_assignwcsstep.fits",
    ]
