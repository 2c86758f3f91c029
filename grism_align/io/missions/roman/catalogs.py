"""The sources that romancal found in an exposure, where the exposure says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table

from grism_align.io.catalogs.pipeline_sources import from_pipeline
from grism_align.io.catalogs.sources import read_source_catalog
from grism_align.io.files.sources import path_of
from grism_align.io.missions.roman.files import opened_tree, read_metadata
from grism_align.io.missions.roman.sources import OPEN_AGAIN
from grism_align.io.models.open_models import ModelSource, reading

if TYPE_CHECKING:
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Exposure


# At meta, and there: the sources, or the name of their file, as romancal's tweakreg looks for them
_PLACE, _SOURCES, _NAME = "source_catalog", "tweakreg_catalog", "tweakreg_catalog_name"


def read_catalog(exposure: Exposure) -> SourceCatalog | None:
    """Return the sources that romancal's source catalog step found.

    Parameters
    ----------
    exposure : Exposure
        In a file or open.

    Returns
    -------
    SourceCatalog or None
        None where the exposure has no catalog, and names none.

    Raises
    ------
    InputError
        If it can't be read, or has no positions by the PSF.
    """
    source = exposure.source
    if isinstance(source, ModelSource):
        with source.opened() as model, reading(source, OPEN_AGAIN):
            return _found(model.meta, exposure, Path(source.models.folder))
    path = path_of(source)
    if not isinstance(read_metadata(path).tree.get(_PLACE), Mapping):
        return None
    with opened_tree(path) as roman:
        return _found(roman["meta"], exposure, path.parent)


def _found(meta: Any, exposure: Exposure, folder: Path) -> SourceCatalog | None:
    place: Any = meta.get(_PLACE) or {}
    sources, name = place.get(_SOURCES), place.get(_NAME)
    if sources is not None:
        table = sources if isinstance(sources, Table) else Table(np.asarray(sources))
        return from_pipeline(table, exposure.source, f"{exposure.key}, meta.{_PLACE}.{_SOURCES}")
    return read_source_catalog(_located(str(name), folder)) if name else None


def _located(name: str, folder: Path) -> Path:
    """Return where a catalog is: beside the exposure, or, as romancal has it, in the current folder."""
    path = Path(name)
    places = (folder / path, folder / path.name, path)
    return next((one for one in places if one.is_file()), path)
