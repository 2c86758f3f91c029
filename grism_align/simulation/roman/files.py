"""Write an exposure of Roman as a data model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.time import Time

from grism_align.simulation.detector import Flag
from grism_align.simulation.gwcs.imaging import imaging_steps
from grism_align.values.sphere import ARCSEC_PER_RADIAN

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from grism_align.simulation.detector import Pixels
    from grism_align.simulation.roman.exposures import DetectorExposure

_DO_NOT_USE, _SATURATED = 1, 2
_BITS = {
    Flag.BAD: _DO_NOT_USE | 1024,
    Flag.HOT: _DO_NOT_USE | 2048,
    Flag.UNSTABLE: _DO_NOT_USE | 4096,
    Flag.SATURATED: _SATURATED,
    Flag.COSMIC_RAY: 4,
    Flag.RAMP_HIT: 4,
}
#: MJy of a source of AB magnitude 0.
_AB_ZERO = 3631e-6
_DAY = 86400.0
_DONE = (
    *("assign_wcs", "dark", "dark_decay", "dq_init", "linearity", "photom", "ramp_fit", "refpix"),
    *("saturation", "wfi18_transient"),
)
_NOT_YET = ("flux", "outlier_detection", "skymatch", "source_catalog", "tweakreg")


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
    from gwcs import WCS
    from roman_datamodels import datamodels

    model = datamodels.ImageModel.create_fake_data(shape=taken.simulation.shape)
    for name, values in _arrays(taken, pixels).items():
        model[name] = values
    for place, value in _metadata(taken).items():
        *parents, name = place.split(".")
        node = model.meta
        for parent in parents:
            if parent not in node:
                node[parent] = {}
            node = node[parent]
        node[name] = value
    ny, nx = taken.simulation.shape
    wcs = WCS(imaging_steps(taken.written_sky))
    wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
    model.meta["wcs"] = wcs
    model.save(path)


def _arrays(taken: DetectorExposure, pixels: Pixels) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file, DN/s: no numbers where a pixel must not be used."""
    camera, seconds = taken.camera, taken.exposure.plan.exposure_time
    dq = np.zeros(pixels.dq.shape, dtype=np.uint32)
    for flag, bits in _BITS.items():
        dq[(pixels.dq & int(flag)) != 0] |= np.uint32(bits)
    hopeless = pixels.sci * camera.read_time >= camera.readout.full_well
    dq[hopeless] |= np.uint32(_DO_NOT_USE | _SATURATED)
    gone = (dq & _DO_NOT_USE) != 0
    poisson = np.clip(pixels.sci, 0, None) / seconds / camera.gain**2
    values = {
        "data": (pixels.sci / camera.gain, np.float32),
        "err": (pixels.err / camera.gain, np.float16),
        "var_poisson": (poisson, np.float16),
    }
    found: dict[str, NDArray[Any]] = {
        name: np.where(gone, np.nan, array).astype(kind) for name, (array, kind) in values.items()
    }
    return {**found, "dq": dq}


def _metadata(taken: DetectorExposure) -> dict[str, Any]:
    """Return all that a file says but its WCS, by place."""
    return {
        "filename": taken.filename,
        "telescope": "ROMAN",
        **_exposure(taken),
        **_observation(taken),
        **_pointing(taken),
        **_photometry(taken),
        **dict.fromkeys((f"cal_step.{step}" for step in _DONE), "COMPLETE"),
        **dict.fromkeys((f"cal_step.{step}" for step in _NOT_YET), "INCOMPLETE"),
        "cal_step.flat_field": "INCOMPLETE" if taken.element.is_grism else "COMPLETE",
    }


def _exposure(taken: DetectorExposure) -> dict[str, Any]:
    start, seconds = taken.exposure.start, taken.exposure.plan.exposure_time
    kind = "WSM" if taken.element.is_grism else "WIM"
    return {
        "instrument.name": "WFI",
        "instrument.detector": taken.detector.name,
        "instrument.optical_element": taken.element.wheels[0],
        "exposure.type": "WFI_SPECTRAL" if taken.element.is_grism else "WFI_IMAGE",
        "exposure.start_time": Time(start, format="mjd", scale="utc"),
        "exposure.end_time": Time(start + seconds / _DAY, format="mjd", scale="utc"),
        "exposure.exposure_time": seconds,
        "exposure.effective_exposure_time": seconds,
        "guide_star.guide_mode": f"{kind}-TRACK",
        "guide_star.guide_star_id": taken.exposure.visit.guide_star or f"S4QG0009{taken.exposure.visit.name}",
    }


def _observation(taken: DetectorExposure) -> dict[str, Any]:
    number = taken.exposure.number + 1
    return {
        "observation.visit_id": taken.visit_id,
        "observation.observation_id": taken.group,
        "observation.program": int(taken.simulation.program_name),
        "observation.execution_plan": 1,
        "observation.pass": 1,
        "observation.segment": 1,
        "observation.observation": 1,
        "observation.visit": int(taken.exposure.visit.name),
        "observation.visit_file_group": 2,
        "observation.visit_file_sequence": 1,
        "observation.visit_file_activity": "01",
        "observation.exposure": number,
    }


def _pointing(taken: DetectorExposure) -> dict[str, Any]:
    sky, aperture, simulation = taken.written_sky, taken.detector.aperture, taken.simulation
    aim, axis = sky.aim, sky.aim_of(0.0, 0.0)
    ny, nx = simulation.shape
    corners = sky.to_sky(np.array([[0, 0], [0, ny], [nx, ny], [nx, 0]]) - 0.5)
    return {
        "wcsinfo.aperture_name": aperture.name,
        "wcsinfo.v2_ref": aperture.v2,
        "wcsinfo.v3_ref": aperture.v3,
        "wcsinfo.v3yangle": aperture.angle,
        "wcsinfo.vparity": aperture.parity,
        "wcsinfo.ra_ref": aim.ra,
        "wcsinfo.dec_ref": aim.dec,
        "wcsinfo.roll_ref": aim.angle,
        "wcsinfo.s_region": "POLYGON ICRS  " + " ".join(f"{ra:.9f} {dec:.9f}" for ra, dec in corners),
        "pointing.ra_v1": axis.ra,
        "pointing.dec_v1": axis.dec,
        "pointing.pa_v3": axis.angle,
        "pointing.target_ra": simulation.ra,
        "pointing.target_dec": simulation.dec,
        "pointing.pointing_engineering_source": "CALCULATED",
        "velocity_aberration.scale_factor": sky.aberration,
    }


def _photometry(taken: DetectorExposure) -> dict[str, Any]:
    steradians = taken.detector.aperture.area / ARCSEC_PER_RADIAN**2
    electron = _AB_ZERO * 10 ** (-0.4 * taken.element.zero_point) / steradians
    return {
        "photometry.conversion_megajanskys": electron * taken.camera.gain,
        "photometry.pixel_area": steradians,
    }
