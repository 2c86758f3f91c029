from __future__ import annotations

import gzip
import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limited
from hypothesis import strategies as st

from grism_align.io.catalogs.services import cached_files, fetch_catalog, find_service
from grism_align.io.catalogs.services.answers import role_table
from grism_align.io.catalogs.services.cache import Cache, cache_folder
from grism_align.io.catalogs.services.cones import covering_cones, rounded_cone
from grism_align.io.catalogs.services.definitions import Column
from grism_align.values.errors import (
    CatalogServiceError,
    NoRowsError,
    NotCachedError,
    ServiceAnswerError,
    ServiceRefusedError,
    ServiceUnreachableError,
    TooManyRowsError,
)
from grism_align.values.region import Cone
from grism_align.values.sphere import separation, tangent_axes, vector_to_sky
from tests.support.services import CONE, REFUSED, mirror, service, settings
from tests.support.tap_responder import Answer, error_votable, stars, votable


def outcomes(attempts):
    return [(attempt.service, attempt.outcome) for attempt in attempts]


def test_a_catalog_comes_with_its_record(server, caplog):
    caplog.set_level(logging.INFO)
    local = service(mirror(server.url), systematic=1.2)
    catalog, (attempt,) = fetch_catalog(local, [CONE], settings())
    assert (catalog.name, catalog.origin, len(catalog)) == ("LOCAL", server.url, 3)
    assert catalog.sky[:, 0].tolist() == stars()["ra"]
    assert catalog.identifier.tolist() == ["1", "2", "3"]
    assert catalog.motion[:, 0].tolist() == [5.0, 6.0, 7.0]
    assert catalog.epoch.tolist() == [2016.0] * 3
    np.testing.assert_allclose(catalog.error, [[np.hypot(0.5, 1.2), np.hypot(0.4, 1.2)]] * 3)
    assert (attempt.catalog, attempt.service, attempt.url) == ("LOCAL", "here", server.url)
    assert (attempt.outcome, attempt.n_rows, attempt.reason) == ("fetched", 3, "")
    assert attempt.query == server.queries[0]
    assert attempt.date.endswith("+00:00")
    assert "LOCAL: 3 rows from here in" in caplog.text


def test_null_proper_motions_are_unknown(server):
    columns = stars()
    columns["pmra"][1] = columns["pmdec"][1] = None
    server.answer(votable(columns))
    catalog, _ = fetch_catalog(service(mirror(server.url)), [CONE], settings())
    assert catalog.has_motion.tolist() == [True, False, True]


def test_no_cones():
    with pytest.raises(ValueError, match="no cones"):
        fetch_catalog(service(mirror(REFUSED)), [], settings())


def test_the_next_mirror_where_one_fails(server, second_server):
    server.answer(error_votable("no such table"))
    mirrors = [mirror(REFUSED, "first"), mirror(server.url, "second"), mirror(second_server.url, "third")]
    catalog, attempts = fetch_catalog(service(*mirrors), [CONE], settings())
    assert outcomes(attempts) == [("first", "unreachable"), ("second", "refused"), ("third", "fetched")]
    assert "Connection refused" in attempts[0].reason
    assert "no such table" in attempts[1].reason
    assert catalog.origin == second_server.url


def test_no_mirror_has_it(server, second_server):
    server.answer(error_votable("no such table"))
    second_server.answer(Answer(b"<html/>", kind="text/html"))
    with pytest.raises(
        ServiceUnreachableError, match=r"first.*Connection refused.*; second.*Connection refused"
    ):
        fetch_catalog(service(mirror(REFUSED, "first"), mirror(REFUSED, "second")), [CONE], settings())
    mirrors = [mirror(REFUSED, "first"), mirror(second_server.url, "second"), mirror(server.url, "third")]
    with pytest.raises(ServiceRefusedError) as caught:
        fetch_catalog(service(*mirrors), [CONE], settings())
    assert [attempt.outcome for attempt in caught.value.attempts] == [
        "unreachable",
        "not understood",
        "refused",
    ]
    assert all(f"{name} (http" in caught.value.problem for name in ("first", "second", "third"))
    assert "service_url" in caught.value.remedy
    with pytest.raises(ServiceAnswerError):
        fetch_catalog(service(*mirrors[:2]), [CONE], settings())


