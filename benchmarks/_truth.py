"""True WCSs of a set of exposures, and how far the WCSs of output files are from them.

A set is a folder with ``RAW/*.fits`` and ``truth.ecsv``, one row for each chip with the columns

- ``file``, name of the file in ``RAW``; ``extver``, EXTVER of the chip's SCI extension;
- ``kind``, ``direct`` or ``grism``; ``usable``, False for an exposure that nothing can align;
- ``crpix1``, ``crpix2``, ``crval1``, ``crval2``, ``cd1_1``, ``cd1_2``, ``cd2_1``, ``cd2_2``: the true linear
  terms, as FITS has them. The distortion is that of the file.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS, FITSFixedWarning

from grism_align.values.sphere import mean_direction
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.simulation import Truth

__all__ = ["Score", "score_outputs", "write_truth"]

_LINEAR = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
_SAMPLES = np.linspace(0.04, 0.96, 9)


@dataclass(frozen=True)
class Score:
    """Relative errors of the direct exposures of a set.

    Parameters
    ----------
    rms : float, mas
        Rms over exposures and pixels of the 2-D distance to the true place.
    worst : float, pixels
        The largest rms of one chip.
    n_off : int
        ExposureStack whose rms exceeds 0.1 pixel.
    """

    rms: float
    worst: float
    n_off: int


def write_truth(truth: Truth, path: Path) -> None:
    """Write the true WCSs of a simulation as a table of a set."""
    rows = []
    for exposure in truth.exposures.values():
        for extver, chip in exposure.chips.items():
            names = (exposure.path.name, extver, exposure.kind.value.lower(), exposure.is_usable)
            rows.append((*names, *(chip.header[key] for key in _LINEAR)))
    columns = ("file", "extver", "kind", "usable", *(key.lower() for key in _LINEAR))
    Table(rows=rows, names=columns).write(path, format="ascii.ecsv", overwrite=True)


def score_outputs(folder: Path, output: Path) -> Score:
    """Compare the WCSs of output files, which have the names of the input, with the truth.

    One shift, rotation and scale of all usable direct exposures are taken off first, since a relative frame
    is arbitrary; exposures that are far off have no say in them.

    Parameters
    ----------
    folder : Path
        The set.
    output : Path
        Folder of the output files.
    """
    table = Table.read(folder / "truth.ecsv")
    rows = [row for row in table if row["kind"] == "direct" and row["usable"]]
    true = [_grid_sky(folder / "RAW" / row["file"], row, true=True) for row in rows]
    given = [_grid_sky(output / row["file"], row, true=False) for row in rows]
    plane = TangentPlane(*mean_direction(np.concatenate([sky for sky, _ in true])))
    x, y = (np.array([plane.to_plane(sky) @ [1, 1j] for sky, _ in side]) for side in (true, given))
    rms = np.sqrt((np.abs(_onto(y, x) - x) ** 2).mean(axis=1))
    pixels = rms / [scale for _, scale in true]
    return Score(float(1e3 * np.sqrt((rms**2).mean())), float(pixels.max()), int((pixels > 0.1).sum()))


def _grid_sky(path: Path, row: Table.Row, *, true: bool) -> tuple[np.ndarray, float]:
    """Sky of a grid of pixels of a chip (N, 2) in deg, and the pixel's size in arcsec."""
    with fits.open(path) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        science = hdus["SCI", int(row["extver"])]
        header = science.header.copy()
        if true:
            header.update({key: float(row[key.lower()]) for key in _LINEAR})
        wcs = WCS(header, hdus)
        ny, nx = science.shape
        xy = np.stack(np.meshgrid(_SAMPLES * (nx - 1), _SAMPLES * (ny - 1)), axis=-1).reshape(-1, 2)
        return wcs.all_pix2world(xy, 0), 3600 * float(np.sqrt(abs(np.linalg.det(wcs.wcs.cd))))


def _onto(given: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Positions xi + i eta (exposures, points), after the similarity that brings most to the truth.

    Weights fall as the fourth power of an exposure's median distance beyond three times the typical one.
    """
    weight = np.ones(len(given))
    moved = given
    for _ in range(40):
        root = np.sqrt(np.repeat(weight, given.shape[1]))
        design = np.stack([given.ravel(), np.ones(given.size)], axis=1)
        slope, shift = np.linalg.lstsq(design * root[:, None], true.ravel() * root, rcond=None)[0]
        moved = slope * given + shift
        distance = np.median(np.abs(moved - true), axis=1)
        weight = (1 + (distance / max(3 * np.median(distance), 1e-7)) ** 2) ** -2.0
    return moved
