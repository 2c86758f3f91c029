"""Pages in a real browser, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

#: Finds what the script of an inspection page is given.
DATA = r'<script type="application/json" id="data">(.*?)</script>'

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a browser without a window; what it logs is on the standard error stream."""
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'browser'}",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
