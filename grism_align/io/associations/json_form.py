"""Associations as JSON: ours, and those of JWST and Roman with the same layout.

Layout: ``{asn_type, ..., products: [{name, members: [{expname, exptype, ...}]}]}``. A member may say
``group_id``, ``direct`` (the direct exposures that govern this grism exposure) and
``tweakreg_catalog``. Every other key is kept.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from grism_align.io.associations.files import check_product_name, located
from grism_align.io.associations.pipelines import as_processed, is_by_exposure, is_mosaic
from grism_align.io.files.sources import file_of
from grism_align.io.missions import file_source, root_name
from grism_align.values.association import ASSOCIATION_TYPE, Association, Member
from grism_align.values.errors import AssociationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_NOTHING: Mapping[str, Any] = {}
_MEMBER_KEYS = ("expname", "exptype", "group_id", "direct", "tweakreg_catalog")
_LAYOUT = 'Expected {"products": [{"name": ..., "members": [{"expname": ..., "exptype": ...}]}]}'


def parse(text: str, origin: Path) -> Association:
    """Return the association in a JSON text.

    Parameters
    ----------
    text : str
        Content of the file.
    origin : Path
        The file; member paths are relative to its folder.

    Raises
    ------
    AssociationError
        If it is no JSON, or not the layout of an association.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AssociationError(origin, f"no valid JSON: {error}", "Correct the file") from error
    reader = _Reader(origin)
    top = reader.mapping(content, "the top level")
    if is_by_exposure(top):
        return _by_exposure(reader, top)
    product = reader.product(top)
    name = check_product_name(reader.text(product, "name", "products[0]"), origin)
    members = reader.items(product, "members", "products[0]")
    return Association(
        product=name,
        members=_governors_by_member([reader.member(member, i) for i, member in enumerate(members)]),
        header=_without(top, "products"),
        product_extra=_without(product, "name", "members"),
        origin=str(origin),
        key_order=tuple(top),
        product_key_order=tuple(product),
    )


def _by_exposure(reader: _Reader, top: Mapping[str, Any]) -> Association:
    """Return all members of an association with a product for each exposure; mosaics may be in several."""
    products = [reader.mapping(one, "a product") for one in reader.items(top, "products", "the top level")]
    found = [
        reader.member(member, number, top)
        for product in products
        for number, member in enumerate(reader.items(product, "members", "a product"))
    ]
    name = check_product_name(reader.origin.stem.removesuffix("_asn"), reader.origin)
    members = {member.source: member for member in found}
    return Association(name, tuple(members.values()), _without(top, "products"), origin=str(reader.origin))


def layout(association: Association, folder: Path) -> dict[str, Any]:
    """Return what is written: keys in the order in which they were read, new ones behind.

    Parameters
    ----------
    association : Association
        To write.
    folder : Path
        Where the file will be; paths below it are written relative to it.
    """
    product = {
        "name": association.product,
        "members": [_member_layout(member, folder) for member in association.members],
        **association.product_extra,
    }
    top = {
        "asn_type": ASSOCIATION_TYPE,
        **association.header,
        "products": [_ordered(product, association.product_key_order)],
    }
    return _ordered(top, association.key_order)


class _Reader:
    """Typed access to the parts of one file; whatever is wrong names the file and the place."""

    def __init__(self, origin: Path) -> None:
        self.origin = origin

    def fail(self, problem: str) -> NoReturn:
        raise AssociationError(self.origin, problem, _LAYOUT)

    def mapping(self, value: object, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self.fail(f"{where} is a {type(value).__name__}, not an object")
        return value

    def items(self, holder: Mapping[str, Any], key: str, where: str) -> Sequence[Any]:
        value = self._required(holder, key, where)
        if not isinstance(value, list):
            self.fail(f"{key!r} of {where} is a {type(value).__name__}, not a list")
        if not value:
            self.fail(f"{key!r} of {where} is empty")
        return value

    def text(self, holder: Mapping[str, Any], key: str, where: str) -> str:
        value = self._required(holder, key, where)
        if not isinstance(value, str):
            self.fail(f"{key!r} of {where} is a {type(value).__name__}, not a string")
        return value

    def optional_text(self, holder: Mapping[str, Any], key: str, where: str) -> str:
        """Return the string, empty where the key is missing or null."""
        return "" if holder.get(key) is None else self.text(holder, key, where)

    def product(self, top: Mapping[str, Any]) -> Mapping[str, Any]:
        products = self.items(top, "products", "the top level")
        if len(products) > 1:
            names = ", ".join(str(p.get("name", "?")) if isinstance(p, dict) else "?" for p in products)
            raise AssociationError(
                self.origin,
                f"{len(products)} products ({names}), but one is aligned at a time",
                "Split it: one file for each product, the top-level keys copied to each; "
                "or list all members in one product to align them together",
            )
        return self.mapping(products[0], "products[0]")

    def member(self, value: object, number: int, top: Mapping[str, Any] = _NOTHING) -> Member:
        where = f"member {number} of products[0]"
        member = self.mapping(value, where)
        expname = self.text(member, "expname", where)
        if not expname.strip():
            self.fail(f"'expname' of {where} is empty")
        catalog = self.optional_text(member, "tweakreg_catalog", where)
        folder = self.origin.parent
        path = located(expname, folder)
        return Member(
            source=file_source(as_processed(path, top)),
            exptype=self.optional_text(member, "exptype", where),
            group_id=self.optional_text(member, "group_id", where) or None,
            governors=self._governors(member, where),
            catalog=str(located(catalog, folder)) if catalog else "",
            extra=_without(member, *_MEMBER_KEYS),
            key_order=tuple(member),
            is_mosaic=is_mosaic(path),
        )

    def _governors(self, member: Mapping[str, Any], where: str) -> tuple[str, ...]:
        value = member.get("direct")
        names = [] if value is None else [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            self.fail(f"'direct' of {where} is {value!r}, not a name or a list of names")
        return tuple(dict.fromkeys(root_name(name) for name in names))

    def _required(self, holder: Mapping[str, Any], key: str, where: str) -> Any:
        if key not in holder:
            self.fail(f"{where} has no {key!r}")
        return holder[key]


def _governors_by_member(members: Sequence[Member]) -> tuple[Member, ...]:
    """Governors as the members spell their names: archives write root names in capitals too."""
    roots = {member.root.lower(): member.root for member in members}
    return tuple(
        replace(member, governors=tuple(roots.get(name.lower(), name) for name in member.governors))
        for member in members
    )


def _member_layout(member: Member, folder: Path) -> dict[str, Any]:
    path = file_of(member.source)
    known: dict[str, Any] = {
        "expname": member.source.name if path is None else _written(path, folder),
        "exptype": member.exptype,
        "group_id": member.group_id,
        "direct": list(member.governors),
        "tweakreg_catalog": _written(Path(member.catalog), folder) if member.catalog else None,
    }
    said = {key: value for key, value in known.items() if value}
    return _ordered({**said, **member.extra}, member.key_order)


def _written(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _ordered(content: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    first = {key: content[key] for key in order if key in content}
    return {**first, **{key: value for key, value in content.items() if key not in first}}


def _without(content: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys}
