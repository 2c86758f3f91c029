"""Where and how results are written."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.hidden import hidden_folder
from grism_align.io.files.names import made_safe
from grism_align.io.files.sources import PACKED, path_of
from grism_align.io.files.staging import output_errors
from grism_align.io.missions import facts_of
from grism_align.io.report.plots.every import plot_names
from grism_align.values.errors import GrismAlignError, OutputError
from grism_align.values.mission import HeaderletWanted
from grism_align.values.tables import TABLES
from grism_align.workflows.results.pipeline_associations import pipeline_associations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet


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
    with_csv : bool
        Whether tables are written as CSV, too.
    figures : str
        ``png`` or ``pdf`` to write plots as files, else ``none``.
    """

    folder: Path
    in_place: bool
    headerlets: str = "none"
    with_report: bool = False
    with_regions: bool = False
    with_csv: bool = False
    figures: str = "none"

    def exposure(self, exposure: Exposure) -> Path:
        """Return the file of an exposure.

        Parameters
        ----------
        exposure : Exposure
            One of the set.

        Returns
        -------
        Path
            Of an fpacked exposure without ``.fz``: images are written plain.
        """
        if self.in_place:
            return path_of(exposure.source).resolve()
        return self.folder / exposure.source.name.removesuffix(PACKED)

    def files(self, exposures: ExposureSet) -> tuple[Path, ...]:
        """Return the files that may be written or replaced, mosaics and logs apart.

        Parameters
        ----------
        exposures : ExposureSet
            What is written.

        Returns
        -------
        tuple of Path
        """
        report = self.report(exposures.product)
        return (*self.products(exposures), report, *map(self.exposure, exposures.exposures))

    def association(self, product: str) -> Path:
        """Return the output association.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_asn.json"

    def provenance(self, product: str) -> Path:
        """Return the record of what was done.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_provenance.asdf"

    def sources(self, product: str) -> Path:
        """Return the sources of the solution, as a reference catalog.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_sources.ecsv"

    def reference(self, product: str) -> Path:
        """Return the reference catalog as used.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_refcat.ecsv"

    def report(self, product: str) -> Path:
        """Return the page that tells what was done and whether to trust it.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_report.html"

    def log(self, product: str) -> Path:
        """Return the log of the run, where one is kept.

        Parameters
        ----------
        product : str
            Name of the association's product.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_align.log"

    def table(self, product: str, name: str) -> Path:
        """Return a table of the results.

        Parameters
        ----------
        product : str
            Name of the association's product.
        name : str
            ``fits``, of exposures, or ``matches``, of measurements.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_{name}.ecsv"

    def forms(self, table: Path) -> tuple[Path, ...]:
        """Return the files that a table is written to.

        Parameters
        ----------
        table : Path
            The first of them.

        Returns
        -------
        tuple of Path
        """
        return (table, table.with_suffix(".csv")) if self.with_csv else (table,)

    def figure(self, product: str, name: str) -> Path:
        """Return the file of a plot.

        Parameters
        ----------
        product : str
            Name of the association's product.
        name : str
            That of the plot.

        Returns
        -------
        Path
        """
        return self.folder / f"{product}_{made_safe(name)}.{self.figures}"

    def catalog(self, exposure: Exposure) -> Path:
        """Return the source catalog of an exposure.

        Parameters
        ----------
        exposure : Exposure
            One of the set.

        Returns
        -------
        Path
        """
        return self.folder / f"{exposure.key}_cat.ecsv"

    def headerlet(self, exposure: Exposure) -> HeaderletWanted:
        """Where the headerlet of an exposure goes.

        Parameters
        ----------
        exposure : Exposure
            One of the set.

        Returns
        -------
        HeaderletWanted
        """
        file = self._headerlet_file(exposure) if self.headerlets == "file" else None
        return HeaderletWanted(file, attach=self.headerlets == "attach")

    def _headerlet_file(self, exposure: Exposure) -> Path:
        return self.folder / f"{exposure.key}{facts_of(exposure).headerlet_ending}"

    def products(self, exposures: ExposureSet) -> tuple[Path, ...]:
        """Return the files beside the exposures, mosaics and logs apart, that a whole run writes.

        Parameters
        ----------
        exposures : ExposureSet
            The set.

        Returns
        -------
        tuple of Path
        """
        product = exposures.product
        paths = [self.association(product), self.provenance(product)]
        paths += [self.report(product)] if self.with_report else []
        paths += [self.sources(product), self.reference(product)]
        tables = [*(self.table(product, name) for name in TABLES), *map(self.catalog, exposures.direct)]
        paths += [path for table in tables for path in self.forms(table)]
        if self.headerlets == "file":
            paths += [self._headerlet_file(each) for each in exposures.exposures]
        if self.with_regions:
            paths += [self.folder / f"{each.key}.reg" for each in exposures.direct]
        if self.figures != "none":
            visits = (each.visit for each in exposures.exposures)
            paths += [self.figure(product, name) for name in plot_names(visits)]
        of_pipelines = pipeline_associations(exposures, {each.key: "" for each in exposures.exposures})
        return (*paths, *(self.folder / name for name in of_pipelines))


def destination_for(
    exposures: ExposureSet, folder: Path | None, *, in_place: bool, headerlets: str = "none"
) -> Destination:
    """Return where results of a command go.

    Parameters
    ----------
    exposures : ExposureSet
        The input.
    folder : Path or None
        As the user gave it; the folder of the first exposure if not given.
    in_place : bool
        Whether exposures replace their inputs.
    headerlets : str
        As for `Destination`.

    Returns
    -------
    Destination
        With the report.
    """
    home = path_of(exposures.exposures[0].source).parent if folder is None else folder.expanduser()
    return Destination(home.resolve(), in_place, headerlets, with_report=True)


@contextmanager
def new_folder(folder: str | None) -> Iterator[None]:
    """Make an output folder for the block, and remove it again if the block fails and left it empty.

    Parameters
    ----------
    folder : str or None
        As the user gave it; nothing is done without one.

    Raises
    ------
    OutputError
        If it can't be made.
    """
    if not folder:
        yield
        return
    path = Path(folder).expanduser()
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = "a file, not a folder" if path.exists() else f"can't be made ({error.strerror})"
        raise OutputError(path, problem, "Give another output_dir") from error
    try:
        yield
    except GrismAlignError:
        if is_new and path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        raise


@contextmanager
def waiting_room(destination: Destination) -> Iterator[Path]:
    """Yield a folder for files that wait to be saved with all results, on their file system.

    Parameters
    ----------
    destination : Destination
        Where results go.

    Raises
    ------
    OutputError
        If it can't be made.
    """
    with ExitStack() as held:
        with output_errors(destination.folder):
            destination.folder.mkdir(parents=True, exist_ok=True)
            room = held.enter_context(hidden_folder(destination.folder))
        yield room
