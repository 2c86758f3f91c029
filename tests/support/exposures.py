"""Exposures of one star field through real WCSs whose pointing is wrong by known amounts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from grism_align.algorithms.absolute.epoch import positions_at
from grism_align.values.catalog import ReferenceCatalog, SkySource, SourceCatalog, astrometric_covariance
from grism_align.values.exposure import Chip, Exposure
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.associations import exposure
from tests.support.chips import chip_wcs

RA, DEC = 150.0, 2.2
PLANE = TangentPlane(RA, DEC)
PIXEL_NOISE = 0.02
SHAPE = (1014, 1014)
# Columns that alignment does not look at.
REST = {"flux_error": 1.0, "mag_error": 0.01, "snr": 100.0, "fwhm": 2.0, "ellipticity": 0.0}


@dataclass(frozen=True, eq=False)
class Stars:
    """Stars at J2016, on the sky, around the point of a plane; motions in mas/yr, parallaxes in mas."""

    sky: np.ndarray
    mag: np.ndarray
    motion: np.ndarray
    parallax: float | np.ndarray = 0.0
    plane: TangentPlane = PLANE

    def at(self, year: float) -> np.ndarray:
        """Sky positions (N, 2) at a Julian year."""
        return positions_at(self.catalog(), year)

    def catalog(self, noise: float = 0.0, rng: np.random.Generator | None = None) -> ReferenceCatalog:
        """The reference catalog, with some noise, mas."""
        n = len(self.sky)
        sky = self.sky
        if rng is not None:
            offset = 1e-3 * noise * rng.normal(size=(n, 2))
            sky = self.plane.to_sky(self.plane.to_plane(sky) + offset)
        return ReferenceCatalog(
            sky=sky,
            covariance=astrometric_covariance(np.full((n, 2), max(noise, 0.1)), np.full((n, 2), 0.05)),
            motion=self.motion,
            parallax=np.broadcast_to(np.asarray(self.parallax, dtype=float), n).copy(),
            radial_velocity=np.zeros(n),
            epoch=np.full(n, 2016.0),
            mag=self.mag,
            identifier=np.array([f"S{i}" for i in range(n)]),
            name="MADE",
            origin="here",
        )


def stars(
    rng: np.random.Generator,
    n: int = 150,
    side: float = 150.0,
    motion: float = 0.0,
    east: float = 0.0,
    plane: TangentPlane = PLANE,
) -> Stars:
    """Stars around the point of a plane, or so many arcsec east of it."""
    sky = plane.to_sky(rng.uniform(-side / 2, side / 2, (n, 2)) + np.array([east, 0.0]))
    return Stars(sky, np.sort(rng.uniform(18, 24, n)), motion * rng.normal(size=(n, 2)), plane=plane)


def together(*fields: Stars) -> Stars:
    """The stars of several fields around the point of the first one's plane."""
    columns = [(f.sky, f.mag, f.motion, np.broadcast_to(f.parallax, f.mag.shape)) for f in fields]
    return Stars(*(np.concatenate(column) for column in zip(*columns, strict=True)), plane=fields[0].plane)


def with_errors(
    field: Stars, rng: np.random.Generator, position: float = 0.3, motion: float = 0.05
) -> ReferenceCatalog:
    """The reference catalog with errors of positions, mas, and motions, mas/yr, which it states."""
    true, plane = field.catalog(), field.plane
    noise = rng.normal(size=(2, *true.sky.shape))
    return replace(
        true,
        sky=plane.to_sky(plane.to_plane(true.sky) + 1e-3 * position * noise[0]),
        motion=true.motion + motion * noise[1],
        covariance=astrometric_covariance(np.full(true.sky.shape, position), np.full(true.sky.shape, motion)),
    )


def observe(
    field: Stars,
    error: LinearTransform,
    rng: np.random.Generator,
    key: str,
    *,
    start: float = 0.0,
    at: tuple[float, float] = (0.0, 0.0),
    angle: float = 30.0,
    noise: float = PIXEL_NOISE,
    **changes: Any,
) -> tuple[Exposure, SourceCatalog]:
    """A WFC3/IR exposure, whose WCS puts the sky where `error` moves it, and the stars that it sees.

    Parameters
    ----------
    start : float, s
        After the start of the first one.
    at : (east, north), arcsec
        Pointing, from the point of the stars' plane.
    noise : float, pix
        Of the positions.
    """
    ra, dec = field.plane.to_sky(at)
    true = chip_wcs("wfc3_ir", (float(ra), float(dec), angle))
    frame = exposure(key, start, chips=(Chip(1, SHAPE, true.corrected(error)),), **changes)
    xy = true.to_pixel(field.at(frame.epoch))
    rows = np.flatnonzero((xy > 3).all(axis=1) & (xy < 1010).all(axis=1))
    n = len(rows)
    columns = {
        **{name: np.full(n, value) for name, value in REST.items()},
        "id": 1000 + rows,
        "chip": np.ones(n),
        "x": xy[rows, 0] + noise * rng.normal(size=n),
        "y": xy[rows, 1] + noise * rng.normal(size=n),
        "x_error": np.full(n, noise),
        "y_error": np.full(n, noise),
        "flux": 10 ** (-0.4 * (field.mag[rows] - 26)),
        "mag": field.mag[rows],
        "flags": np.zeros(n),
    }
    return frame, SourceCatalog.from_columns(columns)


def offset(
    frame: Exposure, transform: LinearTransform, error: LinearTransform, goal: LinearTransform | None = None
):
    """Arcsec, over the chip, from where the sky should be to where the corrected WCS puts it.

    `goal` is the error of the frame that all are brought to; none for the true sky.
    """
    x, y = np.meshgrid(np.linspace(0, 1013, 5), np.linspace(0, 1013, 5))
    wcs, plane = frame.chips[0].wcs, error.plane
    pixels = np.column_stack([x.ravel(), y.ravel()])
    true = wcs.corrected(error.inverted().at(error.plane)).to_sky(pixels)
    expected = true if goal is None else goal.apply_to_sky(true)
    found = transform.apply_to_sky(wcs.to_sky(pixels))
    return plane.to_plane(found) - plane.to_plane(expected)


def sky_sources(
    field: Stars, error: LinearTransform, rng, *, noise: float = 1.0, year: float = 2016.0, frame: int = 0
):
    """Sources of a relative frame whose sky `error` moved; noise in mas."""
    plane = field.plane
    xy = plane.to_plane(error.apply_to_sky(field.at(year))) + 1e-3 * noise * rng.normal(size=field.sky.shape)
    sky = plane.to_sky(xy)
    return tuple(
        SkySource(i, float(ra), float(dec), noise, float(mag), year, frame, 3)
        for i, ((ra, dec), mag) in enumerate(zip(sky, field.mag, strict=True))
    )
