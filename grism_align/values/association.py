"""An association: the exposures of one field and what is said of each, before any is opened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from grism_align.values.source import Source


#: ``asn_type`` of the associations that the package writes.
ASSOCIATION_TYPE = "wfss-align"

# What telescopes' own associations list beside exposures. Anything else is taken as an exposure, so
# that a mistyped exptype never drops one silently: its header says what it is.
_NO_EXPOSURE = frozenset(
    {
        "autoflat",
        "autowave",
        "background",
        "imprint",
        "pointing",
        "psf",
        "segmap",
        "selfcal",
        "sourcecat",
        "target_acquisition",
    }
)


@dataclass(frozen=True)
class Member:
    """One member of an association.

    Parameters
    ----------
    source : Source
        What it is read from; files by their absolute paths.
    exptype : str
        ``direct_image``, ``science`` (dispersed), or another as read; empty where nothing says it.
    group_id : str or None
        Visit and guide-star acquisition, where the association names it.
    governors : tuple of str
        Root names of the direct exposures that the association names for this grism exposure.
    catalog : str
        Path of the exposure's source catalog, absolute; empty for none.
    extra : mapping
        What else the association says of it.
    key_order : tuple of str
        Keys in the order of the file, for writing; empty where there was none.
    is_mosaic : bool
        Whether it was made of many exposures, and is none.
    """

    source: Source
    exptype: str = ""
    group_id: str | None = None
    governors: tuple[str, ...] = ()
    catalog: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)
    is_mosaic: bool = False

    @property
    def root(self) -> str:
        """Root name of the exposure."""
        return self.source.root

    @property
    def is_exposure(self) -> bool:
        """Whether it is an exposure, not a catalog or another file beside one."""
        return self.exptype.lower() not in _NO_EXPOSURE and not self.is_mosaic


@dataclass(frozen=True)
class Association:
    """The exposures of one product.

    Parameters
    ----------
    product : str
        Name of the product; a safe file name.
    members : tuple of Member
        As listed.
    header : mapping
        Every key of the top level but ``products``: asn_type, asn_rule, asn_id, program, target...
    product_extra : mapping
        Every key of the product but ``name`` and ``members``.
    origin : str
        Path of the file that it was read from; empty for a list, a folder or a lone exposure.
    key_order, product_key_order : tuple of str
        Keys of the top level and of the product in the order of the file, for writing.
    """

    product: str
    members: tuple[Member, ...]
    header: Mapping[str, Any] = field(default_factory=dict)
    product_extra: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)
    product_key_order: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def exposures(self) -> tuple[Member, ...]:
        """The members that are exposures."""
        return tuple(member for member in self.members if member.is_exposure)

    def without(self, sources: Collection[Source]) -> Association:
        """Leave members out, which then govern none of the others.

        Parameters
        ----------
        sources : collection of Source
            What the members are read from.

        Returns
        -------
        Association
        """
        roots = {member.root for member in self.members if member.source in sources}
        kept = (
            replace(member, governors=tuple(name for name in member.governors if name not in roots))
            for member in self.members
            if member.source not in sources
        )
        return replace(self, members=tuple(kept))
