"""Work for executors, in a module that other processes can import."""

from __future__ import annotations

import errno
import logging
import os
import signal
import warnings
from pathlib import Path

from grism_align.values.errors import ChangedError, InputError

logger = logging.getLogger("grism_align.remote_jobs")

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def square(number):
    return number * number


def process_of(item):
    return os.getpid()


def talk(number):
    """Logs, warns and prints."""
    logger.debug("hardly worth a word: %d", number)
    logger.info("looked at %d", number)
    warnings.warn(f"beware of {number}", RuntimeWarning, stacklevel=1)
    print("on the standard output")
    return number


def refuse(number):
    if number == 2:
        raise InputError(f"file{number}", "it is odd", "Give another")
    return number


class UnsendableError(Exception):
    """It holds what can't be pickled."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = lambda: None


def fail_oddly(item):
    raise UnsendableError("a cat on the keyboard")


def die(number):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave(number):
    os._exit(3)


def threads(item):
    """Threads that numerical libraries may have here."""
    return [os.environ[name] for name in _THREADS]


def open_it(path):
    return path.read_text()


def find_changed(path):
    raise ChangedError(path)


def die_once(path):
    """End the process, unless another has done so before."""
    if not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def measure_or_die(job):
    """Measure an exposure as a run does, but end the process at the first time."""
    # processes that do other work start in a fraction of the time without it
    from grism_align.workflows.measure import _measured

    die_once(Path(job.exposure.source).parent / "died")
    return _measured(job)


def hang(item):
    signal.pause()


def hang_later(number):
    return hang(number) if number else number


def be_killed(item, **others):
    os.kill(os.getpid(), signal.SIGKILL)


def find_no_space(job):
    """What writing an exposure on a full disk comes to, with half of it there."""
    path = job.correction.path if job.correction else job.catalog_paths[0]
    path.write_bytes(b"half")
    raise OSError(errno.ENOSPC, "No space left on device", str(path))
