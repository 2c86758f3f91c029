"""Why a fit failed, or what to know about it: codes with their numbers, and the sentences made of them."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


_LOOK = "Look at the file and the log"
_THRESHOLD = (
    "Look at the file; if it shows sources, lower the threshold of source_catalog; if not, there is "
    "nothing to do: where another direct exposure's claimed error is smaller, that one governs its grism "
    "exposures"
)
_NO_SOURCES_AT_ALL = (
    "Look at the files; if they show sources, lower the threshold of source_catalog; if not, add direct "
    "exposures of the field, or keep the WCSs of the headers"
)
_NAME_DIRECT = "Name a direct exposure of another acquisition for it in the association"
_FAR_OFF = "See if it overlaps the others; if it may be far off, give a larger search_radius"
_DEEPER = "Give deeper source lists (threshold, brightest), or fewer min_matches if you can check the result"
_DEEPER_CATALOG = "Give a deeper catalog or a larger search_radius"
_EPOCH = "Give a catalog whose epochs and proper motions can be believed"
_OTHER_CATALOG = "Give another catalog"
_VERIFY = "spectra tell how far it is off, where there are enough of them"
_OWN_DIRECT = f"See whether a direct exposure of its own can be had; if not, {_VERIFY}"
_NOTHING = "Nothing to do"

# The class of each code, as they are defined.
_CLASSES: dict[FailureCode, type[Remark]] = {}


class FailureCode(Enum):
    """What can be wrong with a fit or is to be known about it: the sentence, and what to do.

    The numbers of a `Remark` go into the braces of the sentence. Of several remarks the one that comes first
    here says what to do.
    """

    MOVING = (
        "left out: {motion}, which has no one pointing among the stars",
        "Set take_moving of relative_align and of grism_wcs_propagate to use it all the same",
    )
    TRAILED = (
        "trailed: mean ellipticity of its {n} brightest sources {ellipticity:.2f}, limit {limit:g}",
        "Leave it out: guiding was lost; see whether the spectra taken next to it are trailed as well",
    )
    PIXELS_FLAGGED = (
        "{flagged} of {total} pixels are flagged in DQ or without a value",
        "Look at the file; if its pixels are good, the step source_catalog needs other good_bits",
    )
    NO_SOURCES = ("no source above {threshold:g} sigma", _THRESHOLD)
    TOO_FEW_SOURCES = ("usable sources: {n} of {total}, {required} required", _THRESHOLD)
    NO_DIRECT_EXPOSURE = (
        "no direct exposure in its guide-star acquisition ({acquisition}){rolled}",
        _NAME_DIRECT,
    )
    NONE_CAN_LEND = ("no direct exposure can lend its correction: {candidates}", _NAME_DIRECT)
    MATCHES_NO_OTHER = ("matches no other exposure: {cause}", _FAR_OFF)
    SAME_PIXELS = (
        "{n} detections match on the pixels that they have in {exposure}, although a dither of "
        "{dither:.1f} arcsec lies between: they are of the detector, not of the sky",
        "See what they are; flag bad pixels in DQ, or give deeper source lists",
    )
    FAR_FROM_DITHER = (
        "{n} sources match {shift:.2f} arcsec from where {exposure} of its guide-star acquisition puts them, "
        "which is not believed beyond {limit:g}",
        "See whether guiding was lost; if the shift is real, give a larger dither_error",
    )
    NOT_AT_POINTING = ("its sources are not where its guide-star acquisition puts them", _FAR_OFF)
    AMBIGUOUS_MATCH = (
        "ambiguous: {n} sources match, and {other} where the offset differs by {offset:.1f} arcsec",
        "Give a smaller search_radius, so that only one of the solutions is left",
    )
    CHANCE_MATCH = (
        "{n} matched sources could be chance: false-match probability {probability:.1e}, limit {limit:.1e}",
        "Give deeper source lists (threshold, brightest): so few or so loose matches come about by chance",
    )
    TOO_FEW_MATCHES = ("{n} matched sources, {required} required", _DEEPER)
    TOO_FEW_POSSIBLE = ("{n} matched sources possible in the common field, {required} required", _DEEPER)
    TOO_FEW_KEPT = ("{n} matched sources kept their weight, {required} required", _DEEPER)
    TOO_FEW_STARS_KEPT = (
        "{n} matched sources of {total} keep their weight with all exposures, {required} required",
        _DEEPER,
    )
    LOOSE_MATCH = (
        "{n} matched sources leave a corner of the list uncertain by {error:.2f} arcsec, limit {limit:.2f}",
        _DEEPER,
    )
    LARGE_RMS = (
        "rms residual {rms:.2f} px, limit {limit:g}",
        "See whether it is trailed or of another filter; max_rms may be too strict for it",
    )
    LARGE_TIE_RMS = (
        "rms residual {rms:.0f} mas, limit {limit:.0f}",
        "See whether the catalog is of the same field and epoch; max_rms may be too strict for it",
    )
    WRONG_EPOCH = (
        "the residuals follow the proper motions: the positions are those of {measured:.1f} "
        "(+- {error:.1f}), and the catalog says {stated:.1f}",
        _EPOCH,
    )
    STANDS_STILL = (
        "its sources match where they stand, and not where they were in {year:.1f}: "
        "its epoch, {epoch:.1f}, or its proper motions are wrong",
        _EPOCH,
    )
    NO_STAR_IN_PLACE = ("no star of the catalog is where it should be at the exposures' times", _EPOCH)
    ACQUISITIONS_DISAGREE = (
        "{n} of {total} acquisitions disagree with the catalog: of one {kept} of {measured} measurements "
        "of its stars keep their weight",
        _EPOCH,
    )
    UNCERTAIN_FIELD = (
        "a corner is left uncertain by {error:.2f} arcsec, and was by {before:.2f} a priori",
        _DEEPER_CATALOG,
    )
    EMPTY_CATALOG = ("it has no source", _OTHER_CATALOG)
    NO_PLACE = ("the exposures have no place on the sky", _LOOK)
    CUT_AWAY = (
        "of its {n} sources on the exposures none is left {cut}",
        "Relax that cut, or give another catalog",
    )
    CATALOG_ELSEWHERE = (
        "its nearest source is {distance} from the exposures, at RA {ra:.5f}, Dec {dec:.5f}{otherwise}",
        "Give a catalog of the field, with its positions in degrees",
    )
    NO_CATALOG = ("no reference catalog ({outcomes})", "See what was tried, and mend it or give a file")
    NOT_TIED = ("not tied to {catalog}{causes}", f"{_DEEPER_CATALOG}; relative to each other they are good")
    SEPARATE_FRAME = (
        "in a frame of its own, not tied to that of {main} ({exposures})",
        "Tie the frames to a catalog; they may be off from each other as the pointing is",
    )
    OUT_OF_PLACE = (
        "detector {detector} of {instrument} is {offset:.1f} mas (+- {error:.1f}) off its place in the "
        "telescope's field",
        "Its exposures are corrected for that; see whether its calibrated distortion is right",
    )
    PLACE_UNKNOWN = (
        "the place of detector {detector} of {instrument} is not known: {n} {partners} lie {apart:.0f} mas "
        "from its sources",
        "Give a deeper catalog; its exposures may be off by as much",
    )
    DISPLACED_VISITS = (
        "visits lie {apart:.1f} arcsec apart, where {error:g} is the error of a pointing: which of them is "
        "right only a catalog tells; {reference} fixes the frame",
        "Tie the frame to a catalog, or name a visit that is right as the reference",
    )
    REFERENCE_ALONE = (
        "the reference {named} fits no other exposure; {reference} fixes the frame",
        "Name another reference",
    )
    NONE_USABLE = ("no direct exposure has usable sources", _NO_SOURCES_AT_ALL)
    ALL_LEFT_OUT = ("all direct exposures are left out", "See what is said of each")
    MOVES_WITH_FRAME = ("{unit} moves with its frame: {cause}", "Give a deeper catalog")
    BY_POINTING = ("aligned by the sources of {exposures}, taken at the same instant", _NOTHING)
    CORRECTED_LIKE = ("corrected like {exposures}, error {error:.0f} mas", "Enough to find its spectra by")
    INSTEAD_OF = ("instead of {candidates}", _OWN_DIRECT)
    PASSED_OVER = ("{exposure} ({cause})", _OWN_DIRECT)
    NOT_ALIGNED = ("not aligned", "See why the direct exposure failed")
    NOT_BY_OWN_SOURCES = ("not aligned by its own sources", "See why the direct exposure was not")
    IN_ANOTHER_FRAME = ("in another frame", "Tie the frames to a catalog")
    NO_COMMON_START = (
        "its WCS {theirs} and {mine} have no common start",
        "Fetch the files anew, so that all have the same WCSs",
    )
    WCS_CHANGED = (
        "its WCS {solution} and that of {exposure} of the same name are {size:.2f} arcsec apart, though the "
        "telescope was commanded alike: one of them was changed (shift {shift:.2f} arcsec, "
        "roll {roll:.3f} deg, scale {scale:+.1e}, distortion {distortion:.2f} arcsec)",
        "Fetch both files anew, or give the WCS that was changed a WCSNAME of its own",
    )
    WCS_DOUBTED = (
        "its WCS {solution} and that of {exposure} are {doubt:.2f} arcsec from where another pair has them: "
        "one was changed under its name, and nothing tells which",
        "Fetch the files anew, or give WCSs that were changed WCSNAMEs of their own",
    )
    OTHER_DISTORTION = (
        "{exposure} has another distortion model ({theirs}, not {mine})",
        "Fetch the files anew, so that all have one: two differ by up to 10 mas",
    )
    SPECTRA_MISSING = (
        "its spectra are unlike those of the exposures that it was compared with, or at another place "
        "({strength:.2f} times as strong), and not used",
        "Look at the file: it is trailed, empty, displaced, of another field or of another grism than its "
        "headers say",
    )
    TRACES_ELSEWHERE = (
        "its traces lie some {rows:.0f} px across the dispersion from where those of other exposures do, and "
        "are not used",
        "Look at the file: its WCS or those of the others are off",
    )
    FOUND_ELSEWHERE = (
        "found {shift:.2f} arcsec from where the correction of its direct exposures puts it, by {n} spectra "
        "that {exposures} other exposures have",
        "If that is more than dithers err by, check whether guiding failed",
    )
    LENT_BY_ACQUISITION = ("{exposure} has the correction of its guide-star acquisition", _OWN_DIRECT)
    OF_DIRECT = ("{exposure}: {remarks}", "See what is said of the direct exposure")
    OTHER_ORBIT = (
        "{exposure} was taken under an earlier or later acquisition of the guide stars, in another orbit",
        _OWN_DIRECT,
    )
    SAME_GUIDE_STARS = (
        "{exposure} is of another guide-star acquisition ({acquisition}; the same guide stars)",
        _OWN_DIRECT,
    )
    OTHER_GUIDE_STARS = (
        "{exposure} is of another guide-star acquisition ({acquisition}; others or another roll)",
        _OWN_DIRECT,
    )
    OTHER_DITHER = (
        "{exposure} was taken at another dither, and dithers are good to {error:.0f} mas",
        f"Take a direct exposure at each dither, or set dither_error if yours are better; {_VERIFY}",
    )
    OTHER_TARGET = ("{exposure} is of another target ({target})", _OWN_DIRECT)
    UNGUIDED = (
        "{exposures} guided on {guiding}: the pointing may drift, by some {error:.0f} mas",
        f"Trust the claimed error; {_VERIFY}",
    )
    FLAGGED_BY_HEADERS = ("its headers say {flags}", "Look at the file, and at its jitter file")
    SHIFT_ERROR = ("claimed error {error:.0f} mas, {pixels:.2f} px", f"See whether that will do; {_VERIFY}")
    SPECTRA_OFF = (
        "spectra lie off by {offset:+.3f} +- {error:.3f} px across the dispersion, {against}",
        "Let the extraction fit the offset across the dispersion",
    )
    NOT_FOUND_BY_SPECTRA = (
        "spectra of other exposures don't find it within {radius:g} arcsec: {why}",
        "If it may be farther off, give a larger spectra_search_radius of grism_wcs_propagate",
    )
    BY_SPECTRA = (
        "no direct exposure governs it; found {shift:.2f} arcsec from where its headers have it, by {n} "
        "spectra that {exposures} exposures of other visits have",
        _NOTHING,
    )
    REBASED = ("carried over from the input WCS on record", _NOTHING)

    @property
    def sentence(self) -> str:
        """What is said, with the names of the numbers in braces."""
        return self.value[0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.value[1]


@dataclass_transform(frozen_default=True)
class Remark:
    """Why a fit failed, or what to know about it.

    Each code has a class, a frozen dataclass with its numbers.

    Attributes
    ----------
    code : FailureCode
        What it is.
    """

    code: ClassVar[FailureCode]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __init_subclass__(cls, code: FailureCode) -> None:
        cls.code = code
        _CLASSES[code] = dataclass(frozen=True)(cls)

    def __str__(self) -> str:
        return self.code.sentence.format(**self._words())

    def _words(self) -> dict[str, Any]:
        """Return what goes into the braces of the sentence."""
        return {name: _word(value) for name, value in self.numbers.items()}

    @property
    def numbers(self) -> dict[str, Any]:
        """What it carries, by name: numbers, texts, and the remarks that it rests on."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    def with_causes(self) -> Iterator[Remark]:
        """Go through this remark and those that it rests on.

        Yields
        ------
        Remark
            This one first.
        """
        yield self
        for value in self.numbers.values():
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, Remark):
                    yield from one.with_causes()

    def renamed(self, names: Mapping[str, str]) -> Remark:
        """Replace names of exposures, here and in the remarks that it rests on.

        Parameters
        ----------
        names : mapping of str to str
            New names, by the present ones.

        Returns
        -------
        Remark
            Of the same code.
        """

        def new(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(new, value))
            if isinstance(value, Remark):
                return value.renamed(names)
            return names.get(value, value) if isinstance(value, str) else value

        return replace(self, **{name: new(value) for name, value in self.numbers.items()})


