"""Settings of asdf that hold for a block."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asdf.config import AsdfConfig


@contextmanager
def asdf_settings() -> Iterator[AsdfConfig]:
    """Give settings of asdf that may be changed, for the block only."""
    import asdf

    # What packages register with asdf is looked up when it is first asked for; looked up by the copy that a
    # block has, it would be forgotten with it.
    known = asdf.get_config()
    _ = known.extensions, known.resource_mappings
    with asdf.config_context() as config:
        yield config
