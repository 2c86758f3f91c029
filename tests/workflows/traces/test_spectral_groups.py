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


PLANE, SIDE = TangentPlane(150.0, 2.0), 1000


def view(name, place, roll=0.0, frame=0):
    """Return an exposure of 1000 x 1000 pixels of 0.1 arcsec whose middle is at a place, in arcsec."""
    turn = np.radians(roll)
    axes = 0.1 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    corners = SIDE * (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) @ axes.T + place
    return _View(name, frame, PLANE, axes, PLANE.to_sky(corners))


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


def test_other_rolls_and_frames_have_other_spectra():
    views = [view("a", (0, 0)), view("b", (0, 0), roll=90.0), view("c", (0, 0), frame=1), view("d", (1, 1))]
    assert grouped(views) == [["a", "d"], ["b"], ["c"]]


def test_templates_are_of_no_more_than_sixteen():
    assert [len(group) for group in grouped([view(n, (0, 0)) for n in range(40)])] == [16, 16, 8]
