"""Small exposures of JWST with a known truth: data models with a gwcs as jwst's assign_wcs makes it.

Import it in tests that skip without jwst and stdatamodels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import gwcs
import numpy as np
from astropy import coordinates, units
from astropy.modeling.models import (
    AffineTransformation2D,
    Identity,
    Mapping,
    Polynomial1D,
    Polynomial2D,
    Shift,
)
from gwcs import coordinate_frames
from jwst.assign_wcs import pointing
from jwst.assign_wcs.util import update_fits_wcsinfo, update_s_region_imaging
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.transforms import models as transforms

from grism_align.values.sphere import sky_to_vector, tangent_axes, vector_to_sky
from tests.support.attitudes import attitude, reference, turned
from tests.support.images import gaussian_sources, noisy

SIZE = 160
CENTER = (53.1, -27.8)
# of one count per second, of what a pixel holds
_COUNT = 0.02


@dataclass(frozen=True)
class Detector:
    """A detector of the test's own making.

    Parameters
    ----------
    name, instrument : str
        As DETECTOR and INSTRUME have them.
    place : (v2, v3), arcsec
        Of its middle.
    scale : float, arcsec
        Side of a pixel.
    angle : float, deg
        Of its columns against V3.
    misplaced : (v2, v3), arcsec
        How far from there it is.
    """

    name: str
    instrument: str
    place: tuple[float, float]
    scale: float
    angle: float
    misplaced: tuple[float, float] = (0.0, 0.0)

    @property
    def true(self) -> Detector:
        """The same where it is."""
        return replace(self, place=(self.place[0] + self.misplaced[0], self.place[1] + self.misplaced[1]))


NIS = Detector("NIS", "NIRISS", (-290.0, -697.0), 0.0656, -0.57)
LONG = Detector("NRCALONG", "NIRCAM", (86.1, -493.2), 0.063, -0.06)
SHORT_1 = Detector("NRCA1", "NIRCAM", (88.4, -491.3), 0.031, -0.55)
SHORT_4 = Detector("NRCA4", "NIRCAM", (83.7, -494.9), 0.031, 0.35)


@dataclass(frozen=True, eq=False)
class Shot:
    """What is taken at one instant.

    Parameters
    ----------
    visit, number : int
        Which.
    attitude : (3, 3) ndarray
        Directions of V1, V2 and V3 on the sky, as columns, as the headers have them.
    true : (3, 3) ndarray
        As they are.
    filters : dict of str to (filter, pupil)
        By detector.
    """

    visit: int
    number: int
    attitude: np.ndarray
    true: np.ndarray
    filters: dict[str, tuple[str, str]] = field(default_factory=dict)


def model_of(detector: Detector, shot: Shot, size: int = SIZE) -> Any:
    """An exposure without pixels, with the WCS that its headers give."""
    filt, pupil = shot.filters[detector.name]
    is_dispersed = "GR" in filt + pupil
    model = datamodels.ImageModel((size, size))
    _identify(model, detector, shot)
    model.meta.instrument.filter, model.meta.instrument.pupil = filt, pupil
    kind = "NIS" if detector.instrument == "NIRISS" else "NRC"
    model.meta.exposure.type = f"{kind}_WFSS" if is_dispersed else f"{kind}_IMAGE"
    model.meta.subarray.xstart = model.meta.subarray.ystart = 1
    point(model, detector, shot.attitude)
    imaging = imaging_wcs(model, detector, size)
    if is_dispersed:
        model.meta.wcs = dispersed_wcs(imaging)
        model.meta.bunit_data = "DN/s"
        update_fits_wcsinfo(model, imwcs=imaging)
        model.meta.wcsinfo.s_region = "POLYGON ICRS  0.0 0.0 0.0 1.0 1.0 1.0 1.0 0.0"
    else:
        model.meta.wcs = imaging
        model.meta.bunit_data = "MJy/sr"
        model.meta.photometry.pixelarea_steradians = (detector.scale / 206264.806) ** 2
        model.meta.photometry.pixelarea_arcsecsq = detector.scale**2
        update_s_region_imaging(model)
        update_fits_wcsinfo(model)
    model.meta.cal_step.assign_wcs = "COMPLETE"
    suffix = "assign_wcs" if is_dispersed else "cal"
    model.meta.filename = f"{root(detector, shot)}_{suffix}.fits"
    return model


def root(detector: Detector, shot: Shot) -> str:
    """Name of an exposure."""
    return f"jw01234{shot.visit:03d}001_02101_{shot.number:05d}_{detector.name.lower()}"


def _identify(model: Any, detector: Detector, shot: Shot) -> None:
    meta = model.meta
    meta.telescope, meta.instrument.name, meta.instrument.detector = (
        "JWST",
        detector.instrument,
        detector.name,
    )
    meta.observation.program_number, meta.observation.observation_number = "01234", f"{shot.visit:03d}"
    meta.observation.visit_number, meta.observation.visit_id = "001", f"01234{shot.visit:03d}001"
    meta.observation.visit_group, meta.observation.sequence_id = "02", "1"
    meta.observation.activity_id, meta.observation.exposure_number = "01", f"{shot.number:05d}"
    meta.observation.date, meta.observation.time = "2023-01-01", "00:00:00.000"
    meta.guidestar.gs_id, meta.guidestar.gs_order = f"N00000{shot.visit}", 1
    meta.guidestar.gs_pcs_mode, meta.visit.engdb_pointing_quality = "FINEGUIDE", "CALCULATED"
    meta.target.catalog_name = "FIELD"
    start = 59945.0 + 30 * shot.visit + 0.01 * shot.number
    meta.exposure.start_time, meta.exposure.end_time = start, start + 0.005
    meta.exposure.exposure_time = 400.0


def point(model: Any, detector: Detector, attitude: np.ndarray) -> None:
    """Write an attitude into a model's metadata."""
    info = model.meta.wcsinfo
    info.v2_ref, info.v3_ref = detector.place
    info.ra_ref, info.dec_ref, info.roll_ref = reference(attitude, detector.place)
    model.meta.velocity_aberration.scale_factor = 1.00002


