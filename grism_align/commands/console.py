"""What a command says while it works: what people read on the terminal, everything in a log file."""

from __future__ import annotations

import logging
import platform
import shlex
import shutil
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align import __version__
from grism_align.values.errors import OutputError
from grism_align.values.words import FOR_FILE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

_OURS = "grism_align"
_PROGRESS = "grism_align.workflows.progress"
_SECONDS_BETWEEN = 20.0
_ENOUGH = 1_000_000


@dataclass(frozen=True)
class Loudness:
    """How much a command says.

    Parameters
    ----------
    level : int
        Of the least important messages that are shown.
    is_verbose : bool
        Whether tables are wide and each exposure has its line.
    """

    level: int
    is_verbose: bool = False

    @classmethod
    def of(cls, options: argparse.Namespace, usual: int) -> Loudness:
        """Take what the options ask for.

        Parameters
        ----------
        options : argparse.Namespace
            With ``quiet`` and ``verbose``.
        usual : int
            The level without either.
        """
        if options.quiet:
            return cls(logging.WARNING)
        return cls(logging.INFO, is_verbose=True) if options.verbose else cls(usual)


class _Terminal(logging.Handler):
    """Writes messages to the standard error stream, above a bar of progress if there is one."""

    def __init__(self, loudness: Loudness) -> None:
        super().__init__(loudness.level)
        if not loudness.is_verbose:
            self.addFilter(lambda record: not hasattr(record, *FOR_FILE))
            self.addFilter(_Sparse())
            self.addFilter(lambda record: record.name.startswith(_OURS))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message; what is no mere information says so."""
        word = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        _write(_fitted(f"{word}{record.getMessage()}"))


class _Sparse(logging.Filter):
    """Lets through of progress without a bar the first of each kind of work, then one in a while."""

    def __init__(self) -> None:
        super().__init__()
        self._label, self._told = "", 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is shown."""
        if record.name != _PROGRESS or not isinstance(record.args, tuple):
            return True
        label, now = str(record.args[0]), time.monotonic()
        is_shown = label != self._label or now - self._told > _SECONDS_BETWEEN
        if is_shown:
            self._label, self._told = label, now
        return is_shown


def _fitted(text: str) -> str:
    """Break long lines where a person reads them; a file keeps them whole."""
    if not sys.stderr.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = (textwrap.wrap(line, width, subsequent_indent="    ") or [""] for line in text.splitlines())
    return "\n".join(part for line in lines for part in line)


def _write(text: str) -> None:
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)


@contextmanager
def told_on_terminal(loudness: Loudness) -> Iterator[None]:
    """Show messages on the terminal for the block.

    Parameters
    ----------
    loudness : Loudness
        How many.
    """
    with _handled(_Terminal(loudness), min(loudness.level, logging.WARNING)):
        yield


@contextmanager
def _handled(handler: logging.Handler, level: int) -> Iterator[None]:
    """Have the messages of all packages handled; ours from a level on."""
    root, ours = logging.getLogger(), logging.getLogger(_OURS)
    before = {logger: logger.level for logger in (root, ours)}
    root.addHandler(handler)
    ours.setLevel(min(level, ours.getEffectiveLevel()))
    try:
        yield
    finally:
        root.removeHandler(handler)
        for logger, old in before.items():
            logger.setLevel(old)


class LogFile:
    """A log that is kept in memory until it is known where it goes."""

    def __init__(self) -> None:
        self._kept = MemoryHandler(_ENOUGH, flushLevel=logging.CRITICAL + 1, flushOnClose=False)
        self.path: Path | None = None

    @contextmanager
    def listening(self, command: Sequence[str]) -> Iterator[LogFile]:
        """Take down everything that is said in the block, warnings of Python included.

        Parameters
        ----------
        command : sequence of str
            The command line.
        """
        stpipe = logging.getLogger("stpipe")
        before = stpipe.level
        logging.captureWarnings(True)
        stpipe.setLevel(logging.INFO)
        try:
            with _handled(self._kept, logging.DEBUG), _errors_logged():
                for line in _heading(command):
                    logger.info("%s", line, extra=FOR_FILE)
                yield self
        finally:
            stpipe.setLevel(before)
            logging.captureWarnings(False)
            if self._kept.target is not None:
                self._kept.flush()
                self._kept.target.close()

    def open(self, path: Path) -> None:
        """Write what was said so far, and from now on everything, to a file.

        Parameters
        ----------
        path : Path
            The file, in a folder that exists; replaced if it exists.

        Raises
        ------
        OutputError
            If it can't be written.
        """
        try:
            target = _File(path)
        except OSError as error:
            raise OutputError(path, f"can't be written ({error.strerror})", "Give another folder") from error
        target.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
        self._kept.setTarget(target)
        self._kept.flush()
        self._kept.capacity = 1
        self.path = path


class _File(logging.FileHandler):
    """Writes messages to a new file; where that can't go on, as on a full disk, results still are made."""

    def __init__(self, path: Path) -> None:
        # what has the name is replaced, and not written to: it may be a link
        path.unlink(missing_ok=True)
        super().__init__(path, mode="x", encoding="utf-8", errors="backslashreplace")
        self._is_told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # as logging has it
        """Say once that the log ends here."""
        error = sys.exception()
        if isinstance(error, OSError):
            self._tell(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        """Close the file, with all that can be written."""
        try:
            super().close()
        except OSError as error:
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            _write(f"warning: {self.baseFilename}: the log is not whole ({error.strerror})")
        self._is_told = True


@contextmanager
def _errors_logged() -> Iterator[None]:
    try:
        yield
    except BaseException:
        logger.info("Ended by an error:", exc_info=True, extra=FOR_FILE)
        raise


def _heading(command: Sequence[str]) -> tuple[str, ...]:
    return (
        shlex.join(["grism-align", *command]),
        f"grism_align {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"in {Path.cwd()}",
    )
