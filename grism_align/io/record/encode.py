"""A record as the tree of an ASDF file."""

from __future__ import annotations

from typing import Any

from grism_align.io.record.migrations import VERSION, VERSION_KEY
from grism_align.io.record.models import MODELS, models_of
from grism_align.io.record.parts import part_of
from grism_align.values.record import Record


def record_tree(record: Record) -> dict[str, Any]:
    """Return the tree of a record: dicts, lists, numbers, texts and arrays.

    Parameters
    ----------
    record : Record
        What is to be written.
    """
    tree: dict[str, Any] = part_of(Record).encode(record)
    return {VERSION_KEY: VERSION, **tree, MODELS: models_of(record)}
