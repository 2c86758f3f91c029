"""What of a result is short of what was asked, and what becomes of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from grism_align.algorithms.propagation.propagate import shift_error
from grism_align.values.errors import ReservationError
from grism_align.values.failure import DisplacedVisits
from grism_align.values.outcome import ExitCode, Reservation, ReservationKind
from grism_align.values.solution import LARGE_ERROR, FitStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from grism_align.values.exposure import Exposure
    from grism_align.values.field import ExposureSet
    from grism_align.values.record import Activity, LeftOut
    from grism_align.values.solution import ExposureFit


logger = logging.getLogger(__name__)

_ALIGN = "absolute_align"
_SHOWN = 5
#: Values of `fail_on` that stand for all.
_ANY = "any"


def reservations(exposures: ExposureSet) -> tuple[Reservation, ...]:
    """Return what of a result is short of what was asked.

    Parameters
    ----------
    exposures : ExposureSet
        With what the steps found.
    """
    found = (
        left_out_reservations(exposures.left_out),
        _of_catalogs(exposures),
        _of_frames(exposures),
        _of_fits(exposures),
    )
    return tuple(one for part in found for one in part)


def left_out_reservations(left_out: Iterable[LeftOut]) -> tuple[Reservation, ...]:
    """Return one for each file that was left out."""
    return tuple(Reservation(ReservationKind.LEFT_OUT, f"{one.name}: {one.problem}") for one in left_out)


def _aligning(exposures: ExposureSet) -> Activity | None:
    """Return what is on record of the step that was to align to a catalog, unless it was skipped."""
    done = [one for one in exposures.activities if one.step == _ALIGN and one.outcome != "skipped"]
    return done[-1] if done else None


def _of_catalogs(exposures: ExposureSet) -> Iterator[Reservation]:
    done = _aligning(exposures)
    if done is None:
        return
    last = {(one.catalog, one.service): one for one in done.attempts}.values()
    for name in dict.fromkeys(one.catalog for one in last if one.outcome == "unreachable"):
        yield Reservation(ReservationKind.UNREACHABLE, f"{name} could not be reached")
    fits = exposures.absolute.fits
    untied = [key for key, fit in fits.items() if not fit.is_aligned]
    if untied:
        catalog = done.settings.get("catalog") or exposures.absolute.reference
        yield Reservation(ReservationKind.NOT_TIED, f"{_listed(untied)} not tied to {catalog}")


def _of_frames(exposures: ExposureSet) -> Iterator[Reservation]:
    """Tell of exposures that nothing ties to each other, and of visits of which some are displaced."""
    absolute = exposures.absolute.fits
    tied = {key for key, fit in absolute.items() if fit.is_aligned}
    frames: dict[int, list[str]] = {}
    for key, fit in exposures.relative.fits.items():
        if fit.is_aligned:
            frames.setdefault(fit.frame, []).append(key)
    loose = [keys[0] for keys in frames.values() if tied.isdisjoint(keys)]
    if len(frames) > 1 and loose:
        words = (
            f"{len(frames)} groups of exposures share no source, and no catalog ties that of {_listed(loose)}"
        )
        yield Reservation(ReservationKind.APART, words)
    for done in exposures.activities:
        for remark in done.remarks:
            if isinstance(remark, DisplacedVisits) and tied.isdisjoint(remark.reference.split(",")):
                yield Reservation(ReservationKind.DISPLACED, str(remark))


def _of_fits(exposures: ExposureSet) -> Iterator[Reservation]:
    kinds = {
        FitStatus.FAILED: ReservationKind.FAILED,
        FitStatus.PRIOR_ONLY: ReservationKind.PRIOR_ONLY,
    }
    for status, kind in kinds.items():
        keys = [key for key, fit in exposures.total.fits.items() if fit.status is status]
        if keys:
            yield Reservation(kind, _listed(keys))
    uncertain = [grism.key for grism in exposures.grisms if _is_uncertain(grism, exposures.fit(grism.key))]
    if uncertain:
        words = f"{_listed(uncertain)}, claimed errors beyond {LARGE_ERROR:g} px"
        yield Reservation(ReservationKind.UNCERTAIN, words)


def _is_uncertain(grism: Exposure, fit: ExposureFit) -> bool:
    """Tell whether a grism exposure is called aligned, but with a claimed error too large to rely on."""
    if fit.transform is None or fit.status is FitStatus.PRIOR_ONLY:
        return False
    return shift_error(grism, fit.transform).pixels > LARGE_ERROR


def _listed(keys: Collection[str]) -> str:
    more = len(keys) - _SHOWN
    return ", ".join(list(keys)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def check_reservations(exposures: ExposureSet, fail_on: Collection[str], *, in_place: bool) -> None:
    """Refuse, before anything is written, a result that is short of what the user insists on.

    Parameters
    ----------
    exposures : ExposureSet
        With what the steps found.
    fail_on : collection of str
        Kinds of reservations, or ``any``.
    in_place : bool
        Whether files are to be replaced: none is where a catalog was asked for and ties no exposure.

    Raises
    ------
    ReservationError
        If there is such a reservation.
    """
    found = reservations(exposures)
    refused = [one for one in found if {one.kind.value, _ANY} & set(fail_on)]
    if refused:
        raise ReservationError([str(one) for one in refused], "Nothing is written, as fail_on asks")
    done = _aligning(exposures)
    if in_place and done is not None and done.outcome == "failed":
        untied = [str(one) for one in found if one.kind is ReservationKind.NOT_TIED] or [done.note]
        remedy = "No file is changed in place; give an output_dir, or no catalog, to align without it"
        raise ReservationError(untied, remedy)


def exit_code(found: Collection[Reservation]) -> ExitCode:
    """Tell of reservations, and return the exit code that they give a process."""
    if not found:
        return ExitCode.DONE
    logger.warning(
        "Done, with reservations (exit code %d): %s", ExitCode.RESERVATIONS, "; ".join(map(str, found))
    )
    return ExitCode.RESERVATIONS
