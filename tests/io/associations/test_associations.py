from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.io.associations import (
    apply_association,
    check_governors,
    read_association,
    write_association,
)
from grism_align.io.associations.overlap import footprints_overlap, overlapping
from grism_align.io.missions import file_source, root_name
from grism_align.values.association import Association, Member
from grism_align.values.errors import AssociationError, OutputError
from grism_align.values.transform import TangentPlane
from tests.support.associations import FlatSky, asn_table, exposure, touch, write_exposure

NAMES = ["ib6o23rsq_flt.fits", "ib6o23rtq_flt.fits"]


def write_json(path, members, **top):
    product = {"name": "field", "members": members}
    path.write_text(json.dumps({"asn_type": "wfss-align", "products": [product], **top}))
    return path


def names_of(association):
    return [member.source.name for member in association.members]


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("a/ib6o23rsq_flt.fits.gz", "ib6o23rsq"),
        ("ib6o23rsq_flc.fits", "ib6o23rsq"),
        ("ib6o23rsq", "ib6o23rsq"),
        (Path("/a/j94f05bgq_flc.fits.gz"), "j94f05bgq"),
        ("ib6o23rsq_drz.fits", "ib6o23rsq_drz"),
        ("my_image_b.fits", "my_image_b"),
        ("r0001_cal.asdf", "r0001"),
        # what no mission here reads loses its extension only
        ("r0001_l2.asdf", "r0001_l2"),
    ],
)
def test_root_name(path, root):
    assert root_name(path) == root
    assert root_name(root) == root


# JSON


def test_json_members(tmp_path):
    touch(tmp_path, *NAMES)
    touch(tmp_path / "cat", "one.ecsv")
    members = [
        {"expname": NAMES[1], "exptype": "direct_image", "tweakreg_catalog": "cat/one.ecsv"},
        {"expname": str(tmp_path / NAMES[0]), "exptype": "science", "direct": NAMES[1], "group_id": "g1"},
    ]
    found = read_association(write_json(tmp_path / "x_asn.json", members, asn_id="a7", odd={"a": [1]}))
    assert found.product == "field"
    assert found.origin == str(tmp_path / "x_asn.json")
    assert found.header == {"asn_type": "wfss-align", "asn_id": "a7", "odd": {"a": [1]}}
    direct, grism = found.members
    catalog = str(tmp_path / "cat/one.ecsv")
    assert direct == Member(file_source(tmp_path / NAMES[1]), "direct_image", catalog=catalog)
    assert grism == Member(file_source(tmp_path / NAMES[0]), "science", "g1", ("ib6o23rtq",))


@pytest.mark.parametrize("direct", ["IB6O23RTQ", ["ib6o23rtq_flt.fits"], ["ib6o23rtq", "ib6o23rtq"]])
def test_spellings_of_a_governor(tmp_path, direct):
    touch(tmp_path, *NAMES)
    members = [{"expname": NAMES[0], "exptype": "science", "direct": direct}, {"expname": NAMES[1]}]
    found = read_association(write_json(tmp_path / "x.json", members))
    assert found.members[0].governors == ("ib6o23rtq",)


def test_jwst_style(tmp_path):
    touch(tmp_path, *NAMES)
    members = [
        {"expname": NAMES[0], "exptype": "science", "exposerr": None, "asn_candidate": "[]"},
        {"expname": NAMES[1], "exptype": "direct_image", "tweakreg_catalog": ""},
        {"expname": "not_made_yet_cat.ecsv", "exptype": "sourcecat"},
    ]
    found = read_association(write_json(tmp_path / "jw.json", members, asn_rule="DMS_Level3_Base"))
    assert len(found.members) == 3
    assert [member.root for member in found.exposures] == ["ib6o23rsq", "ib6o23rtq"]
    assert found.members[0].extra == {"exposerr": None, "asn_candidate": "[]"}
    assert found.members[1].catalog == ""