def test_no_rows_and_too_many_are_answers(server, second_server):
    two = service(mirror(server.url), mirror(second_server.url))
    server.answer(votable(stars(0)))
    for outcomes in (["no rows"], ["cached", "no rows"]):
        with pytest.raises(
            NoRowsError, match=r"no source within 0\.05 deg of RA 150\.0000, Dec \+2\.0000"
        ) as none:
            fetch_catalog(two, [CONE], settings())
        assert [attempt.outcome for attempt in none.value.attempts] == outcomes
    server.answer(votable(stars(12)))
    with pytest.raises(TooManyRowsError) as many:
        fetch_catalog(two, [Cone(10.0, 0.0, 0.05)], settings(max_rows=11))
    assert [attempt.outcome for attempt in many.value.attempts] == ["too many rows"]
    assert many.value.remedy
    assert not second_server.requests


def test_cached_rows_count_towards_max_rows_too(server):
    local = service(mirror(server.url))
    server.answer(votable(stars(12)))
    fetch_catalog(local, [CONE], settings())
    with pytest.raises(TooManyRowsError, match="12 rows, max_rows is 10") as caught:
        fetch_catalog(local, [CONE], settings(max_rows=10))
    assert [attempt.outcome for attempt in caught.value.attempts] == ["cached", "too many rows"]
    assert caught.value.attempts[-1].reason == caught.value.problem


def test_rows_that_came_and_are_no_catalog_are_an_attempt(server):
    server.answer(votable(stars() | {"ref_epoch": [None] * 3}))
    with pytest.raises(ServiceAnswerError) as caught:
        fetch_catalog(service(mirror(server.url)), [CONE], settings())
    assert [attempt.outcome for attempt in caught.value.attempts][-1] == "not understood"


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (Answer(b"", status=404), "Correct what is asked in a file of services"),
        (Answer(b"<html/>", kind="text/html"), "See whether the address is that of a TAP service"),
        (Answer(b"", status=503), "Try later"),
    ],
)
def test_the_remedy_is_for_what_went_wrong(server, answer, remedy):
    server.answer(answer)
    with pytest.raises(CatalogServiceError) as caught:
        fetch_catalog(service(mirror(server.url)), [CONE], settings())
    assert caught.value.remedy.startswith(remedy)


def test_several_cones_are_several_queries_and_sources_come_once(server):
    server.answer(votable(stars(3)), votable(stars(4, first=2)))
    cones = [CONE, Cone(150.05, 2.0, 0.05), CONE]
    catalog, (attempt,) = fetch_catalog(service(mirror(server.url)), cones, settings())
    assert catalog.identifier.tolist() == ["1", "2", "3", "4", "5"]
    assert len(server.queries) == 2
    assert attempt.query == ";\n".join(server.queries)
    assert attempt.n_rows == 7


def test_sources_without_identifier_are_not_duplicates(server):
    columns = {**stars(2), "id": ["", ""]}
    server.answer(votable(columns))
    catalog, _ = fetch_catalog(service(mirror(server.url)), [CONE, Cone(150.1, 2.0, 0.05)], settings())
    assert len(catalog) == 4


def test_cones_that_a_service_finds_too_large(server):
    columns = stars(3)
    columns["dec"] = [2.0, 2.0, 2.2]  # the last is beyond the cone, and within one that covers it
    server.answer(votable(columns))
    small = service(mirror(server.url, max_radius=0.06))
    catalog, (attempt,) = fetch_catalog(small, [Cone(150.0, 2.0, 0.1)], settings())
    assert len(server.queries) == 7
    assert catalog.identifier.tolist() == ["1", "2"]
    assert attempt.n_rows == 2


