from __future__ import annotations

import gzip
import re
import socket
import warnings

import numpy as np
import pytest

from grism_align import __version__
from grism_align.io.catalogs.services import http, tap
from grism_align.values.errors import (
    NoRowsError,
    ServiceAnswerError,
    ServiceRefusedError,
    ServiceUnreachableError,
    TooManyRowsError,
)
from tests.support.services import CONE, REFUSED, mirror, settings
from tests.support.tap_responder import VOTABLE, Answer, error_votable, stars, votable


def ask(server, limits=None, **changes):
    source = mirror(server.url if hasattr(server, "url") else server, **changes)
    return tap.run_query("LOCAL", source, source.query(CONE), limits or settings())


def busy(**changes):
    return Answer(b"", status=503, **changes)


def test_rows_come_and_the_request_says_who_asks(server):
    table = ask(server, settings(max_rows=77))
    assert table["ra"].tolist() == stars()["ra"]
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/tap/sync")
    assert request.headers["User-Agent"].startswith(f"grism_align/{__version__}")
    sent = request.parameters
    assert (sent["LANG"], sent["REQUEST"], sent["MAXREC"]) == ("ADQL", "doQuery", "78")
    assert sent["QUERY"] == mirror(server.url).query(CONE)


def test_no_rows_are_an_empty_table(server):
    server.answer(votable(stars(0)))
    assert len(ask(server)) == 0


def test_compressed_answers_are_read_whole(server):
    # In small pieces, of which the first hold no text yet.
    packed = {"body": gzip.compress(votable(stars())), "headers": {"Content-Encoding": "gzip"}}
    for dribble in (0.0, 1e-4):
        server.answer(Answer(**packed, dribble=dribble))
        assert len(ask(server)) == 3


def test_chunked_answers_are_read_whole(server):
    server.answer(Answer(votable(stars()), chunked=True))
    assert len(ask(server)) == 3


def test_rows_that_are_not_all_are_refused(server):
    server.answer(votable(stars(2), after="OVERFLOW"))
    with pytest.raises(TooManyRowsError, match="more rows than the 2 that the service sends"):
        ask(server)
    # The service may send more in a job, and was asked.
    assert server.of("POST", "/tap/async")


def test_more_rows_than_max_rows(server):
    server.answer(votable(stars(11), after="OVERFLOW"))
    with pytest.raises(TooManyRowsError, match=r"more than 10 rows.*Raise max_rows"):
        ask(server, settings(max_rows=10))
    assert not server.of("POST", "/tap/async")
    server.answer(votable(stars(10)))
    assert len(ask(server, settings(max_rows=10))) == 10


def test_the_known_limit_of_a_service_counts_where_its_word_does_not(server):
    server.answer(votable(stars(3), after="OVERFLOW"))
    assert len(ask(server, trust_overflow=False, row_limit=4)) == 3
    with pytest.raises(TooManyRowsError):
        ask(server, trust_overflow=False, row_limit=3)


def test_a_job_gives_what_a_synchronous_query_cuts_short(server):
    server.answer(votable(stars(2), after="OVERFLOW"), votable(stars(5)))
    assert len(ask(server)) == 5
    assert [one.path for one in server.requests if one.method == "DELETE"] == ["/tap/async/7"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(error_votable("canceling statement due to statement timeout")),
        Answer(error_votable("Query too complex, use async"), status=400),
        Answer(b"", status=405),
        Answer(votable(stars()), wait=600.0),
    ],
)
def test_a_job_where_a_synchronous_query_is_not_possible(server, answer):
    server.answer(answer, votable(stars(4)))
    assert len(ask(server, settings(timeout=2.0 if answer.wait else 20.0))) == 4


def test_mirrors_can_have_one_way_only(server):
    assert len(ask(server, mode="async")) == 3
    assert not server.of("POST", "/tap/sync")
    server.answer(votable(stars(2), after="OVERFLOW"))
    with pytest.raises(TooManyRowsError):
        ask(server, mode="sync")
    assert len(server.of("POST", "/tap/async")) == 1


def test_a_job_that_fails_says_why_and_is_deleted(server):
    server.phases.extend(["ERROR"])
    server.phases.remove("COMPLETED")
    with pytest.raises(ServiceRefusedError, match="division by zero"):
        ask(server, mode="async")
    assert len(server.of("DELETE", "/tap/async/7")) == 1


def test_a_job_that_never_ends_is_given_up_and_deleted(server):
    server.phases.clear()
    server.phases.append("QUEUED")
    with pytest.raises(ServiceUnreachableError, match=r"still QUEUED after 1 s"):
        ask(server, settings(timeout=1.0), mode="async")
    assert len(server.of("DELETE", "/tap/async/7")) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (Answer(error_votable("no such column: rx"), status=400), ServiceRefusedError, "no such column"),
        (Answer(b"<html>go away</html>", status=403, kind="text/html"), ServiceRefusedError, "403.*go away"),
        (Answer(b"hello", kind="text/plain"), ServiceAnswerError, "no XML"),
        (Answer(b"<html>hello</html>", kind="text/html"), ServiceAnswerError, "no UWS job"),
        (Answer(b"<a/>", status=500), ServiceUnreachableError, "HTTP 500"),
        (busy(), ServiceUnreachableError, "HTTP 503"),
    ],
)
def test_jobs_that_can_not_be_made(server, answer, kind, says):
    server.on_job = answer
    with pytest.raises(kind, match=says):
        ask(server, mode="async")


