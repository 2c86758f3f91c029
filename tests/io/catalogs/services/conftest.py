import pytest

from grism_align.io.catalogs.services import http
from tests.support.tap_responder import TapResponder


@pytest.fixture
def server():
    with TapResponder() as responder:
        yield responder


@pytest.fixture
def second_server():
    with TapResponder() as responder:
        yield responder


@pytest.fixture(autouse=True)
def impatient(monkeypatch, tmp_path):
    """No pauses between tries, no cache but the test's own."""
    monkeypatch.setattr(http, "_BACKOFF", 0.0)
    monkeypatch.setenv("GRISM_ALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
