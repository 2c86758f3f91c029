"""The gwcs of an exposure, in the form that jwst's assign_wcs gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.simulation.jwst.apertures import POWERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.simulation.elements import Element, Order
    from grism_align.simulation.jwst.apertures import Aperture
    from grism_align.simulation.jwst.sky import DetectorSky

_DEGREE = POWERS[-1][1]


@dataclass(frozen=True, eq=False)
class ExposureWcs:
    """The WCSs of an exposure.

    Parameters
    ----------
    own : gwcs.WCS
        Its own: that of images, or the one from pixels of spectra to sky and wavelength.
    imaging : gwcs.WCS
        That of an image at its pointing: its own, or what lies behind the dispersion.
    """

    own: Any
    imaging: Any


def exposure_wcs(sky: DetectorSky, element: Element) -> ExposureWcs:
    """Return the WCSs of an exposure through a filter or grism.

    Parameters
    ----------
    sky : DetectorSky
        As written.
    element : Element
        Filter or grism.
    """
    from gwcs import WCS

    imaging = WCS(_imaging(sky))
    if not element.is_grism:
        return ExposureWcs(imaging, imaging)
    return ExposureWcs(WCS(_dispersed(_imaging(sky), element)), imaging)


def _imaging(sky: DetectorSky) -> list[tuple[Any, Any]]:
    """Return frames and the transforms from each to the next, of an image."""
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


def _dispersed(imaging: list[tuple[Any, Any]], element: Element) -> list[tuple[Any, Any]]:
    """Return frames and transforms with wavelength and order carried along, and the dispersion in front."""
    import gwcs.coordinate_frames as cf
    from astropy import units as u
    from astropy.modeling.models import Identity

    names = {"axes_names": ("x_grism", "y_grism"), "unit": (u.pix, u.pix)}
    detector = cf.Frame2D(name="grism_detector", axes_order=(0, 1), **names)
    spectral = cf.SpectralFrame(
        name="spectral", axes_order=(2,), unit=(u.micron,), axes_names=("wavelength",)
    )
    steps: list[tuple[Any, Any]] = [(detector, dispersion(element))]
    for frame, transform in imaging:
        name = frame.name
        frame.name = "sky" if transform is None else f"{name}spatial"
        both = cf.CompositeFrame([frame, spectral], name=name)
        steps.append((both, None if transform is None else transform & Identity(2)))
    return steps


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


def dispersion(element: Element) -> Any:
    """Return the transform of a grism: x, y, x0, y0, order to x0, y0, wavelength, order, and back.

    Along an order, wavelength and place are linear in t, which is 0 at its start and 1 at its end.

    Parameters
    ----------
    element : Element
        The grism.
    """
    from stdatamodels.jwst.transforms import models

    numbers = [order.number for order in element.orders]
    places = _places(element)
    wavelengths, inverse = _wavelengths(element.orders)
    kind = "Column" if element.along_columns else "Row"
    if disperser(element).startswith("GRISM"):
        constants = [[_constant(term.value) for term in (model.c0, model.c1)] for model in wavelengths]
        given = {**places, "lmodels": constants, "inv_lmodels": inverse}
        found = getattr(models, f"NIRCAMForward{kind}GrismDispersion")(numbers, **given)
        found.inverse = models.NIRCAMBackwardGrismDispersion(numbers, **given)
        return found
    forward = getattr(models, f"NIRISSForward{kind}GrismDispersion")
    found = forward(numbers, lmodels=wavelengths, theta=0.0, **places)
    found.inverse = models.NIRISSBackwardGrismDispersion(numbers, lmodels=inverse, theta=0.0, **places)
    return found


def disperser(element: Element) -> str:
    """Return the name of the grism in an element's wheels; empty for none."""
    return next((name for name in element.wheels if name.startswith("GR")), "")


def _places(element: Element) -> dict[str, list[list[Any]]]:
    """Return the terms, by power of t, of the places in x and in y beyond the source's, by order."""
    along, across = [], []
    for order in element.orders:
        length = order.end - order.start
        along.append([_constant(value) for value in (order.start, length, 0.0)])
        start = order.offset + order.slope * order.start
        across.append([_constant(value) for value in (start, order.slope * length, 0.0)])
    x, y = (across, along) if element.along_columns else (along, across)
    return {"xmodels": x, "ymodels": y}


def _constant(value: float) -> Any:
    """Return what is the same all over the detector, as the calibration has it."""
    from astropy.modeling.models import Polynomial2D

    return Polynomial2D(1, c0_0=value, c1_0=0.0, c0_1=0.0)


def _wavelengths(orders: Sequence[Order]) -> tuple[list[Any], list[Any]]:
    """Return wavelength by t, and t by wavelength, of each order."""
    from astropy.modeling.models import Polynomial1D

    there, back = [], []
    for order in orders:
        start, end = order.wavelengths
        there.append(Polynomial1D(1, c0=start, c1=end - start))
        back.append(Polynomial1D(1, c0=-start / (end - start), c1=1 / (end - start)))
    return there, back
