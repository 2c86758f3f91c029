"""What every WCS can do, whatever it is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from grism_align.values.transform import LinearTransform, TangentPlane


class PixelSky(Protocol):
    """The map between the pixels of one chip and the sky. Immutable.

    Pixels are zero-based (x, y): the centre of the first pixel is (0, 0).
    """

    @property
    def plane(self) -> TangentPlane:
        """The tangent plane at the WCS's own reference point."""
        ...

    @property
    def pixel_scale(self) -> float:
        """Mean side of a pixel at the centre of the chip, arcsec."""
        ...

    @property
    def axes(self) -> NDArray[np.float64]:
        """East and north of a step of one pixel along x and along y, (2, 2) arcsec, as columns.

        By the linear terms, which hold at the reference point.
        """
        ...

    def to_sky(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Sky positions (N, 2) in deg of (N, 2) pixels."""
        ...

    def to_pixel(self, sky: ArrayLike) -> NDArray[np.float64]:
        """Pixels (N, 2) of (N, 2) sky positions in deg; NaN where there is none."""
        ...

    def corrected(self, transform: LinearTransform) -> PixelSky:
        """Return the WCS whose sky positions are those of this one moved by `transform`."""
        ...

    def footprint(self) -> NDArray[np.float64]:
        """Outline of the chip on the sky, (4, 2) deg: the outer corners of the corner pixels."""
        ...
