"""HISTORY says in order what was done, and what was done again and again once."""

from __future__ import annotations

from itertools import groupby

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from grism_align import __version__
from grism_align.io.missions.hst.history import tell_history

OTHERS = [
    "grism_align was here",
    "  made by calwf3, " + "x" * 54,
    "grism_align 0.0.1 2020-01-01: ALIGNED not",
]
LONG = "PRIOR_ONLY " + "corrected like isim01a1q, error 25 mas; " * 4


def history(*words, begin=()):
    header = fits.Header()
    header["TARGNAME"] = "X"
    for line in begin:
        header["HISTORY"] = line
    for each in words:
        tell_history(header, each)
        # as of a file
        header = fits.Header.fromstring(header.tostring())
        header["EXPTIME"] = 1.0
    return [str(card.value) for card in header.cards if card.keyword == "HISTORY"]


@pytest.mark.parametrize("words", ["ALIGNED", LONG, "FAILED " + "x" * 300, "ALIGNED " + "a " * 100])
def test_the_same_is_said_once(words):
    once = history(words, begin=OTHERS)
    assert once[: len(OTHERS)] == OTHERS
    assert "".join(once[len(OTHERS) :]).startswith(f"grism_align {__version__} ")
    assert history(words, words, words, begin=OTHERS) == once


def test_another_day_and_version_are_the_last_ones():
    before = f"grism_align 0.0.1.dev1 1999-12-31: {LONG}".strip()
    assert history(LONG, begin=[before]) == history(LONG)


def test_runs_and_undoing_take_turns():
    undone = "undone IDC_x-FIT_REL_gaia, back to IDC_x"
    ways = "ALIGNED", undone, "ALIGNED", LONG, undone, LONG
    said = [history(one)[0] for one in ways]
    assert [line for line in history(*ways) if "grism_align" in line] == said
    assert len(history("ALIGNED", "FAILED trailed", "ALIGNED noted")) == 3


@given(
    st.lists(st.sampled_from(["ALIGNED", LONG, "undone A, back to B", "FAILED"]), min_size=1, max_size=8),
    st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80), max_size=4),
)
def test_what_others_say_stays(words, lines):
    assert history(*words, begin=[*OTHERS, *lines]) == [
        *history(begin=[*OTHERS, *lines]),
        *(line for each, _ in groupby(words) for line in history(each)),
    ]
