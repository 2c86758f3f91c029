from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import assume, given
from hypothesis import strategies as st

from grism_align.io.files.cards import Bounds, Cards, is_plain, mend
from grism_align.io.files.fits import open_fits
from grism_align.values.errors import InputError

UNPARSABLE = ["NaN", "INDEF", "5,25", "1.5.2", "+-3", "F140W", "'open", "(1, 2", "\x01\x02"]


def _written(path, *images):
    """A file whose primary header has cards as they stand."""
    fits.PrimaryHDU().writeto(path)
    content = path.read_bytes()
    end = content.index(b"END     ")
    cards = b"".join(image.encode("latin-1").ljust(80)[:80] for image in images)
    header = content[:end] + cards + b"END".ljust(80)
    path.write_bytes(header + b" " * (-len(header) % 2880))
    return path


@pytest.mark.parametrize("there", UNPARSABLE)
def test_a_card_that_can_not_be_parsed_is_named_or_missing(tmp_path, caplog, there):
    path = _written(tmp_path / "x.fits", f"EXPTIME = {there}")
    with open_fits(path) as hdus:
        cards = Cards(path, hdus[0].header)
        assert np.isnan(cards.number("EXPTIME"))
        assert cards.number("EXPTIME", 3.0) == 3.0
        with pytest.raises(InputError) as caught:
            cards.required_number("EXPTIME")
        assert caught.value.path == str(path)
        assert "EXPTIME in the primary header" in caught.value.problem
        assert caught.value.remedy
        assert hdus[0].header.tostring()
    known_as_none = there == "INDEF"
    assert [str(path) in record.getMessage() for record in caplog.records] == [True] * (not known_as_none)


@pytest.mark.parametrize("value", ["T", "'12.5'", "''", "(1.0, 2.0)", "1E999", "-5.0", "", "9" * 60])
def test_a_number_of_another_type_or_out_of_bounds_is_none(value):
    cards = Cards(Path("x.fits"), fits.Header([fits.Card.fromstring(f"CRVAL1  = {value}")]), "SCI,1")
    assert cards.number("CRVAL1", within=Bounds(0.0, 360.0)) != cards.number(
        "CRVAL1", 1.0, Bounds(0.0, 360.0)
    )
    with pytest.raises(InputError, match="CRVAL1 in SCI,1"):
        cards.required_number("CRVAL1", Bounds(0.0, 360.0))


@pytest.mark.parametrize("value", [3.5, "3", True])
def test_whole_numbers(value):
    cards = Cards(Path("x.fits"), fits.Header({"A_ORDER": value}))
    assert cards.whole("A_ORDER", 4) == 4
    with pytest.raises(InputError, match="A_ORDER"):
        cards.required_whole("A_ORDER")
    assert Cards(Path("x.fits"), fits.Header({"A_ORDER": 4.0})).required_whole("A_ORDER") == 4


@pytest.mark.parametrize("value", [140, True, "", "N/A", 1.5])
def test_texts(value):
    cards = Cards(Path("x.fits"), fits.Header({"FILTER": value}))
    assert cards.text("FILTER") == ""
    with pytest.raises(InputError, match="FILTER"):
        cards.required_text("FILTER")
    assert Cards(Path("x.fits"), fits.Header({"FILTER": " F140W "})).required_text("FILTER") == "F140W"


def test_a_keyword_stated_twice_counts_where_its_values_agree():
    for second, number in ((5.5, 5.5), (5.6, 1.0), ("north", 1.0)):
        header = fits.Header([("CRVAL1", 5.5), ("CRVAL2", 2.0), ("CRVAL1", second)])
        cards = Cards(Path("x.fits"), header, "SCI,1")
        assert cards.number("CRVAL1", 1.0) == number
        if number == 1.0:
            with pytest.raises(InputError, match="stated 2 times"):
                cards.required_number("CRVAL1")


def test_mending_leaves_what_can_be_parsed(tmp_path):
    images = [
        f"{keyword:8}={value:>21}".ljust(80) for keyword, value in (("GAIN", "1.50e00"), ("TEMP", "INDEF"))
    ]
    header = fits.Header(map(fits.Card.fromstring, images))
    mend(header)
    assert (header["GAIN"], header["TEMP"]) == (1.5, "INDEF")


_VALUES = st.one_of(
    st.integers(-(10**17), 10**17),
    st.floats(-1e90, 1e90),
    st.booleans(),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    st.just(fits.card.UNDEFINED),
)


@given(value=_VALUES, comment=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=15))
def test_what_astropy_writes_is_plain(value, comment):
    card = fits.Card("KEYWORD", value, comment)
    assert is_plain(str(card).encode())


_WRITTEN = st.from_regex(
    r"('([ -&(-~]|''){0,20}'|[TF]|[+-]?(\d{1,18}|\d{1,30}\.\d{0,30}|\.\d{1,30})(E-?\d{1,2})?)?"
    r" *(/[ -~]*)?",
    fullmatch=True,
)


@given(_WRITTEN, st.integers(0, 4))
def test_plain_cards_can_be_read_and_set(written, indent):
    image = f"KEYWORD = {'':{indent}}{written}"[:80].ljust(80)
    assume(is_plain(image.encode()))
    card = fits.Card.fromstring(image)
    card.value = card.value
    assert card.keyword == "KEYWORD"


@pytest.mark.parametrize(
    "value", ["NaN", "INDEF", "1e999", "'no end", "1 2", ".", "+", "1.5e3", "0x10", "'a' b", "\u00e9"]
)
def test_what_is_not_plain(value):
    assert not is_plain(f"KEYWORD = {value:>20}".ljust(80).encode("latin-1"))
