from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """An image and a dispersed exposure, and the image that another detector took meanwhile."""
    pytest.importorskip("roman_datamodels", reason="needs roman_datamodels")
    from tests.support.roman_models import small_visit

    return small_visit(tmp_path_factory.mktemp("roman"), np.random.default_rng(1))


@pytest.fixture
def edit(tmp_path):
    """A function that copies a file, with other metadata, by their place in the model."""

    def edited(path, name="", **changes):
        import asdf

        target = tmp_path / (name or path.name)
        with asdf.config_context() as config:
            config.validate_on_read = False
            with asdf.open(path, memmap=False, lazy_load=False) as file:
                for place, value in changes.items():
                    node, *rest = reversed(place.split("__"))
                    parent = file["roman"]["meta"]
                    for one in reversed(rest):
                        parent = parent[one]
                    if value is None:
                        del parent[node]
                    else:
                        parent[node] = value
                # some of what is tried is not as the schemas have it
                write(file, target)
        return target

    return edited


def write(file, target):
    """Write a file, whatever its schemas say."""
    from unittest.mock import patch

    with patch("asdf.schema.validate", lambda *_, **__: None):
        file.write_to(target, all_array_compression="lz4")