def test_a_query_that_the_service_rejects(server):
    server.answer(error_votable("Unknown table some.table"))
    with pytest.raises(ServiceRefusedError, match=r"LOCAL: here \(http.*\): Unknown table some\.table"):
        ask(server)
    server.answer(Answer(error_votable("Syntax error at SELEKT"), status=400))
    with pytest.raises(ServiceRefusedError, match="Syntax error at SELEKT"):
        ask(server)


@pytest.mark.parametrize("status", [401, 403, 404, 413])
def test_http_refusals(server, status):
    page = b"<html><head><style>p {x}</style></head><body><p>Not for\n you</p>" + b"y" * 5000
    server.answer(Answer(page, status=status, kind="text/html"))
    with pytest.raises(ServiceRefusedError, match=rf"HTTP {status}.*\(Not for you y+\.\.\.\)") as caught:
        ask(server)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_servers_that_can_not_now(server, status):
    server.answer(Answer(b"", status=status))
    with pytest.raises(ServiceUnreachableError, match=f"HTTP {status}"):
        ask(server)
    # An error that the server explains is the query's.
    if status == 500:
        server.answer(Answer(error_votable("bad column"), status=status))
        with pytest.raises(ServiceRefusedError, match="bad column"):
            ask(server)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(server, status):
    server.answer(Answer(b"", status=status), Answer(b"", status=status), votable(stars()))
    assert len(ask(server, settings(retries=2))) == 3
    assert len(server.requests) == 3


def test_a_server_that_stays_busy_is_given_up(server):
    server.answer(busy())
    with pytest.raises(ServiceUnreachableError):
        ask(server, settings(retries=3))
    assert len(server.requests) == 4


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(http.time, "sleep", slept.append)
    return slept


def test_the_wait_that_a_server_asks_for(server, pauses):
    server.answer(busy(headers={"Retry-After": "7"}), votable(stars()))
    ask(server, settings(retries=1))
    assert pauses == [7.0]
    server.answer(busy(headers={"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"}), votable(stars()))
    ask(server, settings(retries=1))
    server.answer(busy(headers={"Retry-After": "soon"}), votable(stars()))
    ask(server, settings(retries=1))
    assert pauses[1:] == [0.0, 0.0]


def test_no_wait_beyond_the_time_limit(server, pauses):
    server.answer(busy(headers={"Retry-After": "21"}))
    with pytest.raises(ServiceUnreachableError):
        ask(server, settings(retries=1))
    assert pauses == []
    assert len(server.requests) == 1


def test_waits_grow(server, pauses, monkeypatch):
    monkeypatch.setattr(http, "_BACKOFF", 0.5)
    server.answer(busy())
    with pytest.raises(ServiceUnreachableError):
        ask(server, settings(retries=3))
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("answer", [{"wait": 30.0}, {"dribble": 0.05}])
def test_slow_servers_are_given_up(server, answer):
    server.answer(Answer(votable(stars(20)), **answer))
    with pytest.raises(ServiceUnreachableError, match=r"no answer within 0\.3 s"):
        ask(server, settings(timeout=0.3), mode="sync")


def test_a_head_that_dribbles_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "_GRACE", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It accepts, and never says a word; the request's own limit is put out of action.
        monkeypatch.setattr(http.TimedSession, "_once", lambda *_, **__: silent.accept()[0].recv(1))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/tap"
        with pytest.raises(ServiceUnreachableError, match="no answer within"):
            ask(url, settings(timeout=0.2), mode="sync")


def test_a_connection_that_breaks_is_made_again(server):
    body = votable(stars())
    server.answer(Answer(body, cut=len(body) // 2), body)
    assert len(ask(server, settings(retries=1))) == 3
    server.answer(Answer(body, cut=len(body) // 2))
    with pytest.raises(ServiceAnswerError, match="broke off"):
        ask(server)
    server.answer(Answer(body, cut=len(body) // 2, chunked=True))
    with pytest.raises(ServiceAnswerError, match="broke off"):
        ask(server)


def test_nobody_there():
    with pytest.raises(ServiceUnreachableError, match="Connection refused"):
        ask(REFUSED)
    with pytest.raises(ServiceUnreachableError, match="No scheme"):
        ask("nowhere/tap")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html><body>Welcome</body></html>", "text/html"),
        (b"", VOTABLE),
        (b"ra,dec\n1,2\n", "text/csv"),
        (votable(stars())[:-40], VOTABLE),
        (votable(stars()).replace(b"TABLEDATA", b"BINARY"), VOTABLE),
        (votable({}), VOTABLE),
    ],
)
def test_what_is_no_votable(server, body, kind):
    server.answer(Answer(body, kind=kind))
    with pytest.raises(
        ServiceAnswerError, match=f"{len(body)} bytes of {re.escape(kind)} that are no VOTable"
    ):
        ask(server)


def test_sloppy_votables_are_read_without_warnings(server):
    sloppy = votable(stars()).replace(b'name="mag"', b'name="mag" unit="magnitudes" ucd="what;ever"')
    server.answer(sloppy.replace(b"1.3", b"1.9"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = warnings.filters[:]
        assert np.isfinite(ask(server)["mag"]).all()
        assert warnings.filters == before


def test_errors_have_their_outcomes():
    kinds = (ServiceUnreachableError, ServiceRefusedError, NoRowsError, TooManyRowsError, ServiceAnswerError)
    assert len({kind.outcome for kind in kinds}) == len(kinds)
