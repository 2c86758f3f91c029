from __future__ import annotations

import re

import numpy as np
import pytest

from grism_align.io.catalogs.roles import UNITS
from grism_align.io.catalogs.services import find_service, known_services, load_services
from grism_align.io.catalogs.services.definitions import Column
from grism_align.values.errors import InputError, SettingsError
from grism_align.values.region import Cone
from grism_align.values.settings import ServiceSettings

SHIPPED = load_services(ServiceSettings())
MIRRORS = [(service, mirror) for service in SHIPPED.values() for mirror in service.mirrors]
CONE = Cone(359.99999999, -89.5, 0.07)


def own(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return ServiceSettings(services=str(path))


def test_what_is_shipped():
    assert set(SHIPPED) == set(ServiceSettings().auto_order)
    assert [mirror.name for mirror in SHIPPED["GAIADR3"].mirrors] == ["ESA", "ARI Heidelberg", "VizieR"]


@pytest.mark.parametrize(("service", "mirror"), MIRRORS, ids=lambda item: item.name)
def test_every_shipped_query_has_the_shape_of_one(service, mirror):
    adql = mirror.query(CONE)
    match = re.fullmatch(r"SELECT (?P<columns>.+) FROM (?P<table>\S+) WHERE (?P<where>.+)", adql)
    assert match["table"] == mirror.table
    # Commas of functions would be within brackets; there are none in the lists of columns.
    names = [re.split(" AS ", each)[-1] for each in match["columns"].split(", ")]
    assert names == list(mirror.selected)
    assert {re.sub(r"_\d$", "", name) for name in names} <= set(UNITS)
    assert {"id", "ra", "dec", "ra_error", "dec_error", "ref_epoch", "mag"} <= set(names)
    numbers = ("359.99999999, -89.50000000, 0.07000000",)
    assert any(each in match["where"] for each in numbers)
    assert adql.count("(") == adql.count(")")
    assert adql.count("'") % 2 == adql.count('"') % 2 == 0
    assert not re.search(r"[{};]|--", adql)
    assert re.fullmatch(r"https?://\S+[^/]", mirror.url)
    assert ("q3c_radial_query" in adql) != ("CONTAINS(POINT('ICRS', " in adql)


def test_only_gaia_gives_all_five_parameters():
    (gaia, *others) = SHIPPED.values()
    for mirror in gaia.mirrors:
        assert sum(role.endswith("_corr") for role in mirror.columns) == 10
    assert not any(role.endswith("_corr") for each in others for m in each.mirrors for role in m.columns)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("gaiadr3", "GAIADR3"),
        ("Gaia", "GAIADR3"),
        ("Gaia-DR3", "GAIADR3"),
        ("ps1", "PS1DR2"),
        ("2mass", "2MASS"),
    ],
)
def test_names_in_any_spelling(asked, name):
    assert find_service(asked, ServiceSettings()).name == name


def test_unknown_names():
    assert find_service("USNOB1", ServiceSettings()) is None
    assert find_service("", ServiceSettings()) is None
    assert "GAIADR3 (GAIA, " in known_services(ServiceSettings())


def test_another_endpoint_for_a_known_service():
    before = SHIPPED["PS1DR2"]
    found = find_service("ps1", ServiceSettings(service_url="http://localhost:8080/tap/"))
    (only,) = found.mirrors
    assert only.url == "http://localhost:8080/tap"
    assert only.query(CONE) == before.mirrors[0].query(CONE)
    # It may be another catalog that is there, so what the cache has of the one is none of the other.
    assert found.digest != before.digest
    assert (only.row_limit, only.trust_overflow, only.max_radius) == (None, True, None)


def test_addresses_are_of_the_web(tmp_path):
    with pytest.raises(SettingsError, match=r"service_url='archive.org/tap': it must begin with http://"):
        find_service("ps1", ServiceSettings(service_url="archive.org/tap"))
    path = tmp_path / "mine.toml"
    path.write_text(
        '[MINE]\ncolumns = { ra = "a", dec = "d" }\n[[MINE.mirrors]]\nurl = "archive.org"\ntable = "t"\n'
    )
    with pytest.raises(InputError, match=r"MINE\.mirrors\[1\]\.url is 'archive.org': it must begin"):
        load_services(ServiceSettings(services=str(path)))


def test_a_new_service(tmp_path):
    text = """
        [MINE]
        aliases = ["my-stars"]
        systematic = 3
        [MINE.columns]
        ra = "alpha"
        dec = "delta"
        mag = [{ adql = "v", valid = [0, 30] }, "b"]
        [[MINE.mirrors]]
        url = "http://example.org/tap/"
        table = "s.t"
        where = "v < 20 OR b < 20"
    """
    found = find_service("MyStars", own(tmp_path, text))
    assert (found.description, found.systematic) == ("MINE", 3.0)
    assert found.mirrors[0].query(Cone(10, 20, 0.5)) == (
        "SELECT alpha AS ra, delta AS dec, v AS mag, b AS mag_2 FROM s.t "
        "WHERE CONTAINS(POINT('ICRS', alpha, delta), "
        "CIRCLE('ICRS', 10.00000000, 20.00000000, 0.50000000)) = 1 "
        "AND (v < 20 OR b < 20)"
    )
    assert len(load_services(own(tmp_path, text))) == len(SHIPPED) + 1


