"""What the package leaves in the metadata of an exposure, at ``meta.grism_align``.

How it came out, and what its corrections replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from grism_align.io.gwcs.attitude_plane import PlaneAffine
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Where it is, under ``meta``.
PLACE = "grism_align"
_FRESH = "Fetch the file from the archive again"


@dataclass(frozen=True)
class Replaced:
    """What a correction replaced.

    Parameters
    ----------
    name : str
        Name of the WCS; empty for none.
    affine : PlaneAffine or None
        The correction that it had, of whatever origin.
    wcsinfo : mapping of str to object
        The FITS WCS and S_REGION, as in ``meta.wcsinfo``.
    tweakreg : str
        ``meta.cal_step.tweakreg``; empty for none.
    others : mapping of str to object
        What else there was under ``meta``, by name.
    """

    name: str
    affine: PlaneAffine | None
    wcsinfo: Mapping[str, Any]
    tweakreg: str
    others: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OwnCorrection:
    """One correction of ours.

    Parameters
    ----------
    solution : str
        Its name, which the WCS has.
    affine : PlaneAffine
        The whole correction that the WCS has with it.
    replaced : Replaced
        What was there before.
    """

    solution: str
    affine: PlaneAffine
    replaced: Replaced


@dataclass(frozen=True)
class OwnNotes:
    """All of it.

    Parameters
    ----------
    told : mapping of str to object
        How the exposure came out, for people and for other programs.
    corrections : tuple of OwnCorrection
        Those that can be undone, the latest last.
    undone : str
        The solution that was undone last, if none was made since; empty for none.
    """

    told: Mapping[str, Any] = field(default_factory=dict)
    corrections: tuple[OwnCorrection, ...] = ()
    undone: str = ""

    @property
    def latest(self) -> OwnCorrection | None:
        """The correction that the WCS has, unless another tool changed it since."""
        return self.corrections[-1] if self.corrections else None

    def corrected(self, correction: OwnCorrection) -> OwnNotes:
        """Return the notes with one more correction."""
        return replace(self, corrections=(*self.corrections, correction), undone="")

    def without_latest(self) -> OwnNotes:
        """Return the notes once the latest correction is undone."""
        *earlier, latest = self.corrections
        status = self.told.get("status", "") if earlier else "UNDONE"
        return OwnNotes({**self.told, "status": status}, tuple(earlier), latest.solution)

    def as_tree(self) -> dict[str, Any]:
        """Return it as dictionaries and lists."""
        corrections = [_correction_tree(one) for one in self.corrections]
        return {**self.told, "corrections": corrections, "undone": self.undone}


def notes_of(tree: Any, source: object) -> OwnNotes:
    """Read what is at ``meta.grism_align``.

    Parameters
    ----------
    tree : mapping or None
        What is there.
    source : object
        What holds it, for errors.

    Raises
    ------
    InputError
        If it is damaged.
    """
    if tree is None:
        return OwnNotes()
    try:
        corrections = tuple(_correction(one) for one in tree.get("corrections", ()))
        told = {str(k): value for k, value in dict(tree).items() if k not in ("corrections", "undone")}
        return OwnNotes(told, corrections, str(tree.get("undone", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(source, f"meta.{PLACE} is damaged ({error!r})", _FRESH) from error


def _correction(tree: Any) -> OwnCorrection:
    before = tree["replaced"]
    # models leave out what is None when they are saved
    affine = _affine(before["correction"]) if before.get("correction") is not None else None
    others = dict(before.get("others") or {})
    info = dict(before["wcsinfo"])
    replaced = Replaced(str(before["name"]), affine, info, str(before["tweakreg"]), others)
    return OwnCorrection(str(tree["solution"]), _affine(tree["correction"]), replaced)


def _correction_tree(one: OwnCorrection) -> dict[str, Any]:
    before = one.replaced
    return {
        "solution": one.solution,
        "correction": _affine_tree(one.affine),
        "replaced": {
            "name": before.name,
            "correction": None if before.affine is None else _affine_tree(before.affine),
            "wcsinfo": dict(before.wcsinfo),
            "tweakreg": before.tweakreg,
            **({"others": dict(before.others)} if before.others else {}),
        },
    }


def _affine(tree: Any) -> PlaneAffine:
    return PlaneAffine.of(list(map(list, tree["matrix"])), list(tree["translation"]))


def _affine_tree(affine: PlaneAffine) -> dict[str, Any]:
    a, b, c, d = affine.matrix
    return {"matrix": [[a, b], [c, d]], "translation": list(affine.translation)}
