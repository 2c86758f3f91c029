"""What spectra say, and what direct exposures left open, in one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import block_diag

from grism_align.algorithms.spectra.combine import (
    GroupPrior,
    Levels,
    PixelOffsets,
    averaged,
    combine,
    in_pixels,
    log_evidence,
    shifted,
)
from grism_align.algorithms.spectra.field import field_gradient
from grism_align.values.detector import DetectorWindow
from grism_align.values.trace import TraceModel
from grism_align.values.transform import LinearTransform, TangentPlane

SHIFTS = st.floats(-1.0, 1.0)
WHOLE = DetectorWindow()


def alone(measured, prior):
    """Combine one group without heights of traces."""
    unknown = Levels(np.zeros(1), np.zeros((1, 1)), [np.zeros(len(measured.offset))])
    [found] = combine([measured], unknown, [GroupPrior((0,), prior)])
    return found


def test_a_good_exposure_gives_the_zero_to_those_that_nothing_else_tells():
    prior = np.kron(np.diag([1e-6, 1.0, 1.0]), np.eye(2))
    measured = PixelOffsets(np.array([[0.3, 0.1], [0.5, -0.2], [0.0, 0.0]]), 1e-6 * np.eye(6))
    found = alone(measured, prior)
    assert found.offset == pytest.approx(measured.offset - measured.offset[0], abs=1e-3)
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(np.full(6, 1.4e-3), abs=6e-4)


@given(SHIFTS, SHIFTS)
def test_the_common_zero_of_the_spectra_does_not_matter(along, across):
    rng = np.random.default_rng(1)
    prior = np.kron(np.diag([0.1, 0.2, 0.3]), np.eye(2))
    offset = rng.normal(size=(3, 2))
    moved = PixelOffsets(offset + np.array([along, across]), 0.01 * np.eye(6))
    found = alone(PixelOffsets(offset, 0.01 * np.eye(6)), prior)
    assert alone(moved, prior).offset == pytest.approx(found.offset, abs=1e-3)


def test_without_information_what_was_given_stays():
    prior = np.kron(np.diag([0.1, 0.2]), np.eye(2))
    found = alone(PixelOffsets(np.ones((2, 2)) * [[1], [-1]], 1e8 * np.eye(4)), prior)
    assert found.offset == pytest.approx(np.zeros((2, 2)), abs=1e-6)
    assert found.covariance == pytest.approx(prior, rel=1e-3, abs=1e-6)


def test_errors_are_never_larger_than_before():
    rng = np.random.default_rng(2)
    root = rng.normal(size=(8, 8))
    prior, own = root @ root.T, np.diag(rng.uniform(0.01, 10, 8))
    found = alone(PixelOffsets(rng.normal(size=(4, 2)), own), prior)
    assert np.linalg.eigvalsh(prior - found.covariance).min() > -1e-9


def test_heights_of_traces_tell_pointings_of_two_rolls_apart():
    """A group that nothing else ties across the dispersion, beside one that is where it should be."""
    prior = np.kron(np.diag([1e-6, 1e-6, 1.0, 1.0]), np.eye(2))
    true = np.array([[0.0, 0.0], [0.0, 0.0], [0.2, 0.5], [0.2, 0.4]])
    zero = 7.0
    groups = [
        PixelOffsets(true[pair] - true[pair].mean(axis=0), 1e-6 * np.eye(4)) for pair in ([0, 1], [2, 3])
    ]
    height = np.array([true[:2, 1].mean() + zero, true[3, 1] + zero])
    levels = Levels(height, 1e-6 * np.eye(2), [np.array([0.5, 0.5]), np.array([0.0, 1.0])])
    first, second = combine(groups, levels, [GroupPrior((0, 1), prior)])
    assert first.offset == pytest.approx(true[:2], abs=5e-3)
    assert second.offset[:, 1] == pytest.approx(true[2:, 1], abs=5e-3)
    assert np.sqrt(np.diag(second.covariance)[1::2]) == pytest.approx([2e-3, 2e-3], rel=0.5)
    # along the dispersion each group has a zero of its own
    assert second.offset[:, 0] == pytest.approx([0.0, 0.0], abs=5e-3)
    assert (np.diag(second.covariance)[::2] > 0.3).all()


def test_groups_that_do_not_hang_together_are_combined_as_if_all_were_one():
    """Heights of traces tie them; those of one group aren't known."""
    rng = np.random.default_rng(4)
    groups = [PixelOffsets(rng.normal(0, 0.1, (n, 2)), 1e-3 * np.eye(2 * n)) for n in (2, 3, 1, 2)]
    weights = [np.array([0.5, 0.5]), np.zeros(3), np.ones(1), np.array([0.2, 0.8])]
    root = rng.normal(size=(4, 4))
    levels = Levels(rng.normal(0, 0.1, 4), 1e-4 * root @ root.T, weights)
    roots = [rng.normal(0, 0.1, (2 * n, 2 * n)) for n in (4, 4)]
    own = [each @ each.T for each in roots]
    # the first with the last, and the two between: in another order
    parted = combine(groups, levels, [GroupPrior((3, 0), own[0]), GroupPrior((1, 2), own[1])])
    whole = combine(
        [groups[3], groups[0], groups[1], groups[2]],
        Levels(
            levels.height[[3, 0, 1, 2]],
            levels.covariance[np.ix_([3, 0, 1, 2], [3, 0, 1, 2])],
            [weights[3], weights[0], weights[1], weights[2]],
        ),
        [GroupPrior((0, 1, 2, 3), block_diag(*own))],
    )
    for one, other in zip([parted[n] for n in (3, 0, 1, 2)], whole, strict=True):
        assert one.offset == pytest.approx(other.offset, abs=1e-7)
        assert one.covariance == pytest.approx(other.covariance, abs=1e-7)


