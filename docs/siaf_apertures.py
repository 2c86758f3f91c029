"""Write the distortions that the simulations of JWST and Roman have, from those of SIAF. Needs pysiaf.

    python docs/siaf_apertures.py

Of each aperture a table has the place of its reference point in V2 and V3, and polynomials of degree 5 from
science pixels to the ideal frame and back: those of SIAF, to ten digits, by powers as `POWERS` lists them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pysiaf

from grism_align.simulation.gwcs.apertures import POWERS
from grism_align.simulation.jwst.apertures import TABLE as JWST
from grism_align.simulation.roman.apertures import TABLE as ROMAN

APERTURES = {
    JWST: {
        "NIRISS": ("NIS_CEN",),
        "NIRCam": ("NRCA5_FULL", "NRCA1_FULL", "NRCA2_FULL", "NRCA3_FULL", "NRCA4_FULL"),
    },
    ROMAN: {"Roman": tuple(f"WFI{number:02d}_FULL" for number in range(1, 19))},
}


def coefficients(aperture: pysiaf.JwstAperture, name: str) -> list[float]:
    """Return the coefficients of one polynomial."""
    # SIAF's coefficient ij belongs to x^(i-j) y^j
    return [float(f"{getattr(aperture, f'{name}{p + q}{q}'):.10g}") for p, q in POWERS]


def entry(aperture: pysiaf.JwstAperture) -> dict[str, object]:
    """Return what the table has of an aperture."""
    return {
        "v2": aperture.V2Ref,
        "v3": aperture.V3Ref,
        "angle": aperture.V3IdlYAngle,
        "parity": int(aperture.VIdlParity),
        "reference": [aperture.XSciRef, aperture.YSciRef],
        "scale": [aperture.XSciScale, aperture.YSciScale],
        "to_ideal": [coefficients(aperture, f"Sci2Idl{axis}") for axis in "XY"],
        "from_ideal": [coefficients(aperture, f"Idl2Sci{axis}") for axis in "XY"],
    }


def main() -> None:
    """Write the tables."""
    for path, instruments in APERTURES.items():
        found = {
            name: entry(pysiaf.Siaf(instrument)[name])
            for instrument, names in instruments.items()
            for name in names
        }
        version = f", {pysiaf.JWST_PRD_VERSION}" if path == JWST else ""
        table = {"source": f"pysiaf {pysiaf.__version__}{version}", "apertures": found}
        Path(path).write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
