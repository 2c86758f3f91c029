"""What may become the name of a file: one whitelist for every text that comes out of a file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

_ALLOWED = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]*", re.ASCII)
_WORDS = "a file name has letters, digits and _.+- only, and begins with neither . nor -"
#: Of a text that becomes a part of names, which get endings.
LONGEST_PART = 128
#: Of a whole name, in bytes; file systems take 255.
LONGEST_NAME = 240


def is_safe(text: str) -> bool:
    """Tell whether a text can be part of a file's name, and stay in the folder."""
    return len(text) <= LONGEST_PART and _ALLOWED.fullmatch(text) is not None


def safe_name(text: str, origin: object, what: str, error: type[InputError] = InputError) -> str:
    """Return a text of a file that is to be part of the names of others, if it can be.

    Parameters
    ----------
    text : str
        Such as a root name or the name of a product.
    origin : object
        The file that it is from, for the error.
    what : str
        What it is there.
    error : type, optional
        Kind of error.

    Raises
    ------
    InputError
        If it has anything but letters, digits and ``_.+-``, could lead out of a folder, or is too long.
    """
    if not is_safe(text):
        shown = repr(text if len(text) <= LONGEST_PART else text[:40] + "...")
        remedy = f"Rename it: {_WORDS}, {LONGEST_PART} at most"
        raise error(origin, f"{what} {shown} is no file name, and files are called by it", remedy)
    return text


def made_safe(text: str) -> str:
    """Return a text as part of a file's name, with underscores for what those may not have.

    Parameters
    ----------
    text : str
        The name of a folder, say, which the user chose.
    """
    plain = re.sub(r"[^A-Za-z0-9_.+-]+", "_", text, flags=re.ASCII)[:LONGEST_PART]
    return re.sub(r"^[.-]+", "_", plain) or "_"


def is_too_long(name: str) -> bool:
    """Tell whether no file can have a name, or not while it is being written."""
    return len(os.fsencode(name)) > LONGEST_NAME


def is_text(path: Path) -> bool:
    """Tell whether a path can be written down; those of Linux may have any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
