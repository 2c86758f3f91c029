"""The client against a real TAP server, DaCHS, which tests/tap_server/setup.sh installs and fills."""

from __future__ import annotations

import os
from functools import cache
from http.client import HTTPException
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest

from grism_align.io.catalogs.services import fetch_catalog, find_service
from grism_align.values.errors import (
    NoRowsError,
    NotCachedError,
    ServiceRefusedError,
    ServiceUnreachableError,
    TooManyRowsError,
)
from grism_align.values.region import Cone
from grism_align.values.settings import ServiceSettings
from grism_align.values.sphere import separation
from tests.support.services import REFUSED
from tests.support.tap_server.publish import FIELDS, SERVER_LIMIT, TABLE, gaia_table

URL = os.environ.get("GRISM_ALIGN_TAP_URL", "http://127.0.0.1:8097/tap")
MODES = ("sync", "async")


@pytest.fixture(scope="module", autouse=True)
def answering():
    """Skips where there is no such server."""
    query = {"LANG": "ADQL", "REQUEST": "doQuery", "QUERY": f"SELECT TOP 1 ra FROM {TABLE}"}
    try:
        with build_opener(ProxyHandler({})).open(f"{URL}/sync?{urlencode(query)}", timeout=3) as answer:
            said = answer.read().decode()
    except (OSError, HTTPException, ValueError) as error:
        said = str(error)
    if 'name="QUERY_STATUS" value="OK"' not in said:
        pytest.skip(f"no TAP server with {TABLE} at {URL}; tests/tap_server/setup.sh makes one ({said[:80]})")


@pytest.fixture
def ask(tmp_path):
    """Fetches Gaia DR3 as a user's TOML file says: from mirrors (url, mode), with further lines before."""

    def fetched(*cones, mirrors=((URL, "auto"),), lines="", table=TABLE, **settings):
        path = tmp_path / "services.toml"
        entries = [
            f'[[GAIADR3.mirrors]]\nname = "{number}"\nurl = "{url}"\ntable = "{table}"\nmode = "{mode}"\n'
            for number, (url, mode) in enumerate(mirrors)
        ]
        path.write_text("\n".join(["[GAIADR3]", lines, *entries]), encoding="utf-8")
        limits = ServiceSettings(services=str(path), **{"timeout": 30.0, "retries": 0, **settings})
        return fetch_catalog(find_service("gaia", limits), cones, limits)

    return fetched


def cone(field, radius=None):
    ra, dec, its_radius, _ = FIELDS[field]
    return Cone(ra, dec, radius or its_radius)


@cache
def everything():
    return gaia_table()


def published(field):
    """The stars of one field."""
    ends = np.cumsum([number for *_, number in FIELDS.values()])
    k = list(FIELDS).index(field)
    return everything()[ends[k] - FIELDS[field][-1] : ends[k]]


def column(table, name):
    """Values as double precision, NaN for NULL."""
    return np.ma.filled(table[name].astype(float), np.nan)


def positions(table):
    return np.column_stack([column(table, "ra"), column(table, "dec")])


def in_order(catalog):
    return catalog[np.argsort(catalog.identifier.astype(np.int64))]


def identifiers(catalog):
    return sorted(catalog.identifier.astype(np.int64))


@pytest.mark.parametrize(
    ("field", "mode"), [("cosmos", "sync"), ("cosmos", "async"), ("ra zero", "sync"), ("pole", "sync")]
)
def test_what_comes_is_what_was_published(ask, field, mode):
    catalog, (attempt,) = ask(cone(field), mirrors=[(URL, mode)])
    assert (attempt.outcome, attempt.url, attempt.n_rows) == ("fetched", URL, FIELDS[field][-1])
    catalog, truth = in_order(catalog), published(field)
    np.testing.assert_array_equal(catalog.identifier, truth["source_id"].astype(str))
    np.testing.assert_array_equal(catalog.sky, positions(truth))
    np.testing.assert_array_equal(catalog.epoch, 2016.0)
    np.testing.assert_array_equal(catalog.mag, column(truth, "phot_g_mean_mag"))
    for axis, name in enumerate(("ra_error", "dec_error")):
        np.testing.assert_allclose(catalog.error[:, axis], column(truth, name), rtol=1e-12)
    for name, its_column in (
        ("ruwe", "ruwe"),
        ("excess_noise", "astrometric_excess_noise"),
        ("duplicated", "duplicated_source"),
    ):
        np.testing.assert_array_equal(catalog.quality[name], column(truth, its_column))


