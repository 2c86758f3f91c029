"""Put the corrections on record onto files of the same exposures, fetched anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.input_wcs import input_difference
from grism_align.io.files.claims import claimed
from grism_align.io.files.identity import read_with_sum
from grism_align.io.files.sources import file_of, path_of
from grism_align.io.missions import distortion_models, file_sum
from grism_align.io.record.file import read_record
from grism_align.values.errors import InputError, OutputError
from grism_align.values.failure import Rebased
from grism_align.values.record import Activity, EarlierRecord, FileRecord
from grism_align.workflows.load import load
from grism_align.workflows.restore import restore
from grism_align.workflows.results.checks import check_destination
from grism_align.workflows.results.write import write_results

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from grism_align.io.models.open_models import Models
    from grism_align.values.executor import Executor
    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import ExposureRecord
    from grism_align.values.solution import AlignmentSolution, ExposureFit
    from grism_align.values.transform import LinearTransform, TangentPlane
    from grism_align.workflows.results.destination import Destination


#: Step name of the activity on record.
STEP = "apply"

# What a linear map from one WCS of an exposure to another of the same distortion may leave, in mas.
_LEFT_BY_LINEAR = 0.05
_SHOWN = 3
_ALIGN_AGAIN = "Align these files anew"
_REBASE = (
    "Fetch the files with the WCS on record, or give --rebase to have the correction from the WCS they have"
)


@dataclass(frozen=True, eq=False)
class Reapplication:
    """The corrections on record for files of the same exposures.

    Parameters
    ----------
    record : Path
        The provenance file.
    exposures : ExposureSet
        The files with all that is on record of them.
    already : tuple of str
        Exposures whose files have their correction.
    rebased : mapping of str to str
        Exposures whose files start from another WCS than on record, and how these differ.
    left_out : tuple of str
        Names of files that are not on record.
    """

    record: Path
    exposures: ExposureSet
    already: tuple[str, ...] = ()
    rebased: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def is_done(self) -> bool:
        """Whether every file that has a correction on record has it already."""
        return all(self._is_as_it_should(exposure) for exposure in self.exposures.exposures)

    def _is_as_it_should(self, exposure: Exposure) -> bool:
        fit = self.exposures.fit(exposure.key)
        if not fit.is_aligned:
            return not fit.is_fitted or exposure.is_product
        return exposure.key in self.already


@dataclass(frozen=True, eq=False)
class _Start:
    """How a file's WCS relates to the one that its correction starts from.

    Parameters
    ----------
    is_corrected : bool
        It has the correction.
    problem : str
        How it differs from the WCS on record; empty where it is that one.
    bridge : LinearTransform or None
        From the file's WCS to the one on record; None where it is not known, or not needed.
    """

    is_corrected: bool = False
    problem: str = ""
    bridge: LinearTransform | None = None


def plan_reapplication(
    record: Path,
    files: Sequence[Path | str] | Models,
    *,
    rebase: bool = False,
    allow_missing: bool = False,
    bad_input: str = "auto",
) -> Reapplication:
    """Read a record and files of its exposures; nothing is written.

    Parameters
    ----------
    record : Path
        Provenance file of the run that found the corrections.
    files : sequence of path-like, or Models
        Files, folders or associations, or open models; their exposures are those on record, by root name.
    rebase : bool
        Carry a correction over where a file starts from another WCS than on record, instead of refusing.
    allow_missing : bool
        Leave out files that are not on record, instead of refusing.
    bad_input : str
        What becomes of files that can't be used, as for `load`.

    Raises
    ------
    InputError
        If the record or a file can't be used, a file isn't on record, or a file's WCS is another than the one
        on record.
    """
    with read_with_sum(record) as sha256:
        earlier = EarlierRecord(str(record.resolve()), read_record(record))
    given = load(files, with_results=False, bad_input=bad_input)
    found, left_out = _on_record(given, earlier, allow_missing=allow_missing)
    inputs = {e.key: _as_it_is(e) for e in found.exposures}
    restored = restore(found, _adopted(earlier, inputs), verify=False)
    entries = earlier.record.exposures
    starts = {e.key: _start_of(e, entries[e.key], restored, inputs[e.key].sha256) for e in found.exposures}
    _refuse(found, {key: s for key, s in starts.items() if s.problem and not (rebase and s.bridge)})
    ready = tuple(_ready(found[e.key], e, starts[e.key], restored.fit(e.key)) for e in restored.exposures)
    exposures = replace(
        _rebased(restored, {key: start.bridge for key, start in starts.items() if start.bridge}),
        product=earlier.record.product,
        exposures=ready,
    )
    already = tuple(key for key, start in starts.items() if start.is_corrected)
    rebased = {key: start.problem for key, start in starts.items() if start.problem}
    counts = {"exposures": len(ready), "already": len(already), "rebased": len(rebased)}
    settings = {"record_sha256": sha256, "rebase": rebase, "allow_missing": allow_missing}
    exposures = exposures.with_activity(_activity(record, settings, counts))
    return Reapplication(record, exposures, already, rebased, left_out)


def _as_it_is(exposure: Exposure) -> FileRecord:
    path = file_of(exposure.source)
    return FileRecord(exposure.source.name if path is None else str(path), file_sum(exposure))


def _activity(record: Path, settings: Mapping[str, object], counts: Mapping[str, int]) -> Activity:
    note = f"corrections applied from {record.name}"
    return Activity(STEP, "done", note, {"record": str(record.resolve()), **settings}, counts)


def write_reapplication(plan: Reapplication, destination: Destination, executor: Executor) -> None:
    """Write the files with their corrections, and a record that names the one it follows.

    Parameters
    ----------
    plan : Reapplication
        What `plan_reapplication` gave.
    destination : Destination
        Where to. In place, nothing is written where every file has its correction.
    executor : Executor
        Writes the exposures.

    Raises
    ------
    GrismAlignError
        If an output would replace an input, or the record by one that lacks some of its exposures, or can't
        be written.
    """
    with claimed(destination.files(plan.exposures)):
        if destination.provenance(plan.exposures.product).resolve() == plan.record.resolve():
            _check_replaceable(plan, destination)
        check_destination(plan.exposures, destination)
        if not (destination.in_place and plan.is_done):
            write_results(plan.exposures, destination, executor)


def _check_replaceable(plan: Reapplication, destination: Destination) -> None:
    """Refuse to replace the record, unless the new one is of all its files, which lie beside it."""
    home = plan.record.resolve().parent
    beside = all(path_of(exposure.source).resolve().parent == home for exposure in plan.exposures.exposures)
    if not (destination.in_place and beside):
        problem = "it would be replaced by the record of its own application"
        raise OutputError(plan.record, problem, "Give another output_dir, or move it to another folder")
    known = set(read_record(plan.record).exposures)
    missing = sorted(known - {exposure.key for exposure in plan.exposures.exposures})
    if missing:
        problem = f"it would be replaced by a record without {', '.join(missing[:_SHOWN])}"
        raise OutputError(plan.record, problem, "Give all its exposures, or another output_dir")


def _on_record(
    found: ExposureSet, earlier: EarlierRecord, *, allow_missing: bool
) -> tuple[ExposureSet, tuple[str, ...]]:
    """Return the exposures that are on record, and the names of the other files."""
    entries = earlier.record.exposures
    known = tuple(e for e in found.exposures if e.key in entries)
    others = tuple(e.source.name for e in found.exposures if e.key not in entries)
    if not known or (others and not allow_missing):
        problem = f"{len(others)} of {len(found.exposures)} files are not on record: {_some(others)}"
        remedy = "Give the record of their alignment" + (
            ", or allow_missing to leave them out" if known else ""
        )
        raise InputError(earlier.path, problem, remedy)
    sources = {e.source for e in known}
    members = tuple(m for m in found.association.members if not m.is_exposure or m.source in sources)
    return replace(found, exposures=known, association=replace(found.association, members=members)), others


def _adopted(earlier: EarlierRecord, inputs: Mapping[str, FileRecord]) -> EarlierRecord:
    """Return the record with the files in place of those that it was made of."""
    entries = {
        key: replace(earlier.record.exposures[key], input=file, applied=None) for key, file in inputs.items()
    }
    return replace(earlier, record=replace(earlier.record, exposures=entries))


def _start_of(exposure: Exposure, entry: ExposureRecord, restored: ExposureSet, sha256: str) -> _Start:
    """How the WCS of a file relates to the one on record."""
    fit = restored.fit(exposure.key)
    if fit.transform is None:
        return _Start()
    is_output = entry.output is not None and entry.output.sha256 == sha256
    if is_output or _is_corrected(exposure, entry, fit.transform):
        return _Start(is_corrected=True)
    return _compared(exposure, entry, fit.transform.plane)


def _is_corrected(exposure: Exposure, entry: ExposureRecord, total: LinearTransform) -> bool:
    """Whether a file that this package wrote has the correction, though not the bytes on record."""
    if not exposure.is_product:
        return False
    left = input_difference(entry.input_wcs, _taken_off(exposure, total), total.plane)
    return left is not None and left.is_none


def _taken_off(exposure: Exposure, total: LinearTransform) -> Exposure:
    """Return the exposure before the correction that its file has."""
    undo = total.inverted()
    chips = tuple(replace(chip, wcs=chip.wcs.corrected(undo)) for chip in exposure.chips)
    return replace(exposure, chips=chips, applied=total)


def _compared(exposure: Exposure, entry: ExposureRecord, plane: TangentPlane) -> _Start:
    """Pixel by pixel."""
    difference = input_difference(entry.input_wcs, exposure, plane)
    if difference is None:
        chips = {chip.number: chip.shape for chip in entry.input_wcs.chips}
        mine = {chip.number: chip.shape for chip in exposure.chips}
        return _Start(problem=f"its chips have shapes {mine}, and {chips} on record")
    if difference.is_none:
        return _Start()
    problem = f"{_renamed(exposure, entry)} is not the one on record: they differ by {difference}"
    if difference.distortion > _LEFT_BY_LINEAR:
        return _Start(problem=f"{problem}{_models(exposure, entry)}")
    return _Start(problem=problem, bridge=difference.to_record)


def _renamed(exposure: Exposure, entry: ExposureRecord) -> str:
    mine, known = exposure.wcs_solution or "without name", entry.wcs_solution or "without name"
    return f"its input WCS ({mine})" if mine == known else f"its input WCS ({mine}, on record {known})"


def _models(exposure: Exposure, entry: ExposureRecord) -> str:
    """Return the distortion models that WCS names tell of, where these are others than on record."""
    names = (entry.input_wcs.names, exposure.taken_names)
    known, mine = (sorted(distortion_models(exposure, one)) for one in names)
    return "" if known == mine else f" (models {', '.join(mine)}; on record {', '.join(known)})"


def _refuse(found: ExposureSet, refused: Mapping[str, _Start]) -> None:
    if not refused:
        return
    key, start = next(iter(refused.items()))
    others = [found[other].source.name for other in refused if other != key]
    more = f"; nor are those of {len(others)} more files ({_some(others)}) as on record" if others else ""
    remedy = _REBASE if all(one.bridge is not None for one in refused.values()) else _ALIGN_AGAIN
    if any(found[other].is_product for other in refused):
        remedy = f"Take off with grism-align undo what corrected them since. {remedy}"
    raise InputError(found[key].source, f"{start.problem}{more}", remedy)


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _ready(read: Exposure, restored: Exposure, start: _Start, fit: ExposureFit) -> Exposure:
    """Return an exposure as it is written: with the WCS that its correction is for."""
    if start.is_corrected and fit.transform is not None:
        # what it has of this solution doesn't take the solution's name from the others
        ours = tuple(name for name in read.taken_names if name != read.wcs_name)
        return replace(_taken_off(restored, fit.transform), taken_names=ours)
    return replace(restored, wcs_solution=read.wcs_solution)


def _rebased(restored: ExposureSet, bridges: Mapping[str, LinearTransform]) -> ExposureSet:
    """Return the fits of some exposures, from other input WCSs."""

    def first(fit: ExposureFit, bridge: LinearTransform) -> ExposureFit:
        return fit if fit.transform is None else replace(_noted(fit), transform=bridge.then(fit.transform))

    def moved(
        solution: AlignmentSolution, move: Callable[[ExposureFit, LinearTransform], ExposureFit]
    ) -> AlignmentSolution:
        fits = {key: move(fit, bridges[key]) if key in bridges else fit for key, fit in solution.fits.items()}
        return replace(solution, fits=fits)

    return replace(
        restored,
        relative=moved(restored.relative, first),
        absolute=moved(restored.absolute, lambda fit, _: fit if fit.transform is None else _noted(fit)),
        grism=moved(restored.grism, first),
    )


def _noted(fit: ExposureFit) -> ExposureFit:
    return fit.noted(Rebased())