GOOD = {"expname": NAMES[0], "exptype": "science"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "no valid JSON"),
        ("[1]", "top level is a list"),
        ("[" * 100000, "no valid JSON"),
        ({}, "has no 'products'"),
        ({"products": {}}, "'products' of the top level is a dict"),
        ({"products": []}, "'products' of the top level is empty"),
        ({"products": ["a"]}, "products[0] is a str"),
        ({"products": [{"members": [GOOD]}]}, "products[0] has no 'name'"),
        ({"products": [{"name": 3, "members": [GOOD]}]}, "'name' of products[0] is a int"),
        ({"products": [{"name": "", "members": [GOOD]}]}, "product name ''"),
        ({"products": [{"name": "a/b", "members": [GOOD]}]}, "product name 'a/b'"),
        ({"products": [{"name": "..", "members": [GOOD]}]}, "product name '..'"),
        ({"products": [{"name": "a\n", "members": [GOOD]}]}, "product name"),
        ({"products": [{"name": "a", "members": []}]}, "'members' of products[0] is empty"),
        ({"products": [{"name": "a", "members": [1]}]}, "member 0 of products[0] is a int"),
        ({"products": [{"name": "a", "members": [GOOD, {}]}]}, "member 1 of products[0] has no 'expname'"),
        ({"products": [{"name": "a", "members": [{"expname": 1}]}]}, "'expname' of member 0"),
        ({"products": [{"name": "a", "members": [{"expname": " "}]}]}, "is empty"),
        ({"products": [{"name": "a", "members": [GOOD | {"direct": 4}]}]}, "'direct' of member 0"),
        ({"products": [{"name": "a", "members": [GOOD | {"direct": [""]}]}]}, "'direct' of member 0"),
        ({"products": [{"name": "a", "members": [GOOD | {"group_id": 1}]}]}, "'group_id' of member 0"),
        ({"products": [{"name": "a", "members": [GOOD | {"exptype": "psf"}]}]}, "no exposure"),
    ],
)
def test_wrong_json(tmp_path, content, says):
    touch(tmp_path, NAMES[0])
    path = tmp_path / "bad_asn.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(AssociationError) as caught:
        read_association(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_several_products(tmp_path):
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"products": [{"name": "one"}, {"name": "two"}]}))
    with pytest.raises(AssociationError, match=r"2 products \(one, two\).*Split it: one file for each"):
        read_association(path)


# HST association tables


def test_association_table(tmp_path):
    touch(tmp_path, "ib6o23rsq_flt.fits", "ib6o23rsq_flc.fits", "ib6o23rtq_flt.fits.gz")
    rows = [
        ("IB6O23RSQ", "EXP-DTH", True),
        ("IB6O23RTQ ", "EXP-DTH", True),
        ("IB6O23RUQ", "EXP-DTH", False),
        ("IB6O23011", "PROD-CR1", False),
        ("IB6O23010", "PROD-DTH", True),
    ]
    path = asn_table(tmp_path / "ib6o23010_asn.fits", rows, ASN_ID="IB6O23010", PROPOSID=11359)
    found = read_association(path)
    assert found.product == "ib6o23010"
    assert names_of(found) == ["ib6o23rsq_flc.fits", "ib6o23rtq_flt.fits.gz"]
    assert found.header == {"asn_id": "IB6O23010", "program": 11359}
    assert found.members[0].extra == {"memtype": "EXP-DTH"}


def test_association_table_without_a_product_or_with_a_missing_file(tmp_path):
    touch(tmp_path, NAMES[0])
    path = asn_table(tmp_path / "x_asn.fits", [("IB6O23RSQ", "EXP-DTH", True)])
    assert read_association(path).product == "x"
    path = asn_table(tmp_path / "y_asn.fits", [("IB6O23RZQ", "EXP-DTH", True)])
    with pytest.raises(AssociationError, match=r"1 of 1 files don't exist: .*ib6o23rzq\."):
        read_association(path)
    path = asn_table(tmp_path / "z_asn.fits", [("IB6O23RZQ", "EXP-DTH", False)])
    with pytest.raises(AssociationError, match="no exposure"):
        read_association(path)


def test_truncated_association_table(tmp_path):
    path = asn_table(tmp_path / "x_asn.fits", [("IB6O23RSQ", "EXP-DTH", True)] * 9)
    path.write_bytes(path.read_bytes()[: 2880 * 2 + 100])
    with pytest.raises(AssociationError, match="no readable FITS file"):
        read_association(path)


