"""One query of one TAP service, and what can go wrong with it."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grism_align.io.catalogs.services.http import RETRIED, AnswerError, Hosts, TimedSession
from grism_align.io.files.bounded import MB
from grism_align.values.errors import (
    CatalogServiceError,
    ServiceAnswerError,
    ServiceRefusedError,
    ServiceUnreachableError,
    TooManyRowsError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests
    from astropy.table import Table

    from grism_align.io.catalogs.services.definitions import Mirror
    from grism_align.values.settings import ServiceSettings


#: What services say that could answer in a job, not at once.
_NEEDS_JOB = re.compile(r"\basync|time.?limit|timed?.?out|too long|cancel|abort", re.IGNORECASE)
_CANT_SYNC = frozenset({405, 501})

#: First and longest pause between two looks at a job, s.
_POLL, _LONGEST_POLL = 0.1, 5.0

#: For the deletion of a job, s.
_TIDY = 5.0

_LONGEST_MESSAGE = 300

#: Bytes of an answer at most: so many, and for each row.
_LEAST_ANSWER, _ROW = 32 * MB, 1000

#: Environment variable with the login for an endpoint of the user's own.
LOGIN = "GRISM_ALIGN_LOGIN"

# Filters of warnings belong to the whole program.
_FILTERS = threading.Lock()

logger = logging.getLogger(__name__)


class _NotAtOnceError(ServiceUnreachableError):
    """No answer to a synchronous query in time."""


class _CutShortError(TooManyRowsError):
    """Fewer rows than asked for at most, and not all."""


class _RefusedAtOnceError(ServiceRefusedError):
    """A query that the service won't answer synchronously."""


#: After these a job may succeed.
_WORTH_A_JOB = (_NotAtOnceError, _CutShortError, _RefusedAtOnceError)


@dataclass(frozen=True)
class _Question:
    """A query, of whom, and within what limits."""

    catalog: str
    mirror: Mirror
    adql: str
    settings: ServiceSettings

    @property
    def service(self) -> str:
        return self.mirror.label

    @property
    def hosts(self) -> Hosts:
        """Where its requests may go; the login of the environment is for an address that the user named."""
        mirror = self.mirror
        login = os.environ.get(LOGIN, "") if mirror.name == mirror.url else ""
        return Hosts(mirror.url, (*mirror.hosts, *self.settings.service_hosts), login)

    @property
    def maxrec(self) -> int:
        # One more than allowed: so the answer itself tells whether there are too many.
        return self.settings.max_rows + 1


def run_query(catalog: str, mirror: Mirror, adql: str, settings: ServiceSettings) -> Table:
    """Return the rows that a TAP service answers with.

    Synchronously, and as a job where the service can't do it at once, or not in time, or cuts the answer
    short. Each of the two ways has `ServiceSettings.timeout`.

    Parameters
    ----------
    catalog : str
        Name of the catalog, for the errors.
    mirror : Mirror
        The service.
    adql : str
        The query.
    settings : ServiceSettings
        Time limit, retries and largest number of rows.

    Returns
    -------
    astropy.table.Table
        Columns as the service names them; without rows where there are none.

    Raises
    ------
    ServiceUnreachableError
        No network, no such host, no answer in time, or HTTP 429 and 5xx.
    ServiceRefusedError
        The service reports an error, or HTTP 4xx.
    ServiceAnswerError
        What came is no VOTable, or not a whole one.
    TooManyRowsError
        There are more rows than `max_rows`, or than the service sends.
    """
    ask = _Question(catalog, mirror, adql, settings)
    if mirror.mode == "async":
        return _as_job(ask)
    try:
        return _at_once(ask)
    except _WORTH_A_JOB as error:
        if mirror.mode == "sync":
            raise
        logger.info("%s from %s: %s; asked again as a job", catalog, mirror.name, error.problem)
        return _as_job(ask)


def _at_once(ask: _Question) -> Table:
    from pyvo.dal.tap import TAPQuery

    with _session(ask, _NotAtOnceError, _RefusedAtOnceError) as session:
        query = TAPQuery(ask.mirror.url, ask.adql, maxrec=ask.maxrec, session=session)
        answer = query.submit()
        if answer.status_code in _CANT_SYNC:
            raise _RefusedAtOnceError(ask.catalog, f"{ask.service}: HTTP {answer.status_code}")
        return _table_of(answer, ask, _CutShortError)


def _as_job(ask: _Question) -> Table:
    from pyvo.dal.tap import AsyncTAPJob

    with _session(ask, ServiceUnreachableError, ServiceRefusedError) as session:
        job = AsyncTAPJob.create(ask.mirror.url, ask.adql, maxrec=ask.maxrec, session=session)
        try:
            job.run()
            _wait_for(job, session, ask)
            job.raise_if_error()
            if job.result_uri is None:
                raise ServiceAnswerError(ask.catalog, f"{ask.service}: a job without a result")
            return _table_of(session.get(job.result_uri), ask, TooManyRowsError)
        finally:
            session.allow(_TIDY)
            # It would be deleted some day anyway.
            with suppress(Exception):
                job.delete()


def _wait_for(job: Any, session: TimedSession, ask: _Question) -> None:
    pause = _POLL
    while (phase := job.phase) not in ("COMPLETED", "ERROR", "ABORTED"):
        if phase is None:
            raise ServiceAnswerError(ask.catalog, f"{ask.service}: what it says of the job is no UWS job")
        if pause >= session.left:
            problem = f"{ask.service}: the job is still {phase} after {ask.settings.timeout:g} s"
            raise ServiceUnreachableError(ask.catalog, problem)
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_POLL)


