"""The gwcs of an image, in the form that assign_wcs of jwst and of romancal gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.simulation.gwcs.apertures import POWERS

if TYPE_CHECKING:
    from grism_align.simulation.gwcs.apertures import Aperture
    from grism_align.simulation.gwcs.sky import DetectorSky

_DEGREE = POWERS[-1][1]


def imaging_steps(sky: DetectorSky) -> list[tuple[Any, Any]]:
    """Return frames and the transforms from each to the next, of an image.

    Parameters
    ----------
    sky : DetectorSky
        As written.
    """
    import gwcs.coordinate_frames as cf
    from astropy import units as u
    from astropy.coordinates import ICRS

    arcsec = {"axes_order": (0, 1), "axes_names": ("v2", "v3"), "unit": (u.arcsec, u.arcsec)}
    return [
        (cf.Frame2D(name="detector", axes_order=(0, 1), unit=(u.pix, u.pix)), _distortion(sky)),
        (cf.Frame2D(name="v2v3", **arcsec), _aberration(sky)),
        (cf.Frame2D(name="v2v3vacorr", **arcsec), _to_world(sky)),
        (cf.CelestialFrame(reference_frame=ICRS(), name="world"), None),
    ]


def _distortion(sky: DetectorSky) -> Any:
    """Return the transform from pixels to V2, V3: cut, filter, detector."""
    from astropy.modeling import bind_bounding_box
    from astropy.modeling.models import Identity, Shift

    found = whole_detector(sky.aperture)
    if any(sky.shift):
        found = _shift(*sky.shift) | found
    if any(sky.corner):
        first = [Shift(float(start)) if start else Identity(1) for start in sky.corner]
        found = first[0] & first[1] | found
    ny, nx = sky.shape
    bind_bounding_box(found, ((-0.5, nx - 0.5), (-0.5, ny - 0.5)), order="F")
    return found


def whole_detector(aperture: Aperture) -> Any:
    """Return the transform from zero-based pixels of a whole detector to V2, V3 in arcsec."""
    from astropy.modeling.models import AffineTransformation2D, Mapping

    there, back = (_polynomials(terms) for terms in (aperture.to_ideal, aperture.from_ideal))
    axes = AffineTransformation2D(matrix=aperture.axes)
    inverse_axes = AffineTransformation2D(matrix=np.linalg.inv(aperture.axes))
    both = Mapping((0, 1, 0, 1))
    (x, y), (v2, v3) = aperture.reference, (aperture.v2, aperture.v3)
    found = _shift(1 - x, 1 - y) | both | there | axes | _shift(v2, v3)
    found.inverse = _shift(-v2, -v3) | inverse_axes | both | back | _shift(x - 1, y - 1)
    return found


def _shift(x: float, y: float) -> Any:
    from astropy.modeling.models import Shift

    return Shift(float(x)) & Shift(float(y))


def _polynomials(terms: tuple[tuple[float, ...], tuple[float, ...]]) -> Any:
    from astropy.modeling.models import Polynomial2D

    names = [f"c{p}_{q}" for p, q in POWERS]
    x, y = (Polynomial2D(_DEGREE, **dict(zip(names, axis, strict=True))) for axis in terms)
    return x & y


def _aberration(sky: DetectorSky) -> Any:
    from astropy.modeling.models import Scale, Shift

    scale = sky.aberration
    scaled = Scale(scale, name="dva_scale_v2") & Scale(scale, name="dva_scale_v3")
    centred = Shift((1 - scale) * sky.aperture.v2, name="dva_v2_shift") & Shift(
        (1 - scale) * sky.aperture.v3, name="dva_v3_shift"
    )
    found = scaled | centred
    found.name = "DVA_Correction"
    return found


def _to_world(sky: DetectorSky) -> Any:
    """Return the rotation from V2, V3 in arcsec to the sky in deg."""
    from astropy.modeling.models import RotationSequence3D, Scale
    from gwcs.geometry import CartesianToSpherical, SphericalToCartesian

    ra, dec, roll = sky.aim
    v2, v3 = sky.aperture.v2 / 3600, sky.aperture.v3 / 3600
    found = (
        Scale(1 / 3600) & Scale(1 / 3600)
        | SphericalToCartesian(wrap_lon_at=180)
        | RotationSequence3D(np.array([v2, -v3, roll, dec, -ra]), axes_order="zyxyz")
        | CartesianToSpherical(wrap_lon_at=360)
    )
    found.name = "v23tosky"
    return found