def imaging_wcs(model: Any, detector: Detector, size: int = SIZE) -> gwcs.WCS:
    """The gwcs of an image, of whatever model it is to be."""
    pixels = coordinate_frames.Frame2D(name="detector", unit=(units.pix, units.pix))
    field_frames = [
        coordinate_frames.Frame2D(name=name, axes_names=("v2", "v3"), unit=(units.arcsec, units.arcsec))
        for name in ("v2v3", "v2v3vacorr")
    ]
    sky = coordinate_frames.CelestialFrame(reference_frame=coordinates.ICRS(), name="world")
    info = model.meta.wcsinfo
    aberration = pointing.dva_corr_model(
        va_scale=model.meta.velocity_aberration.scale_factor, v2_ref=info.v2_ref, v3_ref=info.v3_ref
    )
    steps = [
        (pixels, distortion(detector, size)),
        (field_frames[0], aberration),
        (field_frames[1], pointing.v23tosky(model)),
        (sky, None),
    ]
    wcs = gwcs.WCS(steps)
    wcs.bounding_box = ((-0.5, size - 0.5), (-0.5, size - 0.5))
    return wcs


def distortion(detector: Detector, size: int) -> Any:
    """Pixels to V2 and V3; the inverse that comes with it is off by a tenth of a pixel in the corners."""
    middle = 0.5 * (size - 1)
    curve = 2e-5
    x = Polynomial2D(2, c1_0=1.0, c2_0=curve, c0_2=-curve)
    y = Polynomial2D(2, c0_1=1.0, c1_1=curve, c2_0=curve)
    back_x = Polynomial2D(2, c1_0=1.0, c2_0=-0.7 * curve, c0_2=0.7 * curve)
    back_y = Polynomial2D(2, c0_1=1.0, c1_1=-0.7 * curve, c2_0=-0.7 * curve)
    c, s = np.cos(np.radians(detector.angle)), np.sin(np.radians(detector.angle))
    # the other way round, as V2 is
    turn = detector.scale * np.array([[-c, s], [s, c]])
    v2, v3 = detector.place
    forward = (
        Shift(-middle) & Shift(-middle)
        | Mapping((0, 1, 0, 1))
        | (x & y)
        | AffineTransformation2D(turn, (v2, v3))
    )
    back = np.linalg.inv(turn)
    forward.inverse = (
        AffineTransformation2D(back, -back @ [v2, v3])
        | Mapping((0, 1, 0, 1))
        | (back_x & back_y)
        | Shift(middle) & Shift(middle)
    )
    return forward


def dispersed_wcs(imaging: gwcs.WCS) -> gwcs.WCS:
    """The gwcs of a dispersed exposure: that of the image, behind a dispersion along rows."""
    spectral = coordinate_frames.SpectralFrame(
        name="spectral", axes_order=(2,), unit=(units.micron,), axes_names=("wavelength",)
    )
    grism = coordinate_frames.Frame2D(name="grism_detector", unit=(units.pix, units.pix))
    steps: list[Any] = [(grism, _dispersion())]
    for step in imaging.pipeline:
        frame, name = step.frame, step.frame.name
        frame.name = f"{name}spatial"
        whole = coordinate_frames.CompositeFrame([frame, spectral], name=name)
        steps.append((whole, None if step.transform is None else step.transform & Identity(2)))
    return gwcs.WCS(steps)


