"""Open models as telescopes' pipelines hand them on: a library, a list or a container of them, or one.

What they have in common is told by what they can do. So no telescope's package is needed here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.values.errors import InputError, LendingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.source import Source


# What stpipe's libraries raise where somebody has a model.
_LENT = "BorrowError"
# Where a library or a container has what was found of it.
_KEPT = "_grism_align_found"
_SHELVE = "Shelve what was borrowed of the library, and give it again"
_GONE = "Put its file back, or leave it out of the library"


@dataclass(frozen=True)
class ModelSource:
    """An open model, as what holds an exposure.

    Parameters
    ----------
    models : Models
        Those that it is one of.
    index : int
        Which one.
    name : str
        Name of the file that it was read from, or would be saved to.
    root : str
        Name of the exposure by that.
    """

    models: Models = field(repr=False)
    index: int
    name: str = field(compare=False)
    root: str = field(compare=False)

    def __str__(self) -> str:
        return f"model {self.index} ({self.name})"

    @contextmanager
    def opened(self, *, changes: bool = False) -> Iterator[Any]:
        """Have the model in the block, and give it back after it.

        Parameters
        ----------
        changes : bool
            Whether the block changes it; a library on disk keeps no change else.

        Raises
        ------
        InputError
            If a library doesn't lend it.
        """
        with self.models.opened(self, changes=changes) as model:
            yield model


class Models(ABC):
    """Several open models, or one."""

    #: What came in, and goes out.
    given: Any

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Names of the files that they are of."""

    @property
    def exptypes(self) -> tuple[str, ...]:
        """What an association calls each; empty where none says it."""
        return ("",) * len(self.names)

    @property
    def product(self) -> str:
        """Name of the product that they are made into; empty where none is known."""
        return ""

    @property
    def folder(self) -> str:
        """Folder of the association that they are of; empty where none is known."""
        return ""

    @property
    def kept(self) -> Any:
        """What an earlier step left with them for the next; None for nothing."""
        return getattr(self.given, _KEPT, None) if self._keeps else None

    def keep(self, found: object) -> None:
        """Leave with them what was found, where they can hold it: lists and lone models can't."""
        if self._keeps:
            setattr(self.given, _KEPT, found)

    @property
    @abstractmethod
    def _keeps(self) -> bool: ...

    @abstractmethod
    def opened(self, source: ModelSource, *, changes: bool) -> Any:
        """Return a context that has a model, as `ModelSource.opened`."""

    @abstractmethod
    def to_change(self) -> Models:
        """Return models that may be changed: copies, unless they are a library's."""