def test_null_motions_are_unknown_and_the_others_as_published(ask):
    catalog = in_order(ask(cone("cosmos"))[0])
    truth = published("cosmos")
    motion = np.column_stack([column(truth, "pmra"), column(truth, "pmdec")])
    np.testing.assert_array_equal(catalog.motion, motion)
    null = np.isnan(motion[:, 0])
    assert np.count_nonzero(null) == 50
    np.testing.assert_array_equal(catalog.has_motion, ~null)
    np.testing.assert_array_equal(catalog.parallax, np.nan_to_num(column(truth, "parallax")))
    np.testing.assert_array_equal(catalog.radial_velocity, np.nan_to_num(column(truth, "radial_velocity")))
    assert not catalog.covariance[null, 2:].any()
    assert np.isnan(catalog.quality["ruwe"][null]).all()


def test_covariances_have_the_published_errors_and_correlations(ask):
    catalog = in_order(ask(cone("cosmos"))[0])
    truth, names = published("cosmos"), ("ra", "dec", "parallax", "pmra", "pmdec")
    errors = np.column_stack([np.nan_to_num(column(truth, f"{name}_error")) for name in names])
    expected = np.zeros((len(truth), 5, 5))
    for i, one in enumerate(names):
        expected[:, i, i] = errors[:, i] ** 2
        for j, other in enumerate(names[i + 1 :], i + 1):
            correlation = np.nan_to_num(column(truth, f"{one}_{other}_corr"))
            expected[:, i, j] = expected[:, j, i] = correlation * errors[:, i] * errors[:, j]
    np.testing.assert_allclose(catalog.covariance, expected, rtol=1e-12)


def test_a_field_over_ra_zero_has_stars_on_both_sides(ask):
    catalog, _ = ask(cone("ra zero"))
    assert {*np.round(catalog.sky[:, 0] / 360.0)} == {0.0, 1.0}
    # The same cone from the other side, asked anew.
    again, _ = ask(Cone(359.99999, -30.0, 0.049), lines='where = "1 = 1"')
    assert set(identifiers(again)) <= set(identifiers(catalog))


def test_a_small_cone_by_the_pole_has_the_stars_within_it(ask):
    small = cone("pole", 0.02)
    catalog, _ = ask(small)
    truth = published("pole")
    distance = separation(positions(truth), [small.ra, small.dec])
    assert identifiers(catalog) == sorted(truth["source_id"][distance <= small.radius])


def test_stars_of_several_cones_come_once(ask):
    ra, dec, radius, number = FIELDS["cosmos"]
    catalog, _ = ask(Cone(ra, dec, radius), Cone(ra + 0.02, dec, radius), Cone(ra, dec - 0.02, radius))
    assert len(catalog) == len(set(catalog.identifier)) == number


def test_more_rows_than_max_rows(ask):
    number = FIELDS["cosmos"][-1]
    with pytest.raises(TooManyRowsError, match=f"more than {number - 1} rows, which is max_rows") as caught:
        ask(cone("cosmos"), max_rows=number - 1)
    assert caught.value.attempts[-1].outcome == "too many rows"
    assert len(ask(cone("cosmos"), max_rows=number)[0]) == number


@pytest.mark.parametrize("mode", MODES)
def test_rows_beyond_the_limit_of_the_server(ask, mode):
    assert FIELDS["crowded"][-1] > SERVER_LIMIT
    with pytest.raises(TooManyRowsError, match=f"more rows than the {SERVER_LIMIT} that the service sends"):
        ask(cone("crowded"), mirrors=[(URL, mode)])


@pytest.mark.parametrize("mode", MODES)
def test_an_adql_error_is_a_refusal_in_the_words_of_the_service(ask, mode):
    with pytest.raises(ServiceRefusedError, match="no_such_column") as caught:
        ask(cone("cosmos"), mirrors=[(URL, mode)], lines='columns = { ruwe = "no_such_column" }')
    (attempt,) = caught.value.attempts
    assert attempt.outcome == "refused"
    assert "no_such_column AS ruwe" in attempt.query


def test_a_table_that_is_not_there_and_a_query_that_is_none_are_refused(ask):
    with pytest.raises(ServiceRefusedError, match="nowhere"):
        ask(cone("cosmos"), table="nowhere.nothing")
    with pytest.raises(ServiceRefusedError, match="parse"):
        ask(cone("cosmos"), lines='where = "ra BETWEEN"')


def test_a_path_without_a_service_is_refused(ask):
    with pytest.raises(ServiceRefusedError, match="404"):
        ask(cone("cosmos"), mirrors=[(f"{URL}/nothing", "auto")])


