"""A correction is of the form that tweakwcs makes, accepts and refines."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.io.gwcs.attitude_plane import AttitudePlane, PlaneAffine
from grism_align.values.errors import InputError

pytest.importorskip("jwst", reason="needs jwst")
from tweakwcs import JWSTWCSCorrector

from grism_align.io.gwcs.correction import corrected_gwcs
from grism_align.io.gwcs.imaging import imaging_part
from grism_align.io.gwcs.parts import parts_of
from grism_align.io.gwcs.sky import GwcsSky
from tests.support import jwst_models as jm

ARCSEC = np.radians(1 / 3600)
MATRIX, SHIFT = np.array([[1.00001, 2e-4], [-2e-4, 1.00001]]), np.array([0.31, -0.12])
AFFINE = PlaneAffine.of(MATRIX, ARCSEC * SHIFT)


@pytest.fixture(scope="module")
def models():
    true = jm.attitude(jm.NIS.place, *jm.CENTER, 33.0)
    filters = {"image": ("CLEAR", "F150W"), "dispersed": ("GR150C", "F150W")}
    return {
        kind: jm.model_of(jm.NIS, jm.Shot(1, 1, true, true, {"NIS": one})) for kind, one in filters.items()
    }


def info(model):
    return {name: getattr(model.meta.wcsinfo, name) for name in ("v2_ref", "v3_ref", "roll_ref")}


def corrected(model, affine, name="NEW"):
    return corrected_gwcs(model.meta.wcs, affine, AttitudePlane(**info(model)), JWSTWCSCorrector, name)


def positions(wcs):
    """Sky of a grid of pixels, by the way from the frame ``detector``."""
    x, y = (
        axis.ravel() for axis in np.meshgrid(np.linspace(0, jm.SIZE - 1, 5), np.linspace(0, jm.SIZE - 1, 5))
    )
    forward = wcs.get_transform("detector", "world")
    return np.array(forward(x, y, *np.ones((forward.n_inputs - 2, len(x))))[:2])


def test_as_tweakwcs_corrects(models):
    model = models["image"]
    theirs = JWSTWCSCorrector(model.meta.wcs, info(model))
    theirs.set_correction(MATRIX, SHIFT)
    ours = corrected(model, AFFINE)
    assert ours.available_frames == theirs.wcs.available_frames
    np.testing.assert_array_equal(positions(ours), positions(theirs.wcs))
    assert ours.bounding_box == model.meta.wcs.bounding_box
    assert ours.name == "NEW"


def test_tweakwcs_refines_it(models):
    model, more = models["image"], np.array([0.02, 0.05])
    again = JWSTWCSCorrector(corrected(model, AFFINE), info(model))
    np.testing.assert_array_equal(positions(again.wcs), positions(corrected(model, AFFINE)))
    again.set_correction(np.eye(2), more)
    # matrices and shifts of the two in one, which we read back
    affine = parts_of(again.wcs, "").affine
    np.testing.assert_allclose(affine.translation, ARCSEC * (SHIFT + more), rtol=1e-12)
    sky = GwcsSky(parts_of(again.wcs, ""), AttitudePlane(**info(model)), affine, model.shape)
    xy = sky.grid()
    np.testing.assert_allclose(sky.to_sky(xy).T, again.wcs(*xy.T, with_bounding_box=False), atol=1e-11)


def test_spectra_move_as_their_image(models):
    image, dispersed = (corrected(models[kind], AFFINE) for kind in ("image", "dispersed"))
    np.testing.assert_allclose(positions(image), positions(dispersed), atol=1e-12)
    assert dispersed.available_frames[0] == "grism_detector"
    JWSTWCSCorrector(dispersed, info(models["dispersed"]))
    # from the spectrum to the sky and back, at a wavelength
    sky = np.array(dispersed(90.0, 70.0, 60.0, 70.0, 1))
    back = dispersed.get_transform("world", "grism_detector")(*sky)
    before = models["dispersed"].meta.wcs
    missed = before.get_transform("world", "grism_detector")(*before(90.0, 70.0, 60.0, 70.0, 1))
    np.testing.assert_allclose(back[:2], missed[:2], atol=0.02)


@pytest.mark.parametrize("kind", ["image", "dispersed"])
def test_replaced_and_taken_out(models, kind):
    model = models[kind]
    first = corrected(model, AFFINE)
    other = PlaneAffine.of(np.eye(2), ARCSEC * np.array([5.0, 5.0]))
    second = corrected_gwcs(first, other, AttitudePlane(**info(model)), JWSTWCSCorrector, "SECOND")
    assert second.available_frames == first.available_frames
    assert parts_of(second, "").affine == other
    gone = corrected_gwcs(second, None, AttitudePlane(**info(model)), JWSTWCSCorrector, "")
    assert gone.available_frames == model.meta.wcs.available_frames
    np.testing.assert_array_equal(positions(gone), positions(model.meta.wcs))
    assert "v2v3corr" not in model.meta.wcs.available_frames


@pytest.mark.parametrize("affine", [None, AFFINE])
def test_the_image_of_a_dispersed_exposure(models, affine):
    dispersed = corrected(models["dispersed"], affine)
    imaging = imaging_part(dispersed, models["dispersed"].shape)
    np.testing.assert_allclose(positions(imaging), positions(dispersed), atol=1e-12)
    assert imaging.output_frame.naxes == 2


def test_no_frame_of_the_telescope():
    import gwcs
    from astropy.modeling.models import Identity

    wcs = gwcs.WCS([("detector", Identity(2)), ("world", None)])
    with pytest.raises(InputError, match="v2v3"):
        parts_of(wcs, "x_cal.fits")


def test_a_correction_of_another_kind(models):
    import gwcs
    from astropy.modeling.models import Shift

    steps = [(step.frame, step.transform) for step in corrected(models["image"], AFFINE).pipeline]
    steps[2] = steps[2][0], Shift(1.0) & Shift(0.0)
    with pytest.raises(InputError, match="no tangent-plane correction"):
        parts_of(gwcs.WCS(steps), "x_cal.fits")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_positions_that_depend_on_the_wavelength(models, at):
    """None of the transforms from the frame ``detector`` to the sky may mix them."""
    import gwcs
    from astropy.modeling.models import Identity

    steps = [(step.frame, step.transform) for step in models["dispersed"].meta.wcs.pipeline]
    steps[at] = steps[at][0], steps[at][1] | Identity(4)
    with pytest.raises(InputError, match="mixes positions with wavelength"):
        parts_of(gwcs.WCS(steps), "x_assign_wcs.fits")
