"""Pieces of spectra to look at: where these change most, and the same in all exposures."""

from __future__ import annotations

import numpy as np
import pytest

from grism_align.algorithms.spectra.pieces import telling_pieces
from tests.support.spectra import spectra

OFFSETS = np.array([(0.3, -0.2), (-0.25, 0.1), (0.1, 0.3), (-0.15, -0.2)])


def pieces_of(lines):
    found = spectra(np.random.default_rng(3), OFFSETS, height=2000.0, lines=lines)
    pieces = telling_pieces(found, OFFSETS)
    sources = [tuple(piece.source for piece in of) for of in pieces]
    assert len(sources[0]) == 2
    assert set(sources) == {sources[0]}
    return pieces


def middle(place, values):
    return float(np.average(place, weights=np.clip(values, 0, None)))


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_is_at_one_place_once_offsets_are_taken_off(number):
    lines, heights = [], []
    for of, (along, across) in zip(pieces_of(lines=1.0), OFFSETS, strict=True):
        piece = of[number]
        assert piece.light.max() > 2 * np.median(piece.light)
        lines.append(middle(piece.along, piece.light - 1.1 * np.median(piece.light)) - along)
        near = np.abs(piece.height - across) < 2.5
        heights.append(middle(piece.height[near], piece.profile[near]) - across)
        assert piece.profile[near].sum() == pytest.approx(1.0, abs=0.02)
    assert np.ptp(lines) < 0.1
    assert np.ptp(heights) < 0.1


def test_without_lines_it_is_an_end_of_the_order():
    for of in pieces_of(lines=0.0):
        for piece in of:
            ends = (piece.along[0] < 0.0 < piece.along[-1], piece.along[0] < 70.0 < piece.along[-1])
            assert any(ends)
            assert piece.light.min() < 0.1 * piece.light.max()


def test_a_pixel_that_was_hit_is_in_no_piece():
    found = spectra(np.random.default_rng(3), OFFSETS, n=1, height=2000.0, lines=1.0)
    [hit, *_] = found[0].cutouts
    row, column = np.unravel_index(hit.data.argmax(), hit.data.shape)
    hit.data[row, column], hit.weight[row, column] = 1e6, 0.0
    [first, *_] = telling_pieces(found, OFFSETS)
    assert all(piece.light.max() < 1e5 for piece in first)


def test_no_spectrum_gives_no_piece():
    assert telling_pieces([], OFFSETS) == [(), (), (), ()]
