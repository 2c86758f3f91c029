"""What was fitted, in words."""

from __future__ import annotations

from dataclasses import replace

from grism_align.values.fitted import fitted_in_words
from grism_align.values.solution import ExposureFit, FitStatus
from grism_align.values.transform import LinearTransform, TangentPlane

FIT = ExposureFit(FitStatus.ALIGNED, LinearTransform.identity(TangentPlane(150.0, 2.0)), geometry="rshift")


def test_one_frame_without_questions():
    (sentence,) = fitted_in_words({"a": FIT, "b": FIT, "c": ExposureFit.failed()})
    assert "a roll" in sentence
    assert "Bayes" not in sentence


def test_evidence_and_shared_errors_are_told():
    fit = replace(FIT, geometry="general", scale_evidence=2.0, shear_evidence=40.25, systematic_error=0.72)
    (sentence,) = fitted_in_words({"a": fit})
    for part in ("shears", "+2.0", "+40.2", "0.7 mas"):
        assert part in sentence


def test_exposures_with_a_roll_each_are_named_by_acquisition():
    turning = {key: replace(FIT, roll="exposure", roll_evidence=12.0) for key in "ab"}
    turning |= {key: replace(FIT, roll="exposure", roll_evidence=9.0) for key in "cd"}
    _, first, second = fitted_in_words({**turning, "e": FIT})
    assert first.startswith("a, b ")
    assert "+12.0" in first
    assert second.startswith("c, d ")


def test_frames_are_told_apart():
    sentences = fitted_in_words({"a": FIT, "b": replace(FIT, frame=1, geometry="rscale")})
    assert ["frame 1" in sentences[0], "frame 2" in sentences[1]] == [True, True]
