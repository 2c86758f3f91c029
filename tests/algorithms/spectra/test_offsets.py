"""Offsets of exposures from spectra, against the ones that were injected."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from grism_align.algorithms.spectra.offsets import measure_offsets
from grism_align.algorithms.spectra.shifts import ExpectedStretch
from tests.support.spectra import UNCALIBRATED, spectra

STILL = np.zeros((4, 2))


def centred(offsets):
    return np.asarray(offsets) - np.mean(offsets, axis=0)


def errors(found):
    return np.sqrt(np.diag(found.covariance)).reshape(-1, 2)


def only(spectrum, first, last):
    """Return a spectrum of which only this range along the dispersion is seen."""
    cutouts = tuple(
        replace(each, weight=each.weight * ((each.along > first) & (each.along < last)))
        for each in spectrum.cutouts
    )
    return replace(spectrum, cutouts=cutouts)


def test_injected_offsets_are_recovered_with_true_errors():
    pulls = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 0.15, (3, 2))
        found = measure_offsets(spectra(rng, true), STILL[:3], UNCALIBRATED, rng)
        pulls.append((found.offset - centred(true)) / errors(found))
        assert (errors(found) < [0.03, 0.01]).all()
        assert found.strength == pytest.approx(np.ones(3), abs=0.1)
        assert (found.n_sources > 10).all()
    rms = np.sqrt(np.mean(np.square(pulls), axis=(0, 1)))
    # Of 6 degrees of freedom an axis; errors have a floor, which is most of them across the dispersion.
    assert (rms < 1.9).all()
    assert rms[0] > 0.4


def test_bright_lines_that_pixels_undersample_are_no_outliers():
    """Most of what is known along the dispersion is in their few brightest pixels."""
    pulls, off = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 0.15, (2, 2))
        bright = spectra(rng, true, n=12, height=150.0, lines=1.0, sigma=0.35)
        found = measure_offsets(bright, STILL[:2], UNCALIBRATED, rng)
        off.append((found.offset - centred(true))[0])
        pulls.append(off[-1] / errors(found)[0])
    # Of 5 degrees of freedom an axis: one in a hundred is larger. The noise alone is 0.002 pixels.
    assert (np.sqrt(np.mean(np.square(pulls), axis=0)) < 1.74).all()
    assert np.sqrt(np.mean(np.square(off), axis=0))[0] < 0.012


def test_exposures_that_are_off_by_more_than_the_width_of_a_trace_are_brought_together():
    """A template has no room for two traces side by side."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        true = np.array([[0.4, 0.8], [-0.4, -0.8]])
        bright = spectra(rng, true, n=20, height=300.0, lines=0.25, sigma=0.35)
        found = measure_offsets(bright, STILL[:2], UNCALIBRATED, rng)
        assert (np.abs(found.offset - true) < 5 * errors(found)).all()
        assert (errors(found) < [0.03, 0.01]).all()


def test_only_differences_are_measured():
    rng = np.random.default_rng(3)
    true = np.array([[0.2, -0.1], [0.1, 0.1]])
    found = measure_offsets(spectra(rng, true + 0.1), STILL[:2], UNCALIBRATED, rng)
    assert found.offset.mean(axis=0) == pytest.approx([0.0, 0.0], abs=1e-12)
    common = np.kron(np.ones(2), np.eye(2))
    assert common @ found.covariance @ common.T == pytest.approx(np.zeros((2, 2)), abs=1e-12)


def test_a_dispersion_that_changes_over_the_detector_is_told_from_offsets():
    pulls = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 0.1, (3, 2))
        places = np.array([[40.0, -30.0], [-60.0, 0.0], [20.0, 30.0]])
        stretch = places @ [0.02e-3, 0.08e-3]
        found = measure_offsets(spectra(rng, np.column_stack([true, stretch])), places, UNCALIBRATED, rng)
        pulls.append((found.offset - centred(true)) / errors(found))
        # at 35 pixels, the middle, it amounts to a tenth of a pixel
        assert np.abs(35 * stretch).max() > 0.08
    assert (np.sqrt(np.mean(np.square(pulls), axis=(0, 1))) < 1.7).all()


