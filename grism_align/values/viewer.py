"""What shows a set of exposures, as tables, plots and pages: a protocol, as these are made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from astropy.table import Table

    from grism_align.values.field import ExposureSet


class Drawing(Protocol):
    """A plot that notebooks show."""

    @property
    def name(self) -> str:
        """For the name of a file."""
        ...

    @property
    def title(self) -> str:
        """What stands above it."""
        ...

    @property
    def caption(self) -> str:
        """What is to be said of it."""
        ...

    @property
    def figure(self) -> Any:
        """The matplotlib figure, to change at will."""
        ...

    def save(self, target: PathLike[str] | str, form: str | None = None) -> None:
        """Write it, as PNG, PDF or SVG."""
        ...


class Viewer(Protocol):
    """Makes what there is to see of a set of exposures."""

    def table(self, exposures: ExposureSet, name: str) -> Table:
        """Return a table of the results."""
        ...

    def plots(self, exposures: ExposureSet) -> Mapping[str, Drawing]:
        """Return all plots that stand alone, by name."""
        ...

    def vectors(self, exposures: ExposureSet, key: str, *, catalog: bool) -> Drawing | None:
        """Return the residual vectors of one exposure; None where it has no residuals."""
        ...

    def write(self, exposures: ExposureSet, output_dir: PathLike[str] | str) -> ExposureSet:
        """Write every product into a folder."""
        ...

    def report(self, exposures: ExposureSet, target: PathLike[str] | str) -> PathLike[str]:
        """Write the page that tells what was done."""
        ...
