"""PSF, profiles, rendering and noise."""

import numpy as np
import pytest

from grism_align.simulation.detector import Flag, draw_detector, expose
from grism_align.simulation.hst.instruments import INSTRUMENTS
from grism_align.simulation.instruments import ELEMENTS
from grism_align.simulation.jwst.instruments import INSTRUMENTS as JWST_INSTRUMENTS
from grism_align.simulation.psf import Band, Shape, profile, row, stamp
from grism_align.simulation.render import LightSources, Optics, direct_image, grism_image

STAR = Shape(0.0, 1.0, 0.0, 0.5)
BANDS = {
    (name, element): Band(
        ELEMENTS[name][element].pivot,
        ELEMENTS[name][element].width,
        INSTRUMENTS[name].pixel,
        INSTRUMENTS[name].readout.diffusion,
    )
    for name, element in [("wfc3_ir", "F140W"), ("wfc3_uvis", "F606W"), ("acs_wfc", "F814W")]
}
READOUTS = {name: camera.readout for name, camera in INSTRUMENTS.items()} | {
    detector.name: detector.readout
    for camera in JWST_INSTRUMENTS.values()
    for detector in (camera.detector, *camera.others)
}
IR = BANDS["wfc3_ir", "F140W"]
JACOBIAN = np.diag([-0.128, 0.128])


def phase_of(image, period):
    """Place (x, y) of the light, modulo a period: the phase of the image's slowest wave.

    A mean of x would hang on the faint wings at the edges, this doesn't.
    """
    waves = [np.exp(2j * np.pi * np.arange(n) / period) for n in image.shape]
    turns = [np.angle((image * waves[1]).sum()), np.angle((image * waves[0][:, None]).sum())]
    return np.array(turns) / (2 * np.pi) * period % period


@pytest.mark.parametrize("band", BANDS.values(), ids=[name for name, _ in BANDS])
def test_psf_is_positive_of_unit_sum_and_as_sharp_as_hst(band):
    image = stamp(64, band, STAR, JACOBIAN, np.zeros(2))
    assert image.sum() == pytest.approx(1.0)
    assert image.min() > -1e-6
    fine = profile(64, 8, band, STAR, JACOBIAN)
    width = (fine > fine.max() / 2).sum() / 8 * band.pixel
    assert 0.06 < width < 0.20  # arcsec, pixel included


@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.3, -0.45), (-0.5, 0.17)])
def test_stamp_is_centred_where_asked(phase):
    galaxy = Shape(0.3, 0.4, 30.0, 0.5)
    image = stamp(128, IR, galaxy, JACOBIAN, np.array(phase))
    np.testing.assert_allclose(phase_of(image, 128), 64 + np.array(phase), atol=1e-6)


@pytest.mark.parametrize("shape", [STAR, Shape(0.3, 0.4, 30.0, 0.5)])
def test_a_row_is_what_a_stamp_sums_to(shape):
    image = stamp(64, IR, shape, JACOBIAN, np.array([0.3, 0.2]), (1.5, 0.7))
    np.testing.assert_allclose(row(64, IR, shape, JACOBIAN, 0.3, 1.5), image.sum(axis=0), atol=1e-12)


def test_galaxy_lies_along_its_position_angle():
    """At position angle 30 deg, with +x to the west, the major axis goes up and to the left."""
    image = stamp(128, IR, Shape(0.5, 0.3, 30.0, 0.5), JACOBIAN, np.zeros(2))
    y, x = np.indices(image.shape) - 64
    angle = 0.5 * np.arctan2(2 * (image * x * y).sum(), (image * (x * x - y * y)).sum())
    assert np.degrees(angle) % 180 == pytest.approx(120.0, abs=0.5)


@pytest.mark.parametrize("index", [0.5, 0.0, -0.6])
def test_half_of_a_large_galaxy_is_within_its_radius(index):
    image = stamp(512, IR, Shape(1.5, 1.0, 0.0, index), JACOBIAN, np.zeros(2))
    y, x = np.indices(image.shape) - 256
    assert image[np.hypot(x, y) * 0.128 < 1.5].sum() == pytest.approx(0.5, abs=0.02)


def light(xy, rates, shape=STAR):
    n = len(rates)
    return LightSources(np.array(xy, dtype=float), np.array(rates), (shape,) * n, np.arange(n))


def test_direct_image_keeps_flux_and_place():
    optics = Optics(IR, JACOBIAN, (80, 100), 250.0)
    image = direct_image(light([(40.3, 50.8)], [10.0]), optics)
    assert image.sum() == pytest.approx(10.0)
    np.testing.assert_allclose(phase_of(image, 32), [40.3 - 32, 50.8 - 32], atol=0.01)


