"""The gwcs of an exposure, in the form that jwst's assign_wcs gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from grism_align.simulation.gwcs.imaging import imaging_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.simulation.elements import Element, Order
    from grism_align.simulation.gwcs.sky import DetectorSky


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

    imaging = WCS(imaging_steps(sky))
    if not element.is_grism:
        return ExposureWcs(imaging, imaging)
    return ExposureWcs(WCS(_dispersed(imaging_steps(sky), element)), imaging)


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
