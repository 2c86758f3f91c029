"""Reference catalogs made up for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from grism_align.values.catalog import ReferenceCatalog, astrometric_covariance


def reference(sky, error: float = 0.3, motion_error: float = 0.1, **columns: Any) -> ReferenceCatalog:
    """A catalog at J2016 of sources that stand still, but for the columns given: of one value or of N."""
    sky = np.asarray(sky, dtype=float).reshape(-1, 2)
    n = len(sky)
    shapes = {"motion": (n, 2), "covariance": (n, 5, 5)}
    values = {
        "covariance": astrometric_covariance(np.full((n, 2), error), np.full((n, 2), motion_error)),
        "motion": 0.0,
        "parallax": 0.0,
        "radial_velocity": 0.0,
        "epoch": 2016.0,
        "mag": np.linspace(15, 20, n),
        **columns,
    }
    quality = {name: np.asarray(column, dtype=float) for name, column in values.pop("quality", {}).items()}
    identifier = np.asarray(values.pop("identifier", [f"star {i}" for i in range(n)]), dtype=str)
    arrays = {
        name: np.broadcast_to(np.asarray(value, dtype=float), shapes.get(name, (n,))).copy()
        for name, value in values.items()
    }
    return ReferenceCatalog(
        sky=sky, identifier=identifier, name="MADE", origin="here", quality=quality, **arrays
    )
