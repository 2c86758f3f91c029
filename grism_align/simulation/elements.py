"""Filters and grisms, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan


@dataclass(frozen=True)
class Order:
    """One spectral order of a grism. Here *along* is the axis that it disperses along, *across* the other.

    Parameters
    ----------
    start, end : float, pixels
        Its ends along, from the place that the source has in a direct exposure.
    offset : float, pixels
        Trace across at the source's place along, from the source's place across.
    slope : float
        Growth of the place across with that along.
    fraction : float
        Share of the source's counts.
    number : int
        Which order it is.
    wavelengths : (float, float), micron
        At its ends, in between in proportion; NaN where no file tells of them.
    """

    start: float
    end: float
    offset: float
    slope: float
    fraction: float
    number: int = 1
    wavelengths: tuple[float, float] = (nan, nan)


@dataclass(frozen=True)
class Element:
    """A filter or a grism.

    Parameters
    ----------
    pivot, width : float, micron
        Pivot wavelength and width of the band.
    zero_point : float
        AB magnitude of a source of one electron per second.
    sky : float, electron/s/pixel
        Usual background.
    wheels : tuple of str
        What the headers say of the wheels: FILTER; FILTER1 and FILTER2; or FILTER and PUPIL.
    orders : tuple of Order
        Empty for a filter.
    along_columns : bool
        Whether it disperses along the columns of the detector; else along its rows.
    shift : (x, y), pixels
        What is added to a source's pixel before the distortion is looked up: a filter is a slight wedge.
    """

    pivot: float
    width: float
    zero_point: float
    sky: float
    wheels: tuple[str, ...]
    orders: tuple[Order, ...] = ()
    along_columns: bool = False
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def is_grism(self) -> bool:
        """Whether it disperses."""
        return bool(self.orders)

    @property
    def reach(self) -> tuple[float, float]:
        """How far, in x and in y, light of a source may fall from the source's place, pixels."""
        along = max((max(abs(order.start), abs(order.end)) for order in self.orders), default=0.0)
        return (0.0, along) if self.along_columns else (along, 0.0)
