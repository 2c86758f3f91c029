"""Whether YAML of others can be handed to a library: how large it is with its aliases followed, and how deep.

An alias costs a few bytes and stands for whatever its anchor has, other aliases among it: nine lines make a
tree of a billion nodes, which the libraries follow to the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Nodes that aliases may add; ours add none or some hundreds.
_MOST_ADDED = 100_000
_DEEPEST = 60


def check_yaml(text: str | bytes, check: Callable[[str, str | None], None] | None = None) -> None:
    """Refuse YAML that would fill the memory.

    Parameters
    ----------
    text : str or bytes
        One or more documents.
    check : callable, optional
        Takes each key, and its value if that is a scalar, else None; raises a ValueError where they may not
        be.

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


class _Tree:
    """Follows events, with a stack of what is open: its anchor, nodes so far and last key."""

    def __init__(self, check: Callable[[str, str | None], None] | None) -> None:
        self._check = check
        self._open: list[_Node] = []
        self._sizes: dict[str, int] = {}
        self._added = 0

    def take(self, event: Any) -> None:
        import yaml

        if isinstance(event, yaml.ScalarEvent):
            self._close(_Node(event.anchor), event.value)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event.anchor)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append(_Node(event.anchor, is_mapping=isinstance(event, yaml.MappingStartEvent)))
            if len(self._open) > _DEEPEST:
                msg = f"lists and mappings in each other more than {_DEEPEST} deep"
                raise ValueError(msg)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close(self._open.pop(), None)

    def _alias(self, anchor: str) -> None:
        if anchor not in self._sizes:
            msg = f"its alias *{anchor} refers to what it is in, or to nothing"
            raise ValueError(msg)
        self._added += self._sizes[anchor]
        if self._added > _MOST_ADDED:
            msg = f"its aliases stand for more than {_MOST_ADDED} nodes"
            raise ValueError(msg)
        self._close(_Node(None, size=self._sizes[anchor]), None)

    def _close(self, node: _Node, value: str | None) -> None:
        if node.anchor:
            self._sizes[node.anchor] = node.size
        if not self._open:
            return
        holder = self._open[-1]
        holder.size += node.size
        if not holder.is_mapping:
            return
        if holder.is_at_key:
            holder.key = value or ""
        elif self._check is not None:
            self._check(holder.key, value)
        holder.is_at_key = not holder.is_at_key


class _Node:
    def __init__(self, anchor: str | None, *, is_mapping: bool = False, size: int = 1) -> None:
        self.anchor, self.is_mapping, self.size = anchor, is_mapping, size
        self.is_at_key, self.key = True, ""