def test_changes_of_a_known_service(tmp_path):
    text = """
        [GaiaDR3]
        where = "phot_g_mean_mag < 20"
        columns = { mag = "phot_rp_mean_mag" }
    """
    found = find_service("gaia", own(tmp_path, text))
    assert found.name == "GAIADR3"
    assert [mirror.name for mirror in found.mirrors] == ["ESA", "ARI Heidelberg", "VizieR"]
    assert found.mirrors[0].columns["mag"] == (Column("phot_rp_mean_mag"),)
    assert found.mirrors[0].columns["ra"] == (Column("ra"),)
    assert found.mirrors[0].where == "phot_g_mean_mag < 20"
    assert found.digest != SHIPPED["GAIADR3"].digest


def test_a_mirror_of_a_known_service(tmp_path):
    text = """
        [[GAIADR3.mirrors]]
        url = "http://example.org/tap"
        table = "gaia"
        columns = { ruwe = "" }
    """
    (only,) = find_service("gaia", own(tmp_path, text)).mirrors
    assert only.name == "http://example.org/tap"
    assert "ruwe" not in only.columns


MIRROR = '[[X.mirrors]]\nurl = "http://example.org/tap"\ntable = "t"\n'
POSITIONS = 'columns = { ra = "ra", dec = "dec" }\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[X", "no TOML"),
        ("X = 1", "X is no table"),
        ("[X]\ncolour = 'red'", "X has an unknown key 'colour'"),
        ("[X]\ndescription = 'no mirrors'", "X has no mirrors"),
        ("[X]\nmirrors = 3", "X.mirrors is 3, not a list"),
        ("[X]\nmirrors = [3]", r"X.mirrors\[1\] is 3, not a table"),
        ("[X]\nsystematic = 'large'", "X.systematic is 'large', not a number"),
        ("[X]\ncolumns = ['ra']", "X.columns is .* not a table"),
        ('[[X.mirrors]]\ntable = "t"', r"X.mirrors\[1\] has no url"),
        ('[[X.mirrors]]\nurl = "u"', r"X.mirrors\[1\] has no table"),
        (MIRROR, r"X.mirrors\[1\] has no columns ra and dec"),
        (MIRROR + 'columns = { ra = "ra", dec = "dec", colour = "red" }', r"columns.colour is no role"),
        (MIRROR + 'columns = { ra = "ra", dec = 3 }', r"columns.dec is 3, not a table"),
        (MIRROR + 'columns = { ra = "ra", dec = { scale = 2.0 } }', r"columns.dec has no adql"),
        (
            MIRROR + 'columns = { ra = "ra", dec = { adql = "d", valid = [1] } }',
            r"valid is \[smallest, largest\]",
        ),
        (
            MIRROR + 'columns = { ra = "ra", dec = { adql = "d", missing = ["x"] } }',
            "missing is a list of numbers",
        ),
        (MIRROR + POSITIONS + 'mode = "fast"', "mode is 'fast'. It may be auto, sync, async"),
        (MIRROR + POSITIONS + "max_radius = 0", "max_radius is 0"),
        (MIRROR + POSITIONS + "row_limit = true", "row_limit is True, not a whole number"),
        (MIRROR + POSITIONS + 'cone = "x({size})"', "cone has something else in braces"),
        (MIRROR + POSITIONS + '[X]\naliases = ["gaia"]', "no TOML|names both GAIADR3 and X"),
        ('[X]\naliases = ["gaia"]\n' + MIRROR + POSITIONS, "'gaia' names both GAIADR3 and X"),
    ],
)
def test_mistakes_in_a_users_file(tmp_path, text, says):
    settings = own(tmp_path, text)
    with pytest.raises(InputError, match=says) as caught:
        load_services(settings)
    assert str(tmp_path / "mine.toml") in str(caught.value)


def test_a_users_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_services(ServiceSettings(services=str(tmp_path / "none.toml")))


def values(column, answers):
    return column.values(np.array(answers, dtype=float), np.full(len(answers), 60.0)).tolist()


def test_how_answers_become_values():
    nan = pytest.approx(np.nan, nan_ok=True)
    assert values(Column("a", scale=1000.0), [0.5, np.nan]) == [500.0, nan]
    assert values(Column("a", scale=3.6e6, power=-0.5, cos_dec=True), [4.0, 0.0, -1.0]) == [
        pytest.approx(0.9e6),
        nan,
        nan,
    ]
    assert values(Column("a", missing=(0.0, 99.0)), [0.0, 1.0, 99.0]) == [nan, 1.0, nan]
    assert values(Column("a", valid=(0.0, 40.0)), [-999.0, 20.0, np.inf]) == [nan, 20.0, nan]
    assert values(Column("a", above=1.3), [1.2, 1.4, np.nan]) == [0.0, 1.0, nan]
    assert values(Column("a", below=0.5), [0.2, 0.7, np.nan]) == [1.0, 0.0, nan]
