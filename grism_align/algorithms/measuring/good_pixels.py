"""Which pixels of a chip can be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def has_bits(dq: NDArray[Any], bits: int) -> NDArray[np.bool_]:
    """Return where data-quality flags of any integer type, signed or not, have one of some bits.

    Parameters
    ----------
    dq : ndarray of int
        The flags.
    bits : int
        Sum of the bits; a negative number stands for all but those of its complement.
    """
    # as wide as it is, so that a sign is a bit like others
    unsigned = dq.astype(f"u{dq.dtype.itemsize}")
    return np.asarray((unsigned & unsigned.dtype.type(bits & np.iinfo(unsigned.dtype).max)) != 0)


def good_pixels(sci: NDArray[Any], err: NDArray[Any], dq: NDArray[Any], good_bits: int) -> NDArray[np.bool_]:
    """Return where pixels have a finite value, a positive error and no bad flag.

    Parameters
    ----------
    sci, err : (ny, nx) ndarray
        Values and standard errors, any unit.
    dq : (ny, nx) ndarray of int
        Data-quality flags.
    good_bits : int
        Sum of the bits that leave a pixel usable.
    """
    return np.asarray(~has_bits(dq, ~good_bits) & np.isfinite(sci) & np.isfinite(err) & (err > 0))
