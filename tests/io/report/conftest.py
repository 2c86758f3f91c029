from __future__ import annotations

import pytest

from tests.support.plots import have_plots


@pytest.fixture(autouse=True, scope="module")
def _plots():
    """Have reports made as users have them."""
    with pytest.MonkeyPatch.context() as patch:
        have_plots(patch)
        yield
