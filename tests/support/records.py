"""Records that asdf checks against the schema once: it takes half of the time of reading one."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from grism_align.io.record import file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    import pytest

_TREE, _ATOMIC_PATH = file._tree, file.atomic_path


def check_once(patch: pytest.MonkeyPatch) -> None:
    """Have what this process wrote, and so checked, be read unchecked while not a byte of it is another."""
    written: set[bytes] = set()

    @contextmanager
    def noted(path: Path) -> Iterator[Path]:
        with _ATOMIC_PATH(path) as temporary:
            yield temporary
            written.add(hashlib.sha256(temporary.read_bytes()).digest())

    def tree(source: bytes | Path, schema: str | None) -> Any:
        is_known = isinstance(source, bytes) and hashlib.sha256(source).digest() in written
        return _TREE(source, None if is_known else schema)

    patch.setattr(file, "atomic_path", noted)
    patch.setattr(file, "_tree", tree)


def check_always(patch: pytest.MonkeyPatch) -> None:
    """Have records checked as users have it."""
    patch.setattr(file, "atomic_path", _ATOMIC_PATH)
    patch.setattr(file, "_tree", _TREE)
