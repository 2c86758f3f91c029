"""Why a fit failed, or what to know about it: codes with their numbers, and the sentences made of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "AcquisitionsDisagree",
    "AmbiguousMatch",
    "ByPointing",
    "CatalogElsewhere",
    "ChanceMatch",
    "CorrectedLike",
    "CutAway",
    "DriftCorrected",
    "DriftInsignificant",
    "DriftTooLarge",
    "FailureCode",
    "InsteadOf",
    "LargeRms",
    "LargeTieRms",
    "LentByAcquisition",
    "LooseMatch",
    "MatchesNoOther",
    "MovesWithFrame",
    "NoCatalog",
    "NoCommonStart",
    "NoDirectExposure",
    "NoSources",
    "NoneCanLend",
    "NotTied",
    "OfDirect",
    "OtherGuideStars",
    "OtherOrbit",
    "OtherTarget",
    "PassedOver",
    "PixelsFlagged",
    "Remark",
    "SameGuideStars",
    "SeparateFrame",
    "ShiftError",
    "SpectraOff",
    "StandsStill",
    "TooFewKept",
    "TooFewMatches",
    "TooFewPossible",
    "TooFewSources",
    "TooFewStarsKept",
    "Trailed",
    "UncertainField",
    "WrongEpoch",
    "advice_on",
    "remark_entry",
    "remark_from",
    "text_of",
]

_LOOK = "Look at the file and the log"
_THRESHOLD = "Look at the file; if it shows sources, lower the threshold of source_catalog"
_NAME_DIRECT = "Name a direct exposure of another acquisition for it in the association"
_FAR_OFF = "See if it overlaps the others; if it may be far off, give a larger search_radius"
_DEEPER = "Give deeper source lists (threshold, brightest), or fewer min_matches if you can check the result"
_DEEPER_CATALOG = "Give a deeper catalog or a larger search_radius"
_EPOCH = "Give a catalog whose epochs and proper motions can be believed"
_OTHER_CATALOG = "Give another catalog"
_VERIFY = "verify_traces tells how far the spectra are off, and refine_grism mends that"
_OWN_DIRECT = f"See whether a direct exposure of its own can be had; if not, {_VERIFY}"
_NOTHING = "Nothing to do"


class FailureCode(Enum):
    """What can be wrong with a fit or is to be known about it: the sentence, and what to do.

    The numbers of a `Remark` go into the braces of the sentence. Of several remarks the one that comes first
    here says what to do.
    """

    TRAILED = (
        "trailed: mean ellipticity of its {n} brightest sources {ellipticity:.2f}, limit {limit:g}",
        "Leave it out: guiding was lost; see whether the spectra taken next to it are trailed as well",
    )
    PIXELS_FLAGGED = (
        "{flagged} of {total} pixels are flagged",
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
        "its nearest source is {distance} from the exposures, at RA {ra:.5f}, Dec {dec:.5f}",
        "Give a catalog of the field",
    )
    NO_CATALOG = ("no reference catalog ({outcomes})", "See what was tried, and mend it or give a file")
    NOT_TIED = ("not tied to {catalog}{causes}", f"{_DEEPER_CATALOG}; relative to each other they are good")
    SEPARATE_FRAME = (
        "not tied to the frame of {main}: {exposures}",
        "Tie the frames to a catalog; they may be off from each other as the pointing is",
    )
    MOVES_WITH_FRAME = ("{unit} moves with its frame: {cause}", "Give a deeper catalog")
    BY_POINTING = ("aligned by the sources of {exposures}, taken at the same instant", _NOTHING)
    CORRECTED_LIKE = ("corrected like {exposures}, error {error:.0f} mas", "Good to tens of mas")
    INSTEAD_OF = ("instead of {candidates}", _OWN_DIRECT)
    PASSED_OVER = ("{exposure} ({cause})", _OWN_DIRECT)
    NOT_ALIGNED = ("not aligned", "See why the direct exposure failed")
    NOT_BY_OWN_SOURCES = ("not aligned by its own sources", "See why the direct exposure was not")
    IN_ANOTHER_FRAME = ("in another frame", "Tie the frames to a catalog")
    NO_COMMON_START = (
        "its WCS {theirs} and {mine} have no common start",
        "Fetch the files anew, so that all have the same WCSs",
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
    OTHER_TARGET = ("{exposure} is of another target ({target})", _OWN_DIRECT)
    SHIFT_ERROR = ("error {error:.0f} mas", f"Enough for extracting spectra; {_VERIFY}")
    SPECTRA_OFF = (
        "spectra lie off by {offset:+.3f} +- {error:.3f} px across the dispersion, {against}{refusal}",
        "Use refine_grism, or let the extraction fit the offset across the dispersion",
    )
    DRIFT_CORRECTED = ("corrected by the cross-dispersion drift of {drift:+.3f} +- {error:.3f} px", _NOTHING)
    PARTNER_IN_TIME = ("a direct exposure was taken next to it in time", "Trust the direct exposure more")
    TOO_FEW_OTHERS = (
        "there are too few other exposures to tell a drift by",
        "Give the grism's configuration",
    )
    DRIFT_INSIGNIFICANT = (
        "cross-dispersion drift of {drift:+.3f} +- {error:.3f} px is not significant",
        _NOTHING,
    )
    DRIFT_TOO_LARGE = (
        "cross-dispersion drift of {drift:+.3f} +- {error:.3f} px is larger than {limit:g} px, "
        "and not believed",
        "See whether the grism's configuration is that of the exposure; else raise refine_limit",
    )
    REBASED = ("re-based from the WCS on record", _NOTHING)

    @property
    def sentence(self) -> str:
        """What is said, with the names of the numbers in braces."""
        return self.value[0]

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self.value[1]


@dataclass(frozen=True)
class Remark:
    """Why a fit failed, or what to know about it.

    Codes with numbers have a class each; the others are remarks by their code alone.

    Parameters
    ----------
    code : FailureCode
        What it is.
    """

    code: FailureCode

    def __str__(self) -> str:
        return self.code.sentence.format(**self._words())

    def _words(self) -> dict[str, Any]:
        """Return what goes into the braces of the sentence."""
        return {name: _word(value) for name, value in self.numbers.items()}

    @property
    def numbers(self) -> dict[str, Any]:
        """What it carries, by name: numbers, texts, and the remarks that it rests on."""
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "code"}

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


@dataclass(frozen=True)
class Trailed(Remark):
    """Sources that are all drawn out the same way."""

    code: FailureCode = field(default=FailureCode.TRAILED, init=False, repr=False)
    n: int
    ellipticity: float
    limit: float


@dataclass(frozen=True)
class PixelsFlagged(Remark):
    """A chip with few pixels to use."""

    code: FailureCode = field(default=FailureCode.PIXELS_FLAGGED, init=False, repr=False)
    flagged: int
    total: int


@dataclass(frozen=True)
class NoSources(Remark):
    """Nothing above the threshold, in sigma."""

    code: FailureCode = field(default=FailureCode.NO_SOURCES, init=False, repr=False)
    threshold: float


@dataclass(frozen=True)
class TooFewSources(Remark):
    """Fewer clean sources than matches are required."""

    code: FailureCode = field(default=FailureCode.TOO_FEW_SOURCES, init=False, repr=False)
    n: int
    total: int
    required: int


@dataclass(frozen=True)
class NoDirectExposure(Remark):
    """A grism exposure alone in its acquisition; direct exposures of it may be at another roll."""

    code: FailureCode = field(default=FailureCode.NO_DIRECT_EXPOSURE, init=False, repr=False)
    acquisition: str
    rolled: tuple[str, ...] = ()

    def _words(self) -> dict[str, Any]:
        rolled = f" at its roll: {', '.join(self.rolled)} at another" if self.rolled else ""
        return {"acquisition": self.acquisition, "rolled": rolled}


@dataclass(frozen=True)
class NoneCanLend(Remark):
    """Direct exposures of the acquisition, none of which has a correction to lend."""

    code: FailureCode = field(default=FailureCode.NONE_CAN_LEND, init=False, repr=False)
    candidates: tuple[PassedOver, ...]


@dataclass(frozen=True)
class MatchesNoOther(Remark):
    """An exposure in a relative frame of its own."""

    code: FailureCode = field(default=FailureCode.MATCHES_NO_OTHER, init=False, repr=False)
    cause: Remark


@dataclass(frozen=True)
class AmbiguousMatch(Remark):
    """Two transforms, `offset` arcsec apart, that match n and `other` sources."""

    code: FailureCode = field(default=FailureCode.AMBIGUOUS_MATCH, init=False, repr=False)
    n: int
    other: int
    offset: float


@dataclass(frozen=True)
class ChanceMatch(Remark):
    """A match that lists without a common source show too often."""

    code: FailureCode = field(default=FailureCode.CHANCE_MATCH, init=False, repr=False)
    n: int
    probability: float
    limit: float


@dataclass(frozen=True)
class TooFewMatches(Remark):
    """Fewer matched sources than required."""

    code: FailureCode = field(default=FailureCode.TOO_FEW_MATCHES, init=False, repr=False)
    n: int
    required: int


@dataclass(frozen=True)
class TooFewPossible(Remark):
    """Fewer sources in the common field than matches are required."""

    code: FailureCode = field(default=FailureCode.TOO_FEW_POSSIBLE, init=False, repr=False)
    n: int
    required: int


@dataclass(frozen=True)
class TooFewKept(Remark):
    """Fewer sources with weight in the joint solution than required."""

    code: FailureCode = field(default=FailureCode.TOO_FEW_KEPT, init=False, repr=False)
    n: int
    required: int


@dataclass(frozen=True)
class TooFewStarsKept(Remark):
    """Fewer stars of a catalog with weight in the joint solution than required, of `total`."""

    code: FailureCode = field(default=FailureCode.TOO_FEW_STARS_KEPT, init=False, repr=False)
    n: int
    total: int
    required: int


@dataclass(frozen=True)
class LooseMatch(Remark):
    """A match that leaves the worst corner of the list uncertain; arcsec, one axis."""

    code: FailureCode = field(default=FailureCode.LOOSE_MATCH, init=False, repr=False)
    n: int
    error: float
    limit: float


@dataclass(frozen=True)
class LargeRms(Remark):
    """Residuals against other exposures, pixels."""

    code: FailureCode = field(default=FailureCode.LARGE_RMS, init=False, repr=False)
    rms: float
    limit: float


@dataclass(frozen=True)
class LargeTieRms(Remark):
    """Residuals against a catalog, mas."""

    code: FailureCode = field(default=FailureCode.LARGE_TIE_RMS, init=False, repr=False)
    rms: float
    limit: float


@dataclass(frozen=True)
class WrongEpoch(Remark):
    """Residuals that are proper motions over the years between two epochs; Julian years."""

    code: FailureCode = field(default=FailureCode.WRONG_EPOCH, init=False, repr=False)
    measured: float
    error: float
    stated: float


@dataclass(frozen=True)
class StandsStill(Remark):
    """A catalog that matches at its own epoch only; Julian years."""

    code: FailureCode = field(default=FailureCode.STANDS_STILL, init=False, repr=False)
    year: float
    epoch: float


@dataclass(frozen=True)
class AcquisitionsDisagree(Remark):
    """Acquisitions that see most stars of the catalog where the others don't; numbers of the worst."""

    code: FailureCode = field(default=FailureCode.ACQUISITIONS_DISAGREE, init=False, repr=False)
    n: int
    total: int
    kept: int
    measured: int


