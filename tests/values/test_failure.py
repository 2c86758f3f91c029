"""Remarks: every code has a sentence, advice and numbers, and comes back from its entry."""

from __future__ import annotations

import string
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grism_align.values import failure
from grism_align.values.failure import (
    CatalogElsewhere,
    CorrectedLike,
    FailureCode,
    InsteadOf,
    MatchesNoOther,
    MovesWithFrame,
    NoDirectExposure,
    NotAligned,
    NotTied,
    OfDirect,
    PassedOver,
    PixelsFlagged,
    Remark,
    SpectraOff,
    TooFewMatches,
    Trailed,
    advice_on,
    remark_entry,
    remark_from,
    text_of,
)

KINDS = {kind.code: kind for kind in Remark.__subclasses__()}
PLAIN = st.sampled_from([kind() for kind in KINDS.values() if not fields(kind)])
_texts = st.text(max_size=8)


def _of_type(name: str, causes: st.SearchStrategy) -> st.SearchStrategy:
    """Values of one number of a remark, by its annotation."""
    return {
        "int": st.integers(0, 10**6),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "str": _texts,
        "tuple[str, ...]": st.lists(_texts, max_size=3).map(tuple),
        "Remark": causes,
        "Remark | None": st.none() | causes,
        "tuple[Remark, ...]": st.lists(causes, max_size=3).map(tuple),
        "tuple[PassedOver, ...]": st.lists(st.builds(PassedOver, _texts, causes), max_size=3).map(tuple),
    }[name]


def of_kind(kind: type[Remark], causes: st.SearchStrategy = PLAIN) -> st.SearchStrategy:
    """Remarks of one class."""
    numbers = {one.name: _of_type(str(one.type), causes) for one in fields(kind)}
    return st.builds(kind, **numbers)


REMARKS = st.recursive(
    PLAIN,
    lambda causes: st.one_of([of_kind(kind, causes) for kind in KINDS.values() if fields(kind)]),
    max_leaves=4,
)


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_has_a_sentence_and_advice(code):
    for text in (code.sentence, code.advice):
        assert text
        assert not text.endswith(".")
    names = [name for _, name, _, _ in string.Formatter().parse(code.sentence) if name]
    assert bool(names) == bool(fields(KINDS[code]))


def test_codes_are_told_apart():
    assert len({code.sentence for code in FailureCode}) == len(FailureCode)
    assert len(FailureCode.__members__) == len(list(FailureCode))
    assert all(getattr(failure, kind.__name__) is kind for kind in KINDS.values())


@pytest.mark.parametrize("code", FailureCode)
@given(st.data())
@settings(max_examples=20)
def test_every_code_round_trips(code, data):
    remark = data.draw(of_kind(KINDS[code], REMARKS))
    entry = remark_entry(remark)
    assert (entry["code"], entry["text"]) == (code.name, str(remark))
    assert remark_from(entry) == remark
    assert hash(remark) == hash(remark_from(entry))


@pytest.mark.parametrize(
    "entry", [{"code": "NONE_SUCH"}, {"code": "TOO_FEW_MATCHES", "n": 3}, {"text": "3 matched sources"}]
)
def test_entries_that_are_no_remarks(entry):
    with pytest.raises(KeyError):
        remark_from(entry)


def test_sentences():
    few = TooFewMatches(4, 10)
    assert repr(few) == "TooFewMatches(n=4, required=10)"
    not_aligned = NotAligned()
    said = {
        "4 matched sources, 10 required": few,
        "not tied to GAIA": NotTied("GAIA"),
        "not tied to GAIA: 4 matched sources, 10 required": NotTied("GAIA", (few,)),
        "instead of a (not aligned), b (4 matched sources, 10 required)": InsteadOf(
            (PassedOver("a", not_aligned), PassedOver("b", few))
        ),
        "a: 4 matched sources, 10 required; not tied to GAIA": OfDirect("a", (few, NotTied("GAIA"))),
        "no direct exposure in its guide-star acquisition (g)": NoDirectExposure("g"),
        "no direct exposure in its guide-star acquisition (g) at its roll: a, b at another": NoDirectExposure(
            "g", ("a", "b")
        ),
        "corrected like a, b, error 23 mas": CorrectedLike(("a", "b"), 23.4),
        "its nearest source is 12.0 arcsec from the exposures, at RA 1.00000, Dec -2.00000": CatalogElsewhere(
            12 / 3600, 1.0, -2.0
        ),
        "spectra lie off by +0.300 +- 0.020 px across the dispersion, relative to 1 other exposure": (
            SpectraOff(0.3, 0.02, "", 1)
        ),
        "spectra lie off by +0.300 +- 0.020 px across the dispersion, against c.conf": (
            SpectraOff(0.3, 0.02, "c.conf", 0)
        ),
    }
    assert {text: str(remark) for text, remark in said.items()} == {text: text for text in said}
    assert text_of([few, NotTied("GAIA")]) == "4 matched sources, 10 required; not tied to GAIA"
    assert text_of([]) == ""


def test_the_gravest_remark_gives_the_advice():
    few, trailed = TooFewMatches(4, 10), Trailed(9, 0.5, 0.2)
    assert advice_on([few, trailed]) == FailureCode.TRAILED.advice
    # what is said of a cause as well
    assert advice_on([MovesWithFrame("a", few)]) == FailureCode.TOO_FEW_MATCHES.advice
    assert advice_on([MatchesNoOther(few)]) == FailureCode.MATCHES_NO_OTHER.advice
    assert advice_on([OfDirect("a", (few, PixelsFlagged(9, 9)))]) == FailureCode.PIXELS_FLAGGED.advice
    assert "log" in advice_on([])


def test_advice_names_no_other_exposure_where_there_is_none():
    advice = FailureCode.NONE_USABLE.advice
    assert "another" not in advice
    assert "add direct exposures" in advice
    assert "threshold" in advice


def test_exposures_are_renamed_throughout():
    remark = OfDirect("one", (CorrectedLike(("one", "two"), 3.0), NotTied("one")))
    renamed = remark.renamed({"one": "it"})
    assert renamed == OfDirect("it", (CorrectedLike(("it", "two"), 3.0), NotTied("it")))
    assert remark.renamed({}) == remark
