"""A folder of measurements, by the fingerprints of what they were made of.

Its files appear whole, are checked when they are read, and go when room is needed, the one that nobody has
used for longest first. So any number of runs can use it at once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.io.files.bounded import MB, read_whole
from grism_align.io.files.staging import atomic_path
from grism_align.io.files.user_cache import user_cache
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


# Of one measurement; those of some ten thousand sources have 2 MB.
_MOST = 64 * MB
_MAGIC = b"grism_align measurement 1\n"
_SUFFIX = ".kept"
# Folders that share the room: each is small enough to be looked through whenever something is added.
_PARTS = 16
_PRIVATE = 0o700
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasurementStore:
    """Measurements on disk.

    Parameters
    ----------
    folder : Path
        Where.
    most : int
        Bytes that they may take together.
    """

    folder: Path
    most: int

    def read(self, key: str) -> bytes | None:
        """Return what is kept under a fingerprint; None where there is nothing, or it is damaged."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            content = read_whole(path, _MOST)
        except InputError as error:
            logger.info("%s", error)
            return None
        magic, digest, body = content[: len(_MAGIC)], content[len(_MAGIC) :][:32], content[len(_MAGIC) + 32 :]
        if magic != _MAGIC or hashlib.sha256(body).digest() != digest:
            self.discard(key, "it is damaged")
            return None
        with suppress(OSError):
            # when it was last used
            os.utime(path)
        return body

    def keep(self, key: str, content: bytes) -> None:
        """Keep a measurement under a fingerprint; what nobody has used for longest makes room.

        Raises
        ------
        OSError
            If it can't be written.
        """
        path, size = self._path(key), len(_MAGIC) + 32 + len(content)
        if size > min(_MOST, self.most // _PARTS):
            return
        path.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        self._make_room(path.parent, size)
        with atomic_path(path, mode=0o600) as temporary:
            temporary.write_bytes(_MAGIC + hashlib.sha256(content).digest() + content)

    def discard(self, key: str, why: str) -> None:
        """Remove what is kept under a fingerprint and can't be used."""
        path = self._path(key)
        logger.info("%s is removed, %s; what it had is measured again", path, why)
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / key[0] / f"{key}{_SUFFIX}"

    def _make_room(self, part: Path, size: int) -> None:
        entries = []
        for path in part.glob(f"*{_SUFFIX}"):
            with suppress(OSError):
                # gone where another run made room
                found = path.stat()
                entries.append((found.st_mtime_ns, found.st_size, path))
        too_much = sum(one[1] for one in entries) + size - self.most // _PARTS
        for _, length, path in sorted(entries):
            if too_much <= 0:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
            too_much -= length


def measurement_store(most: int) -> MeasurementStore | None:
    """Return where this user's measurements are kept; None, and a warning, where they can't be.

    Parameters
    ----------
    most : int
        Bytes that they may take together; nothing is kept with zero.
    """
    if most == 0:
        return None
    folder = user_cache() / "measurements"
    try:
        folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        why = _why_not_own(folder)
    except OSError as error:
        why = str(error)
    if why:
        logger.warning("Measurements are not kept in %s: %s", folder, why)
        return None
    return MeasurementStore(folder, most)


def _why_not_own(folder: Path) -> str:
    """Say why others might write into a folder; empty where they can't."""
    found = folder.stat()
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        return "it is another user's"
    if os.name == "posix" and found.st_mode & _OTHERS_WRITE:
        return "others may write there; chmod go-w it"
    return "" if os.access(folder, os.W_OK) else "it can't be written to"