def test_the_evidence_is_highest_for_the_scatter_that_offsets_have():
    rng = np.random.default_rng(3)
    sizes = np.geomspace(0.01, 10, 13)
    total = np.zeros(13)
    for _ in range(40):
        measured = PixelOffsets(rng.normal(0, 0.3, (5, 2)), 1e-4 * np.eye(10))
        total += log_evidence(measured, sizes[:, None, None] ** 2 * np.eye(10))
    assert sizes[total.argmax()] == pytest.approx(0.3, rel=0.35)


def test_estimates_are_averaged_with_how_far_they_lie_apart():
    one = PixelOffsets(np.array([[0.0, 1.0]]), np.diag([0.1, 0.3]))
    other = PixelOffsets(np.array([[1.0, 1.0]]), np.diag([0.3, 0.3]))
    [found] = averaged([[one], [other]], [0.25, 0.75])
    assert found.offset == pytest.approx(np.array([[0.75, 1.0]]))
    assert found.covariance == pytest.approx(np.diag([0.25 + 0.25 * 0.75, 0.3]))


def test_the_evidence_does_not_hear_what_is_said_along_the_dispersion():
    rng = np.random.default_rng(7)
    prior, own = 0.01 * np.eye(8)[None], 0.001 * np.eye(8)
    offset = rng.normal(0, 0.1, (4, 2))
    elsewhere = offset * [30.0, 1.0]
    assert log_evidence(PixelOffsets(elsewhere, own), prior) == log_evidence(PixelOffsets(offset, own), prior)


def test_a_spectrum_seen_above_moves_the_sky_to_where_it_is_seen():
    plane = TangentPlane(150.0, 2.0)
    axes = np.array([[-0.1, 0.05], [0.05, 0.1]])
    before = LinearTransform(np.eye(2), np.zeros(2), plane, np.diag([0.01, 0.01, 0, 0, 0, 0]))
    after = shifted(before, axes, np.array([0.0, 0.5]), np.diag([0.04, 0.01]), 0.01)
    assert after.shift == pytest.approx([-0.025, -0.05])
    assert after.covariance[:2, :2] == pytest.approx(axes @ np.diag([0.04, 0.01]) @ axes.T)


def test_shifts_on_the_sky_are_told_in_pixels_of_each_exposure():
    axes = np.array([np.diag([0.1, 0.2]), np.diag([0.1, 0.2])])
    found = in_pixels(np.array([[4e-4, 1e-4], [1e-4, 4e-4]]), axes)
    expected = np.kron(np.array([[4.0, 1.0], [1.0, 4.0]]), np.diag([1e-2, 2.5e-3]))
    assert found == pytest.approx(expected)


def test_a_change_of_scale_and_a_turn_shift_lines_as_they_shift_traces():
    # the height of traces above their sources, of an image 0.2 % smaller and turned by 1e-4
    model = TraceModel(
        np.array([[0.0], [1.0]]), np.array([[3.0, 1e-4, -2e-3], [0.01, 0.0, 0.0]]), (10.0, 200.0)
    )
    gradient = field_gradient(model, WHOLE, (1000, 1000), np.zeros(2), np.zeros((2, 2)))
    assert gradient.along == pytest.approx([-2e-3, -1e-4])
    offset, covariance = gradient.of(np.array([[10.0, 0.0], [-10.0, 0.0]]))
    assert offset == pytest.approx(np.array([[-0.02, 0.0], [0.02, 0.0]]))
    assert covariance[0, 2] == pytest.approx(-covariance[0, 0])
    measured = field_gradient(model, WHOLE, (1000, 1000), np.array([0.0, 1.0]), np.diag([1e-4, 1e-4]))
    # along y they rise by as much as the model falls: of what it says nothing is left, and that is taken off
    assert measured.across == pytest.approx([1e-4, 0.0], abs=1e-5)
    assert measured.along == pytest.approx([0.0, -1e-4], abs=1e-6)


