"""Where this user's cache is."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(chosen: str | None = None) -> Path:
    """Return the folder: the chosen one, else ``$GRISM_ALIGN_CACHE``, else in the user's cache folder.

    Parameters
    ----------
    chosen : str, optional
        A folder that was asked for.
    """
    given = chosen or os.environ.get("GRISM_ALIGN_CACHE")
    if given:
        return Path(given).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "grism_align"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "grism_align"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grism_align"