def test_the_cache_answers_without_the_server(server):
    local = service(mirror(server.url))
    first, (fetched,) = fetch_catalog(local, [CONE], settings())
    server.stop()
    # Offline or not, and from another address, it is the same query.
    for source in (local, service(mirror("http://127.0.0.1:9/other"))):
        for offline in (False, True):
            again, (cached,) = fetch_catalog(source, [CONE], settings(offline=offline))
            np.testing.assert_array_equal(again.sky, first.sky)
            np.testing.assert_array_equal(again.covariance, first.covariance)
            assert again.identifier.tolist() == first.identifier.tolist()
            assert (again.name, again.origin) == ("LOCAL", server.url)
            assert (cached.outcome, cached.service, cached.query) == ("cached", "here", fetched.query)
            assert cached.date == fetched.date
            assert cached.n_rows == 3
    (file,) = cached_files(local, [CONE], settings())
    assert str(file) in cached.reason


def test_what_the_cache_keeps(server):
    local = service(mirror(server.url))
    fetch_catalog(local, [CONE], settings(max_rows=50))
    (file,) = cached_files(local, [CONE], settings())
    text = gzip.decompress(file.read_bytes()).decode()
    for kept in ("catalog: LOCAL", "mirror: here", server.url, "max_rows: 50", "date: ", "version: ", "0.05"):
        assert kept in text
    assert "SELECT id, ra, dec," in text
    assert file.name == "cone_150.0000_+2.0000_0.05.ecsv.gz"


def test_refresh_asks_again(server):
    local = service(mirror(server.url))
    fetch_catalog(local, [CONE], settings())
    server.answer(votable(stars(2)))
    catalog, (attempt,) = fetch_catalog(local, [CONE], settings(), refresh=True)
    assert (len(catalog), attempt.outcome) == (2, "fetched")
    assert len(fetch_catalog(local, [CONE], settings())[0]) == 2


def test_another_definition_is_another_query(server):
    fetch_catalog(service(mirror(server.url)), [CONE], settings())
    for other in (
        service(mirror(server.url, table="other")),
        service(mirror(server.url, where="mag < 20")),
        service(mirror(server.url), systematic=1.0),
        service(mirror(server.url), name="OTHER"),
    ):
        with pytest.raises(NotCachedError):
            fetch_catalog(other, [CONE], settings(offline=True))


def test_a_cached_cone_serves_those_within_it(server):
    columns = stars(3)
    columns["dec"] = [2.0, 2.03, 2.06]
    server.answer(votable(columns))
    local, large = service(mirror(server.url)), Cone(150.0, 2.02, 0.1)
    fetch_catalog(local, [large], settings())
    catalog, (attempt,) = fetch_catalog(local, [CONE], settings(offline=True))
    assert catalog.identifier.tolist() == ["1", "2"]
    assert attempt.outcome == "cached"
    assert len(server.requests) == 1
    with pytest.raises(NotCachedError):
        fetch_catalog(local, [Cone(150.0, 2.02, 0.2)], settings(offline=True))


def test_a_fetched_cone_is_kept_though_another_fails(server):
    server.answer(votable(stars()), Answer(b"", status=404))
    local, other = service(mirror(server.url)), Cone(10.0, 0.0, 0.05)
    with pytest.raises(ServiceRefusedError):
        fetch_catalog(local, [CONE, other], settings())
    assert len(fetch_catalog(local, [CONE], settings(offline=True))[0]) == 3
    server.answer(votable(stars(1, first=9)))
    catalog, attempts = fetch_catalog(local, [CONE, other], settings())
    assert [(attempt.outcome, attempt.n_rows) for attempt in attempts] == [("cached", 3), ("fetched", 1)]
    assert len(catalog) == 4


def test_offline_without_a_cache(tmp_path):
    with pytest.raises(
        NotCachedError, match="grism-align fetch-catalog ASSOCIATION --catalog LOCAL"
    ) as caught:
        fetch_catalog(service(mirror(REFUSED)), [CONE, Cone(9, 0, 0.1)], settings(offline=True))
    assert "and 1 more cones" in caught.value.problem
    assert str(tmp_path / "cache") in caught.value.problem
    assert [attempt.outcome for attempt in caught.value.attempts] == ["not cached"]