@pytest.mark.parametrize("share", [-0.2, 0.0, 0.4, 1.0, 1.3])
def test_traces_are_predicted_as_far_as_they_are_seen_to_change(share):
    """Along all of their length, though only how high they are halfway is measured."""
    heights = np.array([[3.0, 1e-4, -2e-3, 0.0, 4e-7, 2e-7], [0.01, 2e-6, 4e-6, 0.0, 0.0, 0.0]])
    calibrated = TraceModel(np.array([[0.0], [1.0]]), heights, (10.0, 200.0))
    middle = np.array([500.0, 500.0])
    true = calibrated.changing_less(share, middle)
    half = np.array([[500.0, 0.0], [0.0, 500.0]])
    rise = [
        np.subtract(*(np.median(one.offsets(middle + step)[1] - one.offsets(middle)[1]) for one in pair))
        for step in half / 2
        for pair in [(true, calibrated)]
    ]
    measured = 2.0 * np.array(rise)
    gradient = field_gradient(calibrated, WHOLE, (1000, 1000), measured, 1e-8 * np.eye(2))
    seen = gradient.as_seen(calibrated)
    # sources at both ends of a dither of 100 pixels
    places = middle + np.array([[-30.0, -40.0], [30.0, 40.0]])
    expected = gradient.of(places - middle)[0][:, 1]
    found = true.offsets(places)[1] - seen.offsets(places)[1] - expected[:, None]
    tilted = 0.0 if 0 <= share <= 1 else 0.014
    assert np.abs(np.diff(found, axis=0)).max() < 0.01 + tilted


def test_dispersions_change_over_the_detector_as_far_as_traces_do():
    model = TraceModel(
        np.array([[0.0], [1.0]]), np.array([[3.0, 0.0, -2e-3], [0.01, 0.0, 0.0]]), (10.0, 200.0)
    )
    calibrated = (0.0, -0.06)
    precise = np.diag([1e-4, 1e-4])
    as_calibrated = field_gradient(model, WHOLE, (1000, 1000), np.zeros(2), precise).stretch(calibrated)
    assert as_calibrated.mean == pytest.approx([0.0, -0.06], rel=0.01)
    assert 0.05 < np.sqrt(as_calibrated.covariance[1, 1]) / 0.06 < 0.3
    # traces that rise by as much as the model falls
    straight = field_gradient(model, WHOLE, (1000, 1000), np.array([0.0, 1.0]), precise).stretch(calibrated)
    assert straight.mean == pytest.approx([0.0, 0.0], abs=1e-3)
    assert np.sqrt(straight.covariance[1, 1]) < 4e-3
    unmeasured = field_gradient(model, WHOLE, (1000, 1000), np.zeros(2), np.diag([1e4, 1e4])).stretch(
        calibrated
    )
    assert np.sqrt(unmeasured.covariance[1, 1]) > 0.05


def test_a_subarray_has_the_slopes_of_its_part_of_the_detector():
    # heights of which the slope changes over the detector: no two parts of it have the same
    model = TraceModel(
        np.array([[0.0], [1.0]]),
        np.array([[3.0, 0.0, -2e-3, 1e-7, 4e-7, 2e-7], [0.01] + 5 * [0.0]]),
        (10.0, 200.0),
    )
    shape, corner = (320, 420), np.array([300.0, 350.0])
    window = DetectorWindow(ltv=tuple(-corner))
    part = field_gradient(model, window, shape, np.zeros(2), np.zeros((2, 2)))
    x, y = corner + np.array(shape[::-1]) / 2
    slopes = np.array([2e-7 * x + 4e-7 * y, -2e-3 + 4e-7 * x + 4e-7 * y])
    assert part.along == pytest.approx([slopes[1], -slopes[0]], rel=1e-6)


def test_a_grism_without_calibration_has_any_stretch():
    model = TraceModel.straight(10.0, 200.0, 0.0)
    gradient = field_gradient(model, WHOLE, (1000, 1000), np.zeros(2), np.diag([1e-4, 1e-4]))
    assert gradient.stretch(None).mean == pytest.approx([0.0, 0.0])
    assert np.sqrt(np.diag(gradient.stretch(None).covariance)) == pytest.approx([0.05, 0.05])
