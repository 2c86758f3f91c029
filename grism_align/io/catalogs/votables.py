"""Tables of VOTables, with the epochs that these keep apart from their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.io.votable.tree import VOTableFile
    from astropy.table import Table


def votable_to_table(votable: VOTableFile) -> Table:
    """Return the first table of a VOTable, columns by their names.

    Parameters
    ----------
    votable : astropy.io.votable.tree.VOTableFile
        What `astropy.io.votable.parse` gives, or what a service answered.

    Returns
    -------
    astropy.table.Table
        A column whose field refers to a coordinate system (COOSYS) with an epoch has that epoch, a text
        such as ``J2016.0``, as ``epoch`` of its meta. Where the VOTable's coordinate systems are of one
        epoch, and no field refers to any, that is the ``epoch`` of the table's meta.

    Raises
    ------
    IndexError
        If there is no table in it.
    """
    element = votable.get_first_table()
    table = element.to_table(use_names_over_ids=True)
    epochs = {system.ID: str(system.epoch) for system in _coordinate_systems(votable) if system.epoch}
    referred = {
        name: epochs[field.ref]
        for name, field in zip(table.colnames, element.fields, strict=True)
        if field.ref in epochs
    }
    for name, epoch in referred.items():
        table[name].info.meta = {**(table[name].info.meta or {}), "epoch": epoch}
    if not referred and len(set(epochs.values())) == 1:
        table.meta.setdefault("epoch", next(iter(epochs.values())))
    return table


def _coordinate_systems(element: Any) -> Iterator[Any]:
    """Yield those of a VOTable or of a resource, and of the resources in it."""
    yield from element.coordinate_systems
    for resource in element.resources:
        yield from _coordinate_systems(resource)
