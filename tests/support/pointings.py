"""Exposures that several detectors of one telescope took at the same instant."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.support.exposures import observe

# Where the detectors of an instrument look, arcsec: side by side, without a common star.
DETECTORS = ((-75.0, -75.0), (75.0, -75.0), (75.0, 75.0), (-75.0, 75.0))
DITHERS = ((0.0, 0.0), (5.0, -3.0), (-4.0, 6.0), (3.0, 4.0))


def key_of(pointing: int, detector: int) -> str:
    """The key of an exposure."""
    return f"iaaa01d{pointing}{detector}q"


def pointings(rng, field, errors, detectors=range(4), **options: Any):
    """Exposures by the detectors of an instrument, each pointing with one error; and their catalogs."""
    made = [
        observe(
            field,
            error,
            rng,
            key_of(number, detector),
            start=1e3 * number,
            at=tuple(np.add(DETECTORS[detector], DITHERS[number])),
            angle=0.0,
            pointing=f"p{number}",
            **{"visit": "iaaa01", "group": "iaaa01", **options},
        )
        for number, error in enumerate(errors)
        for detector in detectors
    ]
    return [e for e, _ in made], {e.key: catalog for e, catalog in made}
