"""Exposures of Roman wherever they are, in files or in memory: read, and changed."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from grism_align.io.files.sources import path_of
from grism_align.io.files.staging import atomic_path
from grism_align.io.gwcs.own import PLACE
from grism_align.io.missions.roman.files import (
    ExposureContent,
    opened_asdf,
    read_content,
    read_metadata,
    say_when,
    write_asdf,
)
from grism_align.io.missions.roman.metadata import Metadata
from grism_align.io.models.open_models import ModelSource, image_shape, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grism_align.values.source import Source


#: What to do about a model that is closed.
OPEN_AGAIN = "Give it open, as romancal's exposure pipeline leaves it"
# romancal's, for what never was in a file
_PACKING = "lz4"


def metadata_of(source: Source) -> Metadata:
    """Return the metadata of an exposure.

    Raises
    ------
    InputError
        If it can't be read.
    """
    if isinstance(source, ModelSource):
        with source.opened() as model, reading(source, OPEN_AGAIN):
            return _of_model(source, model)
    return read_metadata(path_of(source))


def content_of(source: Source, check: Callable[[Metadata], None]) -> ExposureContent:
    """Return metadata and WCS of an exposure; pixels stay where they are.

    Parameters
    ----------
    source : Source
        A file or an open model.
    check : callable
        Takes the metadata, before the rest is read, and raises where the exposure can't be used.

    Raises
    ------
    InputError
        If it can't be read.
    """
    if not isinstance(source, ModelSource):
        return read_content(path_of(source), check)
    with source.opened() as model, reading(source, OPEN_AGAIN):
        meta = _of_model(source, model)
        check(meta)
        shape = image_shape(getattr(getattr(model, "data", None), "shape", None), source)
        return ExposureContent(meta, shape, meta.tree.get("wcs"), meta.tree.get(PLACE))


def _of_model(source: ModelSource, model: Any) -> Metadata:
    """Return the metadata of an open model as they are now: the model may be closed before they are asked."""
    tree = dict(model.meta)
    wcs = tree.pop("wcs", None)
    return Metadata.of_tree(source, {**copy.deepcopy(tree), "wcs": wcs})


@contextmanager
def changed(source: Source, target: Source, check: Callable[[Path], None]) -> Iterator[Any]:
    """Have the metadata of an exposure to change in the block; after that the target has them.

    Where the block fails, nothing does.

    Parameters
    ----------
    source : Source
        A file or an open model.
    target : Source
        Likewise; it may be the same.
    check : callable
        Takes a new file before it has its name, and raises where it is not to have it.

    Yields
    ------
    mapping
        ``meta``.

    Raises
    ------
    InputError
        If the exposure can't be read.
    """
    if isinstance(target, ModelSource):
        with target.opened(changes=True) as model, _kept_whole(model.meta):
            yield model.meta
    elif isinstance(source, ModelSource):
        with source.opened() as model, _kept_whole(model.meta, always=True):
            yield model.meta
            with atomic_path(path_of(target)) as made:
                _write_model(model, made)
                check(made)
    else:
        with opened_asdf(path_of(source)) as file:
            meta = file["roman"]["meta"]
            yield meta
            with atomic_path(path_of(target)) as made:
                say_when(meta, made.name)
                write_asdf(file, made)
                check(made)


def _write_model(model: Any, path: Path) -> None:
    model.to_asdf(path, all_array_compression=_PACKING)


@contextmanager
def _kept_whole(meta: Any, *, always: bool = False) -> Iterator[None]:
    """Change metadata in the block; where that fails, or always, they are afterwards as they were before."""
    before = {name: copy.deepcopy(value) for name, value in dict(meta).items() if name != "wcs"}
    # never changed itself, but replaced
    before["wcs"] = meta.get("wcs")
    is_whole = False
    try:
        yield
        is_whole = True
    finally:
        if always or not is_whole:
            for name in [name for name in meta if name not in before]:
                del meta[name]
            for name, value in before.items():
                meta[name] = value
