"""How exposures went, as headers of WFC3 and ACS tell."""

from __future__ import annotations

import pytest

from grism_align.io.missions import read_exposure
from grism_align.io.missions.hst.tracking import tracking_of
from grism_align.values.tracking import Guiding, Motion
from tests.support.cards import cards_of
from tests.support.fields import edited


@pytest.mark.parametrize(
    ("cards", "guiding"),
    [
        ({"FGSLOCK": "FINE"}, Guiding.GUIDE_STARS),
        ({"FGSLOCK": "FINE", "GYROMODE": "1"}, Guiding.GUIDE_STARS),
        ({"FGSLOCK": "FINE/GYRO"}, Guiding.ONE_GUIDE_STAR),
        ({"FGSLOCK": "FINE/GY"}, Guiding.ONE_GUIDE_STAR),
        ({"FGSLOCK": "COARSE"}, Guiding.COARSE),
        ({"FGSLOCK": "GYROS"}, Guiding.GYROS),
        ({"FGSLOCK": "gyro"}, Guiding.GYROS),
        ({"FGSLOCK": "UNKNOWN"}, Guiding.UNKNOWN),
        ({}, Guiding.UNKNOWN),
        ({"FGSLOCK": "FINE", "QUALITY": "GSFAIL"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "LOCKLOST;TDF-DOWN AT EXPSTART"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALCOM1": "Guide star acquisition failed"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALCOM2": "Loss of lock during the exposure"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "LOSS-OF-LOCK"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "Loss of FGS fine lock"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "TDF-DOWN DURING EXP"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "EXPOSURE TIME LOSS=12"}, Guiding.GUIDE_STARS),
        ({"FGSLOCK": "FINE", "QUALITY": "BLOCK LOSSLESS COMPRESSION"}, Guiding.GUIDE_STARS),
        ({"FGSLOCK": "FINE", "GSFAIL": "SREXCP1"}, Guiding.LOST),
        ({"FGSLOCK": "FINE", "QUALITY": "OK", "GSFAIL": False}, Guiding.GUIDE_STARS),
    ],
)
def test_guiding(cards, guiding):
    assert tracking_of([cards_of(cards)]).guiding is guiding


@pytest.mark.parametrize(
    ("cards", "motion"),
    [
        ({"MTFLAG": "T"}, Motion.MOVING_TARGET),
        ({"MTFLAG": True}, Motion.MOVING_TARGET),
        ({"MTFLAG": 1}, Motion.MOVING_TARGET),
        ({"MTFLAG": "F"}, Motion.FIXED),
        ({"MTFLAG": " "}, Motion.FIXED),
        ({"MTFLAG": False}, Motion.FIXED),
        ({"SCAN_TYP": "N"}, Motion.FIXED),
        ({"SCAN_TYP": "C"}, Motion.SCAN),
        ({"SCAN_TYP": "D"}, Motion.SCAN),
        ({"SCAN_TYP": "C", "MTFLAG": "T"}, Motion.SCAN),
        ({}, Motion.FIXED),
    ],
)
def test_motion(cards, motion):
    assert tracking_of([cards_of(cards)]).motion is motion


@pytest.mark.parametrize(
    ("cards", "flags"),
    [
        ({"EXPFLAG": "NORMAL", "QUALITY": "OK"}, ()),
        ({"EXPFLAG": "NORMAL", "QUALITY": ""}, ()),
        ({"EXPFLAG": "INDETERMINATE"}, ("EXPFLAG INDETERMINATE",)),
        ({"EXPFLAG": "INTERRUPTED", "QUALITY": "GSFAIL"}, ("EXPFLAG INTERRUPTED", "QUALITY GSFAIL")),
    ],
)
def test_flags(cards, flags):
    tracking = tracking_of([cards_of(cards)])
    assert tracking.flags == flags
    assert bool(str(tracking)) == bool(flags)


@pytest.mark.parametrize("extension", [0, "SCI"])
def test_keywords_are_in_either_header(direct_path, tmp_path, extension):
    cards = [(0, "FGSLOCK", None), (extension, "FGSLOCK", "GYROS")]
    exposure = read_exposure(edited(direct_path, tmp_path / "x_flt.fits", *cards))
    assert exposure.tracking.guiding is Guiding.GYROS
    assert str(exposure.tracking) == "guided on gyros"


def test_the_usual_exposure_has_nothing_to_tell(direct_path):
    assert str(read_exposure(direct_path).tracking) == ""
