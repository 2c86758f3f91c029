"""Exposures of JWST wherever they are, in files or in memory: read, and changed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.own import PLACE
from grism_align.io.missions.jwst.files import FileContent, opened_model, read_cards, read_content, save_model
from grism_align.io.missions.jwst.headers import cards_of_model
from grism_align.io.models.open_models import ModelSource, image_shape, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from grism_align.io.files.cards import Cards
    from grism_align.values.source import Source


#: What to do about a model that is closed.
OPEN_AGAIN = "Give it open, as calwebb_image2 or assign_wcs leaves it"


def cards_of(source: Source) -> Cards:
    """Return the metadata of an exposure.

    Raises
    ------
    InputError
        If it can't be read.
    """
    if isinstance(source, ModelSource):
        with source.opened() as model, reading(source, OPEN_AGAIN):
            return cards_of_model(source, model.meta)
    return read_cards(path_of(source))


def content_of(source: Source, check: Callable[[Cards], None]) -> FileContent:
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
        cards = cards_of_model(source, model.meta)
        check(cards)
        return FileContent(
            cards, image_shape(model.shape, source), model.meta.wcs, model.meta.instance.get(PLACE)
        )


@contextmanager
def changed(source: Source, target: Source, check: Callable[[Path], None]) -> Iterator[Any]:
    """Have a model to change in the block; after that the target has it. Where the block fails, nothing does.

    Parameters
    ----------
    source : Source
        A file or an open model.
    target : Source
        Likewise; it may be the same.
    check : callable
        Takes a new file before it has its name, and raises where it is not to have it.

    Raises
    ------
    InputError
        If the model can't be read.
    """
    if isinstance(target, ModelSource):
        with target.opened(changes=True) as model, _kept_whole(model):
            yield model
    elif isinstance(source, ModelSource):
        with source.opened() as model:
            copied = model.copy()
        yield copied
        save_model(copied, path_of(target), check)
    else:
        with opened_model(path_of(source)) as model:
            yield model
            save_model(model, path_of(target), check)


@dataclass(frozen=True, eq=False)
class _Before:
    """What a correction changes of a model."""

    wcs: Any
    info: dict[str, Any]
    tweakreg: str | None
    own: Any


@contextmanager
def _kept_whole(model: Any) -> Iterator[None]:
    """Change a model in the block; where that fails, it is as it was before."""
    meta = model.meta
    before = _Before(meta.wcs, dict(meta.wcsinfo.instance), meta.cal_step.tweakreg, meta.instance.get(PLACE))
    try:
        yield
    except BaseException:
        meta.wcs = before.wcs
        meta.wcsinfo.instance.clear()
        meta.wcsinfo.instance.update(before.info)
        meta.cal_step.tweakreg = before.tweakreg
        meta.instance.pop(PLACE, None)
        if before.own is not None:
            meta.instance[PLACE] = before.own
        raise
