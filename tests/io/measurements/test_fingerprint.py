"""What a measurement is kept under: the same for the same input, and for no other."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import numpy as np
import pytest

from grism_align.io.measurements import fingerprint as module
from grism_align.io.measurements.fingerprint import NotToldApartError, fingerprint
from grism_align.io.missions import identified, read_exposure
from grism_align.values.settings import DetectionSettings
from grism_align.values.source import FileSource, Identity
from grism_align.values.transform import LinearTransform


class Shade(Enum):
    """Of a test."""

    DARK = 1
    LIGHT = 2


_APART = [
    (1,),
    (1.0,),
    (True,),
    ("1",),
    (None,),
    ((1, 2),),
    ([1, 2],),
    ((1,), (2,)),
    ("ab", "c"),
    ("a", "bc"),
    ({"a": 1},),
    ({"a": 2},),
    ({1: "a"},),
    (np.array([1.0, 2.0]),),
    (np.array([1.0, 2.5]),),
    (np.array([[1.0, 2.0]]),),
    (np.array([1, 2]),),
    (np.array(["a"]),),
    (np.float64(1.0),),
    (Shade.DARK,),
    (Shade.LIGHT,),
    (DetectionSettings(),),
    (DetectionSettings(threshold=7.0),),
]


def test_different_inputs_are_told_apart():
    found = [fingerprint(*values) for values in _APART]
    assert len(set(found)) == len(_APART)
    assert found == [fingerprint(*values) for values in _APART]
    assert {len(one) for one in found} == {64}


def test_order_of_a_mapping_and_of_memory_does_not_count():
    array = np.arange(6.0).reshape(2, 3)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(array) == fingerprint(np.asfortranarray(array))


def test_of_a_file_its_content_counts():
    def source(path, digest):
        return FileSource(path, identity=Identity((1, 2), digest))

    assert fingerprint(source("a", "s")) == fingerprint(source("elsewhere/b", "s"))
    assert fingerprint(source("a", "s")) != fingerprint(source("a", "t"))
    for unknown in (FileSource("a"), source("a", "")):
        with pytest.raises(NotToldApartError):
            fingerprint(unknown)


def test_an_exposure_by_its_file_and_where_it_points(direct_path):
    exposure = identified(read_exposure(direct_path))
    again = identified(read_exposure(direct_path))
    assert fingerprint(exposure) == fingerprint(again)
    moved = exposure.corrected(LinearTransform.from_parameters(exposure.plane, (0.001, 0.0)))
    assert fingerprint(moved) != fingerprint(exposure)
    assert fingerprint(replace(exposure, group="other")) != fingerprint(exposure)


def test_other_code_measures_anew(monkeypatch):
    before = fingerprint(1)
    monkeypatch.setattr(module, "code_digest", lambda: "of another release")
    assert fingerprint(1) != before


def test_what_nobody_can_tell_apart_has_none():
    for value in (object(), {1, 2}, np.array([object()]), [lambda: 1]):
        with pytest.raises(NotToldApartError):
            fingerprint(value)
