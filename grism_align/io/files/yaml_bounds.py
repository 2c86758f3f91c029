"""Whether YAML of others can be handed to a library: how large it is with its aliases followed, and how deep.

An alias costs a few bytes and stands for whatever its anchor has, other aliases among it: nine lines make a
tree of a billion nodes, which the libraries follow to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Keys of a mapping, with values that are scalars or short lists of scalars, as text; None for any other.
Entries = dict[str, "str | list[str] | None"]

# Nodes that aliases may add; ours add none or some hundreds.
_MOST_ADDED = 100_000
_DEEPEST = 100
# Of lists that are handed on, such as shapes.
_MOST_ITEMS = 32


def check_yaml(text: str | bytes, check: Callable[[Entries], None] | None = None) -> None:
    """Refuse YAML that would fill the memory.

    Parameters
    ----------
    text : str or bytes
        One or more documents.
    check : callable, optional
        Takes each mapping; raises a ValueError where it may not be.

    Raises
    ------
    ValueError
        If aliases add too many nodes or refer to what they are in, or lists and mappings are too deep.
    yaml.YAMLError
        If it is no YAML.
    """
    tree = _Tree(check)
    for event in _events(text):
        tree.take(event)


def _events(text: str | bytes) -> Iterator[Any]:
    import yaml  # type: ignore[import-untyped]

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    return iter(yaml.parse(text, Loader=loader))


class _Node:
    """A list or a mapping that is open: its anchor, its nodes so far, and what it has."""

    def __init__(self, anchor: str | None, *, is_mapping: bool) -> None:
        self.anchor, self.is_mapping, self.size = anchor, is_mapping, 1
        self.key: str | None = None
        self.entries: Entries = {}
        self.items: list[str] | None = []

    def add(self, size: int, value: str | list[str] | None) -> None:
        """Take in what was closed in it; in a mapping, every other one is a key."""
        self.size += size
        if not self.is_mapping:
            if self.items is None or not isinstance(value, str) or len(self.items) == _MOST_ITEMS:
                self.items = None
            else:
                self.items.append(value)
        elif self.key is None:
            self.key = value if isinstance(value, str) else ""
        else:
            self.entries[self.key] = value
            self.key = None


class _Tree:
    """Follows events, with a stack of what is open."""

    def __init__(self, check: Callable[[Entries], None] | None) -> None:
        self._check = check
        self._open: list[_Node] = []
        self._sizes: dict[str, int] = {}
        self._added = 0

    def take(self, event: Any) -> None:
        """Follow one event."""
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self._close(event.anchor, 1, event.value)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Node(event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent)))
            if len(self._open) > _DEEPEST:
                msg = f"lists and mappings in each other more than {_DEEPEST} deep"
                raise ValueError(msg)
        elif isinstance(event, yaml.CollectionEndEvent):
            node = self._open.pop()
            if node.is_mapping and self._check is not None:
                self._check(node.entries)
            self._close(node.anchor, node.size, None if node.is_mapping else node.items)

    def _alias(self, anchor: str) -> None:
        if anchor not in self._sizes:
            msg = f"its alias *{anchor} refers to what it is in, or to nothing"
            raise ValueError(msg)
        self._added += self._sizes[anchor]
        if self._added > _MOST_ADDED:
            msg = f"its aliases stand for more than {_MOST_ADDED} nodes"
            raise ValueError(msg)
        self._close(None, self._sizes[anchor], None)

    def _close(self, anchor: str | None, size: int, value: str | list[str] | None) -> None:
        if anchor:
            self._sizes[anchor] = size
        if self._open:
            self._open[-1].add(size, value)
