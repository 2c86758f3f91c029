"""Fields of a batch: what their results follow from, and what is told of these."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grism_align import __version__
from grism_align.io.files.sources import path_of
from grism_align.values.batch import FieldOutcome
from grism_align.values.settings import ExecutionSettings, parameters_of
from grism_align.values.solution import FitStatus
from grism_align.workflows.outcome import reservations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astropy.table import Table

    from grism_align.values.association import Association
    from grism_align.values.field import ExposureSet
    from grism_align.values.outcome import ExitCode

#: Who does the work changes nothing of what comes of it.
_NO_MATTER = {one.name for one in parameters_of(ExecutionSettings)}
_PLACED = {FitStatus.ALIGNED, FitStatus.REFERENCE}


def key_of(
    association: Association, assignments: Iterable[str], parameters: Path | None, exclude: Sequence[str]
) -> str:
    """Return what stands for all that the results of a field follow from.

    Files are known by size and time, as reading all of an archive to find that it is as it was takes long.

    Parameters
    ----------
    association : Association
        The field.
    assignments : iterable of str
        Parameters, ``STEP.PARAMETER=VALUE``.
    parameters : Path or None
        A file of parameters.
    exclude : sequence of str
        Exposures to do without.
    """
    members = [
        (_stamped(path_of(one.source)), one.exptype, one.group_id, one.governors, _stamped(one.catalog))
        for one in association.members
    ]
    chosen = sorted(one for one in assignments if one.partition("=")[0] not in _NO_MATTER)
    files = [_stamped(name) for one in chosen for name in one.partition("=")[2].split(",")]
    said = {
        "version": __version__,
        "product": association.product,
        "members": members,
        "chosen": chosen,
        "files": files,
        "parameters": _stamped(parameters or ""),
        "exclude": list(exclude),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _stamped(name: Path | str) -> tuple[str, int, int]:
    """Return a name with size and time of the file, if there is one."""
    if str(name):
        path = Path(name).expanduser()
        try:
            found = path.stat()
        except (OSError, ValueError):
            return str(name), -1, -1
        return str(path.absolute()), found.st_size, found.st_mtime_ns
    return "", -1, -1


def outcome_of(
    result: ExposureSet, code: ExitCode, association: str, folder: Path, seconds: float
) -> FieldOutcome:
    """Return what is told of the results of a field.

    Parameters
    ----------
    result : ExposureSet
        With the solutions found.
    code : ExitCode
        What a process that made them ends with.
    association : str
        Where the field came from.
    folder : Path
        Where the results are.
    seconds : float
        It took so long.
    """
    fits = [result.fit(one.key) for one in result.exposures]
    errors = [
        fit.transform.at(one.plane).axis_error / one.pixel_scale
        for one in result.grisms
        if (fit := result.fit(one.key)).transform is not None
    ]
    known = [float(error) for error in errors if error > 0]
    is_tied = any(fit.is_aligned for fit in result.absolute.fits.values())
    return FieldOutcome(
        product=result.product,
        association=association,
        folder=str(folder),
        code=code,
        told="; ".join(map(str, reservations(result))),
        n_visits=len({one.visit for one in result.exposures}),
        n_direct=len(result.direct),
        n_grism=len(result.grisms),
        n_aligned=sum(fit.status in _PLACED for fit in fits),
        n_left_out=len(result.left_out),
        tied_to=result.absolute.reference if is_tied else "",
        error=max(known, default=float("nan")),
        seconds=round(seconds, 1),
    )


def batch_table(outcomes: Sequence[FieldOutcome]) -> Table:
    """Return what came of all fields as a table.

    Parameters
    ----------
    outcomes : sequence of FieldOutcome
        A row each.
    """
    from astropy import units
    from astropy.table import Column, Table

    texts = ("product", "state", "tied_to", "told", "association", "folder")
    counts = ("code", "n_visits", "n_direct", "n_grism", "n_aligned", "n_left_out")
    table = Table()
    for name in (*texts[:2], *counts, *texts[2:]):
        kind = "U" if name in texts else int
        table[name] = Column([getattr(one, name) for one in outcomes], dtype=kind if outcomes else "U1")
    table["error"] = Column(np.array([one.error for one in outcomes], dtype=float), unit=units.pix)
    table["seconds"] = Column(np.array([one.seconds for one in outcomes], dtype=float), unit=units.s)
    return table
