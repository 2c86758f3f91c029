"""Services of others: where they send to, what they send, and what they are not told."""

from __future__ import annotations

import gzip
import logging
import stat
from dataclasses import replace

import pytest

from grism_align.io.catalogs.services import fetch_catalog, find_service
from grism_align.io.catalogs.services.http import AnswerError, Hosts
from grism_align.values.addresses import has_login, without_login
from grism_align.values.errors import CatalogServiceError, InputError, SettingsError
from tests.support.services import CONE, mirror, service, settings
from tests.support.tap_responder import Answer, stars, votable

SECRET = "pa55word"
#: Twice as much as an answer of a thousand rows may be.
BOMB = gzip.compress(bytes(1 << 26), 1)


def elsewhere(server):
    """Its address under another name of this machine."""
    return server.url.replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("way", ["sync", "job"])
def test_a_service_sends_to_no_other_host_unasked(server, second_server, way):
    away = Answer(status=302, headers={"Location": f"{elsewhere(second_server)}/sync"})
    mode = "async" if way == "job" else "sync"
    if way == "job":
        server.on_job = Answer(status=303, headers={"Location": f"{elsewhere(second_server)}/async/7"})
    else:
        server.answer(away)
    with pytest.raises(CatalogServiceError) as caught:
        fetch_catalog(service(mirror(server.url, mode=mode)), [CONE], settings())
    assert "localhost" in caught.value.problem
    assert second_server.requests == []
    if way == "sync":
        for asked in (settings(service_hosts=("localhost",)), settings()):
            hosts = () if asked.service_hosts else ("localhost",)
            found, _ = fetch_catalog(service(mirror(server.url, hosts=hosts)), [CONE], asked, refresh=True)
            assert len(found) == 3


@pytest.mark.parametrize(
    ("url", "asked", "goes_to"),
    [
        ("https://a.org/tap", "http://a.org/tap/async/7", "https://a.org/tap/async/7"),
        ("http://a.org/tap", "https://a.org/x", "https://a.org/x"),
        ("http://a.org:8080/tap", "http://a.org:8080/x", "http://a.org:8080/x"),
        ("https://a.org/tap", "https://a.org:8443/x", None),
        ("https://a.org/tap", "https://b.org/x", None),
        ("https://a.org/tap", "https://a.org.b.org/x", None),
        ("https://a.org/tap", "https://a.org@b.org/x", None),
        ("https://a.org/tap", "http://127.0.0.1/x", None),
    ],
)
def test_where_requests_may_go(url, asked, goes_to):
    if goes_to is None:
        with pytest.raises(AnswerError):
            Hosts(url).allowed(asked)
    else:
        assert Hosts(url).allowed(asked) == goes_to


@pytest.mark.parametrize(
    "answer",
    [
        Answer(BOMB, headers={"Content-Encoding": "gzip"}),
        Answer(gzip.compress(gzip.compress(b"x")), headers={"Content-Encoding": "gzip, gzip"}),
        Answer(BOMB, status=302, headers={"Content-Encoding": "gzip", "Location": "/a"}),
        Answer(
            votable(stars()).replace(b"<TABLEDATA>", b"<BINARY><STREAM href='file:/etc/hostname'/></BINARY>")
        ),
    ],
    ids=["bomb", "twice", "bomb on the way", "rows elsewhere"],
)
def test_answers_that_are_not_taken(server, answer):
    server.answer(answer)
    with pytest.raises(CatalogServiceError):
        fetch_catalog(service(mirror(server.url)), [CONE], settings(max_rows=1000))


def test_an_address_with_a_login_is_refused_without_telling_it(server, tmp_path):
    url = server.url.replace("//", f"//joe:{SECRET}@")
    with pytest.raises(SettingsError) as caught:
        settings(service_url=url)
    assert SECRET not in str(caught.value)
    text = f'[MINE]\n[MINE.columns]\nra="ra"\ndec="dec"\n[[MINE.mirrors]]\nurl="{url}"\ntable="t"\n'
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(InputError) as other:
        find_service("MINE", settings(services=str(tmp_path / "mine.toml")))
    assert SECRET not in str(other.value)


def test_logins_are_taken_out_of_texts():
    text = f"GET http://joe:{SECRET}@a.org/x failed, as https://{SECRET}@b.org"
    assert has_login(text)
    assert without_login(text) == "GET http://a.org/x failed, as https://b.org"
    assert not has_login("https://a.org/~joe@home and joe@b.org")
    assert SECRET not in str(CatalogServiceError("GAIA", text))


def test_the_login_goes_to_the_users_own_endpoint_alone(server, second_server, monkeypatch, caplog, tmp_path):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("GRISM_ALIGN_LOGIN", f"joe:{SECRET}")
    server.answer(Answer(status=302, headers={"Location": f"{elsewhere(second_server)}/sync"}))
    own = mirror(server.url, name=server.url, hosts=("localhost",))
    _, attempts = fetch_catalog(service(own), [CONE], settings())
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert "Authorization" not in second_server.requests[0].headers
    fetch_catalog(service(replace(own, name="known")), [CONE], settings(), refresh=True)
    assert "Authorization" not in server.requests[-1].headers
    assert SECRET not in caplog.text + repr(attempts)


def test_what_was_asked_is_nobody_elses_business(server, tmp_path):
    fetch_catalog(service(mirror(server.url)), [CONE], settings())
    [file] = (tmp_path / "cache").rglob("*.gz")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
