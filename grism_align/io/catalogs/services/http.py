"""HTTP requests that end in time, and that are made again where that may help."""

from __future__ import annotations

import io
import platform
import time
from concurrent.futures import Future
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import requests
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
    """

    def __init__(self, seconds: float, retries: int) -> None:
        super().__init__()
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