def _table_of(answer: requests.Response, ask: _Question, cut_short: type[TooManyRowsError]) -> Table:
    """Return the table of an answer, or the error that it is."""
    from pyvo.dal.exceptions import DALQueryError
    from pyvo.dal.tap import TAPResults

    from grism_align.io.catalogs.votables import parse_votable

    if answer.status_code in RETRIED:
        raise ServiceUnreachableError(ask.catalog, _status_problem(answer, ask))
    try:
        with _quietly():
            votable = parse_votable(answer.content)
            results = TAPResults(votable, url=answer.url)
            table = results.to_table()
    except DALQueryError:
        raise
    except Exception as error:  # whatever a broken table does to its parser
        if answer.status_code >= 400:
            kind = ServiceRefusedError if answer.status_code < 500 else ServiceUnreachableError
            raise kind(ask.catalog, _status_problem(answer, ask)) from error
        raise ServiceAnswerError(ask.catalog, _no_table_problem(answer, ask, error)) from error
    _refuse_too_many(len(table), str(results.query_status), ask, cut_short)
    return table


def _refuse_too_many(n_rows: int, status: str, ask: _Question, cut_short: type[TooManyRowsError]) -> None:
    limit = ask.mirror.row_limit
    if n_rows > ask.settings.max_rows:
        problem = f"{ask.service}: more than {ask.settings.max_rows} rows, which is max_rows"
        raise TooManyRowsError(ask.catalog, problem, "Raise max_rows, or align to less of the sky at once")
    flagged = ask.mirror.trust_overflow and status.upper() == "OVERFLOW"
    if flagged or (limit is not None and n_rows >= limit):
        problem = f"{ask.service}: more rows than the {n_rows} that the service sends"
        raise cut_short(ask.catalog, problem, "Align to less of the sky at once, or use another catalog")


@contextmanager
def _session(
    ask: _Question, late: type[CatalogServiceError], refused: type[CatalogServiceError]
) -> Iterator[TimedSession]:
    """Return a session whose errors, and pyvo's, leave as those of this package."""
    from xml.parsers.expat import ExpatError

    import requests
    from pyvo.dal.exceptions import DALAccessError, DALQueryError

    settings = ask.settings
    most = _LEAST_ANSWER + _ROW * settings.max_rows
    with TimedSession(settings.timeout, settings.retries, ask.hosts, most) as session:
        try:
            yield session
        except DALQueryError as error:
            kind = refused if _NEEDS_JOB.search(str(error)) else ServiceRefusedError
            raise kind(ask.catalog, f"{ask.service}: {_first_words(str(error))}") from error
        except DALAccessError as error:
            raise _access_error(error, ask, late) from error
        except requests.RequestException as error:
            raise _request_error(error, ask, late) from error
        except (ValueError, ExpatError) as error:
            problem = f"{ask.service}: what it says of the job is no XML ({error})"
            raise ServiceAnswerError(ask.catalog, problem) from error


def _access_error(error: Any, ask: _Question, late: type[CatalogServiceError]) -> CatalogServiceError:
    """Return what a DALServiceError of pyvo is."""
    import requests

    cause = getattr(error, "cause", None)
    if isinstance(cause, requests.HTTPError) and cause.response is not None:
        status = cause.response.status_code
        refused = 400 <= status < 500 and status not in RETRIED
        kind = ServiceRefusedError if refused else ServiceUnreachableError
        return kind(ask.catalog, _status_problem(cause.response, ask))
    if isinstance(cause, requests.RequestException):
        return _request_error(cause, ask, late)
    return ServiceAnswerError(ask.catalog, f"{ask.service}: {_first_words(str(error))}")


def _request_error(error: Exception, ask: _Question, late: type[CatalogServiceError]) -> CatalogServiceError:
    import requests

    if isinstance(error, AnswerError):
        return ServiceAnswerError(ask.catalog, f"{ask.service}: {error}")
    if isinstance(error, requests.Timeout) and not isinstance(error, requests.ConnectTimeout):
        return late(ask.catalog, f"{ask.service}: no answer within {ask.settings.timeout:g} s")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return ServiceAnswerError(ask.catalog, f"{ask.service}: the answer broke off: {_innermost(error)}")
    return ServiceUnreachableError(ask.catalog, f"{ask.service}: {_innermost(error)}")


def _innermost(error: BaseException) -> str:
    """Return what the network said, without the wrappings of the libraries."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return _first_words(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        error = inner


def _status_problem(answer: requests.Response, ask: _Question) -> str:
    said = _first_words(answer.text)
    return f"{ask.service}: HTTP {answer.status_code} {answer.reason or ''}".rstrip() + (
        f" ({said})" if said else ""
    )


def _no_table_problem(answer: requests.Response, ask: _Question, error: Exception) -> str:
    kind = answer.headers.get("Content-Type", "no content type")
    reason = _first_words(str(error)) or type(error).__name__
    return f"{ask.service}: {len(answer.content)} bytes of {kind} that are no VOTable ({reason})"


def _first_words(text: str) -> str:
    """Return the beginning of a service's message, without tags and breaks."""
    plain = " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL).split())
    return plain if len(plain) <= _LONGEST_MESSAGE else f"{plain[:_LONGEST_MESSAGE]}..."


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence warnings: services break many rules of VOTables that don't matter here."""
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
