"""How steps save results: where to, and all together."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from stpipe import Step

from grism_align.io.files.sources import path_of
from grism_align.steps.spec import settings_from, spec_of
from grism_align.values.field import ExposureSet
from grism_align.values.outcome import ExitCode
from grism_align.values.settings import FailureSettings, OutputSettings
from grism_align.values.words import FOR_FILE
from grism_align.workflows.closing_table import closing_table
from grism_align.workflows.outcome import check_reservations, exit_code, reservations
from grism_align.workflows.results.destination import Destination, waiting_room
from grism_align.workflows.summary_table import summary_table

if TYPE_CHECKING:
    from contextlib import ExitStack

    from grism_align.values.executor import Executor


logger = logging.getLogger(__name__)


class SavingStep(Step):
    """A step whose results are exposures, and what goes with them."""

    spec = f"""
    output_ext = string(default='fits')  # Exposures keep their names
    instrument_parameters = string(default=None)  # Parameter file of the instrument; chosen by the data
    {spec_of(OutputSettings)}
    """

    #: Who writes the exposures.
    runner: Executor
    _held: ExitStack | None = None
    _written: ExposureSet | None = None

    #: Whether the result is a message; else whoever runs it tells of it, and logs that have everything do.
    tells_result = True
    #: What a process that ran it ends with.
    ended_with = ExitCode.DONE

    @property
    def saves(self) -> bool:
        """Whether results are written: under strun, or where the user said where to."""
        asked = self.save_results or (self.parent is None and (self.output_dir or self.in_place))
        return bool(asked)

    @property
    def saver(self) -> Self | None:
        """The step that saves what this one finds: itself or the pipeline; None where nothing is saved."""
        if self.saves:
            return self
        return self.parent.saver if isinstance(self.parent, SavingStep) else None

    @property
    def is_outermost(self) -> bool:
        """Whether it is the first of ours: alone, or a step of another package's pipeline."""
        return not isinstance(self.parent, SavingStep)

    def destination(self, exposures: ExposureSet) -> Destination:
        """Where results go."""
        names = ("in_place", "headerlets", "report", "regions", "csv", "figures")
        in_place, *others = (self.search_attr(name, parent_first=True) for name in names)
        folder, home = self.search_attr("output_dir"), Path.cwd()
        if folder:
            home = Path(folder).expanduser().resolve()
        elif in_place:
            first = exposures.association.origin or path_of(exposures.exposures[0].source)
            home = Path(first).parent.resolve()
        return Destination(home, in_place, *others)

    def waiting_room(self, exposures: ExposureSet) -> Path | None:
        """Return a folder for files that wait to be saved with all results; None where nothing is saved."""
        saver = self.saver
        if saver is None or saver._held is None:
            return None
        return saver._held.enter_context(waiting_room(saver.destination(exposures)))

    def finalize_result(self, result: Any, reference_files_used: list[tuple[str, str]]) -> None:
        """Save what the step found and say how every exposure came out; stpipe's hook after `process`."""
        if self.skip or not isinstance(result, ExposureSet):
            return
        if self.is_outermost:
            check_reservations(result, settings_from(self, FailureSettings).fail_on, in_place=self.in_place)
        if self.saves:
            from grism_align.workflows.results.write import write_results

            destination = self.destination(result)
            self._written = write_results(result, destination, self.runner)
            where = None if self.tells_result else FOR_FILE
            logger.info("Results are in %s", destination.folder, extra=where)
            if destination.with_report:
                logger.info("Look at %s", destination.report(result.product), extra=where)
        if self.is_outermost and result.total.fits:
            self._tell(result)
        if self.is_outermost:
            self.ended_with = exit_code(reservations(result))

    def _tell(self, result: ExposureSet) -> None:
        """Put the closing table where it is read: on the standard output of ``strun``, whatever it logs."""
        is_printed = is_strun()
        level = logging.INFO if self.tells_result and not is_printed else logging.DEBUG
        logger.log(level, "Result:\n%s", summary_table(result), extra=FOR_FILE)
        if is_printed:
            print(closing_table(result))


def is_program() -> bool:
    """Tell whether this process is ``strun`` or ``grism-align``, and so nobody else's."""
    return is_strun() or Path(sys.argv[0]).stem == "grism-align"


def is_strun() -> bool:
    """Tell whether this process is the program ``strun``."""
    return Path(sys.argv[0]).stem.startswith("strun")
