"""The Wide Field Instrument of Roman: detectors, noise and spectral elements. Numbers only.

Where detectors lie and how they distort is SIAF's (`grism_align.simulation.roman.apertures`). Zero points,
sky levels and traces are rounded: traces are centred on the source, so that small cuts hold much of them.
"""

from __future__ import annotations

from grism_align.simulation.camera import UsualProgram
from grism_align.simulation.detector import Readout
from grism_align.simulation.elements import Element, Order
from grism_align.simulation.roman.apertures import aperture
from grism_align.simulation.roman.camera import RomanCamera, RomanDetector

_N_DETECTORS = 18

INSTRUMENTS: dict[str, RomanCamera] = {
    "roman_wfi": RomanCamera(
        name="roman_wfi",
        all_detectors=tuple(
            RomanDetector(f"WFI{number:02d}", aperture(f"WFI{number:02d}_FULL"))
            for number in range(1, _N_DETECTORS + 1)
        ),
        readout=Readout(True, (8.0, 8.0), 0.005, 1.0e5, 1.0e-6, 0.7, 0.2),
        gain=1.8,
        read_time=3.2,
        elements={
            "F129": Element(1.293, 0.323, 26.35, 0.35, ("F129",)),
            "F158": Element(1.577, 0.394, 26.38, 0.35, ("F158",)),
            "PRISM": Element(
                1.27, 1.05, 27.2, 1.0, ("PRISM",), (Order(-60.0, 60.0, 0.3, 0.004, 0.97, 1, (0.75, 1.80)),)
            ),
            "GRISM": Element(
                1.465,
                0.93,
                26.2,
                0.9,
                ("GRISM",),
                (
                    Order(-240.0, 240.0, -0.4, 0.006, 0.90, 1, (1.00, 1.93)),
                    Order(290.0, 294.0, 0.0, 0.0, 0.03, 0, (1.00, 1.93)),
                ),
                along_columns=True,
            ),
        },
        usual=UsualProgram((("F158", ("PRISM",)), ("F129", ("GRISM",))), (140.0, 300.0), (61618.0, 61651.4)),
    ),
}
