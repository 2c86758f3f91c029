"""What the inspection page shows: pictures of exposures, and what was found on them, in one tangent plane.

All places are where the corrected WCSs put them. Where the WCSs before have them, a map for each exposure
tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from grism_align.values.transform import LinearTransform, TangentPlane

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Texts = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class ChipPicture:
    """One chip to look at, as a mesh of tiles, each of which lies on the sky by an affine map of its own.

    Parameters
    ----------
    number : int
        Which of the exposure's it is.
    shape : (ny, nx)
        Of the chip, pixels.
    nodes : (n + 1, n + 1, 2) ndarray, arcsec
        Corners of the tiles in the plane; n tiles a side, of equal parts of the chip.
    jpeg : bytes, optional
        Shades of grey, the first row of the chip first; empty before the picture is taken.
    reduced : int, optional
        Pixels of the chip along a side of one of the picture; what is left over at its end is not in it.
    """

    number: int
    shape: tuple[int, int]
    nodes: Floats
    jpeg: bytes = b""
    reduced: int = 1


@dataclass(frozen=True, eq=False)
class SourceMarks:
    """The sources of a direct exposure, N of each.

    Parameters
    ----------
    place : (N, 2) ndarray, arcsec
        In the plane.
    number : (N,) ndarray
        In the relative frame; -1 for one that was not matched.
    id, chip : (N,) ndarray
        In the exposure's catalog.
    xy : (N, 2) ndarray, zero-based pixels
        Where they were measured.
    mag : (N,) ndarray
        AB.
    status : (N,) ndarray of str
        ``matched``, ``clipped``, or ``rejected``: measured, and in no fit.
    relative, absolute : (N, 3) ndarray
        Residuals to the east and north in mas, and weight, in each fit; NaN where it is not in it.
    matched : (N,) ndarray of str
        Identifier in the reference catalog; empty for none.
    doubts : (N,) ndarray of str
        Flags, in words.
    """

    place: Floats
    number: Ints
    id: Ints
    chip: Ints
    xy: Floats
    mag: Floats
    status: Texts
    relative: Floats
    absolute: Floats
    matched: Texts
    doubts: Texts


@dataclass(frozen=True, eq=False)
class StarMarks:
    """Stars of the reference catalog, N of each.

    Parameters
    ----------
    place : (N, 2) ndarray, arcsec
        In the plane.
    identifier : (N,) ndarray of str
        The catalog's own.
    mag : (N,) ndarray
        In any band.
    """

    place: Floats
    identifier: Texts
    mag: Floats


@dataclass(frozen=True, eq=False)
class TraceMarks:
    """Where the spectra of sources should lie on a grism exposure, N of each.

    Parameters
    ----------
    number : (N,) ndarray
        Of the source in the relative frame.
    chip : (N,) ndarray
        The chip that has the spectrum.
    xy : (N, 2) ndarray, zero-based pixels
        Where the source would be without the grism, by the corrected WCS.
    mag : (N,) ndarray
        AB.
    after, before : (N, K, 2) ndarray, arcsec
        Points of traces on the picture, in the plane, predicted by the corrected WCS and by the one before.
    model : str
        Where the model of the trace comes from.
    """

    number: Ints
    chip: Ints
    xy: Floats
    mag: Floats
    after: Floats
    before: Floats
    model: str


@dataclass(frozen=True, eq=False)
class InspectedExposure:
    """One exposure to look at.

    Parameters
    ----------
    key, kind, instrument, filter, visit, start, status : str
        What it is, and how it came out.
    remarks : str
        What there is to know.
    shift : str
        Its correction in words; empty for none.
    before : LinearTransform
        From where the corrected WCS puts a place to where the one before does, in the plane.
    chips : tuple of ChipPicture
        Its pictures.
    sources : SourceMarks or None
        None for a grism exposure.
    stars : StarMarks or None
        Those that its fit used, at the time of the exposure; None where it has no such fit.
    traces : TraceMarks or None
        None for a direct exposure, or where nobody knows where traces lie.
    """

    key: str
    kind: str
    instrument: str
    filter: str
    visit: str
    start: str
    status: str
    remarks: str
    shift: str
    before: LinearTransform
    chips: tuple[ChipPicture, ...] = ()
    sources: SourceMarks | None = None
    stars: StarMarks | None = None
    traces: TraceMarks | None = None


@dataclass(frozen=True, eq=False)
class Inspection:
    """All that the page shows.

    Parameters
    ----------
    product, created, software : str
        Name of the product, when its record was made, and by which version.
    plane : TangentPlane
        That of all places.
    exposures : tuple of InspectedExposure
        In time order.
    catalog : str
        Name of the reference catalog; empty for none.
    stars : StarMarks or None
        The catalog's, at the mean epoch.
    """

    product: str
    created: str
    software: str
    plane: TangentPlane
    exposures: tuple[InspectedExposure, ...]
    catalog: str = ""
    stars: StarMarks | None = None
