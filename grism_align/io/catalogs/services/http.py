"""HTTP requests that end in time, and that are made again where that may help."""

from __future__ import annotations

import io
import platform
import threading
import time
from email.utils import parsedate_to_datetime
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from grism_align import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

__all__ = ["RETRIED", "TimedSession"]

#: Status codes of servers that can't now, and may soon.
RETRIED = frozenset({429, 502, 503, 504})

#: First wait before a request is made again, s; doubled each time.
_BACKOFF = 0.5

#: Longest wait for a connection, s: a host that drops packets leaves time to try again.
_CONNECT = 10.0

#: How much longer than its own time limits a request may take before it is given up, s.
_GRACE = 1.0

_CHUNK = 65536

Result = TypeVar("Result")


class TimedSession:
    """What pyvo needs of a session of requests: get, post, delete.

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
        import requests

        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"grism_align/{__version__} Python/{platform.python_version()}"
        self._end = time.monotonic() + seconds
        self._retries = retries

    def __enter__(self) -> TimedSession:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    @property
    def left(self) -> float:
        """Seconds that are left, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def allow(self, seconds: float) -> None:
        """Have at least so many seconds left."""
        self._end = max(self._end, time.monotonic() + seconds)

    def get(self, url: str, **options: Any) -> requests.Response:
        """As in requests."""
        return self._request("GET", url, options)

    def post(self, url: str, **options: Any) -> requests.Response:
        """As in requests."""
        return self._request("POST", url, options)

    def delete(self, url: str, **options: Any) -> requests.Response:
        """As in requests."""
        return self._request("DELETE", url, options)

    def _request(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        """The answer of the last try.

        Raises
        ------
        requests.RequestException
            If the last try gave none: a Timeout, a ConnectionError, a ChunkedEncodingError of one that broke
            off.
        """
        import requests

        broken = (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError)
        for number in range(self._retries):
            wait = _BACKOFF * 2.0**number
            try:
                answer = self._try(method, url, options)
            except broken:
                if not self._slept(wait):
                    raise
            else:
                asked = _retry_after(answer.headers.get("Retry-After"))
                if answer.status_code not in RETRIED or not self._slept(wait if asked is None else asked):
                    return answer
        return self._try(method, url, options)

    def _try(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        return _in_time(lambda: self._once(method, url, options), self.left + _GRACE)

    def _once(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        import requests

        if not self.left:
            msg = "no time left"
            raise requests.Timeout(msg)
        limits = (min(self.left, _CONNECT), self.left)
        with self._session.request(method, url, **{**options, "stream": True, "timeout": limits}) as response:
            body = self._body(response)
        # As requests itself leaves it, and readable once more for pyvo.
        response._content, response._content_consumed = body, True
        response.raw = _Readable(body)
        return response

    def _body(self, response: requests.Response) -> bytes:
        import requests
        from urllib3 import exceptions

        parts = []
        try:
            # One receipt at a time: reading a number of bytes waits for all of them.
            while part := response.raw.read1(_CHUNK, decode_content=True):
                parts.append(part)
                if not self.left:
                    msg = f"no end of the answer after {sum(map(len, parts))} bytes"
                    raise requests.Timeout(msg)
        except exceptions.ReadTimeoutError as error:
            raise requests.Timeout(error) from error
        except exceptions.HTTPError as error:
            msg = f"the answer broke off after {sum(map(len, parts))} bytes"
            raise requests.exceptions.ChunkedEncodingError(msg) from error
        return b"".join(parts)

    def _slept(self, seconds: float) -> bool:
        """Wait, if the time allows it; False if not."""
        if seconds >= self.left:
            return False
        time.sleep(seconds)
        return True


class _Readable(io.BytesIO):
    """Bytes with the method of urllib3's answers that pyvo calls."""

    def read(self, size: int | None = -1, /, decode_content: bool | None = None) -> bytes:
        return super().read(size)


def _in_time(work: Callable[[], Result], seconds: float) -> Result:
    """What `work` returns, or `requests.Timeout`.

    In a thread of its own, since looking up a host and reading the head of an answer have no time limit.
    One that does not return is left behind.
    """
    import requests

    done: SimpleQueue[tuple[Result | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            done.put((work(), None))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            done.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = done.get(timeout=seconds)
    except Empty:
        msg = "no answer"
        raise requests.Timeout(msg) from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _retry_after(header: str | None) -> float | None:
    """Seconds that a server asks to wait, None where it doesn't say."""
    if header is None:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
