from __future__ import annotations

from dataclasses import replace

import pytest

from grism_align.io.missions import file_source
from grism_align.values.association import Association, Member
from grism_align.values.errors import AssociationError
from grism_align.workflows.associate import build_association
from tests.support.associations import exposure

TWO_VISITS = [
    exposure("ibbb02d1q", 90000, east=30),
    exposure("iaaa01g1q", 300, grism=True, length=1000),
    exposure("iaaa01d1q", 0),
    exposure("iccc03g1q", 200000, east=1000, target="", grism=True),
]


def test_build():
    built = build_association(TWO_VISITS, "field")
    assert [(m.root, m.exptype, m.group_id, m.governors) for m in built.members] == [
        ("iaaa01d1q", "direct_image", "iaaa01", ()),
        ("iaaa01g1q", "science", "iaaa01", ("iaaa01d1q",)),
        ("ibbb02d1q", "direct_image", "ibbb02", ()),
        ("iccc03g1q", "science", "iccc03", ()),
    ]
    assert built.header["asn_type"] == "wfss-align"
    assert {"asn_rule", "asn_id", "version_id"} <= set(built.header)
    assert (built.header["program"], built.header["target"]) == ("iaaa,ibbb,iccc", "FIELD")
    visits = built.product_extra["visits"]
    assert visits[0] == {"visit": "iaaa01", "filters": ["F140W", "G141"], "start": "2014-12-09T00:00:00"}
    assert built.product_extra["overlaps"] == [["iaaa01", "ibbb02"]]


def test_build_orders_by_visit_where_visits_interleave():
    keys = ["iaaa01d1q", "ibbb02d1q", "iaaa01d2q"]
    built = build_association([exposure(key, 100 * i) for i, key in enumerate(keys)], "field")
    assert [member.root for member in built.members] == ["iaaa01d1q", "iaaa01d2q", "ibbb02d1q"]


def test_build_keeps_what_was_known():
    member = Member(TWO_VISITS[2].source, "", None, (), "/data/c.ecsv", {"memtype": "EXP-DTH"})
    aside = Member(file_source("/data/x_cat.ecsv"), "sourcecat")
    known = Association("old", (member, aside), {"asn_id": "o1", "asn_type": "None", "odd": 1}, {"why": "x"})
    built = build_association(TWO_VISITS[1:3], "field", known)
    assert built.members[0] == replace(member, exptype="direct_image", group_id="iaaa01")
    assert built.members[-1] == aside
    assert built.header["asn_id"] == "o1"
    assert built.header["odd"] == 1
    assert built.header["asn_type"] == "wfss-align"
    assert built.product_extra["why"] == "x"


def test_build_keeps_the_governors_that_are_named():
    directs = [exposure("iaaa01d1q", 0), exposure("iaaa01d2q", 100), exposure("ibbb02d1q", 9000)]
    grism = exposure("iaaa01g1q", 400, grism=True, governors=("ibbb02d1q", "iaaa01d1q"))
    built = build_association([grism, *directs], "field")
    assert next(m for m in built.members if m.root == "iaaa01g1q").governors == ("ibbb02d1q", "iaaa01d1q")


@pytest.mark.parametrize(
    ("exposures", "product", "says"),
    [
        ([], "field", "no exposure"),
        ([TWO_VISITS[0], TWO_VISITS[0]], "field", "given twice: ibbb02d1q"),
        (TWO_VISITS, "a/b", "product name"),
        ([replace(TWO_VISITS[1], governors=("nobody",))], "field", "iaaa01g1q names nobody"),
    ],
)
def test_build_refuses(exposures, product, says):
    with pytest.raises(AssociationError, match=says):
        build_association(exposures, product)