def _word(value: Any) -> Any:
    if not isinstance(value, tuple):
        return value
    return (", " if all(isinstance(one, str | PassedOver) for one in value) else "; ").join(map(str, value))


def text_of(remarks: Iterable[Remark]) -> str:
    """Put remarks into words, semicolons between them."""
    return "; ".join(map(str, remarks))


def advice_on(remarks: Iterable[Remark]) -> str:
    """Say what to do about an exposure of which something is remarked.

    Parameters
    ----------
    remarks : iterable of Remark
        Of these, and of those that they rest on, the one that comes first in `FailureCode` decides.
    """
    codes = {each.code for one in remarks for each in one.with_causes()}
    return next((code.advice for code in FailureCode if code in codes), _LOOK)


class Moving(Remark, code=FailureCode.MOVING):
    """An exposure during which the telescope followed a target, or was moved on purpose."""

    motion: str


class Trailed(Remark, code=FailureCode.TRAILED):
    """Sources that are all drawn out the same way."""

    n: int
    ellipticity: float
    limit: float


class PixelsFlagged(Remark, code=FailureCode.PIXELS_FLAGGED):
    """A chip with few pixels to use."""

    flagged: int
    total: int


class NoSources(Remark, code=FailureCode.NO_SOURCES):
    """Nothing above the threshold, in sigma."""

    threshold: float


