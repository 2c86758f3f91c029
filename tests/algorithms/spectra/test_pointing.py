"""Offsets and roll of exposures by known spectra, against the ones that were injected."""

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.spectra.field import FieldGradient
from grism_align.algorithms.spectra.offsets import reference_spectra
from grism_align.algorithms.spectra.pointing import Optics, Sighting, fit_pointing
from grism_align.algorithms.spectra.shifts import ExpectedStretch
from grism_align.algorithms.traces.offsets import TraceField
from tests.support.spectra import UNCALIBRATED, spectra

KNOWN = 4  # exposures that the references are of
FLAT = FieldGradient(np.zeros(2), np.zeros(2), 1e-12 * np.eye(2), 1e-12 * np.eye(2), 1.0, 0.0, np.zeros(2))
LEVEL = np.zeros(5)
STIFF = ExpectedStretch(np.zeros(2), 1e-12 * np.eye(2))


def seen(rng, offsets, roll, n=12):
    """Known spectra, and the same in exposures that lie off by offsets (E, 2) and a roll, radians."""
    places = rng.uniform(-400, 400, (n, 2))
    turned = roll * np.column_stack([places[:, 1], -places[:, 0]])
    taken, sightings = [], []
    for number, place in enumerate(places):
        true = np.vstack([np.zeros((KNOWN, 2)), np.asarray(offsets) + turned[number]])
        one = spectra(np.random.default_rng([7, number]), true, n=1)[0]
        one = replace(one, source=number, place=place)
        taken.append((replace(one, cutouts=one.cutouts[:KNOWN]), one.cutouts[KNOWN:], place))
    known = reference_spectra([one for one, _, _ in taken], np.zeros((KNOWN, 2)), UNCALIBRATED, rng)
    named = {one.source: one for one in known}
    for number, (_, cutouts, place) in enumerate(taken):
        sightings += [
            Sighting(
                exposure,
                named[number],
                replace(cutout, exposure=exposure),
                np.zeros(2),
                LEVEL,
                np.eye(2),
                np.array([place[1], -place[0]]),
            )
            for exposure, cutout in enumerate(cutouts)
        ]
    return sightings


def optics(traces=None):
    return Optics({1: traces or TraceField(np.zeros(5), 1e-12 * np.eye(5))}, FLAT, STIFF)


def test_offsets_and_roll_are_recovered_with_true_errors():
    true, roll = np.array([[0.6, -0.4], [0.45, -0.55]]), 4e-4
    pulls = []
    for seed in range(2):
        rng = np.random.default_rng(seed)
        found = fit_pointing(seen(rng, true, roll), optics(), 2)
        error = np.sqrt(np.diag(found.covariance))
        assert (error[:4].reshape(2, 2) < [0.06, 0.02]).all()
        pulls.append((np.append(found.offset - true, found.roll - roll)) / error)
        assert found.strength == pytest.approx([1.0, 1.0], abs=0.1)
        assert (found.n_used > 8).all()
    assert np.abs(pulls).max() < 4.0
    assert np.sqrt(np.mean(np.square(pulls))) < 1.7


def test_spectra_of_another_field_are_not_as_strong():
    rng = np.random.default_rng(2)
    sightings = seen(rng, [[0.2, 0.1]], 0.0)
    empty = [
        replace(one, cutout=replace(one.cutout, data=rng.standard_normal(one.cutout.data.shape)))
        for one in sightings
    ]
    found = fit_pointing(empty, optics(), 1)
    assert abs(found.strength[0]) < 0.3 or found.n_used[0] < 5


def test_spectra_that_are_not_seen_do_not_count():
    """One of 12 has pixels."""
    first, *others = seen(np.random.default_rng(3), [[0.2, 0.1]], 0.0)
    blank = [
        replace(one, cutout=replace(one.cutout, weight=np.zeros(one.cutout.weight.shape))) for one in others
    ]
    assert fit_pointing([first, *blank], optics(), 1).n_used[0] <= 1


def test_what_traces_rise_by_is_taken_off_and_its_error_told():
    rng = np.random.default_rng(5)
    higher = np.array([0.0, 0.5, 0.0, 0.0, 0.0])
    sightings = [replace(one, risen=higher) for one in seen(rng, [[0.0, 0.3]], 0.0)]
    found = fit_pointing(sightings, optics(TraceField(0.6 * np.eye(5)[1], 0.04 * np.eye(5))), 1)
    assert found.offset[0] == pytest.approx([0.0, 0.0], abs=0.06)
    assert np.sqrt(found.covariance[1, 1]) == pytest.approx(0.5 * 0.2, rel=0.1)
