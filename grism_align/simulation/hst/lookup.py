"""The tables of the CCDs' distortion that no polynomial describes: D2IM and NPOL, made smooth and fixed."""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SHAPE = (33, 65)
_STEP = 64.0
# Standard deviations, pixels: those of the UVIS and ACS reference files
_KINDS = {"D2IMARR": 0.018, "WCSDVARR": 0.024}
_CARDS = (("D2IM", "D2IMDIS", "D2IMERR", 0.05), ("DP", "CPDIS", "CPERR", 0.07))


def lookup_tables(n_chips: int, corners: list[tuple[int, int]]) -> list[fits.ImageHDU]:
    """Return the tables of all chips; EXTVER 2v-1 and 2v are the x and y tables of SCI extension v.

    Parameters
    ----------
    n_chips : int
        Chips of the instrument.
    corners : list of (x, y)
        Zero-based first pixel of each chip's cut: the tables stay on the detector.
    """
    tables = []
    for number, (name, deviation) in enumerate(_KINDS.items()):
        for extver in range(1, 2 * n_chips + 1):
            hdu = fits.ImageHDU(deviation * _smooth(10 * extver + number), name=name, ver=extver)
            for axis, start in zip((1, 2), corners[(extver - 1) // 2], strict=True):
                hdu.header[f"CRPIX{axis}"] = (0.0, "Coordinate system reference pixel")
                hdu.header[f"CDELT{axis}"] = (_STEP, "Coordinate increment along axis")
                hdu.header[f"CRVAL{axis}"] = (float(-start), "Coordinate system value at reference pixel")
            tables.append(hdu)
    return tables


def _smooth(seed: int) -> NDArray[np.float32]:
    """Return a smooth field of zero mean and unit deviation: waves as long as 0.3 to 1 chip."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 2 * np.pi, n) for n in _SHAPE), indexing="ij")
    field = np.zeros(_SHAPE)
    for _ in range(6):
        kx, ky, phase = rng.uniform([-3, -3, 0], [3, 3, 2 * np.pi])
        field += np.sin(kx * x + ky * y + phase)
    field -= field.mean()
    return np.asarray(field / field.std(), dtype=np.float32)


def add_lookup_cards(header: fits.Header, extver: int) -> None:
    """Add the record-valued cards that lead from SCI extension `extver` to its tables (FITS Paper IV)."""
    for record, kind, error, largest in _CARDS:
        for axis in (1, 2):
            header[f"{kind}{axis}"] = ("Lookup", "Distortion given as a table")
            for name, value in (
                ("EXTVER", 2 * (extver - 1) + axis),
                ("NAXES", 2),
                ("AXIS.1", 1),
                ("AXIS.2", 2),
            ):
                header[f"{record}{axis}.{name}"] = value
            header[f"{error}{axis}"] = (largest, "Maximum error of the correction of the axis")
