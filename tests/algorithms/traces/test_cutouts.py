import numpy as np
import pytest
from scipy.special import erf

from grism_align.algorithms.traces.cutouts import (
    WIDTH,
    GrismImage,
    cut_traces,
    measure_cutouts,
    stacked_profile,
)

HALF = 12


def drawn(rows, shape, flux, sigma=0.6, slope=0.01):
    """Traces at rows that grow along x, Gaussian across and integrated over pixels, on a sky of one."""
    ny, nx = shape
    x = np.arange(nx)
    image = np.ones(shape)
    for row in rows:
        edge = (np.arange(ny + 1)[:, None] - 0.5 - (row + slope * x)[None, :]) / (np.sqrt(2) * sigma)
        image += flux * 0.5 * np.diff(erf(edge), axis=0)
    return image


def observed(image, rng, noise=1.0):
    sci = image + noise * rng.standard_normal(image.shape)
    return GrismImage.of(sci, np.full(image.shape, noise), np.zeros(image.shape, int), 0)


def placed(rows, offset=0.0, slope=0.01):
    """First columns and predicted rows of one piece of each trace."""
    first = np.full(len(rows), 30)
    return first, rows[:, None] + offset + slope * (first[:, None] + np.arange(WIDTH))


def test_heights_are_recovered_within_their_errors_at_every_sub_pixel_phase():
    rng = np.random.default_rng(1)
    rows = 40.0 + 40 * np.arange(30) + rng.uniform(-0.5, 0.5, 30)
    first, trace = placed(rows, offset=-0.3)
    pulls = []
    for _ in range(10):
        image = observed(drawn(rows, (1240, 90), 30.0), rng)
        found = measure_cutouts(cut_traces(image, first, trace, HALF), 0.0, 1.5)
        assert found.is_measured.all()
        pulls.append((found.height - 0.3) / found.error)
    pulls = np.concatenate(pulls)
    n = len(pulls)
    assert abs(pulls.mean()) < 4 / np.sqrt(n)
    assert pulls.std() == pytest.approx(1.0, abs=4 / np.sqrt(2 * n))


def test_cosmic_rays_and_bad_pixels_do_not_move_a_height():
    rng = np.random.default_rng(2)
    rows = np.array([40.2])
    first, trace = placed(rows)
    clean = drawn(rows, (80, 90), 300.0)
    image = observed(clean, rng)
    hit = image.data.copy()
    hit[42, 33:35], hit[39, 40] = 500.0, 3000.0
    good = image.good.copy()
    good[41, 45] = False
    spoiled = GrismImage(np.where(good, hit, 0.0), image.variance, good)
    before = measure_cutouts(cut_traces(image, first, trace, HALF), 0.0, 1.5)
    after = measure_cutouts(cut_traces(spoiled, first, trace, HALF), 0.0, 1.5)
    assert after.is_measured[0]
    # Four of 24 columns are left out.
    assert abs(after.height[0] - before.height[0]) < 3 * after.error[0]
    assert abs(after.height[0]) < 4 * after.error[0]


@pytest.mark.parametrize("spoil", ["empty", "masked", "far"])
def test_what_cannot_be_measured_is_said_to_be_so(spoil):
    rng = np.random.default_rng(3)
    rows = np.array([40.0])
    first, trace = placed(rows, offset=5.0 if spoil == "far" else 0.0)
    image = observed(drawn(rows, (80, 90), 0.0 if spoil == "empty" else 200.0), rng, 0.1)
    good = image.good.copy()
    good[38:43, ::2] &= spoil != "masked"
    good[38:43, 1::6] &= spoil != "masked"
    pieces = cut_traces(GrismImage(image.data, image.variance, good), first, trace, HALF)
    found = measure_cutouts(pieces, 0.0, 1.5)
    assert not found.is_measured[0] or found.snr[0] < 10


def test_stacked_profiles_show_the_common_height_and_one_bright_source_does_not_rule_them():
    rng = np.random.default_rng(4)
    rows = 40.0 + 40 * np.arange(12)
    first, trace = placed(rows)
    image = drawn(rows + 3, (560, 90), 6.0) + drawn(rows[:1] - 6, (560, 90), 1000.0) - 1.0
    pieces = cut_traces(observed(image, rng), first, trace, HALF)
    stack = stacked_profile(pieces, np.zeros(12, int), 1)[0]
    assert stack.argmax() - HALF == 3


def test_what_lies_off_the_chip_is_not_used():
    rng = np.random.default_rng(5)
    image = observed(np.ones((30, 40)), rng)
    pieces = cut_traces(image, np.array([30]), np.full((1, WIDTH), 2.0), HALF)
    assert not pieces.good[:, :10].any()
    assert not pieces.good[:, :, 10:].any()
    assert not measure_cutouts(pieces, 0.0, 1.5).is_measured[0]