class TooFewSources(Remark, code=FailureCode.TOO_FEW_SOURCES):
    """Fewer clean sources than matches are required."""

    n: int
    total: int
    required: int


class NoDirectExposure(Remark, code=FailureCode.NO_DIRECT_EXPOSURE):
    """A grism exposure alone in its acquisition; direct exposures of it may be at another roll."""

    acquisition: str
    rolled: tuple[str, ...] = ()

    def _words(self) -> dict[str, Any]:
        rolled = f" at its roll: {', '.join(self.rolled)} at another" if self.rolled else ""
        return {"acquisition": self.acquisition, "rolled": rolled}


class NoneCanLend(Remark, code=FailureCode.NONE_CAN_LEND):
    """Direct exposures of the acquisition, none of which has a correction to lend."""

    candidates: tuple[PassedOver, ...]


class MatchesNoOther(Remark, code=FailureCode.MATCHES_NO_OTHER):
    """An exposure in a relative frame of its own."""

    cause: Remark


class SamePixels(Remark, code=FailureCode.SAME_PIXELS):
    """A match of n detections that keep their pixels, with an exposure that is `dither` arcsec away."""

    n: int
    exposure: str
    dither: float


class FarFromDither(Remark, code=FailureCode.FAR_FROM_DITHER):
    """A match that is `shift` arcsec from where another exposure of the acquisition puts the exposure."""

    n: int
    exposure: str
    shift: float
    limit: float


