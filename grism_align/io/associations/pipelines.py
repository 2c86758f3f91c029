"""Associations of telescopes' own pipelines: what they list that is no exposure yet, or no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.associations.search import best_exposures
from grism_align.io.files.sources import is_file
from grism_align.io.missions import all_facts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from grism_align.values.mission import PipelineFacts


def _facts() -> Iterator[PipelineFacts]:
    return (facts.pipeline for facts in all_facts() if facts.pipeline is not None)


def is_by_exposure(header: Mapping[str, Any]) -> bool:
    """Tell whether an association is for a pipeline that works exposure by exposure, each a product.

    Parameters
    ----------
    header : mapping
        The association's top level.
    """
    kind = str(header.get("asn_type", "")).lower()
    return any(kind in facts.processed for facts in _facts())


def is_of_pipeline(header: Mapping[str, Any]) -> bool:
    """Tell whether an association is for one of a telescope's pipelines.

    Parameters
    ----------
    header : mapping
        The association's top level.
    """
    kind = str(header.get("asn_type", "")).lower()
    return is_by_exposure(header) or any(kind in facts.combining for facts in _facts())


def is_mosaic(path: Path) -> bool:
    """Tell whether a file is one that a pipeline made of many exposures, by its name."""
    return any(path.name.endswith(facts.mosaic_endings) for facts in _facts())


def as_processed(path: Path, header: Mapping[str, Any]) -> Path:
    """Return what a pipeline made of a listed file, if that is beside it; else the file.

    Parameters
    ----------
    path : Path
        A member.
    header : mapping
        The association's top level, which tells the pipeline.
    """
    kind = str(header.get("asn_type", "")).lower()
    for facts in _facts():
        for before in facts.raw_endings if kind in facts.processed else ():
            if path.name.endswith(before):
                root = path.name.removesuffix(before)
                made = (path.with_name(f"{root}{ending}") for ending in facts.processed[kind])
                return next((one for one in made if is_file(one)), path)
    return path


def of_same_visits(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return the other exposures of the same visits that lie in the same folders, the best file of each.

    Parameters
    ----------
    paths : iterable of Path
        Files of exposures.
    """
    given = list(paths)
    letters = max((facts.visit_letters for facts in _facts()), default=0)
    visits = {(path.parent, path.name[:letters]) for path in given}
    beside = [
        one for folder in {path.parent for path in given} for one in best_exposures(folder.glob("[!.]*"))
    ]
    return tuple(one for one in beside if one not in given and (one.parent, one.name[:letters]) in visits)
