from __future__ import annotations

import pytest

from tests.support.plots import have_plots


@pytest.fixture
def plots(monkeypatch):
    """Have reports made as users have them."""
    have_plots(monkeypatch)