def test_a_truncated_exposure_is_left_to_its_reader(tmp_path):
    path = write_exposure(tmp_path, "iaaa01d1q", 0)
    path.write_bytes(path.read_bytes()[:-1000])
    assert read_association(path).members == (Member(file_source(path)),)


# lists, poller files, folders, exposures

POLLER = "11359,B6O,23,1102.9,G141,IR"


def poller_row(name, where="", middle=""):
    return f"{name},{POLLER}{middle},{where}/{name}\n"


@pytest.mark.parametrize("middle", ["", ",skycell-p0080x15y14,NEW"])
def test_poller_file(tmp_path, middle):
    archive = tmp_path / "archive"
    touch(tmp_path, NAMES[0])
    touch(archive, NAMES[1])
    path = tmp_path / "wfc3_b6o_23_input.out"
    rows = [poller_row(name, archive, middle) for name in (*NAMES, NAMES[0])]
    path.write_text("".join(rows))
    found = read_association(path)
    assert found.product == "wfc3_b6o_23_input"
    assert [Path(member.source) for member in found.members] == [tmp_path / NAMES[0], archive / NAMES[1]]


def test_poller_file_of_names(tmp_path):
    touch(tmp_path, *NAMES)
    path = tmp_path / "input.out"
    path.write_text("\n".join(NAMES))
    assert names_of(read_association(path)) == NAMES


def test_a_line_with_odd_columns(tmp_path):
    path = tmp_path / "input.out"
    path.write_text("# names\n\na.fits,11359,B6O\n")
    with pytest.raises(AssociationError, match="line 3 has 3 columns"):
        read_association(path)


def test_plain_list(tmp_path, monkeypatch):
    touch(tmp_path / "data", *NAMES, "ib6o23ruq_flc.fits", "ib6o23rzq_flt.fits", "a,b_flt.fits")
    asn_table(tmp_path / "data" / "ib6o23010_asn.fits", [("IB6O23RZQ", "EXP-DTH", True)])
    monkeypatch.chdir(tmp_path / "data")
    listing = tmp_path / "lists" / "field_asn.txt"
    listing.parent.mkdir()
    lines = [
        "# our field",
        f"  {tmp_path}/data/{NAMES[0]}  # first",
        "",
        f"{tmp_path}/data/{NAMES[1]}",
        "../data/IB6O23RUQ",
        "ib6o23010_asn.fits",  # from the current folder
        "a,b_flt.fits",
    ]
    listing.write_text("\r\n".join(lines), encoding="utf-8-sig")
    found = read_association(listing)
    assert found.product == "field"
    assert names_of(found) == [*NAMES, "ib6o23ruq_flc.fits", "ib6o23rzq_flt.fits", "a,b_flt.fits"]


def test_variables_are_those_of_the_command_line(tmp_path, monkeypatch):
    """A file that has one in a name would have what it holds, a secret say, in products."""
    touch(tmp_path / "data", NAMES[0])
    monkeypatch.setenv("FIELD_DATA", str(tmp_path / "data"))
    name = f"${{FIELD_DATA}}/{NAMES[0]}"
    assert names_of(read_association(name)) == [NAMES[0]]
    members = [{"expname": name}]
    (tmp_path / "list.txt").write_text(name)
    (tmp_path / "a.json").write_text(json.dumps({"products": [{"name": "a", "members": members}]}))
    for path in (tmp_path / "list.txt", tmp_path / "a.json"):
        with pytest.raises(AssociationError) as caught:
            read_association(path)
        assert "${FIELD_DATA}" in caught.value.problem


def test_folder_takes_the_best_file_of_each_exposure(tmp_path):
    folder = tmp_path / "goods"
    touch(folder, "b_flt.fits", "b_flc.fits", "a_flt.fits", "a_flt.fits.gz", "c_flc.fits.gz", "c_flt.fits")
    touch(folder, ".hidden_flt.fits", "a_raw.fits")
    (folder / "d_flt.fits").mkdir()
    found = read_association(str(folder))
    assert found.product == "goods"
    assert names_of(found) == ["a_flt.fits", "b_flc.fits", "c_flc.fits.gz"]
    with pytest.raises(AssociationError, match="holds no"):
        read_association(folder / "d_flt.fits")


