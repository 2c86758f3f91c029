"""HTTP requests that end in time, and that are made again where that may help."""

from __future__ import annotations

import io
import platform
import time
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from grism_align import __version__

if TYPE_CHECKING:
    from collections.abc import Callable


#: Status codes of servers that can't now, and may soon.
RETRIED = frozenset({429, 502, 503, 504})

#: First wait before a request is made again, s; doubled each time.
_BACKOFF = 0.5

#: Longest wait for a connection, s: a host that drops packets leaves time to try again.
_CONNECT = 10.0

#: How much longer than its own time limits a request may take before it is given up, s.
_GRACE = 1.0

_REDIRECTS = 5
_PACKED = ("", "identity", "gzip", "x-gzip")
_PIECE = 1 << 16


class AnswerError(requests.RequestException):
    """An answer that is not taken: too long, packed in some other way, or a sign to go elsewhere."""


@dataclass(frozen=True)
class Hosts:
    """Where the requests to one service may go.

    Parameters
    ----------
    url : str
        The service.
    others : tuple of str
        Hosts besides its own, which redirections and addresses of jobs may lead to.
    login : str
        ``user:password`` for its own host; empty for none. What ~/.netrc has is sent in any case.
    """

    url: str
    others: tuple[str, ...] = ()
    login: str = ""

    def allowed(self, address: str) -> str:
        """Return the address that is asked: as secure as the service's own.

        Raises
        ------
        AnswerError
            If it is of another host, or of another port of the same.
        """
        own, asked = urlsplit(self.url), urlsplit(address)
        same = asked.hostname == own.hostname and _port(asked) in {_port(own), "default"}
        if not same and asked.hostname not in self.others:
            msg = (
                f"it sends to another host, {asked.hostname}; if that is right, name it in service_hosts"
                if asked.hostname != own.hostname
                else f"it sends to another port of its host, {asked.port}; that is not asked"
            )
            raise AnswerError(msg)
        if same and own.scheme == "https" and asked.scheme == "http":
            return urlunsplit(asked._replace(scheme="https", netloc=own.netloc))
        return address

    def log_in(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the login to a request to the service's own host."""
        user, _, password = self.login.partition(":")
        if urlsplit(request.url or "").hostname == urlsplit(self.url).hostname:
            return HTTPBasicAuth(user, password)(request)
        return request


def _port(parts: SplitResult) -> int | str:
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return "default" if parts.port in (None, default) else int(parts.port or 0)


class TimedSession(requests.Session):
    """A session of requests with a time limit for all of them together.

    Answers are read whole, so that their time is limited too, and a server that sends a byte a minute
    does not hold the program.

    Parameters
    ----------
    seconds : float, s
        For all requests together, with the waits between them.
    retries : int
        Times that a request is made again after a broken connection or a status in `RETRIED`.
    hosts : Hosts
        Where they may go.
    most : int
        Bytes of an answer, unpacked.
    """

    def __init__(self, seconds: float, retries: int, hosts: Hosts, most: int) -> None:
        super().__init__()
        self._hosts, self._most = hosts, most
        self.max_redirects = _REDIRECTS
        self.headers["Accept-Encoding"] = "gzip"
        self.hooks["response"].append(self._read)
        if hosts.login:
            self.auth = hosts.log_in
        self.headers["User-Agent"] = f"grism_align/{__version__} Python/{platform.python_version()}"
        self._end = time.monotonic() + seconds
        self._retries = retries

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def allow(self, seconds: float) -> None:
        """Have at least so many seconds left."""
        self._end = max(self._end, time.monotonic() + seconds)

    def request(self, *request: Any, **options: Any) -> requests.Response:
        """Return the answer of the last try; takes what requests takes.

        Raises
        ------
        requests.RequestException
            If the last try gave none: a Timeout, a ConnectionError, a ChunkedEncodingError of one that broke
            off.
        """
        # a Timeout is none of these, but that of a connection
        broken = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
        for number in range(self._retries):
            wait = _BACKOFF * 2.0**number
            try:
                answer = self._try(*request, **options)
            except broken:
                if wait >= self.left:
                    raise
            else:
                wait = _asked_wait(answer) or wait
                if answer.status_code not in RETRIED or wait >= self.left:
                    return answer
            time.sleep(wait)
        return self._try(*request, **options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, the first or one that a redirection asks for, where it may go.

        Parameters
        ----------
        request : PreparedRequest
            The request.
        **options
            As requests has them.

        Raises
        ------
        AnswerError
            If it may not go there.
        """
        request.url = self._hosts.allowed(str(request.url))
        return super().send(request, **options)

    def _read(self, answer: requests.Response, **_: Any) -> None:
        """Read an answer, but no more of it than there may be: a few kilobytes can unpack to gigabytes."""
        packed = answer.headers.get("Content-Encoding", "").strip().lower()
        if packed not in _PACKED:
            answer.close()
            msg = f"its answer is packed as {packed[:40]!r}, which nobody asked for"
            raise AnswerError(msg)
        pieces, size = [], 0
        for piece in answer.iter_content(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > self._most:
                answer.close()
                msg = f"its answer has more than {self._most} bytes"
                raise AnswerError(msg)
        # what `content` gives from now on
        answer._content = b"".join(pieces)

    def _try(self, *request: Any, **options: Any) -> requests.Response:
        return _in_time(lambda: self._once(*request, **options), self.left + _GRACE)

    def _once(self, *request: Any, **options: Any) -> requests.Response:
        if not self.left:
            raise requests.Timeout
        limits = {"stream": False, "timeout": (min(self.left, _CONNECT), self.left)}
        try:
            answer = super().request(*request, **{**options, **limits})
        except requests.ConnectTimeout:
            raise
        except requests.ConnectionError as error:
            if self.left:
                raise
            raise requests.Timeout from error
        # pyvo reads it once more
        answer.raw = _Readable(answer.content)
        return answer


class _Readable(io.BytesIO):
    """Bytes with the method of urllib3's answers that pyvo calls."""

    def read(self, size: int | None = -1, /, decode_content: bool | None = None) -> bytes:
        return super().read(size)


def _asked_wait(answer: requests.Response) -> float | None:
    """Return the seconds that a server asks to wait, None where it doesn't say."""
    header = answer.headers.get("Retry-After")
    with suppress(InvalidHeader):
        return None if header is None else Retry().parse_retry_after(header)
    return None


def _in_time(work: Callable[[], requests.Response], seconds: float) -> requests.Response:
    """Return what `work` returns, or raise `requests.Timeout`.

    In a thread of its own, since looking up a host and reading an answer piece by piece have no time limit.
    One that does not return is left behind.
    """
    future: Future[requests.Response] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(timeout=seconds)
    except TimeoutError:
        raise requests.Timeout from None
