"""The pixels of exposures of Roman."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.fits import one_line
from grism_align.io.files.sources import path_of
from grism_align.io.gwcs.flags import without_partly_saturated
from grism_align.io.missions.roman.files import opened_tree
from grism_align.io.missions.roman.sources import OPEN_AGAIN
from grism_align.io.models.open_models import ModelSource, reading
from grism_align.values.errors import InputError
from grism_align.values.mission import ChipPixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from grism_align.values.exposure import Chip, Exposure


def read_pixels(exposure: Exposure) -> Iterator[tuple[Chip, ChipPixels]]:
    """Yield the arrays of an exposure.

    Pixels that saturated in some of the reads only have good values, and are not flagged as saturated.
    Errors have three digits in the file; those that are too large for it are not known.

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
        with exposure.source.opened() as model, reading(exposure.source, OPEN_AGAIN):
            pixels = _pixels({name: getattr(model, name, None) for name in ("data", "err", "dq")}, chip)
    else:
        path = path_of(exposure.source)
        with opened_tree(path, is_lazy=True) as roman:
            try:
                pixels = _pixels(roman, chip)
            except Exception as error:
                # asdf trips over damaged files in many ways
                problem = f"can't read data, err and dq ({one_line(error)})"
                raise InputError(path, problem, "Fetch the file again") from error
    yield chip, pixels


def _pixels(arrays: Mapping[str, Any], chip: Chip) -> ChipPixels:
    """Return the arrays; errors and flags that are not there are zero."""
    sci = _array(arrays["data"], "data", chip)
    err, dq = arrays.get("err"), arrays.get("dq")
    error = np.zeros(chip.shape, np.float32) if err is None else _array(err, "err", chip).astype(np.float32)
    flags = np.zeros(chip.shape, np.uint32) if dq is None else _array(dq, "dq", chip)
    if flags.dtype.kind not in "iu":
        msg = f"dq holds {flags.dtype}, and bits are whole numbers"
        raise ValueError(msg)
    error[np.isinf(error)] = 0.0
    return ChipPixels(sci, error, without_partly_saturated(flags))


def _array(value: Any, name: str, chip: Chip) -> NDArray[Any]:
    # older models have quantities
    array = np.asarray(getattr(value, "value", value))
    if array.shape != chip.shape:
        msg = f"{name} has shape {array.shape}, not {chip.shape}"
        raise ValueError(msg)
    return array