def test_lone_exposure_and_sequences(tmp_path):
    first, second = touch(tmp_path, *NAMES)
    alone = read_association(first)
    assert (alone.product, alone.members) == ("ib6o23rsq", (Member(file_source(first)),))
    assert read_association([str(first)]) == alone
    both = read_association((first, second))
    assert (both.product, names_of(both), both.header) == ("aligned", NAMES, {})


def test_sequence_of_other_forms(tmp_path):
    touch(tmp_path / "v1", "iaaa01d1q_flt.fits")
    touch(tmp_path, *NAMES)
    path = write_json(tmp_path / "x.json", [GOOD], target="GOODS", program=1)
    other = write_json(tmp_path / "y.json", [{"expname": NAMES[1]}], target="GOODS", program=2)
    found = read_association([tmp_path / "v1", path, other])
    assert names_of(found) == ["iaaa01d1q_flt.fits", *NAMES]
    assert found.header == {"asn_type": "wfss-align", "target": "GOODS"}


def test_content_decides_not_the_name(tmp_path):
    exposure_file = touch(tmp_path, NAMES[0])[0]
    compressed = tmp_path / "list_of.names"
    compressed.write_bytes(gzip.compress(NAMES[0].encode()))
    assert names_of(read_association(compressed)) == [NAMES[0]]
    json_file = write_json(tmp_path / "asn.txt", [GOOD])
    assert read_association(json_file).product == "field"
    odd = exposure_file.rename(tmp_path / "odd.txt")
    assert names_of(read_association(odd)) == ["odd.txt"]


def test_a_fits_name_promises_fits(tmp_path):
    (tmp_path / "broken_flt.fits").write_text("not found")
    with pytest.raises(AssociationError, match=r"broken_flt\.fits: not a FITS file"):
        read_association(tmp_path / "broken_flt.fits")


def test_home_is_expanded(tmp_path, monkeypatch):
    touch(tmp_path, NAMES[0])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_association(f"~/{NAMES[0]}").members[0].source.path == str(tmp_path / NAMES[0])


def test_a_linked_exposure_keeps_its_name(tmp_path):
    touch(tmp_path, "0001.fits")
    (tmp_path / NAMES[0]).symlink_to(tmp_path / "0001.fits")
    assert names_of(read_association([tmp_path / NAMES[0]])) == [NAMES[0]]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no exposure"),
        (b"# nothing\n", "no exposure"),
        (b"\xff\xfe\x00", "neither FITS nor JSON"),
        (b"a\x00b", "neither FITS nor JSON"),
        (b"\x1f\x8b broken", "can't be read"),
        (b"SIMPLE  = nonsense", "no readable FITS file"),
    ],
)
def test_unreadable_files(tmp_path, content, says):
    path = tmp_path / "what"
    path.write_bytes(content)
    with pytest.raises(AssociationError, match=says):
        read_association(path)


def test_what_is_no_path_or_not_there(tmp_path):
    with pytest.raises(AssociationError, match="no such file or folder"):
        read_association(tmp_path / "nowhere_asn.json")
    with pytest.raises(AssociationError, match="a int is no path"):
        read_association([tmp_path, 3])
    with pytest.raises(AssociationError, match="no exposure"):
        read_association([])


def test_all_missing_files_in_one_error(tmp_path):
    present = touch(tmp_path, *NAMES)
    missing = [tmp_path / f"gone{i}_flt.fits" for i in range(7)]
    with pytest.raises(AssociationError) as caught:
        read_association([*present, *missing])
    assert "7 of 9 files don't exist" in str(caught.value)
    assert all(str(path) in str(caught.value) for path in missing[:5])
    assert "gone5" not in str(caught.value)
    assert "and 2 more" in str(caught.value)


def test_missing_catalog(tmp_path):
    touch(tmp_path, NAMES[0])
    path = write_json(tmp_path / "x.json", [GOOD | {"tweakreg_catalog": "no.ecsv"}])
    with pytest.raises(AssociationError, match=r"1 of 2 files don't exist: .*no\.ecsv"):
        read_association(path)