@dataclass(frozen=True)
class UncertainField(Remark):
    """A fit that knows a corner of the field less well than the pointing does; arcsec, one axis."""

    code: FailureCode = field(default=FailureCode.UNCERTAIN_FIELD, init=False, repr=False)
    error: float
    before: float


@dataclass(frozen=True)
class CutAway(Remark):
    """A catalog of which a cut leaves nothing."""

    code: FailureCode = field(default=FailureCode.CUT_AWAY, init=False, repr=False)
    n: int
    cut: str


@dataclass(frozen=True)
class CatalogElsewhere(Remark):
    """A catalog of another place: distance, RA and Dec of its nearest source, deg."""

    code: FailureCode = field(default=FailureCode.CATALOG_ELSEWHERE, init=False, repr=False)
    distance: float
    ra: float
    dec: float

    def _words(self) -> dict[str, Any]:
        size, unit = next(
            ((size, unit) for size, unit in ((1.0, "deg"), (1 / 60, "arcmin")) if self.distance >= size),
            (1 / 3600, "arcsec"),
        )
        return {**self.numbers, "distance": f"{self.distance / size:.1f} {unit}"}


@dataclass(frozen=True)
class NoCatalog(Remark):
    """No catalog could be had: each with what came of it."""

    code: FailureCode = field(default=FailureCode.NO_CATALOG, init=False, repr=False)
    outcomes: tuple[str, ...]

    def _words(self) -> dict[str, Any]:
        return {"outcomes": "; ".join(self.outcomes)}


