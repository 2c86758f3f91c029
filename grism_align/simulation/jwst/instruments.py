"""The cameras of JWST that can be simulated: detectors, noise and spectral elements. Numbers only.

Where detectors lie and how they distort is SIAF's (`grism_align.simulation.jwst.apertures`). Zero points, sky
levels and traces are rounded: NIRISS disperses 47 Angstrom to a pixel, NIRCam 10. NIRCam's traces are centred
on the source in every filter, so that small cuts hold much of them; real ones lie up to 400 pixels to a side.
"""

from __future__ import annotations

from grism_align.simulation.camera import UsualProgram
from grism_align.simulation.detector import Readout
from grism_align.simulation.elements import Element, Order
from grism_align.simulation.jwst.apertures import aperture
from grism_align.simulation.jwst.camera import JwstCamera, JwstDetector

# Micron a pixel in the first order, and pixels from the source to the zeroth one
_NIRISS_STEP, _NIRISS_ZERO = 0.0047, -246.0
_NIRCAM_STEP = 0.001
# Of filters, pixels
_NIRISS_SHIFT = {"F115W": (0.22, -0.14), "F150W": (-0.17, 0.26), "F200W": (0.09, 0.33)}


def _niriss_orders(blue: float, red: float, offset: float, slope: float) -> tuple[Order, ...]:
    """Return the first, zeroth and second order of a grism of NIRISS in a band of wavelengths, micron."""

    def order(number: int, share: float) -> Order:
        start, end = (_NIRISS_ZERO + number * wave / _NIRISS_STEP for wave in (blue, red))
        return Order(start, end, offset, slope, share, number, (blue, red))

    zeroth = Order(_NIRISS_ZERO - 2, _NIRISS_ZERO + 2, 0.0, 0.0, 0.03, 0, (blue, red))
    return order(1, 0.88), zeroth, order(2, 0.06)


def _niriss() -> dict[str, Element]:
    """Return the filters of NIRISS, and its grisms with each of them: the usual one needs no naming."""
    bands = {
        "F115W": (1.150, 0.225, 27.2, (1.013, 1.283)),
        "F150W": (1.494, 0.318, 27.3, (1.330, 1.671)),
        "F200W": (1.988, 0.461, 27.4, (1.751, 2.226)),
    }
    # offset and slope of the traces
    grisms = {"GR150R": (-0.6, 0.004, True), "GR150C": (0.4, 0.002, False)}
    found = {}
    for band, (pivot, width, zero_point, ends) in bands.items():
        wheels, shift = ("CLEAR", band), _NIRISS_SHIFT[band]
        found[band] = Element(pivot, width, zero_point, 0.25, wheels, shift=shift)
        for grism, (offset, slope, along_columns) in grisms.items():
            orders = _niriss_orders(*ends, offset, slope)
            element = Element(pivot, width, zero_point - 0.3, 0.6, (grism, band), orders, along_columns)
            found[grism if band == "F150W" else f"{grism}-{band}"] = element
    return found


def _nircam() -> dict[str, Element]:
    """Return the filters of NIRCam's long-wavelength channel, and its grisms with each of them."""
    bands = {
        "F356W": (3.568, 0.781, 27.3, 0.4, (3.10, 4.02), (0.31, -0.27)),
        "F444W": (4.402, 1.024, 27.0, 0.9, (3.86, 5.00), (0.24, -0.33)),
    }
    grisms = {"GRISMR": False, "GRISMC": True}
    found = {}
    for band, (pivot, width, zero_point, sky, (blue, red), shift) in bands.items():
        found[band] = Element(pivot, width, zero_point, sky, (band, "CLEAR"), shift=shift)
        half = (red - blue) / _NIRCAM_STEP / 2
        for grism, along_columns in grisms.items():
            orders = (Order(-half, half, 0.5, 0.003, 0.95, 1, (blue, red)),)
            wheels = (band, grism)
            element = Element(pivot, width, zero_point - 0.5, 1.2 * sky, wheels, orders, along_columns)
            found[grism if band == "F356W" else f"{grism}-{band}"] = element
    return found


_SW_IMAGE = Element(2.093, 0.205, 26.6, 0.06, ("F210M", "CLEAR"), shift=(-0.42, 0.18))


def _readout(dark: float, full_well: float) -> Readout:
    """Return the noise of an H2RG, by what differs between them: electron/s and electron."""
    return Readout(True, (9.0, 9.0), dark, full_well, 1.0e-6, 0.7, 0.15)


def _short(name: str) -> JwstDetector:
    return JwstDetector(
        name,
        aperture(f"{name}_FULL"),
        _readout(0.002, 1.05e5),
        gain=2.05,
        group_time=21.5,
        channel="SHORT",
    )


_CAMERAS = (
    JwstCamera(
        name="niriss",
        instrume="NIRISS",
        detector=JwstDetector(
            "NIS",
            aperture("NIS_CEN"),
            _readout(0.003, 1.0e5),
            gain=1.61,
            group_time=42.9,
        ),
        kinds=("NIS_IMAGE", "NIS_WFSS"),
        elements=_niriss(),
        usual=UsualProgram(
            (("F150W", ("GR150R", "GR150C")), ("F200W", ("GR150R-F200W", "GR150C-F200W"))),
            (430.0, 1300.0),
            (59800.2, 59839.6),
        ),
    ),
    JwstCamera(
        name="nircam",
        instrume="NIRCAM",
        detector=JwstDetector(
            "NRCALONG",
            aperture("NRCA5_FULL"),
            _readout(0.03, 8.3e4),
            gain=1.82,
            group_time=21.5,
            channel="LONG",
            aperture_name="NRCA5_GRISMR_WFSS",
        ),
        kinds=("NRC_IMAGE", "NRC_WFSS"),
        elements=_nircam(),
        usual=UsualProgram(
            (("F356W", ("GRISMR",)), ("F444W", ("GRISMR-F444W",))), (300.0, 900.0), (59800.2, 59847.6)
        ),
        others=tuple(_short(f"NRCA{number}") for number in range(1, 5)),
        other_element=_SW_IMAGE,
    ),
)

INSTRUMENTS: dict[str, JwstCamera] = {camera.name: camera for camera in _CAMERAS}
