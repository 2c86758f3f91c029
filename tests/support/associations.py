"""Exposures and files made up for the tests of associations and pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.table import Table

from grism_align.io.missions import file_source
from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.values.exposure import Chip, Exposure, ExposureKind
from grism_align.values.transform import LinearTransform, TangentPlane

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1 / 86400
START = 57000.0


@dataclass(frozen=True)
class FlatSky:
    """A PixelSky without distortion: north up, east left, the chip's centre at (ra, dec)."""

    ra: float
    dec: float
    shape: tuple[int, int] = (1014, 1014)
    pixel_scale: float = 0.13

    @property
    def plane(self) -> TangentPlane:
        return TangentPlane(self.ra, self.dec)

    @property
    def axes(self):
        return self.pixel_scale * np.diag([-1.0, 1.0])

    @property
    def _center(self):
        ny, nx = self.shape
        return np.array([0.5 * (nx - 1), 0.5 * (ny - 1)])

    def to_sky(self, xy):
        offset = (np.asarray(xy, dtype=float) - self._center) * self.pixel_scale
        return self.plane.to_sky(offset * [-1, 1])

    def to_pixel(self, sky):
        return self.plane.to_plane(sky) * [-1, 1] / self.pixel_scale + self._center

    def corrected(self, transform: LinearTransform) -> FlatSky:
        ra, dec = transform.apply_to_sky([self.ra, self.dec])
        return FlatSky(float(ra), float(dec), self.shape, self.pixel_scale)

    def footprint(self):
        ny, nx = self.shape
        return self.to_sky([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])


def exposure(
    key: str,
    start: float,
    *,
    grism: bool = False,
    length: float = 200.0,
    east: float = 0.0,
    north: float = 0.0,
    **changes: Any,
) -> Exposure:
    """An exposure that starts `start` seconds after START, `east`, `north` arcsec off (53, -27.8)."""
    ra, dec = (float(value) for value in TangentPlane(53.0, -27.8).to_sky([east, north]))
    begin = START + start * SECOND
    values: dict[str, Any] = {
        "key": key,
        "source": file_source(f"/data/{key}_flt.fits"),
        "kind": ExposureKind.GRISM if grism else ExposureKind.DIRECT,
        "telescope": TELESCOPE,
        "instrument": "wfc3_ir",
        "filter": "G141" if grism else "F140W",
        "program": key[:4],
        "visit": key[:6],
        "group": key[:6],
        "guide_star": None,
        "target": "FIELD",
        "dither_offset": (0.0, 0.0),
        "start": begin,
        "end": begin + length * SECOND,
        "exposure_time": length,
        "ab_zero_point": 26.45,
        "is_rate": True,
        "rejects_cosmic_rays": True,
        "rate_unit": "ELECTRONS/S",
        "chips": (Chip(1, (1014, 1014), FlatSky(ra, dec)),),
    }
    return Exposure(**{**values, **changes})


def touch(folder: Path, *names: str) -> list[Path]:
    """Minimal FITS files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        fits.PrimaryHDU().writeto(path)
    return paths


def asn_table(path: Path, rows: list[tuple[str, str, bool]], **cards: Any) -> Path:
    """An HST association table."""
    names, kinds, present = zip(*rows, strict=True)
    table = Table({"MEMNAME": names, "MEMTYPE": kinds, "MEMPRSNT": np.array(present)})
    primary = fits.PrimaryHDU(header=fits.Header(cards))
    fits.HDUList([primary, fits.BinTableHDU(table, name="ASN")]).writeto(path)
    return path


def write_exposure(folder: Path, key: str, start: float, band: str = "F140W", **cards: Any) -> Path:
    """A WFC3/IR file of 32 x 32 pixels that starts `start` seconds after START, at (53, -27.8)."""
    begin = START + start * SECOND
    primary = fits.Header(
        {
            "TELESCOP": "HST",
            "INSTRUME": "WFC3",
            "DETECTOR": "IR",
            "ROOTNAME": key,
            "FILTER": band,
            "TARGNAME": "FIELD",
            "POSTARG1": 0.0,
            "POSTARG2": 0.0,
            "EXPSTART": begin,
            "EXPEND": begin + 200 * SECOND,
            "EXPTIME": 200.0,
            **cards,
        }
    )
    science = fits.ImageHDU(np.zeros((32, 32), "f4"), name="SCI", ver=1)
    science.header.update({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "BUNIT": "ELECTRONS/S"})
    science.header.update({"CRPIX1": 16.5, "CRPIX2": 16.5, "CRVAL1": 53.0, "CRVAL2": -27.8})
    science.header.update({"CD1_1": -3.6e-5, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 3.6e-5})
    science.header.update({"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-9, "B_0_2": 1e-9})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}_flt.fits"
    fits.HDUList([fits.PrimaryHDU(header=primary), science]).writeto(path)
    return path