def test_two_members_of_one_name(tmp_path):
    first = touch(tmp_path / "a", NAMES[0])[0]
    second = touch(tmp_path / "b", "ib6o23rsq_flc.fits")[0]
    with pytest.raises(AssociationError) as caught:
        read_association([first, second])
    assert f"{first} and {second}" in str(caught.value)


# writing


def test_written_order_and_paths(tmp_path):
    inside, outside = tmp_path / "run" / "data", tmp_path / "archive"
    touch(inside, NAMES[0])
    touch(outside, NAMES[1])
    members = [
        {"note": 1, "exptype": "science", "expname": f"data/{NAMES[0]}", "last": None},
        {"expname": f"../archive/{NAMES[1]}"},
    ]
    content = {"zeta": 1, "products": [{"members": members, "why": "x", "name": "field"}], "asn_type": "y"}
    source = tmp_path / "run" / "x_asn.json"
    source.write_text(json.dumps(content))
    read = read_association(source)
    grism = replace(read.members[0], governors=("ib6o23rtq",), group_id="g")
    direct = replace(read.members[1], catalog=str(inside / "c.ecsv"))
    path = write_association(replace(read, members=(grism, direct)), tmp_path / "run" / "new_asn.json")
    text = path.read_text()
    assert text.endswith("}\n")
    assert '\n  "zeta": 1' in text
    written = json.loads(text)
    assert list(written) == ["zeta", "products", "asn_type"]
    assert list(written["products"][0]) == ["members", "why", "name"]
    first, second = written["products"][0]["members"]
    assert list(first.items()) == [
        ("note", 1),
        ("exptype", "science"),
        ("expname", f"data/{NAMES[0]}"),
        ("last", None),
        ("group_id", "g"),
        ("direct", ["ib6o23rtq"]),
    ]
    assert second == {"expname": str(outside / NAMES[1]), "tweakreg_catalog": "data/c.ecsv"}


def test_writing_refuses_a_member_or_a_folder(tmp_path):
    path = touch(tmp_path, NAMES[0])[0]
    association = read_association(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="is a member"):
        write_association(association, path)
    assert path.read_bytes() == before
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="can't be written"):
        write_association(association, tmp_path / "folder")
    with pytest.raises(AssociationError, match="product name"):
        write_association(replace(association, product="a/b"), tmp_path / "x.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", NAMES[0]]