@dataclass(frozen=True)
class NotTied(Remark):
    """An exposure that is aligned with others, and not with a catalog."""

    code: FailureCode = field(default=FailureCode.NOT_TIED, init=False, repr=False)
    catalog: str
    causes: tuple[Remark, ...] = ()

    def _words(self) -> dict[str, Any]:
        causes = f": {text_of(self.causes)}" if self.causes else ""
        return {"catalog": self.catalog, "causes": causes}


@dataclass(frozen=True)
class SeparateFrame(Remark):
    """Exposures that share no sources with those of the main frame."""

    code: FailureCode = field(default=FailureCode.SEPARATE_FRAME, init=False, repr=False)
    main: str
    exposures: tuple[str, ...]


@dataclass(frozen=True)
class MovesWithFrame(Remark):
    """A visit or exposure that was to be tied by itself, and could not be."""

    code: FailureCode = field(default=FailureCode.MOVES_WITH_FRAME, init=False, repr=False)
    unit: str
    cause: Remark


@dataclass(frozen=True)
class ByPointing(Remark):
    """An exposure none of whose own sources has weight in the correction that its pointing has."""

    code: FailureCode = field(default=FailureCode.BY_POINTING, init=False, repr=False)
    exposures: tuple[str, ...]


@dataclass(frozen=True)
class CorrectedLike(Remark):
    """The mean correction of other exposures of its acquisition, with an error of one axis in mas."""

    code: FailureCode = field(default=FailureCode.CORRECTED_LIKE, init=False, repr=False)
    exposures: tuple[str, ...]
    error: float


