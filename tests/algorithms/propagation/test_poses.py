"""Where detectors point: full frames, subarrays, binned arrays, and exposures of one chip of two."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.algorithms.propagation.pair import Relation, direct_candidates
from grism_align.algorithms.propagation.poses import distance, is_comparable, turn
from grism_align.algorithms.relative.pointing import roll_groups
from grism_align.io.missions import read_exposure
from grism_align.values.detector import DetectorWindow
from grism_align.values.exposure import Chip
from grism_align.values.transform import TangentPlane
from tests.support.associations import FlatSky, exposure
from tests.support.detector_parts import binned, one_chip, subarray

SCALE = 0.13
SIDE = 1014
WHOLE = ((0, 0), (SIDE, SIDE))
CENTRED, CORNER = ((251, 251), (512, 512)), ((0, 502), (512, 512))


def read_out(part, key="iaaa01d1q", start=0.0, east=0.0, north=0.0, chip=1, **changes):
    """An exposure of part of a flat detector, whose middle looks at (53, -27.8) but for an offset."""
    (x, y), shape = part
    middle = np.array([x + 0.5 * (shape[1] - 1), y + 0.5 * (shape[0] - 1)]) - 0.5 * (SIDE - 1)
    place = [east - SCALE * middle[0], north + SCALE * middle[1]]
    ra, dec = (float(value) for value in TangentPlane(53.0, -27.8).to_sky(place))
    window = DetectorWindow(chip, (1.0, 1.0), (-float(x), -float(y)))
    chips = (Chip(1, shape, FlatSky(ra, dec, shape, SCALE), window),)
    return exposure(key, start, **{"chips": chips, **changes})


def candidate(grism, direct):
    [found] = direct_candidates(grism, [direct], 1.0)
    return found


@pytest.mark.parametrize("mine", [WHOLE, CENTRED, CORNER])
@pytest.mark.parametrize("theirs", [WHOLE, CENTRED, CORNER, ((502, 0), (512, 512)), ((700, 800), (64, 128))])
@pytest.mark.parametrize(
    ("east", "relation"),
    [(0.0, Relation.SAME_POINTING), (0.04, Relation.SAME_POINTING), (0.6, Relation.OFFSET)],
)
def test_what_is_read_out_does_not_move_the_telescope(mine, theirs, east, relation):
    grism = read_out(mine, "iaaa01g1q", 300, grism=True, target="A")
    found = candidate(grism, read_out(theirs, east=east, dither_offset=(8.8, 0.0), target="B"))
    assert found.relation is relation
    # each array has north up at its own middle, and so up to 0.01 deg from where that is in another
    assert found.mismatch == pytest.approx(east, abs=4e-3)


def test_one_command_puts_a_target_into_a_corner_of_another_array():
    """The subarray was placed on the target, as the full frame was: the telescope was moved by arcminutes."""
    grism = read_out(WHOLE, "iaaa01g1q", 300, grism=True)
    (x, y), _ = CORNER
    back = SCALE * (np.array([x, y]) + 0.5 * 511 - 0.5 * (SIDE - 1))
    found = candidate(grism, read_out(CORNER, east=back[0], north=-back[1]))
    assert found.relation is Relation.OFFSET
    assert found.mismatch == np.inf


def two_chips(part=None, number=2, **changes):
    """A detector of two chips one above the other, all of it or a subarray of one."""
    high = 0.5 * SCALE * SIDE
    whole = {chip: read_out(WHOLE, north=sign * high, chip=chip).chips[0] for chip, sign in ((2, -1), (1, 1))}
    if part is None:
        chips = tuple(replace(chip, number=i) for i, chip in enumerate(whole.values(), start=1))
    else:
        chips = read_out(part, north={2: -high, 1: high}[number], chip=number).chips
    return exposure(**{"key": "iaaa01d1q", "start": 0.0, "chips": chips, **changes})


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("part", [WHOLE, CORNER])
def test_a_subarray_of_either_chip(part, number):
    grism = two_chips(key="iaaa01g1q", start=300.0, grism=True, target="A")
    found = candidate(grism, two_chips(part, number, target="B"))
    assert found.relation is Relation.SAME_POINTING
    assert found.mismatch == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("number", [1, 2])
def test_alternates_hold_for_all_chips(number):
    """The full frame was fitted to stars, and moved: what it started from is known of its first chip."""
    direct = two_chips(wcs_solution="FIT_REL_GAIADR2")
    moved = tuple(
        replace(chip, wcs=FlatSky(chip.wcs.ra + 3e-4, chip.wcs.dec, chip.wcs.shape, SCALE))
        for chip in direct.chips
    )
    before = {"GSC240": direct.chips[0].wcs}
    fitted = replace(direct, chips=moved, alternates=before)
    grism = two_chips(CORNER, number, key="iaaa01g1q", start=300.0, grism=True, wcs_solution="GSC240")
    assert distance(grism, fitted) == pytest.approx(0.0, abs=1e-3)


def test_chips_without_each_other_tell_nothing():
    one, other = two_chips(CORNER, 1), two_chips(CORNER, 2, key="iaaa01d2q")
    assert not is_comparable(one, other)
    assert is_comparable(one, two_chips())


places = st.integers(0, 700)
sizes = st.integers(64, 314)


@given(x=places, y=places, width=sizes, height=sizes, east=st.floats(-20, 20), north=st.floats(-20, 20))
def test_distance_and_turn_are_mutual(x, y, width, height, east, north):
    one = read_out(WHOLE)
    other = read_out(((x, y), (height, width)), "iaaa01d2q", east=east, north=north)
    assert distance(one, other) == pytest.approx(distance(other, one), abs=1e-9)
    assert distance(one, other) == pytest.approx(np.hypot(east, north), abs=5e-3)
    assert turn(one, other) == pytest.approx(turn(other, one), abs=1e-6)
    assert turn(one, other) < 0.02


@pytest.mark.parametrize("form", ["subarray", "binned", "one chip"])
def test_real_distortions(two_chip_path, tmp_path, form):
    make = {"subarray": subarray, "binned": binned, "one chip": one_chip}[form]
    whole = read_exposure(two_chip_path)
    part = read_exposure(make(two_chip_path, tmp_path / two_chip_path.name))
    assert distance(whole, part) < 2e-4
    assert turn(whole, part) < 1e-5
    # the column of another place is turned by the distortion, and not by the telescope
    assert roll_groups([whole, replace(part, key="other")], whole.plane) == [0, 0]