def _dispersion() -> Any:
    """First order from 1.3 to 1.7 micron on 80 pixels to the right."""

    def constant(value: float) -> Polynomial2D:
        return Polynomial2D(1, c0_0=value, c1_0=0.0, c0_1=0.0)

    along, across = (
        [[constant(5.0), constant(80.0), constant(0.0)]],
        [[constant(0.5), constant(0.2), constant(0.0)]],
    )
    wavelengths = [Polynomial1D(1, c0=1.3, c1=0.4)]
    back = [Polynomial1D(1, c0=-1.3 / 0.4, c1=1 / 0.4)]
    forward = transforms.NIRISSForwardRowGrismDispersion(
        [1], lmodels=wavelengths, xmodels=along, ymodels=across, theta=0.0
    )
    forward.inverse = transforms.NIRISSBackwardGrismDispersion(
        [1], lmodels=back, xmodels=along, ymodels=across, theta=0.0
    )
    return forward


def exposed(model: Any, detector: Detector, shot: Shot, stars: np.ndarray, rng: np.random.Generator) -> Any:
    """Give an image its pixels: stars (N, 3), RA, Dec in deg and counts, where the true attitude has them."""
    size = model.shape[0]
    if "WFSS" in model.meta.exposure.type:
        stars = stars[:0]
    xy = true_sky(model, detector, shot).to_pixel(stars[:, :2])
    near = np.isfinite(xy).all(axis=1)
    image = (
        gaussian_sources(xy[near], stars[near, 2], 0.9, (size, size))
        if near.any()
        else np.zeros((size, size))
    )
    sci, err = noisy(image, 25.0, rng)
    model.data, model.err = (_COUNT * sci).astype("f4"), (_COUNT * err).astype("f4")
    model.dq = np.zeros((size, size), np.uint32)
    return model


def true_sky(model: Any, detector: Detector, shot: Shot) -> Any:
    """The WCS that an exposure should have, as a `PixelSky`."""
    from grism_align.io.gwcs.attitude_plane import AttitudePlane
    from grism_align.io.gwcs.parts import parts_of
    from grism_align.io.gwcs.sky import GwcsSky

    size = model.shape[0]
    true = datamodels.ImageModel((size, size))
    point(true, detector, shot.true)
    info = true.meta.wcsinfo
    plane = AttitudePlane(info.v2_ref, info.v3_ref, info.roll_ref)
    return GwcsSky(parts_of(imaging_wcs(true, detector.true, size), "truth"), plane, None, (size, size))


@dataclass(frozen=True, eq=False)
class JwstField:
    """Exposures of a field: their files, and true WCSs by root name."""

    paths: list[Any]
    true: dict[str, Any]
    stars: np.ndarray


def shots(
    detectors: list[Detector], plan: list[dict[str, tuple[str, str]]], rng: np.random.Generator
) -> list[Shot]:
    """Two visits, each off by some 0.2" and 0.01 deg, whose pointings are off by another 6 mas an axis."""
    found = []
    for visit, roll in ((1, 20.0), (2, 47.0)):
        error, twist = rng.normal(0, 0.2, 2), 0.01 * (-1) ** visit
        for number, filters in enumerate(plan, start=1):
            dither = np.array([0.4 * number, 0.9 * (number % 2)]) / 3600
            ra, dec = CENTER[0] + dither[0] / np.cos(np.radians(CENTER[1])), CENTER[1] + dither[1]
            true = attitude(detectors[0].place, ra, dec, roll)
            shift = tuple(error + rng.normal(0, 0.006, 2))
            shot = Shot(visit, number, turned(true, shift, twist, CENTER), true, filters)
            found.append(shot)
    return found


def jwst_field(
    folder: Any, detectors: list[Detector], plan: list[Any], rng: np.random.Generator
) -> JwstField:
    """Make the exposures of two visits.

    Parameters
    ----------
    folder : Path
        Where.
    detectors : list of Detector
        The first one's middle is pointed at the field.
    plan : list of dict
        Filter and pupil of each detector, pointing after pointing.
    rng : Generator
        Noise, and errors of pointings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, offsets = sky_to_vector(CENTER), rng.uniform(-7.5, 7.5, (90, 2)) / 206264.806
    east, north, _ = tangent_axes(*CENTER)
    sky = vector_to_sky(out + offsets @ np.array([east, north]))
    stars = np.column_stack([sky, rng.uniform(1500, 20000, len(sky))])
    paths, true = [], {}
    for shot in shots(detectors, plan, rng):
        for detector in detectors:
            if detector.name in shot.filters:
                model = exposed(model_of(detector, shot), detector, shot, stars, rng)
                paths.append(folder / model.meta.filename)
                true[root(detector, shot)] = true_sky(model, detector, shot)
                model.save(paths[-1])
    return JwstField(paths, true, stars)
