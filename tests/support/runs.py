"""Runs with corrections that are made up: all of a run but for the measuring."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from grism_align.io.record.file import read_record
from grism_align.values.record import Activity
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from tests.support.associations import write_exposure

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Record

KEYS = ("iaaa01d1q", "iaaa01d2q", "iaaa01g1q")


def make_exposures(folder: Path, keys: tuple[str, ...] = KEYS) -> list[Path]:
    """Write small exposures into a folder."""
    for number, key in enumerate(keys):
        write_exposure(folder, key, 300 * number, "G141" if "g" in key else "F140W")
    return [folder / f"{key}_flt.fits" for key in keys]


def corrected(exposures: ExposureSet, by: float = 0.5) -> ExposureSet:
    """Return exposures with a correction each."""

    def fit(exposure: Exposure) -> ExposureFit:
        move = LinearTransform.from_parameters(exposure.plane, (by, -0.3), 0.01)
        return ExposureFit(FitStatus.ALIGNED, move, "made up", n_used=9, rms=4.0)

    def fits(some: tuple[Exposure, ...]) -> AlignmentSolution:
        return AlignmentSolution({one.key: fit(one) for one in some}, "made up")

    done = exposures.with_activity(Activity("relative_align", "done"))
    return replace(done, relative=fits(exposures.direct), grism=fits(exposures.grisms))


def loaded(folder: Path) -> ExposureSet:
    """Return the exposures of a folder."""
    return load(folder)


def assert_of_one_run(folder: Path) -> list[Record]:
    """Assert that every record in a folder is of the files beside it, and that nothing is left over."""
    names = [path.name for path in folder.iterdir()]
    assert [name for name in names if name.startswith(".")] == []
    records = list(map(read_record, folder.glob("*_provenance.asdf")))
    for record in records:
        for one in record.exposures.values():
            if one.output is not None:
                made = folder / one.output.path.rpartition("/")[2]
                assert hashlib.sha256(made.read_bytes()).hexdigest() == one.output.sha256
    return records