def test_a_dispersion_that_is_calibrated_costs_nothing():
    """One edge far from the source tells an offset from a stretch only where the stretch is known."""
    places = np.array([[0.0, 60.0], [0.0, -60.0]])
    known, unknown = [], []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        all_of_them = spectra(rng, np.column_stack([np.zeros((2, 2)), places @ [0.0, -0.06e-3]]), lines=0.0)
        parts = [only(each, 40, 90) for each in all_of_them]
        calibrated = ExpectedStretch(np.array([0.0, -0.06]), 2e-3**2 * np.eye(2))
        known.append(measure_offsets(parts, places, calibrated, rng))
        unknown.append(measure_offsets(parts, places, UNCALIBRATED, rng))
    assert np.mean([errors(each)[:, 0] for each in known]) < 0.8 * np.mean(
        [errors(each)[:, 0] for each in unknown]
    )
    assert all((np.abs(each.offset) < 4 * errors(each)).all() for each in known)


def test_without_lines_and_edges_nothing_is_known_along_the_dispersion():
    rng = np.random.default_rng(5)
    inner = [only(each, 10, 60) for each in spectra(rng, np.zeros((3, 2)), lines=0.0)]
    along, across = errors(measure_offsets(inner, STILL[:3], UNCALIBRATED, rng)).T
    assert (along > 10 * across).all()
    assert (across < 0.01).all()


def test_cosmic_rays_and_bad_pixels_do_no_harm():
    rng = np.random.default_rng(7)
    true = rng.normal(0, 0.15, (3, 2))
    hit = []
    for each in spectra(rng, true):
        cutouts = []
        for cutout in each.cutouts:
            rays = rng.random(cutout.data.shape) < 0.01
            dead = rng.random(cutout.data.shape) < 0.02
            data = np.where(rays, cutout.data + 300.0, np.where(dead, -1e6, cutout.data))
            cutouts.append(replace(cutout, data=data, weight=np.where(dead, 0.0, cutout.weight)))
        hit.append(replace(each, cutouts=tuple(cutouts)))
    found = measure_offsets(hit, STILL[:3], UNCALIBRATED, rng)
    assert (errors(found) < [0.04, 0.015]).all()
    assert (np.abs(found.offset - centred(true)) < 4 * errors(found)).all()