class NotAtPointing(Remark, code=FailureCode.NOT_AT_POINTING):
    """An exposure whose sources are elsewhere than the others of its acquisition tell."""


class AmbiguousMatch(Remark, code=FailureCode.AMBIGUOUS_MATCH):
    """Two transforms, `offset` arcsec apart, that match n and `other` sources."""

    n: int
    other: int
    offset: float


class ChanceMatch(Remark, code=FailureCode.CHANCE_MATCH):
    """A match that lists without a common source show too often."""

    n: int
    probability: float
    limit: float


class TooFewMatches(Remark, code=FailureCode.TOO_FEW_MATCHES):
    """Fewer matched sources than required."""

    n: int
    required: int


class TooFewPossible(Remark, code=FailureCode.TOO_FEW_POSSIBLE):
    """Fewer sources in the common field than matches are required."""

    n: int
    required: int


class TooFewKept(Remark, code=FailureCode.TOO_FEW_KEPT):
    """Fewer sources with weight in the joint solution than required."""

    n: int
    required: int


class TooFewStarsKept(Remark, code=FailureCode.TOO_FEW_STARS_KEPT):
    """Fewer stars of a catalog with weight in the joint solution than required, of `total`."""

    n: int
    total: int
    required: int


class LooseMatch(Remark, code=FailureCode.LOOSE_MATCH):
    """A match that leaves the worst corner of the list uncertain; arcsec, one axis."""

    n: int
    error: float
    limit: float


