"""Cosmic rays that the mosaics found, handed back to the exposures."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from grism_align.io.files.checksums import sha256_of
from grism_align.io.files.sources import path_of
from grism_align.io.files.staging import atomic_path
from grism_align.io.missions.hst.facts import TELESCOPE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from grism_align.values.mosaic import ChipMask
    from grism_align.values.source import Source


_BIT = TELESCOPE.cosmic_ray_bit


def flag_cosmic_rays(target: Source, masks: Mapping[int, ChipMask]) -> str:
    """Set DQ bit 4096 in an exposure that was written where pixels were hit, and only there.

    Nothing else of the file changes.

    Parameters
    ----------
    target : Source
        The file; it is the old one or the whole new one.
    masks : mapping of int to ChipMask
        Pixels hit, by chip.

    Returns
    -------
    str
        SHA-256 of the new file.
    """
    path = path_of(target)
    with atomic_path(path) as temporary:
        shutil.copyfile(path, temporary)
        with fits.open(temporary, mode="update", memmap=False, do_not_scale_image_data=True) as hdus:
            for extver, mask in masks.items():
                _flag(hdus["DQ", extver], mask.unpacked())
        return sha256_of(temporary)


def _flag(hdu: Any, mask: NDArray[np.bool_]) -> None:
    if hdu.data is None and not mask.any() and not hdu.header["PIXVALUE"] & _BIT:
        return
    if hdu.data is None:
        # a constant extension has no pixels of its own
        hdu.data = np.full(mask.shape, hdu.header["PIXVALUE"], np.int16)
        for keyword in ("PIXVALUE", "NPIX1", "NPIX2"):
            hdu.header.remove(keyword, ignore_missing=True)
    bit = np.array(_BIT, hdu.data.dtype)
    hdu.data = np.where(mask, hdu.data | bit, hdu.data & ~bit)
    hdu.header.remove("CHECKSUM", ignore_missing=True)
    if "DATASUM" in hdu.header:
        hdu.add_datasum()