def test_zeroth_orders_of_others_that_move_by_themselves_do_no_harm():
    """Many times as bright as the spectrum that they cross, they would decide alone."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        true = rng.normal(0, 0.15, (4, 2))
        parts = spectra(rng, true, lines=0.2)
        moving = np.column_stack([rng.normal(0, 0.3, 4), np.zeros(4)])
        crossed = [with_point(each, true + moving, 9000.0, rng.uniform(10, 60)) for each in parts[:3]]
        found = measure_offsets([*crossed, *parts[3:]], STILL, UNCALIBRATED, rng)
        assert (np.abs(found.offset - centred(true)) < 4 * errors(found)).all()


def with_point(spectrum, offsets, flux, place):
    """Return a spectrum with the point of another source in it, in a PSF narrower than a pixel."""
    cutouts = []
    for cutout in spectrum.cutouts:
        dx, dy = offsets[cutout.exposure]
        distances = cutout.across - dy - 0.7, cutout.along - dx - place
        rows, columns = (norm.cdf(x + 0.5, scale=0.35) - norm.cdf(x - 0.5, scale=0.35) for x in distances)
        data = cutout.data + np.where(cutout.weight > 0, flux * rows * columns, 0.0)
        cutouts.append(replace(cutout, data=data))
    return replace(spectrum, cutouts=tuple(cutouts))


def test_an_exposure_that_shows_other_things_is_told_by_its_strength():
    rng = np.random.default_rng(9)
    parts = spectra(rng, np.zeros((4, 2)))
    empty = [
        replace(
            each,
            cutouts=(
                *each.cutouts[:3],
                replace(each.cutouts[3], data=rng.standard_normal(each.cutouts[3].data.shape)),
            ),
        )
        for each in parts
    ]
    strength = measure_offsets(empty, STILL[:4], UNCALIBRATED, rng).strength
    assert strength[3] < 0.3
    assert (strength[:3] > 0.7).all()


@pytest.mark.parametrize("far", [3.0, 12.0])
def test_spectra_that_lie_far_from_where_they_are_predicted_do_no_harm(far):
    rng = np.random.default_rng(11)
    parts = spectra(rng, [[0.0, 0.0], [0.0, 0.0], [far, -far]])
    found = measure_offsets(parts, STILL[:3], UNCALIBRATED, rng)
    assert np.isfinite(found.offset).all()
    assert np.isfinite(found.covariance).all()
    pair, error = found.offset[1] - found.offset[0], np.hypot(*errors(found)[:2])
    assert (np.abs(pair) < 5 * error).all()


@pytest.mark.parametrize(
    "far", [-30.0, 0.0, 2.0, *(pytest.param(far, marks=pytest.mark.slow) for far in (-15.0, 15.0))]
)
def test_offsets_beyond_what_templates_reach_are_not_said_to_be_found(far):
    rng = np.random.default_rng(11)
    parts = spectra(rng, [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [far, 0.0]])
    found = measure_offsets(parts, STILL, UNCALIBRATED, rng)
    offset, error = found.offset - found.offset[:3].mean(axis=0), errors(found)
    assert found.is_settled[3] == (np.abs(offset[3, 0] - far) < 5 * error[3, 0])
    assert found.is_settled[3] == (abs(far) < 5)
    assert found.is_settled[:3].all()


@pytest.mark.parametrize(("height", "far"), [(15.0, -8.0), (8.0, -12.0)])
def test_neither_are_those_of_faint_spectra_whose_errors_are_large(height, far):
    rng = np.random.default_rng(11)
    parts = spectra(rng, [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [far, 0.0]], height=height)
    found = measure_offsets(parts, STILL, UNCALIBRATED, rng)
    offset, error = found.offset - found.offset[:3].mean(axis=0), errors(found)
    assert not found.is_settled[3] or np.abs(offset[3, 0] - far) < 5 * error[3, 0]


def test_sets_of_exposures_with_hardly_a_spectrum_in_common_are_settled():
    """What is open between them is told by the errors; none of them is on its way to nowhere."""
    rng = np.random.default_rng(3)
    true = np.repeat(rng.normal(0, 0.6, (2, 2)), 3, axis=0)
    own = [
        replace(each, cutouts=each.cutouts[:3] if number % 2 else each.cutouts[3:])
        for number, each in enumerate(spectra(rng, true, n=24))
    ]
    common = [replace(each, source=90) for each in spectra(rng, true, n=2, height=3.0, lines=0.0)]
    found = measure_offsets(own + common, np.zeros((6, 2)), UNCALIBRATED, rng)
    assert found.is_settled.all()
    left, error = found.offset - centred(true), errors(found)
    # In a set, of three, errors are a few hundredths of a pixel.
    assert (np.abs(left[:3] - left[:3].mean(axis=0)) < 0.1).all()
    assert (np.abs(left[3:] - left[3:].mean(axis=0)) < 0.1).all()
    assert (np.abs(left) < 5 * error).all()
    assert error[:, 0].min() > 0.1


def test_one_exposure_tells_nothing():
    rng = np.random.default_rng(1)
    assert measure_offsets(spectra(rng, np.zeros((1, 2))), STILL[:1], UNCALIBRATED, rng) is None
    assert measure_offsets([], STILL[:3], UNCALIBRATED, rng) is None
