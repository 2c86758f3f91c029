"""The chips of exposures as they enter mosaics: electrons per second above the sky, weights, masks."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.algorithms.measuring.background import clipped_level, thinned
from grism_align.algorithms.measuring.good_pixels import good_pixels, has_bits
from grism_align.algorithms.mosaics.drizzle import DrizzleInput
from grism_align.algorithms.mosaics.map import TOLERANCE, PixelMap, PlaneMap
from grism_align.values.mosaic import Tile
from grism_align.workflows.pixels import read_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mission import ChipPixels
    from grism_align.values.mosaic import ChipMask, MosaicGrid
    from grism_align.values.settings import MosaicSettings


logger = logging.getLogger(__name__)

# Memory for maps, besides the one in use; how far a side of a chip is bent by distortion, in its length.
_MAP_BYTES = 150_000_000
_BENT = 0.1


@dataclass(frozen=True, eq=False)
class ChipRates:
    """One chip in electrons per second, (ny, nx) each.

    Parameters
    ----------
    chip : Chip
        Its place in the exposure.
    image, error : ndarray
        Values and standard errors.
    good : ndarray of bool
        Usable pixels; where cosmic rays are looked for, whether flagged as such before or not.
    flagged : ndarray of bool
        Those of them that were.
    """

    chip: Chip
    image: NDArray[np.float32]
    error: NDArray[np.float32]
    good: NDArray[np.bool_]
    flagged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ChipStatistics:
    """What reading a chip has told of it.

    Parameters
    ----------
    level : float, electrons/s
        Of the sky.
    variance : float
        Of a pixel of the sky, in the square of that.
    cosmic_rays : ChipMask or None
        Pixels with cosmic rays; None before they were looked for.
    is_usable : bool
        Whether it has a pixel without a bad flag.
    """

    level: float
    variance: float
    cosmic_rays: ChipMask | None = None
    is_usable: bool = True


@dataclass(eq=False)
class ExposureStack:
    """Exposures that are read one at a time, and what was found of their chips, pixels apart.

    Parameters
    ----------
    exposures : mapping of str to Exposure
        By key, with corrected WCSs.
    settings : MosaicSettings
        The parameters.
    good_bits : mapping of str to int
        By instrument.

    Attributes
    ----------
    statistics : dict of (str, int) to ChipStatistics
        By exposure and chip.
    methods : dict of str to str
        How cosmic rays of an exposure were looked for.
    """

    exposures: Mapping[str, Exposure]
    settings: MosaicSettings
    good_bits: Mapping[str, int]
    statistics: dict[tuple[str, int], ChipStatistics] = field(default_factory=dict)
    methods: dict[str, str] = field(default_factory=dict)
    _maps: dict[tuple[str, int], PlaneMap] = field(default_factory=dict)

    def part(self, keys: Sequence[str]) -> ExposureStack:
        """Return the stack of some of the exposures, with what is known of them."""
        return ExposureStack(
            {key: self.exposures[key] for key in keys},
            self.settings,
            self.good_bits,
            {name: known for name, known in self.statistics.items() if name[0] in keys},
            {key: method for key, method in self.methods.items() if key in keys},
            self._maps,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave maps behind where the stack is sent: making them anew takes less."""
        return {**self.__dict__, "_maps": {}}

    def rates(self, key: str) -> Iterator[ChipRates]:
        """Yield the chips of an exposure, one at a time; their sky is measured when they are first read."""
        exposure = self.exposures[key]
        for chip, pixels in read_pixels(exposure):
            found = self._rates(exposure, chip, pixels)
            if (key, chip.number) not in self.statistics:
                self.statistics[key, chip.number] = self._sky(found)
            yield found

    def _rates(self, exposure: Exposure, chip: Chip, pixels: ChipPixels) -> ChipRates:
        time = 1.0 if exposure.is_rate else exposure.exposure_time
        hit_bit = exposure.telescope.cosmic_ray_bit
        accepted = self.good_bits.get(exposure.instrument, self.settings.good_bits)
        if self.settings.cosmic_rays != "none":
            # what an earlier run flagged is looked at again, or each run would flag more than the one before
            accepted |= hit_bit
        good = good_pixels(pixels.sci, pixels.err, pixels.dq, accepted)
        image = np.where(good, pixels.sci, 0).astype(np.float32, copy=False)
        error = np.where(good, pixels.err, 1).astype(np.float32, copy=False)
        if time != 1:
            image *= np.float32(1 / time)
            error *= np.float32(1 / time)
        return ChipRates(chip, image, error, good, good & has_bits(pixels.dq, hit_bit))

    def _sky(self, rates: ChipRates) -> ChipStatistics:
        part = thinned(rates.image.size)
        good = rates.good[part]
        if not good.any():
            return ChipStatistics(0.0, 1.0, is_usable=bool(rates.good.any()))
        level = clipped_level(rates.image[part][good])[0] if self.settings.level_background else 0.0
        return ChipStatistics(level, float(np.median(rates.error[part][good])) ** 2)

    def to_grid(self, key: str, chip: Chip, grid: MosaicGrid) -> PixelMap:
        """Return the map from a chip to a grid; one to another grid of that plane is used again."""
        known = self._maps.get((key, chip.number))
        if known is None or not known.plane.coincides(grid.plane):
            known = PlaneMap(chip.wcs, chip.shape, grid.plane)
            if known.error > TOLERANCE:
                text = "%s, chip %d: positions err by up to %.1e pixels between every %dth"
                logger.debug(text, key, chip.number, known.error, known.step)
            self._keep((key, chip.number), known)
        return PixelMap(known, grid)

    def _keep(self, name: tuple[str, int], known: PlaneMap) -> None:
        """Remember a map, if there is room for it: those of other planes make some."""
        self._maps.pop(name, None)
        if self._is_full(known):
            self._maps = {one: kept for one, kept in self._maps.items() if kept.plane.coincides(known.plane)}
        if not self._is_full(known):
            self._maps[name] = known

    def _is_full(self, more: PlaneMap) -> bool:
        return more.nodes.nbytes + sum(kept.nodes.nbytes for kept in self._maps.values()) > _MAP_BYTES

    def near(self, key: str, grid: MosaicGrid, tile: Tile) -> list[PixelMap]:
        """Return the maps to a grid of the chips of an exposure that fall on a tile."""
        out = []
        for chip in self.exposures[key].chips:
            corners = grid.to_pixel(chip.wcs.footprint())
            low, high = corners.min(axis=0), corners.max(axis=0)
            # as far as sides are bent
            beside = _BENT * (high - low).max()
            if (high > tile.corner - beside).all() and (low < tile.corner + tile.shape[::-1] + beside).all():
                to_grid = self.to_grid(key, chip, grid)
                if to_grid.part_on(tile):
                    out.append(to_grid)
        return out

    def has_pixels_on(self, key: str, grid: MosaicGrid) -> bool:
        """Return whether an exposure has usable pixels, on chips that reach the grid."""
        exposure = self.exposures[key]
        whole = Tile(0, grid.shape[0], 0, grid.shape[1])
        near = [c.number for c in exposure.chips if self.to_grid(key, c, grid).part_on(whole) is not None]
        if near and not any((key, number) in self.statistics for number in near):
            for _ in self.rates(key):
                pass
        return any(self.statistics[key, number].is_usable for number in near)

    def footprint(self, keys: Sequence[str]) -> NDArray[np.float64]:
        """Return the corners of all chips of some exposures, (N, 2) deg."""
        return np.concatenate([chip.wcs.footprint() for key in keys for chip in self.exposures[key].chips])

    def image(self, key: str, rates: ChipRates, grid: MosaicGrid, zero_point: float) -> DrizzleInput:
        """Return a chip as it enters a mosaic whose fluxes have a zero point (AB; NaN for any)."""
        exposure = self.exposures[key]
        known = self.statistics[key, rates.chip.number]
        cosmic_rays = rates.flagged if known.cosmic_rays is None else known.cosmic_rays.unpacked()
        good = rates.good & ~cosmic_rays
        factor = _factor(exposure.ab_zero_point, zero_point)
        image = rates.image - np.float32(known.level)
        weight = self._weight(exposure, rates, good, known.variance)
        if factor != 1:
            image *= np.float32(factor)
            weight *= np.float32(factor**-2)
        return DrizzleInput(
            image,
            weight,
            self.to_grid(key, rates.chip, grid),
            rates.chip.native_scale,
        )

    def _weight(
        self, exposure: Exposure, rates: ChipRates, good: NDArray[np.bool_], variance: float
    ) -> NDArray[np.float32]:
        if self.settings.weights == "error":
            return np.where(good, 1 / np.square(rates.error), 0).astype(np.float32)
        value = exposure.exposure_time if self.settings.weights == "exposure" else 1 / variance
        return np.where(good, np.float32(value), np.float32(0))


def _factor(own: float, wanted: float) -> float:
    """Return what brings fluxes from one zero point to another."""
    factor = 10 ** (0.4 * (wanted - own))
    return float(factor) if np.isfinite(factor) else 1.0
