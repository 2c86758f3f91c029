from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from grism_align.values.errors import SettingsError
from grism_align.values.settings import (
    DetectionSettings,
    MatchSettings,
    PointingSettings,
    PropagationSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
    RelativeSettings,
    SelectionSettings,
    ServiceSettings,
    parameters_of,
)

GROUPS = [
    DetectionSettings,
    MatchSettings,
    PointingSettings,
    PropagationSettings,
    ReferenceMatchSettings,
    ReferenceSettings,
    RelativeSettings,
    SelectionSettings,
    ServiceSettings,
]
ALL = [(group, parameter) for group in GROUPS for parameter in parameters_of(group)]
NAMES = [f"{group.__name__}.{parameter.name}" for group, parameter in ALL]


@pytest.mark.parametrize("group", GROUPS)
def test_declarations_follow_the_fields(group):
    declared = parameters_of(group)
    assert [p.name for p in declared] == [f.name for f in fields(group)]
    assert [p.default for p in declared] == [getattr(group(), p.name) for p in declared]


@pytest.mark.parametrize(("group", "parameter"), ALL, ids=NAMES)
def test_every_parameter_is_declared_whole(group, parameter):
    assert parameter.help
    assert parameter.default is None or isinstance(parameter.default, parameter.kind)
    assert not parameter.choices or parameter.default in parameter.choices
    parameter.check(parameter.default)


@pytest.mark.parametrize(("group", "parameter"), ALL, ids=NAMES)
def test_bounds_are_included_and_held(group, parameter):
    for bound, beyond in ((parameter.minimum, -1), (parameter.maximum, 1)):
        if bound is None:
            continue
        value = parameter.kind(bound)
        assert getattr(group(**{parameter.name: value}), parameter.name) == value
        with pytest.raises(SettingsError, match=f"parameter {parameter.name}=.*must be within") as caught:
            group(**{parameter.name: value + beyond})
        assert (caught.value.name, caught.value.value) == (parameter.name, value + beyond)


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        (MatchSettings, {"clip": "four"}, r"parameter clip='four': must be a number"),
        (MatchSettings, {"brightest": None}, r"parameter brightest=None: must be a number"),
        (MatchSettings, {"tolerance": float("nan")}, r"tolerance=nan: must be within \[0.01, 5\]"),
        (RelativeSettings, {"fitgeometry": "affine"}, "must be one of auto, shift, rshift, rscale, general"),
        (DetectionSettings, {"threshold": 0.5}, r"must be within \[1, inf\]"),
        (DetectionSettings, {"separation": 2.5}, r"separation=2.5: must be a whole number"),
    ],
)
def test_refusals(group, changes, message):
    with pytest.raises(SettingsError, match=message):
        group(**changes)


def test_numpy_numbers_are_numbers():
    assert MatchSettings(brightest=np.int64(50), clip=np.float32(3)).brightest == 50


def test_optional_parameters():
    assert SelectionSettings(bright_limit=-1.5, max_ruwe=9.0).bright_limit == -1.5
    assert ReferenceSettings(epoch=None, catalog=None).catalog is None
    with pytest.raises(SettingsError, match="epoch=1700"):
        ReferenceSettings(epoch=1700.0)


@pytest.mark.parametrize(
    ("bounds", "text"),
    [((None, None), ""), ((1.0, None), "[1, inf]"), ((None, 2.5), "[-inf, 2.5]"), ((0, 1), "[0, 1]")],
)
def test_bounds_as_text(bounds, text):
    parameter = parameters_of(MatchSettings)[0]
    low, high = bounds
    assert type(parameter)("n", 1.0, "h", "", float, low, high, ()).bounds == text
