"""Write an exposure of JWST as a data model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.simulation.detector import Flag
from grism_align.simulation.jwst.metadata import megajanskys, metadata
from grism_align.simulation.jwst.transforms import exposure_wcs

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.simulation.detector import Pixels
    from grism_align.simulation.jwst.exposures import DetectorExposure

_DO_NOT_USE, _SATURATED, _REFERENCE_PIXEL = 1, 2, 2**31
_BITS = {
    Flag.BAD: _DO_NOT_USE | 1024,
    Flag.HOT: _DO_NOT_USE | 2048,
    Flag.UNSTABLE: _DO_NOT_USE | 4096,
    Flag.SATURATED: _SATURATED,
    Flag.COSMIC_RAY: 4,
    Flag.RAMP_HIT: 4,
}
_BORDER = 4  # reference pixels along each edge of a detector

# As jwst's assign_wcs asks for
_SIP = {
    "max_pix_error": 0.01,
    "degree": range(1, 6),
    "max_inv_pix_error": 0.01,
    "inv_degree": range(1, 6),
    "npoints": 12,
}


def write_model(taken: DetectorExposure, pixels: Pixels, path: Path) -> None:
    """Write an exposure, with the WCS that its pointing error makes wrong.

    Parameters
    ----------
    taken : DetectorExposure
        The exposure.
    pixels : Pixels
        Electrons per second, errors, flags.
    path : Path
        The file, which may exist.
    """
    from stdatamodels.jwst import datamodels

    model = datamodels.ImageModel(validate_on_assignment=False)
    for name, values in _arrays(taken, pixels).items():
        setattr(model, name, values)
    for place, value in metadata(taken).items():
        model[f"meta.{place}"] = value
    _add_wcs(model, taken)
    model.save(path, overwrite=True)
    model.close()


def _arrays(taken: DetectorExposure, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file: no numbers where a pixel must not be used."""
    detector, seconds = taken.detector, taken.exposure.plan.exposure_time
    unit = 1 / detector.gain if taken.element.is_grism else megajanskys(taken)
    dq = _flags(taken, pixels)
    gone = (dq & _DO_NOT_USE) != 0
    read_noise = detector.readout.noise[int(taken.element.is_grism)] / seconds
    variances = {
        "var_poisson": np.clip(pixels.sci, 0, None) / seconds * unit**2,
        "var_rnoise": np.full(pixels.sci.shape, (read_noise * unit) ** 2),
    }
    values = {"data": pixels.sci * unit, "err": pixels.err * unit, **variances}
    found = {name: np.where(gone, np.nan, array).astype(np.float32) for name, array in values.items()}
    return {**found, "dq": dq}


def _flags(taken: DetectorExposure, pixels: Pixels) -> NDArray[np.uint32]:
    """Return JWST's flags: what saturates before there is a first group has no rate."""
    detector, dq = taken.detector, np.zeros(pixels.dq.shape, dtype=np.uint32)
    for flag, bits in _BITS.items():
        dq[(pixels.dq & int(flag)) != 0] |= np.uint32(bits)
    hopeless = pixels.sci * detector.group_time >= detector.readout.full_well
    dq[hopeless] |= np.uint32(_DO_NOT_USE | _SATURATED)
    rows, columns = np.indices(dq.shape)
    x, y = taken.true_sky.corner
    for places, size in ((columns + x, taken.camera.shape[1]), (rows + y, taken.camera.shape[0])):
        dq[(places < _BORDER) | (places >= size - _BORDER)] |= np.uint32(_DO_NOT_USE | _REFERENCE_PIXEL)
    return dq


def _add_wcs(model: Any, taken: DetectorExposure) -> None:
    """Add the gwcs, its approximation in FITS keywords, and the footprint."""
    sky = taken.written_sky
    wcs = exposure_wcs(sky, taken.element)
    model.meta.wcs = wcs.own
    x, y = sky.aperture.reference
    header = wcs.imaging.to_fits_sip(crpix=(x - sky.corner[0], y - sky.corner[1]), **_SIP)
    cards = {name.lower(): value for name, value in header.items() if not name.startswith("NAXIS")}
    model.meta.wcsinfo.instance.update(cards)
    ny, nx = sky.shape
    corners = sky.to_sky(np.array([[0, 0], [0, ny], [nx, ny], [nx, 0]]) - 0.5)
    places = " ".join(f"{ra:.9f} {dec:.9f}" for ra, dec in corners)
    model.meta.wcsinfo.s_region = f"POLYGON ICRS  {places}"
