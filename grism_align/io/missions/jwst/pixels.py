"""The pixels of exposures of JWST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.values.errors import InputError
from grism_align.values.mission import ChipPixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure


_DO_NOT_USE, _SATURATED = 1, 2


def read_pixels(exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
    """Yield the arrays of an exposure.

    Pixels that saturated in some of the reads only have good values, and are not flagged as saturated.

    Parameters
    ----------
    exposure : Exposure
        The exposure to open.

    Yields
    ------
    chip, pixels : Chip, ChipPixels

    Raises
    ------
    InputError
        If an array is missing or can't be read.
    """
    path, (chip,) = path_of(exposure.source), exposure.chips
    try:
        with fits.open(path, memmap=False) as hdus:
            sci, err, dq = (_array(hdus, name, chip) for name in ("SCI", "ERR", "DQ"))
    except Exception as error:
        # astropy trips over damaged files in many ways
        problem = f"can't read SCI, ERR and DQ ({one_line(error)})"
        raise InputError(path, problem, "Fetch the file again") from error
    yield chip, ChipPixels(sci, err, without_partly_saturated(dq))


def _array(hdus: fits.HDUList, name: str, chip: Chip) -> NDArray[Any]:
    data = np.asarray(hdus[name].data)
    if data.shape != chip.shape:
        msg = f"{name} has shape {data.shape}, not {chip.shape}"
        raise ValueError(msg)
    return data.astype(data.dtype.newbyteorder("="), copy=False)


def without_partly_saturated(dq: NDArray[Any]) -> NDArray[Any]:
    """Take the flag of saturation off pixels that have a value all the same.

    Parameters
    ----------
    dq : (ny, nx) ndarray of int
        Data-quality bits.
    """
    partly = (dq & (_SATURATED | _DO_NOT_USE)) == _SATURATED
    return np.where(partly, dq & ~np.array(_SATURATED, dq.dtype), dq)
