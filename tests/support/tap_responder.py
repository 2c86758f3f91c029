"""A small TAP service over real HTTP on this machine, which answers as a test tells it to."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

VOTABLE = "application/x-votable+xml"


@dataclass(frozen=True)
class Answer:
    """What is sent: after `wait` s, `dribble` s before each byte, and only the first `cut` bytes."""

    body: bytes = b""
    status: int = 200
    kind: str = VOTABLE
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    dribble: float = 0.0
    cut: int | None = None
    chunked: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str]


def votable(columns: dict[str, list[Any]], status: str = "OK", message: str = "", after: str = "") -> bytes:
    """A VOTable of numbers and texts; None is NULL. `after` is the QUERY_STATUS that follows the rows."""
    fields = "".join(
        f'<FIELD name="{name}" '
        + ('datatype="char" arraysize="*"/>' if _is_text(values) else _number(values))
        for name, values in columns.items()
    )
    rows = "".join(
        f"<TR>{''.join('<TD/>' if value is None else f'<TD>{value}</TD>' for value in row)}</TR>"
        for row in zip(*columns.values(), strict=True)
    )
    table = f"<TABLE>{fields}<DATA><TABLEDATA>{rows}</TABLEDATA></DATA></TABLE>" if columns else ""
    end = f'<INFO name="QUERY_STATUS" value="{after}"/>' if after else ""
    return (
        '<?xml version="1.0"?><VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
        f'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="{status}">{message}</INFO>'
        f"{table}{end}</RESOURCE></VOTABLE>"
    ).encode()


def _is_text(values: list[Any]) -> bool:
    return any(isinstance(value, str) for value in values)


def _number(values: list[Any]) -> str:
    whole = bool(values) and all(isinstance(value, int) for value in values)
    return 'datatype="long"/>' if whole else 'datatype="double"/>'


def error_votable(message: str) -> bytes:
    return votable({}, "ERROR", message)


def stars(n: int = 3, ra: float = 150.0, dec: float = 2.0, first: int = 1) -> dict[str, list[Any]]:
    """Columns of a catalog of stars 1 arcsec apart."""
    return {
        "id": list(range(first, first + n)),
        "ra": [ra + k / 3600 for k in range(n)],
        "dec": [dec] * n,
        "ra_error": [0.5] * n,
        "dec_error": [0.4] * n,
        "pmra": [5.0 + k for k in range(n)],
        "pmdec": [-3.0] * n,
        "ref_epoch": [2016.0] * n,
        "mag": [18.0 + k for k in range(n)],
    }


class TapResponder:
    """A TAP service at `url`.

    Synchronous queries and results of jobs get the answers in `script`, one after the other, the last one
    for ever. Jobs go through `phases`, a phase at each look, and stay in the last.
    """

    def __init__(self) -> None:
        self.script: deque[Answer] = deque([Answer(votable(stars()))])
        self.phases: deque[str] = deque(["QUEUED", "EXECUTING", "COMPLETED"])
        self.job_error = "division by zero"
        self.on_job: Answer | None = None
        self.requests: list[Request] = []
        self.closing, self._lock = threading.Event(), threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = False
        self._server.block_on_close = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/tap"

    def answer(self, *answers: Answer | bytes) -> None:
        self.script = deque(each if isinstance(each, Answer) else Answer(each) for each in answers)

    def of(self, method: str, path: str) -> list[Request]:
        """The requests of one kind."""
        return [one for one in self.requests if one.method == method and one.path == path]

    @property
    def queries(self) -> list[str]:
        return [one.parameters["QUERY"] for one in self.requests if "QUERY" in one.parameters]

    def __enter__(self) -> TapResponder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if not self.closing.is_set():
            self.closing.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def _next(self, waiting: deque[Any]) -> Any:
        with self._lock:
            return waiting.popleft() if len(waiting) > 1 else waiting[0]

    def _job(self, phase: str) -> bytes:
        summary = f"<uws:message>{self.job_error}</uws:message>"
        error = f'<uws:errorSummary type="fatal" hasDetail="false">{summary}</uws:errorSummary>'
        result = f'<uws:result id="result" xlink:href="{self.url}/async/7/results/result"/>'
        return (
            '<?xml version="1.0"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" '
            'xmlns:xlink="http://www.w3.org/1999/xlink" version="1.1"><uws:jobId>7</uws:jobId>'
            f"<uws:phase>{phase}</uws:phase><uws:executionDuration>60</uws:executionDuration>"
            f"<uws:parameters/><uws:results>{result if phase == 'COMPLETED' else ''}</uws:results>"
            f"{error if phase == 'ERROR' else ''}</uws:job>"
        ).encode()

    def respond(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.path in ("/tap/sync", "/tap/async/7/results/result"):
            return self._next(self.script)
        if request.path == "/tap/async":
            return self.on_job or Answer(status=303, headers={"Location": f"{self.url}/async/7"})
        if request.path == "/tap/async/7/phase":
            return Answer(status=303, headers={"Location": f"{self.url}/async/7"})
        if request.path == "/tap/async/7" and request.method == "GET":
            started = any(one.path.endswith("/phase") for one in self.requests)
            return Answer(self._job(self._next(self.phases) if started else "PENDING"), kind="text/xml")
        return Answer(status=303, headers={"Location": f"{self.url}/async"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, responder: TapResponder, *request: Any) -> None:
        self._responder = responder
        super().__init__(*request)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parameters = {name: values[0] for name, values in parse_qs(sent).items()}
        path = self.path.partition("?")[0]
        answer = self._responder.respond(Request(self.command, path, parameters, dict(self.headers)))
        self.close_connection = True
        self._responder.closing.wait(answer.wait)
        with suppress(OSError):  # the client may have left
            self._send_head(answer)
            self._send_body(answer)

    def do_GET(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Connection", "close")
        if answer.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, answer: Answer) -> None:
        body = answer.body[: answer.cut]
        if answer.chunked:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            self.wfile.write(b"0\r\n\r\n" if answer.cut is None else b"")
        elif not answer.dribble:
            self.wfile.write(body)
        else:
            for byte in body:
                self.wfile.write(bytes([byte]))
                if self._responder.closing.wait(answer.dribble):
                    return

    def log_message(self, *_: object) -> None:
        pass
