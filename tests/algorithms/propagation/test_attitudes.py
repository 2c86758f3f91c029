"""Exposures of a telescope that says how it was oriented, by several detectors at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from grism_align.algorithms.propagation.govern import governors
from grism_align.algorithms.propagation.pair import Relation, direct_candidates
from grism_align.algorithms.propagation.poses import distance, field_axes, is_comparable, turn
from grism_align.algorithms.propagation.propagate import propagate
from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.values.detector import DetectorWindow
from grism_align.values.exposure import Chip
from grism_align.values.settings import GrismSettings, PointingSettings, PropagationSettings
from grism_align.values.solution import AlignmentSolution, ExposureFit, FitStatus
from grism_align.values.sphere import tangent_axes, vector_to_sky
from grism_align.values.transform import LinearTransform, TangentPlane
from tests.support.associations import FlatSky, exposure
from tests.support.attitudes import attitude
from tests.support.chips import chip_wcs

FIELD, PLANE = (80.0, -490.0), TangentPlane(53.0, -27.8)
# where detectors are, arcsec from the middle of the field
PLACES = {
    ("camera_long", 1): (0.0, 0.0),
    ("camera_short", 1): (30.0, 30.0),
    ("camera_short", 4): (-30.0, -30.0),
}


def taken(key, detector, start, pointing, east=0.0, roll=0.0, **changes):
    """An exposure by a detector, of a pointing so far east."""
    ra, dec = (float(value) for value in PLANE.to_sky([east, 0.0]))
    axes = attitude(FIELD, ra, dec, roll)
    v2, v3 = np.add(FIELD, PLACES[detector]) / 3600
    sky = vector_to_sky(axes @ tangent_axes(v2, v3)[2])
    chip = Chip(1, (1014, 1014), FlatSky(*sky.tolist()), DetectorWindow(detector[1]))
    values = {"attitude": axes, "camera": "camera", "instrument": detector[0], "chips": (chip,)}
    return exposure(key, start, pointing=pointing, **{"visit": "v", "group": "v:g", **values, **changes})


LONG, FIRST, FOURTH = PLACES
GRISM = taken("grism", LONG, 0, "p1", grism=True)
SHORT = [taken("short1", FIRST, 0, "p1"), taken("short4", FOURTH, 0, "p1")]
LATER = [taken("long", LONG, 1000, "p2", east=3.0), taken("later", FIRST, 1000, "p2", east=3.0)]


def test_the_telescope_is_where_it_points_whatever_the_detector():
    for other in (*SHORT, *LATER):
        moved = 3.0 if other in LATER else 0.0
        assert distance(GRISM, other) == pytest.approx(moved, abs=1e-3)
        assert is_comparable(GRISM, other)
        assert turn(GRISM, other) == pytest.approx(0.0, abs=1e-3)
    assert turn(GRISM, taken("x", FIRST, 0, "p3", roll=0.7)) == pytest.approx(0.7, abs=1e-4)


def test_the_axes_of_the_field():
    np.testing.assert_allclose(field_axes(GRISM, PLANE), np.eye(2), atol=1e-4)
    rolled = taken("x", LONG, 0, "p3", roll=90.0)
    # V3 to the east, V2 to the south
    np.testing.assert_allclose(field_axes(rolled, PLANE), [[0.0, 1.0], [-1.0, 0.0]], atol=1e-4)


def test_detectors_share_rolls_and_visits_do_not():
    rolled = [taken("x", FIRST, 0, "p3", roll=0.01), taken("y", LONG, 0, "p3", roll=0.01)]
    groups = roll_groups([*SHORT, *LATER, *rolled], PLANE)
    assert len(set(groups[:4])) == 1
    assert groups[4] == groups[5] != groups[0]


def test_a_wcs_that_was_turned_since_has_a_roll_of_its_own():
    telescope = replace(GRISM.telescope, coherence=replace(GRISM.telescope.coherence, commanded=("FIRST",)))
    plain = [replace(one, telescope=telescope, wcs_solution="FIRST") for one in LATER]
    sky = chip_wcs("wfc3_ir", (53.0, -27.8, 0.0))
    turned = sky.corrected(LinearTransform.from_parameters(sky.plane, roll=0.02))
    fitted = replace(
        plain[0], chips=(replace(plain[0].chips[0], wcs=turned),), alternates={"FIRST": sky}, pointing="p9"
    )
    assert len(set(roll_groups([plain[1], plain[0]], PLANE))) == 1
    assert len(set(roll_groups([plain[1], fitted], PLANE))) == 2


@pytest.mark.parametrize("method", ["auto", "previous", "nearest", "interpolate"])
def test_images_of_the_same_time_govern(method):
    settings = GrismSettings(PropagationSettings(method=method))
    choice = governors(GRISM, [*SHORT, *LATER], settings)
    assert (choice.rule, choice.keys) == ("simultaneous", ("short1", "short4"))
    relations = {each.key: each.relation for each in direct_candidates(GRISM, [*SHORT, *LATER], 1.0)}
    assert relations["short1"] is Relation.SIMULTANEOUS
    assert relations["long"] is Relation.OFFSET


def test_without_them_those_of_the_camera_do():
    choice = governors(GRISM, LATER, GrismSettings())
    assert set(choice.keys) <= {"long", "later"}
    other = [replace(one, camera="another") for one in LATER]
    assert governors(GRISM, other, GrismSettings()).rule == "none"


def fit(shift, error=0.0, **changes):
    """A fit with an error of its shift, mas, of one axis."""
    covariance = np.diag([(1e-3 * error) ** 2] * 2 + [0.0] * 4)
    transform = replace(LinearTransform.from_parameters(PLANE, shift), covariance=covariance)
    return ExposureFit(FitStatus.ALIGNED, transform, **changes)


@pytest.mark.parametrize(("error", "expected"), [(0.2, 0.3), (0.4, np.sqrt(0.3**2 - 0.2**2 + 0.4**2))])
def test_detectors_that_are_out_of_place(error, expected):
    """The correction of an image holds for the spectra after what their two detectors are off.

    Its error has that of the image's own detector already.
    """
    fits = {
        "short1": fit((0.3, 0.1), 0.3, placement=(4.0, 0.0), placement_error=0.2),
        "long": fit((0.5, 0.5), 0.3, placement=(-3.0, 2.0), placement_error=error),
    }
    directs = [SHORT[0], LATER[0]]
    found = propagate([GRISM], directs, AlignmentSolution(fits), GrismSettings())["grism"]
    assert found.governors == ("short1",)
    shift = found.transform.at(GRISM.plane).shift
    np.testing.assert_allclose(shift, [0.3 - 0.007, 0.1 + 0.002], atol=2e-5)
    assert found.transform.axis_error == pytest.approx(1e-3 * expected, rel=0.01)


def test_a_detector_whose_place_nothing_tells():
    fits = {"short1": fit((0.3, 0.1), 0.2, placement=(4.0, 0.0), placement_error=0.2)}
    settings = GrismSettings(pointing=PointingSettings(detector_error=0.006))
    found = propagate([GRISM], SHORT[:1], AlignmentSolution(fits), settings)["grism"]
    assert found.transform.axis_error == pytest.approx(0.006, rel=1e-4)
