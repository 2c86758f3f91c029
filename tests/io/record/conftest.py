from __future__ import annotations

import pytest

from tests.support.records import check_always


@pytest.fixture(autouse=True, scope="module")
def _all_checks():
    """Have records checked as users have it."""
    with pytest.MonkeyPatch.context() as patch:
        check_always(patch)
        yield
