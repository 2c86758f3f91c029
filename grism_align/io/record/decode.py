"""The record that the tree of an ASDF file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grism_align.io.record.layout import LayoutError
from grism_align.io.record.models import MODELS, check_models
from grism_align.io.record.parts import part_of
from grism_align.values.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping


def record_from(tree: Mapping[str, Any]) -> Record:
    """Return the record of a tree.

    Parameters
    ----------
    tree : mapping
        As `record_tree` makes it, of the present version.

    Raises
    ------
    LayoutError
        If an entry is missing or not what its declaration says; it names the entry.
    """
    try:
        record: Record = part_of(Record).decode(tree)
        check_models(tree[MODELS], record)
    except KeyError as error:
        msg = f"{error.args[0]} is missing"
        raise LayoutError(msg) from error
    return record
