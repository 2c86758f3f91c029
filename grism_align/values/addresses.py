"""Addresses of services, which must not tell anyone who may log in there."""

from __future__ import annotations

import re

_LOGIN = re.compile(r"(?<=//)[^/?#\s'\"]*@")

#: Where logins belong instead.
LOGINS = (
    "it has a login, which would stand in logs and on record: take it out, and put it into ~/.netrc, or as "
    "user:password into the environment variable GRISM_ALIGN_LOGIN"
)


def has_login(text: str) -> bool:
    """Tell whether a text has an address with ``user:password@`` in it."""
    return _LOGIN.search(text) is not None


def without_login(text: str) -> str:
    """Return a text with ``user:password@`` taken out of the addresses in it.

    Parameters
    ----------
    text : str
        An address, or what a library says of one.
    """
    return _LOGIN.sub("", text)