@pytest.mark.parametrize(
    "damage",
    [b"", b"nonsense", gzip.compress(b""), gzip.compress(b"# %ECSV 1.0\n# ---\na\n1\n")],
    ids=["empty", "no gzip", "no table", "another table"],
)
def test_a_damaged_cache_is_passed_over(server, caplog, damage):
    local = service(mirror(server.url))
    fetch_catalog(local, [CONE], settings())
    (file,) = cached_files(local, [CONE], settings())
    file.write_bytes(damage)
    with pytest.raises(NotCachedError, match=re.escape(str(file))):
        fetch_catalog(local, [CONE], settings(offline=True))
    assert f"{file} can't be used" in caplog.text
    catalog, (attempt,) = fetch_catalog(local, [CONE], settings())
    assert (len(catalog), attempt.outcome) == (3, "fetched")
    assert len(fetch_catalog(local, [CONE], settings(offline=True))[0]) == 3


def test_a_cache_that_can_not_be_written(server, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    nowhere = settings(cache_dir=str(tmp_path / "file" / "cache"))
    assert len(fetch_catalog(service(mirror(server.url)), [CONE], nowhere)[0]) == 3
    assert "is not kept" in caplog.text
    assert cached_files(service(mirror(server.url)), [CONE], nowhere) == ()


def test_failures_are_not_cached(server):
    server.answer(Answer(b"", status=503), votable(stars()))
    local = service(mirror(server.url))
    with pytest.raises(ServiceUnreachableError):
        fetch_catalog(local, [CONE], settings())
    assert len(fetch_catalog(local, [CONE], settings())[0]) == 3


FETCH = """
import sys
from grism_align.io.catalogs.services import fetch_catalog, find_service
from grism_align.values.region import Cone
from grism_align.values.settings import ServiceSettings

settings = ServiceSettings(services=sys.argv[1])
service = find_service("MINE", settings)
for _ in range(3):
    assert len(fetch_catalog(service, [Cone(150.0, 2.0, 0.05)], settings, refresh=True)[0]) == 3
"""


def test_processes_and_threads_share_a_cache(server, tmp_path):
    path = tmp_path / "mine.toml"
    columns = ", ".join(f'{role} = "{role}"' for role in stars())
    path.write_text(
        f'[MINE]\ncolumns = {{ {columns} }}\nmirrors = [{{ url = "{server.url}", table = "t" }}]\n'
    )
    chosen = settings(services=str(path))
    mine, got = find_service("MINE", chosen), []

    def fetch():
        got.extend(len(fetch_catalog(mine, [CONE], chosen, refresh=True)[0]) for _ in range(3))

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    with subprocess.Popen([sys.executable, "-c", FETCH, str(path)]) as process:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert process.wait() == 0
    assert got == [3] * 6
    kept = settings(services=str(path), offline=True)
    assert len(fetch_catalog(mine, [CONE], kept)[0]) == 3
    # A folder and the file, nothing left over.
    assert len(list((tmp_path / "cache").rglob("*"))) == 2


def test_where_the_cache_is(monkeypatch, tmp_path):
    chosen = settings(cache_dir="~/mine")
    assert cache_folder(chosen) == Path.home() / "mine"
    assert cache_folder(settings()) == tmp_path / "cache"
    monkeypatch.delenv("GRISM_ALIGN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_folder(settings()) == tmp_path / "xdg" / "grism_align"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder(settings()) == Path.home() / ".cache" / "grism_align"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_folder(settings()) == Path.home() / "Library" / "Caches" / "grism_align"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder(settings()) == tmp_path / "local" / "grism_align"


def test_other_files_in_the_cache_are_left_alone(server):
    local = service(mirror(server.url))
    folder = Cache(local, settings()).folder
    folder.mkdir(parents=True)
    (folder / "cone_notes.txt").write_text("mine")
    assert len(fetch_catalog(local, [CONE], settings())[0]) == 3


def test_a_users_service_at_a_url_of_his(server, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        """
        [MINE]
        columns = { ra = "alpha", dec = "delta", id = "name" }
        [[MINE.mirrors]]
        url = "http://127.0.0.1:9/tap"
        table = "s.t"
        """
    )
    chosen = settings(services=str(path), service_url=server.url)
    server.answer(votable({"RA": [10.0], "DEC": [20.0], "ID": ["a"]}))  # as services that shout
    catalog, (attempt,) = fetch_catalog(find_service("mine", chosen), [CONE], chosen)
    assert (catalog.name, catalog.origin, catalog.identifier.tolist()) == ("MINE", server.url, ["a"])
    assert attempt.query.startswith("SELECT alpha AS ra, delta AS dec, name AS id FROM s.t")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"ra": None}, "no column ra in the answer, only id, dec"),
        ({"ra": ["east"] * 3}, "ra, asked for as ra, isn't numbers"),
        ({"mag": ["bright"] * 3}, "mag, asked for as mag, isn't numbers"),
        ({"ra": [None] * 3}, "3 of 3 rows have no possible position"),
        ({"dec": [2.0, 91.0, 2.0]}, "1 of 3 rows have no possible position"),
    ],
)
def test_answers_that_are_not_what_was_asked_for(server, columns, says):
    answer = {name: values for name, values in {**stars(), **columns}.items() if values is not None}
    server.answer(votable(answer))
    with pytest.raises(ServiceAnswerError, match=says):
        fetch_catalog(service(mirror(server.url)), [CONE], settings())