class LargeRms(Remark, code=FailureCode.LARGE_RMS):
    """Residuals against other exposures, pixels."""

    rms: float
    limit: float


class LargeTieRms(Remark, code=FailureCode.LARGE_TIE_RMS):
    """Residuals against a catalog, mas."""

    rms: float
    limit: float


class WrongEpoch(Remark, code=FailureCode.WRONG_EPOCH):
    """Residuals that are proper motions over the years between two epochs; Julian years."""

    measured: float
    error: float
    stated: float


class StandsStill(Remark, code=FailureCode.STANDS_STILL):
    """A catalog that matches at its own epoch only; Julian years."""

    year: float
    epoch: float


class NoStarInPlace(Remark, code=FailureCode.NO_STAR_IN_PLACE):
    """A catalog none of whose stars is in place at the epoch of any exposure."""


class AcquisitionsDisagree(Remark, code=FailureCode.ACQUISITIONS_DISAGREE):
    """Acquisitions that see most stars of the catalog where the others don't; numbers of the worst."""

    n: int
    total: int
    kept: int
    measured: int


class UncertainField(Remark, code=FailureCode.UNCERTAIN_FIELD):
    """A fit that knows a corner of the field less well than the pointing does; arcsec, one axis."""

    error: float
    before: float


class EmptyCatalog(Remark, code=FailureCode.EMPTY_CATALOG):
    """A catalog without sources."""


class NoPlace(Remark, code=FailureCode.NO_PLACE):
    """Exposures without a WCS to look a catalog up by."""


class CutAway(Remark, code=FailureCode.CUT_AWAY):
    """A catalog of which a cut leaves nothing."""

    n: int
    cut: str


class CatalogElsewhere(Remark, code=FailureCode.CATALOG_ELSEWHERE):
    """A catalog of another place: distance, RA and Dec of its nearest source, deg; how it may be meant."""

    distance: float
    ra: float
    dec: float
    reading: str = ""
    n_there: int = 0

    def _words(self) -> dict[str, Any]:
        size, unit = next(
            ((size, unit) for size, unit in ((1.0, "deg"), (1 / 60, "arcmin")) if self.distance >= size),
            (1 / 3600, "arcsec"),
        )
        otherwise = f"; {self.n_there} of its sources are there if {self.reading}" if self.reading else ""
        return {**self.numbers, "distance": f"{self.distance / size:.1f} {unit}", "otherwise": otherwise}


class NoCatalog(Remark, code=FailureCode.NO_CATALOG):
    """No catalog could be had: each with what came of it."""

    outcomes: tuple[str, ...]

    def _words(self) -> dict[str, Any]:
        return {"outcomes": "; ".join(self.outcomes)}


