"""Mosaics as FITS files, written tile by tile, and the pixels of an image that is to be matched."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning

from grism_align import __version__
from grism_align.io.files.fits import open_fits, plain_text
from grism_align.io.files.space import reserve
from grism_align.io.files.staging import atomic_path
from grism_align.io.missions import read_keywords
from grism_align.values.errors import InputError
from grism_align.values.mosaic import MosaicGrid, MosaicMetadata
from grism_align.values.transform import TangentPlane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from grism_align.values.exposure import Exposure
    from grism_align.values.mosaic import MosaicPlan, Tile
    from grism_align.values.settings import MosaicSettings


_BLOCK = 2880
# Rows of a tile as wide as the image that are read or written at a time.
_ROWS = 64
_CARRIED = ("TELESCOP", "INSTRUME", "DETECTOR", "TARGNAME", "FILTER", "FILTER1", "FILTER2")
_PHOTOMETRY = ("PHOTMODE", "PHOTFLAM", "PHOTPLAM", "PHOTBW", "PHOTZPT", "PHOTFNU")
_GIVE = "Give the image of a mosaic, with a TAN WCS and no distortion"


class TiledImage:
    """An image on disk of which only parts are in memory.

    Parameters
    ----------
    path : Path
        The file, with its header and room for the data.
    offset : int
        Where the data begin.
    shape : (ny, nx)
        Pixels.
    dtype : str
        Of the pixels, big-endian.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, int], dtype: str) -> None:
        self.path, self.shape = path, shape
        self._offset, self._dtype = offset, dtype

    def write(self, tile: Tile, values: NDArray[Any]) -> None:
        """Put the values of a tile, of its shape, in place."""
        if values.shape != tile.shape:
            msg = f"{values.shape} values for a tile of {tile.shape}"
            raise ValueError(msg)
        # part by part: where a disk is full, writing to a file in memory (mmap) would kill the process
        with self.path.open("rb+") as stream:
            for rows in self._parts(tile):
                stream.seek(self._place(tile.bottom + rows.start, tile.left))
                stream.write(np.ascontiguousarray(values[rows], self._dtype).data)

    def read(self, tile: Tile) -> NDArray[Any]:
        """Return the values of a tile, in native byte order."""
        out = np.empty(tile.shape, np.dtype(self._dtype).newbyteorder("="))
        with self.path.open("rb") as stream:
            for rows in self._parts(tile):
                stream.seek(self._place(tile.bottom + rows.start, tile.left))
                part = out[rows]
                part[:] = np.frombuffer(stream.read(part.nbytes), self._dtype).reshape(part.shape)
        return out

    def _parts(self, tile: Tile) -> Iterator[slice]:
        """Yield rows of a tile that lie together in the file: several where it is as wide as the image."""
        step = _ROWS if tile.shape[1] == self.shape[1] else 1
        for first in range(0, tile.shape[0], step):
            yield slice(first, min(first + step, tile.shape[0]))

    def _place(self, row: int, column: int) -> int:
        """Return where a pixel begins in the file."""
        return self._offset + np.dtype(self._dtype).itemsize * (row * self.shape[1] + column)


