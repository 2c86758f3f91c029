"""What tells the input of a measurement from any other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import grism_align
from grism_align.values.source import FileSource

if TYPE_CHECKING:
    from collections.abc import Iterator


# Whose results change in the last digits from release to release.
_PACKAGES = ("numpy", "scipy", "astropy", "photutils", "sep", "gwcs")
_PLAIN = (bool, int, float, str, type(None))


class NotToldApartError(TypeError):
    """A value that nothing tells from another one."""


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


def fingerprint(*values: object) -> str:
    """Return a SHA-256 of values, the code of this package and the versions of what it calculates with.

    Parameters
    ----------
    *values : object
        Numbers, text, arrays, containers and dataclasses of them. Of a file its content counts and not its
        name; of a WCS, where it puts the corners of its chip.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    NotToldApartError
        If there is anything else in them, or a file whose SHA-256 nobody has taken.
    """
    digest = hashlib.sha256(code_digest().encode())
    _feed(digest, values)
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """Return a SHA-256 of what measures: this package's code, and the releases of the packages it uses."""
    digest = hashlib.sha256()
    home = Path(grism_align.__file__).parent
    for path in sorted(home.rglob("*.py")):
        digest.update(str(path.relative_to(home)).encode() + b"\0" + path.read_bytes())
    for name in (*_PACKAGES, "grism_align"):
        digest.update(f"{name} {_release(name)}\n".encode())
    return digest.hexdigest()


def _release(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _feed(digest: _Digest, value: Any) -> None:
    """Take in the kind of a value, how much there is of it, and what it holds."""
    for part in _parts(value):
        if isinstance(part, bytes):
            digest.update(len(part).to_bytes(8, "big") + part)
        else:
            _feed(digest, part)


def _parts(value: Any) -> Iterator[Any]:
    """Yield bytes, and values that are further taken apart."""
    yield type(value).__name__.encode()
    if isinstance(value, Enum):
        yield value.name.encode()
    elif isinstance(value, _PLAIN):
        yield repr(value).encode()
    elif isinstance(value, np.ndarray | np.generic):
        yield from _parts_of_array(np.asarray(value))
    elif isinstance(value, FileSource):
        yield _sum_of(value).encode()
    elif hasattr(value, "to_sky") and hasattr(value, "footprint"):
        yield np.asarray(value.footprint())
    elif isinstance(value, Mapping):
        yield from (len(value), *sorted(value), *(value[key] for key in sorted(value)))
    elif isinstance(value, list | tuple):
        yield from (len(value), *value)
    elif is_dataclass(value):
        yield from (getattr(value, each.name) for each in fields(value))
    else:
        raise NotToldApartError(type(value).__name__)


def _parts_of_array(array: np.ndarray[Any, Any]) -> Iterator[Any]:
    if array.dtype.kind not in "biufU":
        raise NotToldApartError(str(array.dtype))
    yield array.dtype.str.encode()
    yield array.shape
    yield np.ascontiguousarray(array).tobytes()


def _sum_of(source: FileSource) -> str:
    if source.identity is None or not source.identity.sha256:
        raise NotToldApartError(source.name)
    return source.identity.sha256
