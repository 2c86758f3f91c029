"""Parts of detectors, made from simulated exposures: subarrays, binned and single chips."""

from __future__ import annotations

import re

import numpy as np
from astropy.io import fits


def subarray(path, target, corner=(17, 30), shape=(40, 50)):
    """Cut an exposure as a subarray: CRPIX and LTV move, distortion tables are of the same chip."""
    (x, y), (ny, nx) = corner, shape
    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu.name in ("SCI", "ERR", "DQ") and hdu.data is not None:
                hdu.data = hdu.data[y : y + ny, x : x + nx].copy()
                for axis, first in ((1, x), (2, y)):
                    for key in ("", "O"):
                        if f"CRPIX{axis}{key}" in hdu.header:
                            hdu.header[f"CRPIX{axis}{key}"] -= first
                    hdu.header[f"LTV{axis}"] = hdu.header.get(f"LTV{axis}", 0.0) - first
            elif hdu.name in ("D2IMARR", "WCSDVARR"):
                hdu.header["CRPIX1"] += 0.0
                hdu.header["CRVAL1"] -= x
                hdu.header["CRVAL2"] -= y
        hdus[0].header["SUBARRAY"] = True
        hdus.writeto(target)
    return target


def binned(path, target):
    """Bin a WFC3/UVIS exposure by two, with its WCS and its lookup tables."""
    with fits.open(path) as hdus:
        for hdu in hdus:
            if hdu.name in ("SCI", "ERR", "DQ"):
                hdu.data = np.ascontiguousarray(hdu.data[::2, ::2])
                _bin_header(hdu.header)
            elif hdu.name in ("D2IMARR", "WCSDVARR"):
                hdu.data = hdu.data / np.float32(2)
                for axis in (1, 2):
                    hdu.header[f"CRVAL{axis}"] = (hdu.header[f"CRVAL{axis}"] - 0.5) / 2 + 0.5
                    hdu.header[f"CDELT{axis}"] /= 2
        hdus.writeto(target)
    return target


def _bin_header(header):
    for name in list(header):
        if re.fullmatch("CRPIX[12]O?", name):
            header[name] = (header[name] - 0.5) / 2 + 0.5
        elif re.fullmatch("CD[12]_[12]O?", name):
            header[name] *= 2
        elif re.fullmatch(r"[AB]_\d_\d", name):
            header[name] *= 2 ** (int(name[2]) + int(name[4]) - 1)
    for axis in (1, 2):
        header[f"LTV{axis}"] = header.get(f"LTV{axis}", 0.0) / 2 + 0.25
        header[f"LTM{axis}_{axis}"], header[f"BINAXIS{axis}"] = 0.5, 2


def one_chip(path, target):
    """The second chip alone, it and its tables numbered as the archive does it."""
    with fits.open(path) as hdus:
        arrays = [hdu for hdu in hdus if hdu.name in ("SCI", "ERR", "DQ") and hdu.ver == 2]
        tables = [hdu for hdu in hdus if hdu.name in ("D2IMARR", "WCSDVARR") and hdu.ver > 2]
        for hdu in arrays:
            hdu.ver = 1
        for hdu in tables:
            hdu.ver -= 2
        for stem in ("D2IM1", "D2IM2", "DP1", "DP2"):
            arrays[0].header[f"{stem}.EXTVER"] = int(arrays[0].header[f"{stem}.EXTVER"]) - 2
        fits.HDUList([hdus[0], *arrays, *tables]).writeto(target)
    return target
