"""Put a user's own corrections onto exposures, with the machinery and the record of an alignment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from grism_align.algorithms.propagation.propagate import propagate
from grism_align.io.catalogs.shift_table import read_shifts, rows_by_exposure
from grism_align.io.files.identity import read_with_sum
from grism_align.values.errors import OutputError
from grism_align.values.record import Activity
from grism_align.values.settings import GrismSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform
from grism_align.workflows.load import load
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.claims import claimed_results
from grism_align.workflows.results.write import write_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.io.catalogs.shift_table import ShiftRow
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.workflows.results.destination import Destination


#: Step name of the activity on record, and what the fits name as their reference.
STEP, REFERENCE = "shift", "USER"
#: What those refer to that stay.
AS_GIVEN = "the WCS of the file"


@dataclass(frozen=True, eq=False)
class UserShifts:
    """Corrections of a table and the exposures that they are for.

    Parameters
    ----------
    table : Path
        The table.
    exposures : ExposureSet
        With the corrections as fits.
    kept : tuple of str
        Exposures that keep their WCS, since nothing names them.
    """

    table: Path
    exposures: ExposureSet
    kept: tuple[str, ...]


def plan_shifts(
    table: Path, files: Sequence[Path | str], *, to_grisms: bool = False, bad_input: str = "auto"
) -> UserShifts:
    """Read corrections and the exposures that they are for; nothing is written.

    Parameters
    ----------
    table : Path
        Corrections by exposure or by visit, as `read_shifts` takes them.
    files : sequence of path-like
        Files, folders or associations.
    to_grisms : bool
        Give grism exposures that have no row of their own the correction of the direct exposure that
        governs them.
    bad_input : str
        What becomes of files that can't be used, as for `load`.

    Raises
    ------
    InputError
        If the table or a file can't be used, or a row names what isn't given.
    """
    with read_with_sum(table) as sha256:
        rows = read_shifts(table)
    found = without_record(load(files, with_results=False, bad_input=bad_input))
    chosen = rows_by_exposure(rows, found.exposures, table)
    lent = _propagated(found, chosen) if to_grisms else {}
    homes = {key: home for key, home in _homes(found, chosen).items() if key not in lent}
    own = {key: _fit(chosen[key], home) for key, home in homes.items()}
    kept = tuple(e.key for e in found.exposures if e.key not in own and e.key not in lent)
    counts = {"rows": len(rows), "shifted": len(own), "propagated": len(lent), "kept": len(kept)}
    settings = {"table": str(table.resolve()), "table_sha256": sha256, "propagate": to_grisms}
    note = f"corrections of {table.name}"
    stays = {key: unmoved(home) for key, home in homes.items()}
    exposures = found.with_activity(
        Activity(STEP, "done", note, settings, counts),
        relative=AlignmentSolution(stays, AS_GIVEN),
        absolute=AlignmentSolution(own, REFERENCE),
        grism=AlignmentSolution(lent, REFERENCE if lent else ""),
    )
    return UserShifts(table, exposures, kept)


def write_shifts(plan: UserShifts, destination: Destination, executor: Executor) -> ExposureSet:
    """Write the exposures that are corrected, an association of all, and the record.

    Parameters
    ----------
    plan : UserShifts
        What `plan_shifts` gave.
    destination : Destination
        Where to.
    executor : Executor
        Writes the exposures.

    Returns
    -------
    ExposureSet
        As they were written, under the name of their product.

    Raises
    ------
    GrismAlignError
        If an output would replace an input or an earlier record, can't be written, or is written by another
        run.
    """
    return write_given(plan.exposures, destination, executor)


def write_given(given: ExposureSet, destination: Destination, executor: Executor) -> ExposureSet:
    """Write exposures with corrections that no step has found, and the record of that.

    Parameters
    ----------
    given : ExposureSet
        With the corrections as fits.
    destination : Destination
        Where to.
    executor : Executor
        Writes the exposures.

    Raises
    ------
    GrismAlignError
        As of `write_shifts`.
    """
    with claimed_results(given, destination) as exposures:
        if destination.in_place:
            _refuse_record(destination.provenance(exposures.product))
        check_destination(exposures, destination)
        return write_results(exposures, destination, executor)


def without_record(found: ExposureSet) -> ExposureSet:
    """Return exposures by themselves: what an earlier record has is not of these corrections.

    Parameters
    ----------
    found : ExposureSet
        As read.
    """
    header = {key: value for key, value in found.association.header.items() if key != "provenance"}
    return replace(found, association=replace(found.association, header=header))


def unmoved(exposure: Exposure) -> ExposureFit:
    """Return the fit of an exposure that stays where it is.

    Parameters
    ----------
    exposure : Exposure
        As read.
    """
    return ExposureFit(FitStatus.REFERENCE, LinearTransform.identity(exposure.plane), AS_GIVEN)


def _refuse_record(record: Path) -> None:
    if record.exists():
        problem = "it tells how the files came to be as they are, and would be replaced"
        remedy = (
            f"A run in place that was cut short is finished by: grism-align apply {record} FILES --in-place; "
            "else move the record away, or give another output_dir for the new one"
        )
        raise OutputError(record, problem, remedy)


def user_transform(row: ShiftRow, home: Exposure) -> LinearTransform:
    """Return the correction that a row gives, in the tangent plane of the first chip of its home.

    Parameters
    ----------
    row : ShiftRow
        The correction.
    home : Exposure
        Whose reference point and pixels the row is about. Exposures of one home have one map of the sky, and
        so stay together.

    Returns
    -------
    LinearTransform
        It moves the reference point (CRVAL of the first chip of `home`) by the shift, and turns and stretches
        the sky about it. A shift of (dx, dy) pixels is that by which the linear terms of `home` move a pixel
        by (dx, dy): afterwards its reference pixel (x, y) lies where (x + dx, y + dy) lay.
    """
    axes = home.chips[0].wcs.axes if row.in_pixels else np.eye(2)
    moved = LinearTransform.from_parameters(home.plane, axes @ row.shift, row.roll, row.scale)
    return replace(moved, covariance=_covariance(moved, row, axes))


def _homes(found: ExposureSet, chosen: Mapping[str, ShiftRow]) -> dict[str, Exposure]:
    """Return what each row is about: the exposure, or its visit's first direct exposure, else the first."""
    first: dict[tuple[str, str], Exposure] = {}
    for exposure in sorted(found.exposures, key=lambda one: (not one.is_direct, one.start, one.key)):
        first.setdefault((exposure.visit, exposure.instrument), exposure)
    own = {key: found[key] for key in chosen}
    return {
        key: first[each.visit, each.instrument] if chosen[key].kind == "visit" else each
        for key, each in own.items()
    }