@contextmanager
def tiled_image(path: Path, header: fits.Header, shape: tuple[int, int], dtype: str) -> Iterator[TiledImage]:
    """Return a new image of zeros that takes its name when the block ends without an error; it has its room.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    header : astropy.io.fits.Header
        Besides the keywords of the data's form.
    shape : (ny, nx)
        Pixels.
    dtype : str
        ``>f4`` or ``>i4``.
    """
    whole = fits.PrimaryHDU(np.zeros((1, 1), dtype)).header
    whole["NAXIS1"], whole["NAXIS2"] = shape[1], shape[0]
    whole.extend(header, strip=True)
    text = whole.tostring().encode("ascii")
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    with atomic_path(path) as temporary:
        with temporary.open("wb") as stream:
            stream.write(text)
            reserve(stream, -(-size // _BLOCK) * _BLOCK)
        yield TiledImage(temporary, len(text), shape, dtype)


def opened_image(path: Path) -> TiledImage:
    """Open an image of ``>f4`` that `tiled_image` made."""
    with fits.open(path) as hdus:
        shape = hdus[0].header["NAXIS2"], hdus[0].header["NAXIS1"]
        return TiledImage(path, hdus[0].fileinfo()["datLoc"], shape, ">f4")


def metadata_of(exposures: Sequence[Exposure]) -> MosaicMetadata:
    """Return what the header of a mosaic of some exposures, in time order, says of them."""
    from astropy.time import Time

    first = exposures[0]
    times = np.array([exposure.exposure_time for exposure in exposures])
    mid = float(np.average([exposure.mid for exposure in exposures], weights=times))
    known = read_keywords(first)
    keywords = {name: known[name] for name in (*_CARRIED, *_PHOTOMETRY) if name in known}
    return MosaicMetadata(
        float(times.sum()),
        min(exposure.start for exposure in exposures),
        max(exposure.end for exposure in exposures),
        float(Time(mid, format="mjd").jyear),
        first.ab_zero_point,
        keywords,
    )


def mosaic_header(
    plan: MosaicPlan,
    metadata: MosaicMetadata,
    exposures: Sequence[Exposure],
    settings: MosaicSettings,
    rejection: str,
) -> fits.Header:
    """Return the header of a mosaic: WCS, photometry, times, exposures, and how it was made.

    Parameters
    ----------
    plan : MosaicPlan
        The mosaic.
    metadata : MosaicMetadata
        What it says of its exposures.
    exposures : sequence of Exposure
        Those.
    settings : MosaicSettings
        The parameters.
    rejection : str
        How cosmic rays were found.
    """
    from astropy.time import Time

    header = wcs_header(plan.grid)
    header["BUNIT"] = (exposures[0].rate_unit, "of a pixel")
    for name, (value, comment) in metadata.keywords.items():
        header[name] = (value, comment)
    header["FILTER"] = (plain_text(plan.filter), "element of the mosaic")
    header["EXPTIME"] = (metadata.exposure_time, "[s] sum of the exposures")
    header["EXPSTART"] = (metadata.start, "[MJD] start of the first exposure")
    header["EXPEND"] = (metadata.end, "[MJD] end of the last exposure")
    header["DATE-OBS"] = (Time(metadata.start, format="mjd").isot, "start of the first exposure (UTC)")
    header["MJD-OBS"] = (metadata.start, "[MJD] the same")
    header["EPOCH_JY"] = (metadata.epoch, "[yr] mean Julian epoch")
    if np.isfinite(metadata.ab_zero_point):
        header["ABZPT"] = (metadata.ab_zero_point, "AB magnitude of a source of one BUNIT")
    header["NDRIZIM"] = (len(exposures), "exposures")
    for number, exposure in enumerate(exposures[:999], start=1):
        header[f"D{number:03d}DATA"] = (plain_text(exposure.source.name[:60]), "exposure")
        header[f"D{number:03d}DEXP"] = (exposure.exposure_time, "[s]")
        header[f"D{number:03d}PIXF"] = settings.drop_side
        header[f"D{number:03d}KERN"] = settings.kernel
        header[f"D{number:03d}SCAL"] = (plan.grid.scale, "[arcsec] pixel of the mosaic")
    header["WHTTYPE"] = (settings.weights, "what the weights are")
    header["CRREJECT"] = (rejection, "how cosmic rays were rejected")
    header["GALVERS"] = (__version__, "grism_align: version")
    header["DATE"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return header


def weight_header(header: fits.Header, settings: MosaicSettings) -> fits.Header:
    """Return the header of the weights of the mosaic that has a header."""
    own = header.copy()
    own["BUNIT"] = ("s" if settings.weights == "exposure" else f"({header['BUNIT']})^-2", "of a pixel")
    return own


def wcs_header(grid: MosaicGrid) -> fits.Header:
    """Return the WCS of a grid as keywords."""
    header = fits.Header()
    header["WCSAXES"] = 2
    for axis, (name, value) in enumerate(
        zip(("RA---TAN", "DEC--TAN"), (grid.plane.ra, grid.plane.dec), strict=True), 1
    ):
        header[f"CTYPE{axis}"], header[f"CUNIT{axis}"] = name, "deg"
        header[f"CRVAL{axis}"], header[f"CRPIX{axis}"] = value, float(grid.origin[axis - 1]) + 1
        for other in (1, 2):
            header[f"CD{axis}_{other}"] = float(grid.matrix[axis - 1, other - 1]) / 3600
    header["RADESYS"] = "ICRS"
    header["ORIENTAT"] = (
        float(np.degrees(np.arctan2(grid.matrix[0, 1], grid.matrix[1, 1]))),
        "[deg] position angle of +y",
    )
    header["IDCSCALE"] = (grid.scale, "[arcsec] side of a pixel")
    return header


def read_grid(path: Path) -> MosaicGrid:
    """Return the pixels of an image.

    Parameters
    ----------
    path : Path
        A FITS file; the first extension with an image counts.

    Raises
    ------
    InputError
        If it can't be read, or its WCS is not TAN without distortion.
    """
    with open_fits(path) as hdus:
        header = next((hdu.header for hdu in hdus if hdu.header.get("NAXIS") == 2), None)
        if header is None:
            raise InputError(path, "no image", _GIVE)
        ctypes = [str(header.get(name, "")).strip() for name in ("CTYPE1", "CTYPE2")]
        if ctypes != ["RA---TAN", "DEC--TAN"]:
            raise InputError(path, f"CTYPE is {', '.join(ctypes)}", _GIVE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            wcs = WCS(header)
        shape = int(header["NAXIS2"]), int(header["NAXIS1"])
    ra, dec = wcs.wcs.crval
    return MosaicGrid(
        TangentPlane(float(ra), float(dec)), np.array(wcs.wcs.crpix) - 1, wcs.pixel_scale_matrix * 3600, shape
    )
