"""What the package asks of a mission: a protocol, and the values that pass through it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from grism_align.values.association import Association
    from grism_align.values.catalog import SourceCatalog
    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mosaic import ChipMask
    from grism_align.values.solution import ExposureFit
    from grism_align.values.source import Source
    from grism_align.values.trace import CoarseTrace


#: Value and comment of a FITS keyword.
Keyword = tuple[str | float | int | bool, str]


@dataclass(frozen=True)
class PipelineFacts:
    """What associations of a mission's own pipelines list.

    Parameters
    ----------
    mosaics : (str, str)
        ``asn_type`` and ``asn_rule`` of the images that are combined to a mosaic.
    spectra : (str, str) or None
        The same of a dispersed exposure, from which spectra are extracted by the mosaic; None where there is
        no pipeline for that.
    raw_endings : tuple of str
        How names of exposures end that a pipeline is given.
    processed : mapping of str to tuple of str
        How names of what it makes of them end, the best first, by ``asn_type``.
    combining : tuple of str
        The ``asn_type`` of pipelines that combine exposures.
    mosaic_endings : tuple of str
        How names of mosaics end, which are listed beside exposures.
    visit_letters : int
        How many letters of an exposure's name are its visit's.
    """

    mosaics: tuple[str, str]
    spectra: tuple[str, str] | None
    raw_endings: tuple[str, ...] = ()
    processed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    combining: tuple[str, ...] = ()
    mosaic_endings: tuple[str, ...] = ()
    visit_letters: int = 0


@dataclass(frozen=True)
class MissionFacts:
    """What there is to know of a mission without opening a file.

    Parameters
    ----------
    name : str
        As its entry point has it, and `Telescope.mission`.
    reads : str
        The exposures that it reads, in words.
    dispersers : mapping of str to CoarseTrace or None
        Its grisms and prisms, and where their spectra roughly lie; None where that is not known.
    endings : tuple of str
        How names of files with exposures end, the best first where one exposure has several.
    listing_columns : tuple of int
        Numbers of columns in its own comma-separated lists of files, whose first column is the name of a
        file, and whose last one says where the archive had it.
    parameters : str
        The package in which its instruments' parameter files lie, ``INSTRUMENT.asdf`` each; empty where the
        defaults hold.
    headerlet_ending : str
        How names of files end that have a WCS by itself; empty where there are none.
    attaches_headerlets : bool
        Whether WCSs go into extensions of exposures too.
    headerlet_follows : bool
        Whether such a file is to have the WCS of the exposure that it lies beside, whatever that is.
    flags_pixels : bool
        Whether cosmic rays that mosaics found are flagged in exposures.
    pipeline : PipelineFacts or None
        What associations of its own pipelines list, which then are written too; None where it has none.
    """

    name: str
    reads: str
    dispersers: Mapping[str, CoarseTrace | None] = field(default_factory=dict)
    endings: tuple[str, ...] = ()
    listing_columns: tuple[int, ...] = ()
    parameters: str = ""
    headerlet_ending: str = ""
    attaches_headerlets: bool = False
    headerlet_follows: bool = False
    flags_pixels: bool = True
    pipeline: PipelineFacts | None = None


@dataclass(frozen=True, eq=False)
class ChipPixels:
    """The arrays of one chip, (ny, nx) each.

    Parameters
    ----------
    sci : ndarray of float
        In the units of the file.
    err : ndarray of float
        Standard errors, same units; zero where they are not known.
    dq : ndarray of int
        Data-quality bits.
    """

    sci: NDArray[np.floating[Any]]
    err: NDArray[np.floating[Any]]
    dq: NDArray[np.integer[Any]]


@dataclass(frozen=True)
class WcsLabel:
    """What headers say of a fit.

    Parameters
    ----------
    catalog : str
        What the frame was aligned to; ``NONE`` for a relative alignment.
    solution : str
        Name of the solution, as `Mission.solution_name` gives it.
    n_matches : int
        Sources used.
    rms : (float, float), mas
        Weighted rms residual to the east and to the north; NaN where unknown.
    geometry : str
        Fit geometry: shift, rshift, rscale or general.
    """

    catalog: str
    solution: str
    n_matches: int
    rms: tuple[float, float]
    geometry: str


@dataclass(frozen=True)
class HeaderletWanted:
    """Where the WCS of an exposure goes by itself, in missions that have files or extensions for that.

    Parameters
    ----------
    file : path-like or None
        A file of its own.
    attach : bool
        Whether it becomes an extension of the exposure.
    """

    file: os.PathLike[str] | None = None
    attach: bool = False


@dataclass(frozen=True)
class Digests:
    """SHA-256 of a file as read and as written."""

    input: str
    output: str


@dataclass(frozen=True)
class Corrections:
    """Which corrections of ours an exposure has and had, by the names of their solutions.

    Parameters
    ----------
    latest : str
        The one that it has; empty for none.
    earlier : frozenset of str
        Those that it had before, as far as they are archived.
    undone : str
        The one that was undone last, if none was made since; empty for none.
    is_failed : bool
        Whether it has none because no run could correct it.
    """

    latest: str
    earlier: frozenset[str]
    undone: str
    is_failed: bool


@dataclass(frozen=True)
class Undone:
    """What was undone in one exposure.

    Parameters
    ----------
    source, target : Source
        What was read, and what was written.
    undone, restored : str
        Names of the WCSs before and after.
    remaining : bool
        Whether the restored WCS is a correction of ours too, which can be undone in turn.
    """

    source: Source
    target: Source
    undone: str
    restored: str
    remaining: bool


class Mission(Protocol):
    """Reads and writes the exposures of one mission, and knows what sets it apart from others.

    What can't be read raises `InputError`.
    """

    @property
    def facts(self) -> MissionFacts:
        """What there is to know without opening a file."""
        ...

    def claims(self, source: Source) -> bool:
        """Tell whether a source is of this mission, whether or not it can be used.

        One that is of a kind that the mission reads, and is damaged, may raise `InputError`.
        """
        ...

    def instrument(self, source: Source) -> str:
        """Return the instrument of an exposure, from as few headers as possible."""
        ...

    def read(self, source: Source) -> Exposure:
        """Read the headers of an exposure; pixels stay where they are."""
        ...

    def pixels(self, exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
        """Yield the arrays of an exposure, one chip at a time."""
        ...

    def source_catalog(self, exposure: Exposure) -> SourceCatalog | None:
        """Return the sources that the mission's pipeline found in a direct exposure, where that says so."""
        ...

    def keywords(self, exposure: Exposure) -> Mapping[str, Keyword]:
        """Return what the headers say of instrument, target, times and photometry, as FITS keywords.

        For products that are made of the exposure, and for other software.
        """
        ...

    def association(self, source: Source) -> Association | None:
        """Return what a file of the mission's own kind of association lists; None for any other file."""
        ...

    def solution_name(self, catalog: str, taken: Collection[str], *, by_exposure: bool) -> str:
        """Return the name of a new astrometric solution, other than those in use.

        Parameters
        ----------
        catalog : str
            What the frame was aligned to.
        taken : collection of str
            `Exposure.taken_names` of all exposures that are to have it.
        by_exposure : bool
            Whether each exposure was fitted to the catalog on its own.
        """
        ...

    def distortion_models(self, names: Collection[str]) -> frozenset[str]:
        """Return the distortion models that names of WCSs, as in `Exposure.taken_names`, tell of."""
        ...

    def write(
        self,
        exposure: Exposure,
        fit: ExposureFit,
        target: Source,
        label: WcsLabel,
        headerlet: HeaderletWanted,
    ) -> Digests:
        """Write an exposure with its correction, which may be in any tangent plane.

        Parameters
        ----------
        exposure : Exposure
            As read.
        fit : ExposureFit
            Its total correction. Where there is none, the target only says how it came out.
        target : Source
            What will hold it.
        label : WcsLabel
            What its headers say of the fit.
        headerlet : HeaderletWanted
            Where its WCS goes by itself.
        """
        ...

    def flag_cosmic_rays(self, target: Source, masks: Mapping[int, ChipMask]) -> str:
        """Flag pixels, by chip, in an exposure that was written, and only those; its new SHA-256."""
        ...

    def corrections(self, source: Source) -> Corrections:
        """Return which corrections of ours an exposure has and had."""
        ...

    def check_undo(self, source: Source) -> None:
        """Refuse an exposure whose latest correction can't be undone."""
        ...

    def undo(self, source: Source, target: Source) -> Undone:
        """Write an exposure with the WCS that it had before our latest correction."""
        ...
