"""Run something in a process of its own, and see what it did: time, memory, files and connections."""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# Beyond these a process is ended, so that the machine lives; the limits that are judged are lower.
_ADDRESSES = 12 << 30
_FILE = 1 << 30
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = (
    "os.rename",
    "os.remove",
    "os.link",
    "os.symlink",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.truncate",
)
# Files that Python, its libraries and the system read for themselves.
_OWN = re.compile(
    r"/(proc|sys|dev|etc|usr|lib|lib64|opt)/|.*/(site-packages|lib/python3\.\d+)/|.*\.(py|pyc|pyi|so)$"
)


@dataclass(frozen=True)
class Limits:
    """What a process may take.

    Parameters
    ----------
    seconds : float
        Of the processor; what takes longer hangs.
    megabytes : float
        Of memory beyond what it starts with.
    """

    seconds: float = 20.0
    megabytes: float = 1000.0


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Parameters
    ----------
    code : int
        Exit code; negative where a signal ended it.
    said : str
        Standard output and error.
    seconds, megabytes : float
        What it took.
    touched, read, connected : tuple of str
        Files that it changed and read, and addresses that it connected to, as Python's audit hooks tell.
    """

    code: int
    said: str
    seconds: float
    megabytes: float
    touched: tuple[str, ...] = field(default=(), repr=False)
    read: tuple[str, ...] = field(default=(), repr=False)
    connected: tuple[str, ...] = field(default=(), repr=False)

    @property
    def error(self) -> str:
        """Last line of a traceback; empty without one."""
        if "Traceback (most recent call last)" not in self.said:
            return ""
        return next((line for line in reversed(self.said.splitlines()) if re.match(r"\S", line)), "")


def run(work: Callable[[], int], folder: Path, limits: Limits = Limits()) -> Outcome:
    """Do some work in a fork of this process.

    Parameters
    ----------
    work : callable
        Returns an exit code.
    folder : Path
        For what it says.
    limits : Limits
        By the clock it has six times as long, as other programs run too; then it is killed.
    """
    said, told = folder / "said", folder / "told"
    before = _resident()
    process = os.fork()
    if process == 0:
        _child(work, said, told)
    _wait(process, limits.seconds)
    _, status, usage = os.wait4(process, 0)
    events = [line.split("\t", 1) for line in told.read_text(errors="replace").splitlines() if "\t" in line]
    kinds = {kind: tuple(dict.fromkeys(what for one, what in events if one == kind)) for kind in "wrc"}
    return Outcome(
        os.waitstatus_to_exitcode(status),
        said.read_text(errors="replace"),
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss / 1024 - before,
        kinds["w"],
        kinds["r"],
        kinds["c"],
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _wait(process: int, seconds: float) -> None:
    """Until it ends; one that hangs is killed."""
    handle = os.pidfd_open(process)
    try:
        ready, _, _ = select.select([handle], [], [], 6 * seconds)
        if not ready:
            os.kill(process, signal.SIGKILL)
    finally:
        os.close(handle)


def _child(work: Callable[[], int], said: Path, told: Path) -> None:
    code = 70
    try:
        resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _listen(os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _listen(told: int) -> None:
    """Write down each file that is opened or changed, and each connection."""

    def note(kind: str, what: object) -> None:
        text = os.fsdecode(what) if isinstance(what, str | bytes | os.PathLike) else str(what)
        if kind != "r" or not _OWN.match(text):
            os.write(told, f"{kind}\t{text!r}\n".encode(errors="replace"))

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open" and not isinstance(arguments[0], int):
            mode, flags = arguments[1], arguments[2]
            writes = (isinstance(flags, int) and flags & _WRITES) or any(c in str(mode or "") for c in "wax+")
            note("w" if writes else "r", arguments[0])
        elif event in _CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                note("w", path)
        elif event in ("socket.connect", "subprocess.Popen", "os.system", "urllib.Request"):
            note("c", f"{event} {arguments[1] if event == 'socket.connect' else arguments[0]}")

    sys.addaudithook(hook)