@dataclass(frozen=True)
class InsteadOf(Remark):
    """Direct exposures that would have governed a grism exposure."""

    code: FailureCode = field(default=FailureCode.INSTEAD_OF, init=False, repr=False)
    candidates: tuple[PassedOver, ...]


@dataclass(frozen=True)
class PassedOver(Remark):
    """A direct exposure that does not govern, and why."""

    code: FailureCode = field(default=FailureCode.PASSED_OVER, init=False, repr=False)
    exposure: str
    cause: Remark


@dataclass(frozen=True)
class NoCommonStart(Remark):
    """Two exposures without a WCS solution in common: that of the direct one and that of the grism one."""

    code: FailureCode = field(default=FailureCode.NO_COMMON_START, init=False, repr=False)
    theirs: str
    mine: str

    def _words(self) -> dict[str, Any]:
        return {name: solution or "without name" for name, solution in self.numbers.items()}


@dataclass(frozen=True)
class LentByAcquisition(Remark):
    """A governing exposure whose own sources did not give its correction."""

    code: FailureCode = field(default=FailureCode.LENT_BY_ACQUISITION, init=False, repr=False)
    exposure: str


@dataclass(frozen=True)
class OfDirect(Remark):
    """What is remarked of a governing exposure."""

    code: FailureCode = field(default=FailureCode.OF_DIRECT, init=False, repr=False)
    exposure: str
    remarks: tuple[Remark, ...]


@dataclass(frozen=True)
class OtherOrbit(Remark):
    """A governing exposure that an occultation parts from the grism exposure."""

    code: FailureCode = field(default=FailureCode.OTHER_ORBIT, init=False, repr=False)
    exposure: str


@dataclass(frozen=True)
class SameGuideStars(Remark):
    """A governing exposure of another acquisition of the same guide stars."""

    code: FailureCode = field(default=FailureCode.SAME_GUIDE_STARS, init=False, repr=False)
    exposure: str
    acquisition: str


@dataclass(frozen=True)
class OtherGuideStars(Remark):
    """A governing exposure of other guide stars, or at another roll."""

    code: FailureCode = field(default=FailureCode.OTHER_GUIDE_STARS, init=False, repr=False)
    exposure: str
    acquisition: str


@dataclass(frozen=True)
class OtherTarget(Remark):
    """A governing exposure of another target."""

    code: FailureCode = field(default=FailureCode.OTHER_TARGET, init=False, repr=False)
    exposure: str
    target: str


@dataclass(frozen=True)
class ShiftError(Remark):
    """Error of the shift of a correction, the larger axis, mas."""

    code: FailureCode = field(default=FailureCode.SHIFT_ERROR, init=False, repr=False)
    error: float


@dataclass(frozen=True)
class SpectraOff(Remark):
    """Spectra that lie off across the dispersion, pixels: against a configuration, else n exposures."""

    code: FailureCode = field(default=FailureCode.SPECTRA_OFF, init=False, repr=False)
    offset: float
    error: float
    config: str
    n: int
    refusal: Remark | None = None

    def _words(self) -> dict[str, Any]:
        others = f"relative to {self.n} other exposure{'s' * (self.n > 1)}"
        against = f"against {self.config}" if self.config else others
        refusal = f", not corrected: {self.refusal}" if self.refusal else ""
        return {**self.numbers, "against": against, "refusal": refusal}


@dataclass(frozen=True)
class DriftCorrected(Remark):
    """A drift across the dispersion that was corrected, pixels."""

    code: FailureCode = field(default=FailureCode.DRIFT_CORRECTED, init=False, repr=False)
    drift: float
    error: float


@dataclass(frozen=True)
class DriftInsignificant(Remark):
    """A drift across the dispersion that may be none, pixels."""

    code: FailureCode = field(default=FailureCode.DRIFT_INSIGNIFICANT, init=False, repr=False)
    drift: float
    error: float


@dataclass(frozen=True)
class DriftTooLarge(Remark):
    """A drift across the dispersion beyond what is believed, pixels."""

    code: FailureCode = field(default=FailureCode.DRIFT_TOO_LARGE, init=False, repr=False)
    drift: float
    error: float
    limit: float


_CLASSES: dict[FailureCode, type[Remark]] = {
    FailureCode(fields(one)[0].default): one for one in Remark.__subclasses__()
}


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

    code = FailureCode[entry["code"]]
    kind = _CLASSES.get(code)
    if kind is None:
        return Remark(code)
    return kind(**{one.name: value(entry[one.name]) for one in fields(kind) if one.init})