def test_the_first_value_that_there_is(server):
    columns = stars(3)
    columns.update(mag=[-999.0, 20.0, None], mag_2=[21.0, 22.0, None], extended=["PSF", "REX", None])
    server.answer(votable(columns))
    either = (Column("i", valid=(0.0, 40.0)), Column("r", valid=(0.0, 40.0)))
    source = mirror(server.url)
    extended = (Column("type", unless=("PSF",)),)
    source = mirror(server.url, columns={**source.columns, "mag": either, "extended": extended})
    assert "i AS mag, r AS mag_2, type AS extended" in source.query(CONE)
    catalog, _ = fetch_catalog(service(source), [CONE], settings())
    np.testing.assert_array_equal(catalog.mag, [21.0, 20.0, np.nan])
    np.testing.assert_array_equal(catalog.quality["extended"], [0.0, 1.0, np.nan])


def test_what_a_source_is_in_words(server):
    server.answer(votable(stars(3) | {"kind": ["star", "GALAXY", "asteroid"]}))
    source = mirror(server.url)
    source = mirror(server.url, columns={**source.columns, "kind": (Column("class"),)})
    catalog, _ = fetch_catalog(service(source), [CONE], settings())
    np.testing.assert_array_equal(catalog.quality["extended"], [0.0, 1.0, np.nan])


def test_logical_columns():
    from astropy.table import Table

    columns = {**{role: (Column(role),) for role in ("ra", "dec")}, "duplicated": (Column("dup"),)}
    source = mirror(REFUSED, columns=columns)
    answer = Table({"ra": [1.0, 2.0], "dec": [1.0, 2.0], "duplicated": [True, False]})
    assert role_table(answer, service(source), source)["duplicated"].tolist() == [1.0, 0.0]


directions = st.tuples(st.floats(0, 359.999999), st.floats(-90, 90), st.floats(0.001, 0.5))


@limited(max_examples=40)
@given(directions)
def test_rounded_cones_hold_their_cone_and_stay(given_cone):
    cone = Cone(*given_cone)
    rounded = rounded_cone(cone)
    assert rounded.contains(cone)
    assert rounded.radius < cone.radius + 0.0102
    assert 0.0 <= rounded.ra < 360.0
    assert rounded_cone(rounded) == rounded


@limited(max_examples=40)
@given(directions, st.floats(0, 1), st.floats(0, 2 * np.pi))
def test_covering_cones_cover(given_cone, share, bearing):
    cone = Cone(*given_cone)
    parts = covering_cones(cone, 0.26 * cone.radius)
    assert len(parts) == 49
    assert covering_cones(cone, None) == covering_cones(cone, cone.radius) == (cone,)
    east, north, out = tangent_axes(cone.ra, cone.dec)
    away = np.tan(np.radians(share * cone.radius))
    point = vector_to_sky(out + away * (np.sin(bearing) * east + np.cos(bearing) * north))
    assert any(separation(point, [part.ra, part.dec]) <= part.radius for part in parts)
    assert max(part.radius for part in parts) <= 0.26 * cone.radius
