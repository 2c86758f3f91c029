"""A gwcs taken apart: from the pixels to the telescope's field, a correction there, and on to the sky."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from grism_align.io.gwcs.attitude_plane import PlaneAffine
from grism_align.io.gwcs.lean import lean_field, lean_sky, shared
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence


#: The frame after a correction; the transform that leads there is the correction.
CORRECTED = "v2v3corr"
_FIELD = ("v2v3vacorr", "v2v3")
_AGAIN = "Run assign_wcs on the exposure again, or fetch it from the archive"
_SPATIAL = 2


@dataclass(frozen=True, eq=False)
class GwcsParts:
    """What a gwcs consists of. Transforms of dispersed exposures pass wavelength and order through.

    Parameters
    ----------
    to_field : tuple of callable
        From zero-based pixels of the undispersed image to V2 and V3, arcsec, before any correction: one after
        the other, those of a detector the same objects for all its exposures.
    from_field : tuple of callable
        The inverse, as far as it goes.
    to_sky, from_sky : callable
        From V2 and V3 after a correction to RA and Dec, deg, and back.
    affine : PlaneAffine or None
        The correction that it has.
    name : str
        Name of the WCS; empty for none.
    """

    to_field: tuple[Any, ...]
    from_field: tuple[Any, ...]
    to_sky: Any
    from_sky: Any
    affine: PlaneAffine | None
    name: str


def parts_of(wcs: Any, source: object) -> GwcsParts:
    """Take a gwcs apart.

    Parameters
    ----------
    wcs : gwcs.WCS
        Of an image, or of a dispersed exposure.
    source : object
        What holds it, for errors.

    Raises
    ------
    InputError
        If it has no frame v2v3, a correction that is no tangent-plane correction, or, of a dispersed
        exposure, positions that can't be parted from wavelengths.
    """
    frames = list(wcs.available_frames)
    field = field_frame(frames, source)
    detector, sky = "detector" if "detector" in frames else frames[0], frames[-1]
    _check_separable([step.transform for step in wcs.pipeline[frames.index(detector) : -1]], source)
    last = CORRECTED if CORRECTED in frames else field
    affine = affine_of(wcs.pipeline[frames.index(field)].transform, source) if last == CORRECTED else None
    way = frames[frames.index(detector) : frames.index(field) + 1]
    to_field, to_sky = _along(wcs, way), wcs.get_transform(last, sky)
    try:
        from_field, from_sky = _along(wcs, way[::-1]), wcs.get_transform(sky, last)
    except NotImplementedError as error:
        raise InputError(source, f"its WCS can't be inverted ({error})", _AGAIN) from error
    return GwcsParts(to_field, from_field, *lean_sky(to_sky, from_sky), affine, str(wcs.name or ""))


def _check_separable(transforms: Sequence[Any], source: object) -> None:
    for transform in transforms:
        if transform.n_inputs > _SPATIAL and not (
            getattr(transform, "op", "") == "&" and transform.left.n_inputs == _SPATIAL
        ):
            problem = "its WCS mixes positions with wavelength and order"
            raise InputError(source, problem, _AGAIN)


def _along(wcs: Any, frames: Sequence[str]) -> tuple[Any, ...]:
    """Return the transforms from frame to frame; all but the one from or to pixels are within the field."""
    steps = [wcs.get_transform(one, other) for one, other in pairwise(frames)]
    pixels = 0 if frames[0] not in _FIELD else len(steps) - 1
    return tuple(shared(one) if n == pixels else lean_field(one) for n, one in enumerate(steps))


def field_frame(frames: Sequence[str], source: object) -> str:
    """Return the frame of V2 and V3 in which a correction is made, after that for velocity aberration.

    Raises
    ------
    InputError
        If there is none.
    """
    found = next((name for name in _FIELD if name in frames), None)
    if found is None or found == frames[-1]:
        problem = f"its WCS has no frame v2v3 (it has {', '.join(frames)})"
        raise InputError(source, problem, _AGAIN)
    return found


def affine_of(correction: Any, source: object) -> PlaneAffine:
    """Return the affine map of a tangent-plane correction.

    Raises
    ------
    InputError
        If it has none.
    """
    try:
        model = plain_of(correction)["tp_affine"]
        return PlaneAffine.of(model.matrix.value, model.translation.value)
    except (IndexError, TypeError, AttributeError) as error:
        problem = f"the correction in its WCS (at {CORRECTED}) is no tangent-plane correction"
        raise InputError(source, problem, _AGAIN) from error


def plain_of(transform: Any) -> Any:
    """Return what a transform does to positions, without wavelength and order that it passes through."""
    return transform.left if transform.n_inputs > _SPATIAL else transform