class NotTied(Remark, code=FailureCode.NOT_TIED):
    """An exposure that is aligned with others, and not with a catalog."""

    catalog: str
    causes: tuple[Remark, ...] = ()

    def _words(self) -> dict[str, Any]:
        causes = f": {text_of(self.causes)}" if self.causes else ""
        return {"catalog": self.catalog, "causes": causes}


class SeparateFrame(Remark, code=FailureCode.SEPARATE_FRAME):
    """Exposures that share no sources with those of the main frame."""

    main: str
    exposures: tuple[str, ...]


class OutOfPlace(Remark, code=FailureCode.OUT_OF_PLACE):
    """A detector that is not where it should be in its camera, and by how much, mas."""

    instrument: str
    detector: int
    offset: float
    error: float


class PlaceUnknown(Remark, code=FailureCode.PLACE_UNKNOWN):
    """A detector whose sources lie from what they should be, `partners`, and by how much, mas."""

    instrument: str
    detector: int
    n: int
    partners: str
    apart: float


class DisplacedVisits(Remark, code=FailureCode.DISPLACED_VISITS):
    """Visits farther apart a priori than pointings are wrong, both arcsec, and what fixes the frame."""

    apart: float
    error: float
    reference: str


class ReferenceAlone(Remark, code=FailureCode.REFERENCE_ALONE):
    """An exposure or visit that was named as the reference and matches nothing, and what stands in for it."""

    named: str
    reference: str


class NoneUsable(Remark, code=FailureCode.NONE_USABLE):
    """A field without a source to align by."""


class AllLeftOut(Remark, code=FailureCode.ALL_LEFT_OUT):
    """A field all of whose direct exposures were taken of moving targets, or while moving."""


class MovesWithFrame(Remark, code=FailureCode.MOVES_WITH_FRAME):
    """A visit or exposure that was to be tied by itself, and could not be."""

    unit: str
    cause: Remark


class ByPointing(Remark, code=FailureCode.BY_POINTING):
    """An exposure none of whose own sources has weight in the correction that its pointing has."""

    exposures: tuple[str, ...]


class CorrectedLike(Remark, code=FailureCode.CORRECTED_LIKE):
    """The mean correction of other exposures of its acquisition, with an error of one axis in mas."""

    exposures: tuple[str, ...]
    error: float


class InsteadOf(Remark, code=FailureCode.INSTEAD_OF):
    """Direct exposures that would have governed a grism exposure."""

    candidates: tuple[PassedOver, ...]


class PassedOver(Remark, code=FailureCode.PASSED_OVER):
    """A direct exposure that does not govern, and why."""

    exposure: str
    cause: Remark


class NotAligned(Remark, code=FailureCode.NOT_ALIGNED):
    """A direct exposure without a correction."""


class NotByOwnSources(Remark, code=FailureCode.NOT_BY_OWN_SOURCES):
    """A direct exposure that has the correction of others."""


class InAnotherFrame(Remark, code=FailureCode.IN_ANOTHER_FRAME):
    """A direct exposure that is not tied to the others."""


class NoCommonStart(Remark, code=FailureCode.NO_COMMON_START):
    """Two exposures without a WCS solution in common: that of the direct one and that of the grism one."""

    theirs: str
    mine: str

    def _words(self) -> dict[str, Any]:
        return {name: solution or "without name" for name, solution in self.numbers.items()}


class WcsChanged(Remark, code=FailureCode.WCS_CHANGED):
    """A direct and a grism exposure whose WCSs of one name are two; `size` is the most at a pixel, arcsec."""

    exposure: str
    solution: str
    size: float
    shift: float
    roll: float
    scale: float
    distortion: float


class WcsDoubted(Remark, code=FailureCode.WCS_DOUBTED):
    """WCSs of one name that pairs of direct and grism exposures have `doubt` arcsec from each other."""

    exposure: str
    solution: str
    doubt: float


class OtherDistortion(Remark, code=FailureCode.OTHER_DISTORTION):
    """A governing exposure with a distortion model of another name."""

    exposure: str
    theirs: str
    mine: str


class LentByAcquisition(Remark, code=FailureCode.LENT_BY_ACQUISITION):
    """A governing exposure whose own sources did not give its correction."""

    exposure: str


class OfDirect(Remark, code=FailureCode.OF_DIRECT):
    """What is remarked of a governing exposure."""

    exposure: str
    remarks: tuple[Remark, ...]