plain = st.text("abcdefgh", min_size=1, max_size=8)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
known = {"expname", "exptype", "group_id", "direct", "tweakreg_catalog", "products", "name", "members"}
extras = st.dictionaries(st.text(max_size=8).filter(lambda key: key not in known), anything, max_size=3)
drawn_members = st.lists(
    st.tuples(
        plain,
        st.sampled_from(["", "sub/", "../other/"]),
        st.sampled_from(["", "science", "direct_image", "unheard_of"]),
        st.none() | plain,
        st.lists(plain, max_size=2, unique=True),
        st.booleans(),
        extras,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda member: member[0],
)


@settings(deadline=None, max_examples=40)  # it writes to a disk
@given(drawn_members, extras, extras)
def test_reading_gives_what_was_written(drawn, header, product_extra):
    with TemporaryDirectory() as name:
        folder = Path(name).resolve() / "run"
        members = []
        for root, below, kind, group, governors, cataloged, extra in drawn:
            path = (folder / below).resolve() / f"{root}_flt.fits"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            catalog = str(path) if cataloged else ""
            members.append(Member(file_source(path), kind, group, tuple(governors), catalog, extra))
        told = Association("field", tuple(members), {"asn_type": "t", **header}, product_extra)
        path = write_association(told, folder / "field_asn.json")
        again = read_association(path)
        assert replace(again, origin="") == told
        text = path.read_text()
        assert write_association(again, path).read_text() == text


# what it says of exposures

TWO_VISITS = [
    exposure("ibbb02d1q", 90000, east=30),
    exposure("iaaa01g1q", 300, grism=True, length=1000),
    exposure("iaaa01d1q", 0),
    exposure("iccc03g1q", 200000, east=1000, target="", grism=True),
]


def test_governors_must_be_direct():
    grisms = [exposure(f"iaaa01g{i}q", i, grism=True, governors=("iaaa01g1q", "gone")) for i in (1, 2)]
    with pytest.raises(AssociationError) as caught:
        check_governors([*grisms, TWO_VISITS[2]], "x.json")
    assert "iaaa01g1q names gone, iaaa01g1q; iaaa01g2q names gone, iaaa01g1q" in str(caught.value)
    assert "direct exposures are iaaa01d1q" in str(caught.value)
    check_governors([replace(TWO_VISITS[1], governors=("iaaa01d1q",)), TWO_VISITS[2]], "x.json")


def test_apply_association():
    members = (
        Member(file_source("/d/renamed_flt.fits"), group_id="g"),
        Member(file_source("/d/g_flt.fits"), governors=("renamed",)),
    )
    association = Association("field", members)
    direct, grism = apply_association([TWO_VISITS[2], TWO_VISITS[1]], association)
    assert (direct.group, grism.group) == ("g", "iaaa01")
    assert grism.governors == ("iaaa01d1q",)
    with pytest.raises(AssociationError, match="names renamed"):
        apply_association(
            [TWO_VISITS[1]], Association("field", (replace(members[1], governors=("renamed",)),))
        )


# overlap

PLACES = [(10.0, 20.0), (0.0, 0.0), (359.99, -89.5), (180.0, 90.0)]


def square(center, east, north, roll=0.0, side=100.0):
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    return TangentPlane(*center).to_sky(corners @ turn.T + [east, north])


@pytest.mark.parametrize("center", PLACES)
@pytest.mark.parametrize(
    ("east", "north", "roll", "overlaps"),
    [
        (99, 0, 0, True),
        (101, 0, 0, False),
        (100, 0, 0, False),  # a common edge
        (0, 119, 45, True),
        (0, 121.5, 45, False),
        (90, 90, 45, False),  # bounding boxes overlap, the squares don't
        (0, 0, 30, True),
    ],
)
def test_overlap(center, east, north, roll, overlaps):
    first, second = square(center, 0, 0), square(center, east, north, roll)
    assert footprints_overlap(first, second) is overlaps
    assert footprints_overlap(second, first[[2, 0, 3, 1]]) is overlaps
    both = {"a": [square(center, 5000, 0), first], "b": [second]}
    assert overlapping(both) == [("a", "b")] * overlaps


def test_one_within_the_other_and_opposite_sides():
    assert footprints_overlap(square((10, 20), 0, 0), square((10, 20), 5, 5, 20, side=3))
    assert not footprints_overlap(square((10, 20), 0, 0), square((190, -20), 0, 0))
    assert not overlapping({"a": [], "b": [square((10, 20), 0, 0)], "c": [np.full((4, 2), np.nan)]})
    assert footprints_overlap(FlatSky(10, 20).footprint(), FlatSky(10.01, 20).footprint())


offsets = st.floats(-200, 200)


@given(offsets, offsets, st.floats(0, 90), st.sampled_from(PLACES))
def test_a_common_point_means_overlap(east, north, roll, center):
    first, second = square(center, 0, 0), square(center, east, north, roll)
    grid = np.stack(np.meshgrid(*[np.linspace(-49, 49, 15)] * 2), axis=-1).reshape(-1, 2)
    angle = np.radians(roll)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inside = (np.abs((grid - [east, north]) @ turn) < 49.9).all(axis=1)
    if inside.any():
        assert footprints_overlap(first, second)
    if np.hypot(east, north) > 100 * np.sqrt(2) + 1:
        assert not footprints_overlap(first, second)


def test_everything_that_was_downloaded(tmp_path):
    """A table beside its exposures adds none; what is no exposure is left to the reader, who says so."""
    keys = ("iaaa01d1q", "iaaa01g1q")
    exposures = touch(tmp_path, *(f"{key}_flt.fits" for key in keys))
    table = asn_table(tmp_path / "iaaa01010_asn.fits", [(key.upper(), "EXP-DTH", True) for key in keys])
    picture = tmp_path / "iaaa01d1q_flt.jpg"
    picture.write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    found = read_association([*exposures, table, picture])
    assert sorted(member.source.name for member in found.exposures) == [
        "iaaa01d1q_flt.fits",
        "iaaa01d1q_flt.jpg",
        "iaaa01g1q_flt.fits",
    ]
    with pytest.raises(AssociationError, match="picture"):
        read_association(picture)
