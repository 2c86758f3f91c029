"""The sky: stars and galaxies with positions, magnitudes, colours, shapes and proper motions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from grism_align.simulation.psf import SPERGEL_INDICES, Shape
from grism_align.values.sphere import unproject

if TYPE_CHECKING:
    from grism_align.simulation.elements import Element
    from grism_align.simulation.plan import SceneSettings


Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """Sources of the field, the brightest first.

    Parameters
    ----------
    sky : (N, 2) ndarray, deg
        Positions at `epoch`.
    motion : (N, 2) ndarray, mas/yr
        Proper motions in RA x cos(Dec) and Dec.
    mag : (N,) ndarray
        AB magnitudes at 1.4 micron.
    color : (N,) ndarray, mag
        Growth of the magnitude for half the wavelength.
    shapes : tuple of Shape
        Stars have radius zero.
    epoch : float
        Julian year.
    """

    sky: Floats
    motion: Floats
    mag: Floats
    color: Floats
    shapes: tuple[Shape, ...]
    epoch: float

    def __len__(self) -> int:
        return len(self.sky)

    @property
    def is_star(self) -> NDArray[np.bool_]:
        """Which sources are stars, (N,)."""
        return np.array([shape.radius == 0.0 for shape in self.shapes], dtype=bool)

    def sky_at(self, epoch: float) -> Floats:
        """Return positions (N, 2) in deg at a Julian year."""
        step = self.motion * (epoch - self.epoch) / 3.6e6
        step[:, 0] /= np.cos(np.radians(self.sky[:, 1]))
        return np.asarray(self.sky + step)

    def rates(self, element: Element) -> Floats:
        """Return electrons per second (N,) through a filter or grism."""
        mag = self.mag + self.color * np.log2(1.4 / element.pivot)
        return np.asarray(10 ** (-0.4 * (mag - element.zero_point)))


def _magnitudes(rng: np.random.Generator, n: int, limits: tuple[float, float], slope: float) -> Floats:
    """Draw magnitudes whose number grows as 10^(slope m)."""
    if slope == 0.0:
        return rng.uniform(*limits, n)
    low, high = 10 ** (slope * np.array(limits))
    return np.asarray(np.log10(rng.uniform(low, high, n)) / slope)


def _shapes(rng: np.random.Generator, mag: Floats) -> list[Shape]:
    """Draw galaxies: fainter ones are smaller, with a log-normal scatter of sizes."""
    n = len(mag)
    radius = np.clip(0.3 * 10 ** (-0.13 * (mag - 22.5) + rng.normal(0, 0.2, n)), 0.05, 1.5)
    ratio, angle = rng.uniform(0.25, 1.0, n), rng.uniform(0, 180, n)
    index = rng.choice(SPERGEL_INDICES, n)
    return [Shape(*(float(v) for v in row)) for row in zip(radius, ratio, angle, index, strict=True)]


def draw_scene(
    settings: SceneSettings,
    center: tuple[float, float],
    half_side: float,
    epoch: float,
    rng: np.random.Generator,
) -> Scene:
    """Draw the sources of a square field.

    Parameters
    ----------
    settings : SceneSettings
        Numbers and magnitudes.
    center : (ra, dec), deg
        Centre of the field.
    half_side : float, arcsec
        Half its side.
    epoch : float
        Julian year of the positions.
    rng : numpy.random.Generator
        Source of chance.
    """
    area = (2 * half_side / 60) ** 2
    n_stars, n_galaxies = rng.poisson([settings.star_density * area, settings.galaxy_density * area])
    n = int(n_stars + n_galaxies)
    mag = np.concatenate(
        [
            _magnitudes(rng, int(n_stars), settings.star_magnitudes, settings.star_slope),
            _magnitudes(rng, int(n_galaxies), settings.galaxy_magnitudes, settings.galaxy_slope),
        ]
    )
    sky = unproject(rng.uniform(-half_side, half_side, (n, 2)), *center)
    color = rng.normal(0.5, 0.4, n)
    motion = rng.normal(0, 1, (n, 2)) * settings.motion
    motion[n_stars:] = 0.0
    shapes = [Shape(0.0, 1.0, 0.0, 0.5)] * int(n_stars) + _shapes(rng, mag[n_stars:])
    order = np.argsort(mag, kind="stable")
    return Scene(sky[order], motion[order], mag[order], color[order], tuple(shapes[i] for i in order), epoch)


def reference_catalog(scene: Scene, settings: SceneSettings, rng: np.random.Generator) -> Table:
    """Return the bright sources as an astrometric catalog gives them, in the true frame.

    Returns
    -------
    astropy.table.Table
        Columns ``id``, ``ra``, ``dec`` (deg, at meta ``epoch``), ``mag``, ``ra_error``, ``dec_error`` (mas;
        that of RA times cos Dec), ``pmra``, ``pmdec`` (mas/yr) and ``star``.
    """
    bright = np.flatnonzero(scene.mag < settings.catalog_limit)
    scatter = rng.normal(0, 1, (len(bright), 2)) * settings.catalog_error / 3.6e6
    sky = scene.sky[bright]
    scatter[:, 0] /= np.cos(np.radians(sky[:, 1]))
    table = Table(meta={"epoch": scene.epoch, "name": "SIMULATED"})
    table["id"] = bright + 1
    for number, name in enumerate(("ra", "dec")):
        table[name] = (sky + scatter)[:, number]
        table[name].unit = "deg"
    table["mag"] = scene.mag[bright]
    for name in ("ra_error", "dec_error"):
        table[name] = np.full(len(bright), settings.catalog_error)
        table[name].unit = "mas"
    for number, name in enumerate(("pmra", "pmdec")):
        table[name] = scene.motion[bright, number]
        table[name].unit = "mas / yr"
    table["star"] = scene.is_star[bright]
    return table
