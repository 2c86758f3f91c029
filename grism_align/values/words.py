"""Words that users type, and what they may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Given as ``extra`` of a message of the log that is for a file and not for a terminal.
FOR_FILE = {"is_for_file": True}


def likely(word: str, known: Iterable[str]) -> str:
    """Return what a mistyped word is most like.

    Parameters
    ----------
    word : str
        As typed.
    known : iterable of str
        What it could have been.

    Returns
    -------
    str
        Such as ``align``, or ``check or apply``; empty where nothing is like it.
    """
    names = {name.lower(): name for name in known}
    found = get_close_matches(word.lower(), names, n=2, cutoff=0.6)
    return " or ".join(names[name] for name in found)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the same as a question, to end a sentence with; empty where nothing is like it.

    Parameters
    ----------
    word : str
        As typed.
    known : iterable of str
        What it could have been.
    """
    found = likely(word, known)
    return f"; did you mean {found}?" if found else ""


def plain(name: str) -> str:
    """Return the name of a parameter as it is declared: users may write dashes for underscores."""
    return name.strip().replace("-", "_")