def test_a_trailed_image_is_as_long_as_the_trail():
    still, moving = (
        direct_image(light([(64.0, 64.0)], [100.0]), Optics(IR, JACOBIAN, (128, 128), 250.0, trail))
        for trail in ((0.0, 0.0), (7.0, 0.0))
    )
    # a line of length L weakens a wave of frequency k by sin(pi k L) / (pi k L)
    wave = np.exp(2j * np.pi * np.arange(128) / 64)
    weaker = abs((moving * wave).sum() / (still * wave).sum())
    assert weaker == pytest.approx(np.sinc(7 / 64), rel=1e-4)


def test_grism_trace_has_the_light_and_height_of_its_first_order():
    element = ELEMENTS["wfc3_ir"]["G141"]
    optics = Optics(IR, JACOBIAN, (120, 1000), 1100.0)
    image = grism_image(light([(300.4, 60.3)], [100.0]), optics, element)
    order = element.orders[0]
    first = slice(int(300 + order.start) - 12, int(300 + order.end) - 10)
    assert image[:, first].sum() == pytest.approx(100 * order.fraction, rel=0.05)
    assert image.sum() == pytest.approx(100 * sum(o.fraction for o in element.orders), rel=0.01)
    columns = np.arange(360, 460)
    heights = (image[:, columns] * np.arange(120)[:, None]).sum(axis=0) / image[:, columns].sum(axis=0)
    expected = 60.3 + order.offset + order.slope * (columns - 300.4)
    # means over rows hang on the wings a little
    np.testing.assert_allclose(heights, expected, atol=0.02)


@pytest.mark.parametrize("element", ["G141", "G102"])
def test_a_spectrum_lies_along_the_dispersion_where_its_source_does(element):
    optics = Optics(IR, JACOBIAN, (80, 1000), 1100.0)
    images = [
        grism_image(light([(x, 40.2)], [100.0]), optics, ELEMENTS["wfc3_ir"][element])
        for x in (400.0, 400.3, 400.5, 400.8)
    ]
    means = [(image.sum(axis=0) * np.arange(1000)).sum() / image.sum() for image in images]
    assert np.subtract(means, means[0]) == pytest.approx([0.0, 0.3, 0.5, 0.8], abs=0.02)


@pytest.mark.parametrize("name", sorted(READOUTS))
def test_errors_describe_the_noise(name):
    """Good pixels of an empty sky scatter as ERR says; chi2 per pixel has a standard error of 0.5 %."""
    readout = READOUTS[name]
    rng = np.random.default_rng(3)
    detector = draw_detector((300, 300), readout, rng)
    sky = np.full((300, 300), 0.7 if readout.rates else 0.1)
    pixels = expose(sky, 300.0, detector, readout, readout.noise[0], rng)
    known = sky * detector.response * (1 if readout.rates else 300.0)
    chi = ((pixels.sci - known) / pixels.err)[pixels.dq == 0]
    # cosmic rays without a flag are no noise
    chi = chi[np.abs(chi) < 5]
    assert np.mean(chi**2) == pytest.approx(1.0, abs=0.03)
    # ERR comes from the counts themselves, so low counts weigh a little more
    assert np.mean(chi) == pytest.approx(0.0, abs=0.1)


def test_saturated_ccd_pixels_bleed_and_keep_their_charge():
    readout = INSTRUMENTS["acs_wfc"].readout
    rng = np.random.default_rng(3)
    detector = draw_detector((101, 51), readout, rng)
    detector.flags[:] = 0
    light_image = np.zeros((101, 51))
    light_image[50, 25] = 8e3
    pixels = expose(light_image, 100.0, detector, readout, readout.noise[0], rng)
    rows = np.flatnonzero(pixels.dq[:, 25] & int(Flag.SATURATED))
    assert 8 <= len(rows) <= 13
    assert rows.mean() == pytest.approx(50, abs=1)
    assert pixels.sci[:, 25].sum() == pytest.approx(8e5 * detector.response[50, 25], rel=0.02)


def test_part_of_the_cosmic_rays_has_no_flag():
    readout = INSTRUMENTS["acs_wfc"].readout
    rng = np.random.default_rng(5)
    detector = draw_detector((400, 400), readout, rng)
    pixels = expose(np.full((400, 400), 0.1), 500.0, detector, readout, readout.noise[0], rng)
    hit = (pixels.sci > 300) & ((pixels.dq & int(Flag.BAD | Flag.HOT | Flag.UNSTABLE)) == 0)
    flagged = (pixels.dq[hit] & int(Flag.COSMIC_RAY)) != 0
    assert hit.mean() == pytest.approx(2e-5 * 500 * 0.8, rel=0.25)
    assert flagged.mean() == pytest.approx(0.6, abs=0.1)
