"""Read what was written, as other programs will, and compare it with what was meant."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from grism_align.io.files.fits import one_line, open_fits
from grism_align.values.errors import InputError, OutputError
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    from grism_align.values.source import Source

# What the linear terms may lack of a correction by arcminutes, and text of a number, arcsec.
_TOLERANCE = 1e-4
_REMEDY = (
    "Nothing was written. Fetch the exposure from the archive again, or leave it out; please report this"
)


@dataclass(frozen=True, eq=False)
class PointsOnSky:
    """Where points of a chip are meant to be.

    Parameters
    ----------
    xy : (N, 2) ndarray
        Zero-based pixels.
    sky : (N, 2) ndarray, deg
        Their places.
    """

    xy: NDArray[np.float64]
    sky: NDArray[np.float64]


def check_file(source: Source, written: Path, meant: Mapping[int, PointsOnSky]) -> None:
    """Refuse a file in which the WCSs of the science arrays are others than meant.

    Parameters
    ----------
    source : Source
        The exposure, for the error.
    written : Path
        What was written of it.
    meant : mapping of int to PointsOnSky
        By EXTVER.

    Raises
    ------
    OutputError
        If one differs, or can't be read.
    """
    try:
        with open_fits(written) as hdus:
            check_wcs(source, hdus, meant)
    except InputError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(source, f"what was written of it is {error.problem}", _REMEDY) from error


def check_wcs(
    source: Source, hdus: fits.HDUList, meant: Mapping[int, PointsOnSky], name: str = "SCI"
) -> None:
    """Refuse WCSs that are others than meant, as `check_file`.

    Parameters
    ----------
    source : Source
        The exposure, for the error.
    hdus : HDUList
        What was written of it, opened again.
    meant : mapping of int to PointsOnSky
        By EXTVER.
    name : str, optional
        EXTNAME of the extensions with the WCSs.

    Raises
    ------
    OutputError
        If one differs, or can't be read.
    """
    for version, points in meant.items():
        where = f"the WCS written for {name},{version}"
        try:
            read = as_others_read(hdus, (name, version), points.xy)
            apart = 3600 * separation(read, points.sky).max()
        except Exception as error:
            problem = f"{where} can't be read again ({one_line(error)})"
            raise OutputError(source, problem, _REMEDY) from error
        if not apart <= _TOLERANCE:
            problem = f'{where} is read as another, {apart:.4f}" from the right one'
            raise OutputError(source, problem, _REMEDY)


def as_others_read(
    hdus: fits.HDUList, extension: tuple[str, int], xy: NDArray[np.float64], letter: str = " "
) -> NDArray[np.float64]:
    """Sky (N, 2), deg, of zero-based pixels (N, 2) by a WCS of a header, as astropy reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        wcs = WCS(hdus[extension].header, hdus, key=letter)
        return np.asarray(wcs.all_pix2world(xy, 0))
