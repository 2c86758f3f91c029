"""What other sources do to a spectrum: their light moves against it where a dither meets distortion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from grism_align.algorithms.spectra.template import SpectrumCutout

# By how much light changes from pixel to pixel at a line or an edge, in heights of the spectrum.
_CONTRAST = 3.0
# Pixels of the profile of another's light across the dispersion, which falls as the fourth power, and the
# distance within which it is looked for. Where zeroth orders lie is known to a few pixels only.
_WIDTH, _ZEROTH_WIDTH, _FAR = 1.2, 3.0, 20.0
_AWAY = -1e6  # pixels


@dataclass(frozen=True, eq=False)
class OtherLight:
    """The sources of a field, and where the light of each falls along the dispersion.

    Parameters
    ----------
    places : (E, N, 2) ndarray, pixels
        Of N sources in E exposures.
    brightness : (N,) ndarray
        Of the sources, in any unit.
    order : (first, last), pixels
        From the place of a source to the order that is measured.
    zeroth : (first, last), pixels, or None
        The same of its zeroth order.
    """

    places: NDArray[np.float64]
    brightness: NDArray[np.float64]
    order: tuple[float, float]
    zeroth: tuple[float, float] | None

    def lessened(self, cutouts: Sequence[SpectrumCutout], row: int) -> tuple[SpectrumCutout, ...]:
        """Lower the weight of pixels of the spectrum of a source in which the light of others moves.

        Parameters
        ----------
        cutouts : sequence of SpectrumCutout
            Of one spectrum.
        row : int
            Number of its source.

        Notes
        -----
        Lines and zeroth orders of others are taken for lines of the spectrum. From exposure to exposure they
        move alike, but for what distortion changes their distance by: on WFC3/IR 0.2 pixels, for sources 200
        pixels apart and a dither of 50. Spectra with others' light would lead the offsets astray by that.
        """
        apart = self.places[[each.exposure for each in cutouts]]
        apart = apart - apart[:, row, None]
        mean = apart.mean(axis=0)
        moved = np.hypot(*(apart - mean).T).T
        ratio = self.brightness / self.brightness[row]
        found = list(cutouts)
        for span, width in ((self.order, _WIDTH), (self.zeroth, _ZEROTH_WIDTH)):
            if span is None:
                continue
            x, y = apart[..., 0], np.abs(apart[..., 1])
            beside = (x + span[1] > self.order[0]) & (x + span[0] < self.order[1]) & (y < _FAR)
            near = np.flatnonzero(
                beside.any(axis=0) & np.isfinite(mean[:, 0]) & (np.arange(len(mean)) != row)
            )
            found = [
                _lessened(
                    each, apart[number, near], np.minimum(moved[number, near], 1.0) * ratio[near], span, width
                )
                for number, each in enumerate(found)
            ]
        return tuple(found)

    def lessened_by_all(self, cutout: SpectrumCutout, row: int) -> SpectrumCutout:
        """Lower the weight of pixels in which the light of others is, here or in what it is compared with.

        Parameters
        ----------
        cutout : SpectrumCutout
            Of the spectrum, in the second of two exposures; the first is that with which it is compared.
        row : int
            Number of its source.
        """
        # A source that is off the chip in one of the two is as far away there.
        everywhere = replace(self, places=np.nan_to_num(self.places, nan=_AWAY))
        both = everywhere.lessened([replace(cutout, exposure=number) for number in range(2)], row)
        usable = cutout.weight > 0
        variance, *others = (1.0 / np.where(usable, each.weight, np.inf) for each in (cutout, *both))
        total = sum(others) - variance
        return replace(cutout, weight=np.where(usable, 1.0 / np.where(usable, total, 1.0), 0.0))


def _lessened(
    cutout: SpectrumCutout,
    apart: NDArray[np.float64],
    share: NDArray[np.float64],
    span: tuple[float, float],
    width: float,
) -> SpectrumCutout:
    """Add what light at (K, 2) places from the source may do, by its share (K,), to the variances."""
    usable = cutout.weight > 0
    core = usable & (np.abs(cutout.across) < 1.0)
    if not len(share) or not core.any():
        return cutout
    height = abs(float(np.median(cutout.data[core])))
    slope = float(np.median(cutout.slope))
    variance = np.zeros(cutout.data.shape)
    for (x, y), size in zip(apart.tolist(), (_CONTRAST * height * share).tolist(), strict=True):
        seen = (cutout.along > span[0] + x) & (cutout.along < span[1] + x)
        up = cutout.across[:, seen] - (y - slope * x)
        variance[:, seen] += (size / (1.0 + (up / width) ** 2) ** 2) ** 2
    weight = np.where(usable, 1.0 / (1.0 / np.where(usable, cutout.weight, 1.0) + variance), 0.0)
    return replace(cutout, weight=weight)
