"""The pixels of exposures of JWST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.flags import without_partly_saturated
from grism_align.io.missions.jwst.sources import OPEN_AGAIN
from grism_align.io.models.open_models import ModelSource, reading
from grism_align.values.errors import InputError
from grism_align.values.mission import ChipPixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure


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
    (chip,) = exposure.chips
    if isinstance(exposure.source, ModelSource):
        with exposure.source.opened() as model:
            yield chip, _of_model(model, chip, exposure.source)
        return
    path = path_of(exposure.source)
    try:
        with fits.open(path, memmap=False) as hdus:
            sci, err, dq = (_array(hdus, name, chip) for name in ("SCI", "ERR", "DQ"))
    except Exception as error:
        # astropy trips over damaged files in many ways
        problem = f"can't read SCI, ERR and DQ ({one_line(error)})"
        raise InputError(path, problem, "Fetch the file again") from error
    yield chip, ChipPixels(sci, err, without_partly_saturated(dq))


def _of_model(model: Any, chip: Chip, source: ModelSource) -> ChipPixels:
    """Return the arrays of an open model; errors and flags that it lacks are zero."""
    with reading(source, OPEN_AGAIN):
        sci, err, dq = (getattr(model, name, None) for name in ("data", "err", "dq"))
    if sci is None or sci.shape != chip.shape:
        raise InputError(source, "its science array is missing, or another than before", "Give it as it was")
    err = np.zeros(chip.shape, sci.dtype) if err is None else err
    dq = np.zeros(chip.shape, np.uint32) if dq is None else dq
    return ChipPixels(sci, err, without_partly_saturated(dq))


def _array(hdus: fits.HDUList, name: str, chip: Chip) -> NDArray[Any]:
    data = np.asarray(hdus[name].data)
    if data.shape != chip.shape:
        msg = f"{name} has shape {data.shape}, not {chip.shape}"
        raise ValueError(msg)
    if name == "DQ" and data.dtype.kind not in "iu":
        msg = f"DQ holds {data.dtype}, and bits are whole numbers"
        raise ValueError(msg)
    return data.astype(data.dtype.newbyteorder("="), copy=False)
