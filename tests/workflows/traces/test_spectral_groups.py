"""Which exposures' spectra are compared, and how these change over the detector by what traces tell of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from grism_align.algorithms.traces.offsets import TraceOffsets
from grism_align.algorithms.traces.verification import GrismOffsets
from grism_align.values.detector import DetectorWindow
from grism_align.values.trace import TraceModel
from grism_align.values.transform import TangentPlane
from grism_align.workflows.traces.spectral_groups import _alike, _gradient, _View

MODEL = TraceModel(np.array([[0.0], [1.0]]), np.array([[2.0, 1e-3, 2e-3], [0.01, 0.0, 0.0]]), (10.0, 200.0))
CHIP = SimpleNamespace(window=DetectorWindow(), shape=(1000, 1000), along_columns=False)


@pytest.mark.parametrize(
    ("config", "n_measured", "is_told"), [("", 3, True), ("", 1, False), ("a.conf", 1, True)]
)
def test_a_few_exposures_tell_it_only_where_traces_are_known_beforehand(config, n_measured, is_told):
    """Without a configuration the few that show traces may be the ones that are elsewhere."""
    number = np.arange(4)
    offsets = TraceOffsets(
        offset=np.where(number < n_measured, 0.0, np.nan),
        covariance=1e-4 * np.eye(4),
        n_sources=10 * (number < n_measured),
        gradient=np.zeros(2),
        gradient_covariance=0.03**2 * np.eye(2),
        fields={},
        piece_scatter=0.0,
        source_scatter=0.0,
    )
    keys = tuple("abcd")
    gradient = _gradient(GrismOffsets(keys, offsets, np.zeros(4), config, {1: MODEL}), CHIP)
    slope_error = np.sqrt(gradient.across_covariance[0, 0])
    assert (slope_error < 1e-4) == is_told
    assert gradient.across_covariance == pytest.approx(gradient.across_covariance.T)


PLANE, SIDE = TangentPlane(0.001, 89.0), 1000


def view(name, place, roll=0.0, frame=0, chips=((0, 0),), pixels="whole"):
    """Return an exposure with chips of 1000 x 1000 pixels of 0.1 arcsec about a place, in arcsec."""
    turn = np.radians(roll)
    axes = 0.1 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5
    corners = SIDE * (square + np.array(chips)[:, None]).reshape(-1, 2) @ axes.T + place
    return _View(name, (pixels,), frame, PLANE, axes, PLANE.to_sky(corners).reshape(-1, 4, 2))


def grouped(views):
    return [[each.exposure for each in group] for group in _alike(views)]


def test_exposures_that_share_a_third_of_their_field_are_compared():
    dithered = [view("a", (0, 0)), view("b", (3, -2)), view("c", (60, 0))]
    assert grouped(dithered) == [["a", "b", "c"]]
    assert grouped([view("a", (0, 0)), view("b", (70, 0))]) == [["a"], ["b"]]


def test_visits_that_share_an_edge_are_compared_each_by_itself():
    """What few spectra they have in common leaves their places open, and says less than direct exposures."""
    visits = [(0, 0), (80, 0), (80, 80)]
    views = [view(f"{visit}{n}", np.add(visit, n), roll=30.0) for visit in visits for n in range(4)]
    assert [len(group) for group in grouped(views)] == [4, 4, 4]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_whichever_comes_first_exposures_in_a_row_hang_together(order):
    row = [view("left", (-55, 0)), view("middle", (0, 0)), view("right", (55, 0))]
    assert [sorted(group) for group in grouped([row[n] for n in order])] == [["left", "middle", "right"]]


def test_a_mosaic_at_half_steps_leaves_none_alone():
    tiles = [view((x, y), (50 * x, 50 * y)) for x in range(3) for y in range(3)]
    assert [len(group) for group in grouped(tiles)] == [9]


def test_other_rolls_frames_and_pixels_have_other_spectra():
    views = [
        view("a", (0, 0)),
        view("b", (0, 0), roll=90.0),
        view("c", (0, 0), frame=1),
        view("d", (0, 0), pixels="a part"),
        view("e", (1, 1)),
    ]
    assert grouped(views) == [["a", "e"], ["b"], ["c"], ["d"]]


def test_rolls_next_to_half_a_turn_are_one():
    assert grouped([view("a", (0, 0), roll=179.98), view("b", (0, 0), roll=-179.98)]) == [["a", "b"]]


def test_of_two_chips_each_has_to_see_its_own_spectra():
    """A dither by a chip puts the spectra of one onto the other, whose trace is another."""
    chips = ((0, 0), (0, 1))
    assert len(grouped([view("a", (0, 0), chips=chips), view("b", (0, 100), chips=chips)])) == 2
    assert len(grouped([view("a", (0, 0), chips=chips), view("b", (0, 50), chips=chips)])) == 1


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [1]), (16, [16]), (17, [17]), (40, [16, 16, 8]), (33, [17, 16])]
)
def test_templates_are_of_no_more_than_sixteen_and_one_that_would_be_alone(n, sizes):
    assert [len(group) for group in grouped([view(number, (0, 0)) for number in range(n)])] == sizes


def test_nothing_is_grouped_of_nothing():
    assert _alike([]) == []