@dataclass(frozen=True, eq=False)
class ListedModels(Models):
    """Models in a list, in a container that is like one, or a single one.

    Parameters
    ----------
    given : sequence of models, or a model
        As it came in.
    """

    given: Any

    @property
    def _all(self) -> Sequence[Any]:
        return self.given if isinstance(self.given, Sequence) else [self.given]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files that they are of."""
        return tuple(_name_of(model, number) for number, model in enumerate(self._all))

    @property
    def _keeps(self) -> bool:
        return isinstance(self.given, Sequence) and not isinstance(self.given, list | tuple)

    @contextmanager
    def opened(self, source: ModelSource, *, changes: bool) -> Iterator[Any]:
        """Have a model in the block."""
        yield self._all[source.index]

    def to_change(self) -> ListedModels:
        """Return copies, in the same form."""
        if isinstance(self.given, list | tuple):
            return ListedModels(type(self.given)(model.copy() for model in self.given))
        return ListedModels(self.given.copy())


class LibraryModels(Models):
    """Models of a library, which lends one at a time, and may keep the others on disk.

    Parameters
    ----------
    given : AbstractModelLibrary
        As it came in.
    """

    def __init__(self, given: Any) -> None:
        self.given = given
        self._lent: dict[int, Any] = {}
        self._changed: set[int] = set()

    @property
    def _keeps(self) -> bool:
        return True

    @property
    def _members(self) -> Sequence[Any]:
        return list(self._product.get("members", ()))

    @property
    def _product(self) -> Any:
        return self.given.asn["products"][0]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the files that they are of."""
        return tuple(PurePath(str(member["expname"])).name for member in self._members)

    @property
    def exptypes(self) -> tuple[str, ...]:
        """What the library's association calls each."""
        return tuple(str(member.get("exptype", "")) for member in self._members)

    @property
    def product(self) -> str:
        """Name of the association's product; empty where there is no association."""
        return str(self._product.get("name") or "")

    @property
    def folder(self) -> str:
        """Folder of its association; empty where there is none."""
        # romancal's have no public name for it
        folder = str(getattr(self.given, "asn_dir", None) or getattr(self.given, "_asn_dir", None) or "")
        return "" if folder == "None" else folder

    @contextmanager
    def opened(self, source: ModelSource, *, changes: bool) -> Iterator[Any]:
        """Borrow a model for the block, once for blocks within each other."""
        index = source.index
        if changes:
            self._changed.add(index)
        if index in self._lent:
            yield self._lent[index]
            return
        with self._open():
            self._lent[index] = self._borrowed(source)
            is_whole = False
            try:
                yield self._lent[index]
                is_whole = True
            finally:
                is_changed = is_whole and index in self._changed
                self._changed.discard(index)
                self.given.shelve(self._lent.pop(index), index, modify=is_changed)

    def _borrowed(self, source: ModelSource) -> Any:
        try:
            return self.given.borrow(source.index)
        except Exception as error:
            # somebody has it, or the file that a library on disk opens is damaged or gone
            is_lent = type(error).__name__ == _LENT
            problem = f"its library doesn't lend it ({one_line(error)})"
            raise LendingError(source, problem, _SHELVE if is_lent else _GONE) from error

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Have the library open in the block, and as it was after it."""
        # a second `with` would close it to whoever opened it
        if getattr(self.given, "_open", False):
            yield
        else:
            with self.given:
                yield

    def to_change(self) -> LibraryModels:
        """Return the same: whoever hands on a library wants it back."""
        return self


def models_of(given: object) -> Models | None:
    """Return open models as one kind of thing; None for anything else, such as names of files.

    Parameters
    ----------
    given : object
        What a user gave.

    Raises
    ------
    InputError
        If some of a list are models, and others are not.
    """
    if hasattr(given, "borrow") and hasattr(given, "shelve"):
        return LibraryModels(given)
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        return ListedModels(given) if _is_model(given) else None
    kinds = {_is_model(one) for one in given}
    if len(kinds) > 1:
        what, problem = "list of exposures", "some are open models, and others are not"
        raise InputError(what, problem, "Save the open ones and give files, or open all")
    return ListedModels(given) if True in kinds else None


def mark_failed(source: ModelSource) -> None:
    """Have a model say that it could not be aligned, where the pipelines look for that.

    Parameters
    ----------
    source : ModelSource
        The model, which is changed.
    """
    with source.opened(changes=True) as model:
        status = getattr(model.meta, "cal_step", None)
        if status is not None:
            status.tweakreg = "FAILED"


def _is_model(given: object) -> bool:
    return hasattr(given, "meta") and hasattr(given, "save") and not isinstance(given, Sequence)


def _name_of(model: Any, number: int) -> str:
    return PurePath(str(getattr(model.meta, "filename", None) or f"model{number}.fits")).name


@contextmanager
def reading(source: ModelSource, open_again: str) -> Iterator[None]:
    """Read a model in the block; one that is closed is like a damaged file.

    Parameters
    ----------
    source : ModelSource
        The model.
    open_again : str
        What to do about one that is closed.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        yield
    except (AttributeError, ValueError, OSError, KeyError, TypeError) as error:
        raise InputError(source, f"it can't be read ({one_line(error)})", open_again) from error


def image_shape(shape: tuple[int, ...] | None, source: ModelSource) -> tuple[int, int]:
    """Return the shape (ny, nx) of a science array.

    Raises
    ------
    InputError
        If it is no image.
    """
    if shape is None or len(shape) != 2:
        axes = "no" if shape is None else len(shape)
        raise InputError(source, f"its science array has {axes} axes, not 2", "Give the image")
    return int(shape[0]), int(shape[1])


def sum_of(source: Source) -> str:
    """Return the SHA-256 of a file; empty for an open model."""
    return "" if isinstance(source, ModelSource) else sha256_of(path_of(source))
