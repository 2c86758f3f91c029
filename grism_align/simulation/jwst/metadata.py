"""What the headers of a file of JWST say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy.time import Time

from grism_align.simulation.jwst.transforms import disperser
from grism_align.values.sphere import ARCSEC_PER_RADIAN

if TYPE_CHECKING:
    from grism_align.simulation.jwst.exposures import DetectorExposure

#: Values by their places in the metadata of a model.
Metadata = dict[str, str | int | float | bool]

#: MJy of a source of AB magnitude 0.
_AB_ZERO = 3631e-6
_TDB = 69.184 / 86400  # days from UTC to TDB
_ACQUISITION = 600.0 / 86400  # days from the guide star's to the first exposure


def metadata(taken: DetectorExposure) -> Metadata:
    """Return all that a file says but its WCS."""
    parts = (
        _instrument(taken),
        _observation(taken),
        _guiding(taken),
        _times(taken),
        _array(taken),
        _pointing(taken),
        _calibration(taken),
    )
    return {place: value for part in parts for place, value in part.items()}


def megajanskys(taken: DetectorExposure) -> float:
    """Return the surface brightness, MJy/sr, of one electron per second in a pixel."""
    return _AB_ZERO * 10 ** (-0.4 * taken.element.zero_point) / _steradians(taken)


def _steradians(taken: DetectorExposure) -> float:
    return taken.detector.aperture.area / ARCSEC_PER_RADIAN**2


def _instrument(taken: DetectorExposure) -> Metadata:
    camera, detector = taken.camera, taken.detector
    filter_wheel, pupil_wheel = taken.element.wheels
    found: Metadata = {
        "telescope": "JWST",
        "instrument.name": camera.instrume,
        "instrument.detector": detector.name,
        "instrument.filter": filter_wheel,
        "instrument.pupil": pupil_wheel,
        "exposure.type": camera.kinds[int(taken.element.is_grism)],
        "aperture.name": detector.aperture_name or detector.aperture.name,
    }
    if detector.channel:
        found |= {"instrument.channel": detector.channel, "instrument.module": detector.name[3]}
    else:
        found["instrument.filter_position"] = 245.76
    return found


def _observation(taken: DetectorExposure) -> Metadata:
    simulation, exposure = taken.simulation, taken.exposure
    program, observation = simulation.program_name, exposure.visit.name.zfill(3)
    date, clock = Time(exposure.start, format="mjd", scale="utc", precision=3).isot.split("T")
    x, y = exposure.plan.dither
    return {
        "observation.program_number": program,
        "observation.observation_number": observation,
        "observation.visit_number": "001",
        "observation.visit_id": f"{program}{observation}001",
        "observation.observation_id": f"V{program}{observation}001021{exposure.number + 1:02d}",
        "observation.visit_group": "02",
        "observation.sequence_id": "1",
        "observation.activity_id": f"{exposure.number + 1:02d}",
        "observation.exposure_number": "00001",
        "observation.date": date,
        "observation.time": clock,
        "visit.type": "PRIME_TARGETED_FIXED",
        "visit.status": "SUCCESSFUL",
        "visit.engdb_pointing_quality": "CALCULATED",
        "target.catalog_name": simulation.target,
        "target.proposer_name": simulation.target,
        "target.type": "FIXED",
        "target.ra": simulation.ra,
        "target.dec": simulation.dec,
        "dither.x_offset": float(x),
        "dither.y_offset": float(y),
        "dither.position_number": exposure.number + 1,
    }


def _guiding(taken: DetectorExposure) -> Metadata:
    visit = taken.exposure.visit
    start = Time(visit.start - _ACQUISITION, format="mjd", scale="utc", precision=3)
    return {
        "guidestar.gs_id": visit.guide_star or f"N6BI0009{visit.name}",
        "guidestar.gs_order": 1,
        "guidestar.gs_start_time": start.isot.replace("T", " "),
        "guidestar.gs_pcs_mode": "COARSE" if taken.exposure.plan.special.value == "trailed" else "FINEGUIDE",
    }


def _times(taken: DetectorExposure) -> Metadata:
    start, duration = taken.exposure.start, taken.exposure.plan.exposure_time
    found: Metadata = {
        f"exposure.{name}": duration
        for name in (
            "exposure_time",
            "effective_exposure_time",
            "measurement_time",
            "integration_time",
            "elapsed_exposure_time",
            "duration",
        )
    }
    group_time = taken.detector.group_time
    found |= {
        "exposure.nints": 1,
        "exposure.ngroups": max(1, round(duration / group_time)),
        "exposure.group_time": group_time,
    }
    for name, part in (("start", 0.0), ("mid", 0.5), ("end", 1.0)):
        time = start + part * duration / 86400
        found[f"exposure.{name}_time"] = found[f"exposure.{name}_time_mjd"] = time
        found[f"exposure.{name}_time_tdb"] = time + _TDB
    return found


def _array(taken: DetectorExposure) -> Metadata:
    (ny, nx), (x, y) = taken.simulation.shape, taken.true_sky.corner
    return {
        "subarray.name": "FULL" if (ny, nx) == taken.camera.shape else "GENERIC",
        "subarray.xstart": x + 1,
        "subarray.ystart": y + 1,
        "subarray.xsize": nx,
        "subarray.ysize": ny,
        "subarray.fastaxis": -1,
        "subarray.slowaxis": 2,
    }


def _pointing(taken: DetectorExposure) -> Metadata:
    sky, aperture = taken.written_sky, taken.detector.aperture
    aim, axis = sky.aim, sky.aim_of(0.0, 0.0)
    found: Metadata = {
        "wcsinfo.v2_ref": aperture.v2,
        "wcsinfo.v3_ref": aperture.v3,
        "wcsinfo.ra_ref": aim.ra,
        "wcsinfo.dec_ref": aim.dec,
        "wcsinfo.roll_ref": aim.angle,
        # the aperture of NIRCam's spectra is not turned against V3
        "wcsinfo.v3yangle": 0.0 if taken.detector.aperture_name else aperture.angle,
        "wcsinfo.vparity": aperture.parity,
        "wcsinfo.siaf_xref_sci": aperture.reference[0],
        "wcsinfo.siaf_yref_sci": aperture.reference[1],
        "aperture.position_angle": (aim.angle + aperture.angle) % 360.0,
        "pointing.ra_v1": axis.ra,
        "pointing.dec_v1": axis.dec,
        "pointing.pa_v3": axis.angle,
        "velocity_aberration.scale_factor": sky.aberration,
    }
    if taken.element.is_grism:
        found["wcsinfo.dispersion_direction"] = 2 if taken.element.along_columns else 1
        found["wcsinfo.specsys"] = "BARYCENT"
    return found


def _calibration(taken: DetectorExposure) -> Metadata:
    name = f"jwst_{taken.camera.name}_distortion_{taken.detector.name.lower()}.asdf"
    found: Metadata = {
        "filename": taken.filename,
        "calibration_software_version": "simulated",
        "ref_file.distortion.name": f"crds://{name}",
        "bunit_data": "DN/s",
        "bunit_err": "DN/s",
    }
    done = ["dq_init", "saturation", "superbias", "refpix", "linearity", "dark_sub", "jump", "ramp_fit"]
    done += ["gain_scale", "assign_wcs"]
    if not disperser(taken.element):
        done += ["flat_field", "photom"]
        found |= {
            "bunit_data": "MJy/sr",
            "bunit_err": "MJy/sr",
            "photometry.conversion_megajanskys": megajanskys(taken) * taken.detector.gain,
            "photometry.pixelarea_steradians": _steradians(taken),
            "photometry.pixelarea_arcsecsq": taken.detector.aperture.area,
        }
    return found | {f"cal_step.{step}": "COMPLETE" for step in done}
