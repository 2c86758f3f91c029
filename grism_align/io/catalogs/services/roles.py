"""What a service's columns mean: roles and units, and how an answer's values become them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ROLE_UNITS", "TEXT_ROLES", "Column"]

#: Roles of columns, with the units that they are handed on in.
ROLE_UNITS: dict[str, str | None] = {
    "id": None,
    **dict.fromkeys(("ra", "dec"), "deg"),
    **dict.fromkeys(("ra_error", "dec_error", "parallax", "parallax_error"), "mas"),
    **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas / yr"),
    "radial_velocity": "km / s",
    "ref_epoch": "yr",
    "mag": "mag",
    "ruwe": None,
    "excess_noise": "mas",
    **dict.fromkeys(("duplicated", "extended"), None),
    **dict.fromkeys(("ra_dec_corr", "ra_parallax_corr", "ra_pmra_corr", "ra_pmdec_corr"), None),
    **dict.fromkeys(("dec_parallax_corr", "dec_pmra_corr", "dec_pmdec_corr"), None),
    **dict.fromkeys(("parallax_pmra_corr", "parallax_pmdec_corr", "pmra_pmdec_corr"), None),
}

#: Roles whose values are text.
TEXT_ROLES = frozenset({"id"})


@dataclass(frozen=True)
class Column:
    """What a role is made of, in one table of one service.

    Parameters
    ----------
    adql : str
        Expression that the service computes.
    scale, power : float
        The value is ``scale * answer ** power``.
    cos_dec : bool
        Whether it still is to be multiplied by cos(Dec).
    missing : tuple of float
        Answers that say that there is no value.
    valid : tuple of two float, optional
        Smallest and largest answer that is a value.
    above, below : float, optional
        The value is 1 for answers above, or below, and 0 for others.
    unless : tuple of str
        The value is 0 for these answers, as text, and 1 for others.
    """

    adql: str
    scale: float = 1.0
    power: float = 1.0
    cos_dec: bool = False
    missing: tuple[float, ...] = ()
    valid: tuple[float, float] = (-np.inf, np.inf)
    above: float | None = None
    below: float | None = None
    unless: tuple[str, ...] = ()

    def values(self, answer: NDArray[np.float64], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """The role's values, (N,), NaN where unknown.

        Parameters
        ----------
        answer : (N,) ndarray
            What the service computed; NaN for NULL.
        dec : (N,) ndarray, deg
            Declinations.
        """
        low, high = self.valid
        known = np.isfinite(answer) & (answer >= low) & (answer <= high)
        known &= ~np.isin(answer, self.missing)
        if self.power != 1.0:
            known &= answer > 0.0
        raw = np.where(known, answer, np.nan)
        if self.above is not None:
            return np.where(known, raw > self.above, np.nan)
        if self.below is not None:
            return np.where(known, raw < self.below, np.nan)
        scaled = self.scale * raw**self.power
        return scaled * np.cos(np.radians(dec)) if self.cos_dec else scaled