class OtherOrbit(Remark, code=FailureCode.OTHER_ORBIT):
    """A governing exposure that an occultation parts from the grism exposure."""

    exposure: str


class OtherDither(Remark, code=FailureCode.OTHER_DITHER):
    """A governing exposure from which the telescope was moved to the grism exposure, and how well, mas."""

    exposure: str
    error: float


class SameGuideStars(Remark, code=FailureCode.SAME_GUIDE_STARS):
    """A governing exposure of another acquisition of the same guide stars."""

    exposure: str
    acquisition: str


class OtherGuideStars(Remark, code=FailureCode.OTHER_GUIDE_STARS):
    """A governing exposure of other guide stars, or at another roll."""

    exposure: str
    acquisition: str


class OtherTarget(Remark, code=FailureCode.OTHER_TARGET):
    """A governing exposure of another target."""

    exposure: str
    target: str


class Unguided(Remark, code=FailureCode.UNGUIDED):
    """Exposures without two guide stars, and the error that the drift between them makes, one axis, mas."""

    exposures: tuple[str, ...]
    guiding: str
    error: float


class FlaggedByHeaders(Remark, code=FailureCode.FLAGGED_BY_HEADERS):
    """What headers say went wrong with an exposure, as they say it."""

    flags: tuple[str, ...]


class ShiftError(Remark, code=FailureCode.SHIFT_ERROR):
    """Claimed error of the correction of a grism exposure, of one axis, mas and pixels."""

    error: float
    pixels: float


class SpectraOff(Remark, code=FailureCode.SPECTRA_OFF):
    """Spectra that lie off across the dispersion, pixels: against a configuration, else n exposures."""

    offset: float
    error: float
    config: str
    n: int

    def _words(self) -> dict[str, Any]:
        others = f"relative to {self.n} other exposure{'s' * (self.n > 1)}"
        against = f"against {self.config}" if self.config else others
        return {**self.numbers, "against": against}


class SpectraMissing(Remark, code=FailureCode.SPECTRA_MISSING):
    """A grism exposure whose spectra are unlike others' or elsewhere, as strong as these."""

    strength: float


class TracesElsewhere(Remark, code=FailureCode.TRACES_ELSEWHERE):
    """A grism exposure whose traces lie rows from where others have theirs, pixels."""

    rows: float


class NotFoundBySpectra(Remark, code=FailureCode.NOT_FOUND_BY_SPECTRA):
    """A grism exposure that spectra of others don't find within a radius, arcsec, either."""

    radius: float
    why: str


class BySpectra(Remark, code=FailureCode.BY_SPECTRA):
    """A grism exposure that n spectra alone put on the sky; shift in arcsec."""

    n: int
    exposures: int
    shift: float


class FoundElsewhere(Remark, code=FailureCode.FOUND_ELSEWHERE):
    """A grism exposure whose spectra n of others' found elsewhere than it was put; shift in arcsec."""

    n: int
    exposures: int
    shift: float


class Rebased(Remark, code=FailureCode.REBASED):
    """A correction on record that was carried over to another input WCS."""


def remark_entry(remark: Remark) -> dict[str, Any]:
    """Write a remark in types that YAML and JSON know: code, text, and the numbers by name.

    Parameters
    ----------
    remark : Remark
        Of any code.
    """

    def entry(value: Any) -> Any:
        if isinstance(value, Remark):
            return remark_entry(value)
        return list(map(entry, value)) if isinstance(value, tuple) else value

    numbers = {name: entry(value) for name, value in remark.numbers.items()}
    return {"code": remark.code.name, "text": str(remark), **numbers}


def remark_from(entry: Mapping[str, Any]) -> Remark:
    """Make the remark that `remark_entry` wrote.

    Parameters
    ----------
    entry : mapping
        With ``code`` and the numbers of that code; the text is made again.

    Raises
    ------
    KeyError
        If there is no such code, or one of its numbers is missing.
    """

    def value(found: Any) -> Any:
        if isinstance(found, list | tuple):
            return tuple(map(value, found))
        return remark_from(found) if isinstance(found, dict) else found

    kind = _CLASSES[FailureCode[entry["code"]]]
    return kind(**{one.name: value(entry[one.name]) for one in fields(kind)})
