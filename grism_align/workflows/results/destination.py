"""Where and how results are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grism_align.io.files.sources import path_of
from grism_align.io.missions import HeaderletWanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from grism_align.values.exposure import Exposure

    Progress = Callable[[Iterable[Exposure], str], Iterable[Exposure]]


__all__ = ["Destination"]


@dataclass(frozen=True)
class Destination:
    """Where results go.

    Parameters
    ----------
    folder : Path
        For every product; also for the exposures unless `in_place`.
    in_place : bool
        Whether exposures replace their inputs.
    headerlets : str
        ``none``, ``file`` (one beside the products for each exposure) or ``attach`` (an extension of it).
    with_report, with_regions : bool
        Whether to make the report, and a DS9 region file for each direct exposure.
    """

    folder: Path
    in_place: bool
    headerlets: str = "none"
    with_report: bool = False
    with_regions: bool = False

    def exposure(self, exposure: Exposure) -> Path:
        """The file of an exposure."""
        return path_of(exposure.source).resolve() if self.in_place else self.folder / exposure.source.name

    def association(self, product: str) -> Path:
        """The output association."""
        return self.folder / f"{product}_asn.json"

    def provenance(self, product: str) -> Path:
        """The record of what was done."""
        return self.folder / f"{product}_provenance.asdf"

    def sources(self, product: str) -> Path:
        """The sources of the solution, as a reference catalog."""
        return self.folder / f"{product}_sources.ecsv"

    def reference(self, product: str) -> Path:
        """The reference catalog as used."""
        return self.folder / f"{product}_refcat.ecsv"

    def report(self, product: str) -> Path:
        """The page that tells what was done and whether to trust it."""
        return self.folder / f"{product}_report.html"

    def catalog(self, exposure: Exposure) -> Path:
        """The source catalog of an exposure."""
        return self.folder / f"{exposure.key}_cat.ecsv"

    def headerlet(self, exposure: Exposure) -> HeaderletWanted:
        """Where the headerlet of an exposure goes."""
        file = self.folder / f"{exposure.key}_hlet.fits" if self.headerlets == "file" else None
        return HeaderletWanted(file, attach=self.headerlets == "attach")