def test_no_star_there(ask):
    with pytest.raises(NoRowsError, match="no source within") as caught:
        ask(Cone(10.0, 10.0, 0.05))
    assert caught.value.attempts[-1].outcome == "no rows"


def test_a_server_that_needs_too_long_is_unreachable(ask):
    every_pair = f"SELECT MIN(SIN(a.ra * b.dec)) FROM {TABLE} AS a, {TABLE} AS b"  # some 10 million
    lines = f'where = "ra NOT IN ({every_pair})"'
    with pytest.raises(ServiceUnreachableError, match=r"(within|after) 0\.2 s"):
        ask(cone("cosmos"), lines=lines, timeout=0.2)
    assert len(ask(cone("cosmos"), lines=lines)[0]) == FIELDS["cosmos"][-1]


@pytest.mark.parametrize("mode", MODES)
def test_the_next_mirror_is_asked_where_one_is_dead(ask, mode):
    catalog, (dead, alive) = ask(cone("cosmos"), mirrors=[(REFUSED, mode), (URL, "sync")])
    assert (dead.outcome, dead.url) == ("unreachable", REFUSED)
    assert (alive.outcome, alive.url) == ("fetched", URL)
    assert len(catalog) == FIELDS["cosmos"][-1]
    assert catalog.origin == URL


def test_the_next_mirror_is_asked_where_one_refuses(ask):
    _, attempts = ask(cone("cosmos"), mirrors=[(f"{URL}/nothing", "auto"), (URL, "auto")])
    assert [attempt.outcome for attempt in attempts] == ["refused", "fetched"]


@pytest.mark.parametrize("settings", [{}, {"offline": True}])
def test_the_cache_answers_when_the_server_does_not(ask, settings):
    down = [(REFUSED, "auto")]
    with pytest.raises(NotCachedError if settings else ServiceUnreachableError):
        ask(cone("cosmos"), mirrors=down, **settings)
    fetched, (first,) = ask(cone("cosmos"))
    kept, (attempt,) = ask(cone("cosmos"), mirrors=down, **settings)
    assert (attempt.outcome, attempt.url, attempt.date) == ("cached", URL, first.date)
    assert attempt.query == first.query
    for name in ("sky", "covariance", "motion", "parallax", "epoch", "mag", "identifier"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(fetched, name))


def test_the_cache_of_a_field_answers_for_a_part_of_it(ask):
    ask(cone("cosmos"))
    part, _ = ask(cone("cosmos", 0.02), mirrors=[(REFUSED, "auto")])
    anew, (attempt,) = ask(cone("cosmos", 0.02), lines='where = "1 = 1"')
    assert attempt.outcome == "fetched"
    assert 0 < len(part) < FIELDS["cosmos"][-1]
    assert identifiers(part) == identifiers(anew)


def test_service_url_points_a_known_service_here():
    settings = ServiceSettings(service_url=f"{URL}/", timeout=30.0)
    catalog, (attempt,) = fetch_catalog(find_service("GaiaDR3", settings), [cone("pole")], settings)
    assert (len(catalog), catalog.name, attempt.url) == (FIELDS["pole"][-1], "GAIADR3", URL)


def test_columns_may_be_expressions_alternatives_and_conditions(ask):
    lines = """where = "phot_g_mean_mag < 17 AND duplicated_source = 'False'"
        columns.ref_epoch = "2000.0 + (57388.5 - 51544.5) / 365.25"
        columns.ra_error = { adql = "ra_error / 1000.0", scale = 1000.0 }
        columns.mag = ["phot_bp_mean_mag", { adql = "phot_g_mean_mag", valid = [0.0, 16.0] }]
        columns.extended = { adql = "phot_g_mean_mag", above = 15.0 }
        columns.radial_velocity = "" """
    catalog = in_order(ask(cone("cosmos"), lines=lines)[0])
    truth = published("cosmos")
    truth = truth[(truth["phot_g_mean_mag"] < 17) & ~truth["duplicated_source"]]
    mag = column(truth, "phot_g_mean_mag")
    np.testing.assert_array_equal(catalog.identifier, truth["source_id"].astype(str))
    np.testing.assert_allclose(catalog.epoch, 2016.0, rtol=1e-12)
    np.testing.assert_allclose(catalog.error[:, 0], column(truth, "ra_error"), rtol=1e-6)
    np.testing.assert_array_equal(catalog.mag, np.where(mag <= 16.0, mag, np.nan))
    np.testing.assert_array_equal(catalog.quality["extended"], mag > 15.0)
    assert not catalog.radial_velocity.any()