def _covariance(moved: LinearTransform, row: ShiftRow, axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the errors of the row, taken as independent."""
    names = ("dx", "dy") if row.in_pixels else ("dra", "ddec")
    variance = np.array([row.errors.get(name, 0.0) for name in names]) ** 2
    covariance = np.zeros((6, 6))
    covariance[:2, :2] = axes @ np.diag(variance) @ axes.T
    matrix = moved.matrix
    # a roll turns (xi, eta) clockwise as they are drawn with xi to the right: north goes to the east
    by_roll = np.radians(1.0) * (np.array([[0.0, 1.0], [-1.0, 0.0]]) @ matrix).ravel()
    by_scale = (matrix / row.scale).ravel()
    for derivative, name in ((by_roll, "roll"), (by_scale, "scale")):
        covariance[2:, 2:] += np.outer(derivative, derivative) * row.errors.get(name, 0.0) ** 2
    return covariance


def _fit(row: ShiftRow, home: Exposure) -> ExposureFit:
    return ExposureFit(
        FitStatus.ALIGNED,
        user_transform(row, home),
        reference=REFERENCE,
        geometry="rscale" if row.scale != 1 else "rshift" if row.roll else "shift",
        given_by=f"row of {row}",
    )


def _propagated(found: ExposureSet, chosen: Mapping[str, ShiftRow]) -> dict[str, ExposureFit]:
    """Corrections that grism exposures without a row of their own take from direct exposures."""
    # those that stay as they are do govern, so that no other stands in for them
    homes = _homes(found, chosen)
    directs = {
        e.key: _fit(chosen[e.key], homes[e.key]) if e.key in chosen else unmoved(e) for e in found.direct
    }
    # a correction of one's own is meant for an exposure and those that go with it, not for in between
    settings = GrismSettings(PropagationSettings(method="nearest"))
    without = [g for g in found.grisms if g.key not in chosen or chosen[g.key].kind == "visit"]
    solution = propagate(without, found.direct, AlignmentSolution(directs, REFERENCE), settings)
    return {key: fit for key, fit in solution.fits.items() if chosen.keys() & set(fit.governors)}
