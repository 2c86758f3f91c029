"""What there is to see of a set of exposures, made of the record that it would leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.values.errors import SettingsError
from grism_align.values.record import FilePair, FileRecord
from grism_align.values.tables import TABLES, results_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from astropy.table import Table

    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record
    from grism_align.values.viewer import Drawing


class SetViewer:
    """Shows sets of exposures that are in memory."""

    def table(self, exposures: ExposureSet, name: str) -> Table:
        """Return a table of the results."""
        if name not in TABLES:
            what = "table"
            raise SettingsError(what, name, f"one of {', '.join(TABLES)}")
        return results_table(name, record_of(exposures).exposures, exposures.product)

    def plots(self, exposures: ExposureSet) -> Mapping[str, Drawing]:
        """Return all plots that stand alone, by name."""
        from grism_align.io.report.plots.every import plots_of

        return plots_of(record_of(exposures))

    def vectors(self, exposures: ExposureSet, key: str, *, catalog: bool) -> Drawing | None:
        """Return the residual vectors of one exposure; None where it has no residuals."""
        from grism_align.io.report.plots.residual_plots import vectors_of

        return vectors_of(record_of(exposures), key, "absolute" if catalog else "relative")

    def write(self, exposures: ExposureSet, output_dir: PathLike[str] | str) -> ExposureSet:
        """Write every product into a folder."""
        from grism_align.workflows.results.checks import check_destination
        from grism_align.workflows.results.destination import destination_for
        from grism_align.workflows.results.write import write_results

        destination = destination_for(exposures, Path(output_dir), in_place=False)
        check_destination(exposures, destination)
        return write_results(exposures, destination)

    def report(self, exposures: ExposureSet, target: PathLike[str] | str) -> Path:
        """Write the page that tells what was done; it has the pictures of stars."""
        from grism_align.io.report import write_report

        return write_report(record_of(exposures, with_pictures=True), Path(target))


def record_of(exposures: ExposureSet, *, with_pictures: bool = False) -> Record:
    """Return the record that a set would leave, without checksums, as nothing was written.

    Parameters
    ----------
    exposures : ExposureSet
        With what was found.
    with_pictures : bool, optional
        Whether to take the pictures of stars, for which pixels are read.
    """
    from grism_align.algorithms.absolute.source_list import solved_sources
    from grism_align.workflows.executors import SerialExecutor
    from grism_align.workflows.results.record import aligned_sources, make_record, reference_record
    from grism_align.workflows.results.stamps import star_stamps

    files = {each.key: FilePair(FileRecord(str(each.source), "")) for each in exposures.exposures}
    solved, catalog = solved_sources(exposures), exposures.reference_catalog
    return make_record(
        exposures,
        files,
        aligned_sources(solved, None),
        None if catalog is None else reference_record(exposures, catalog, None),
        star_stamps(exposures, solved, SerialExecutor()) if with_pictures else None,
    )


#: The one that `load` gives sets.
VIEWER = SetViewer()
