"""What may become the name of a file."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grism_align.io.files.names import LONGEST_PART, is_safe, made_safe, safe_name
from grism_align.values.errors import AssociationError, InputError


@pytest.mark.parametrize("name", ["ib6o23rsq", "jw01234-o001_t001_niriss_f200w", "F322W2+GRISMR", "3.5"])
def test_names_of_the_field_are(name):
    assert safe_name(name, "x.fits", "the name") == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/tmp/x", "a\\b", "C:x", "-rf", ".hidden", "a b", "a\n", "a\0", "~"),
        *("$HOME", "\u00e9", "a\u2215b", "\u0661", "x" * (LONGEST_PART + 1)),
    ],
)
def test_others_are_not(name):
    with pytest.raises(InputError) as caught:
        safe_name(name, "x.fits", "the root name")
    assert caught.value.path == "x.fits"
    with pytest.raises(AssociationError):
        safe_name(name, "x.json", "the product", AssociationError)


@given(st.text(max_size=200))
def test_a_safe_name_stays_in_its_folder_everywhere(text):
    if is_safe(text):
        for path in (PurePosixPath("folder", text), PureWindowsPath("folder", text)):
            assert (path.name, len(path.parts)) == (text, 2)


@given(st.text(max_size=200))
def test_made_names_are_safe_and_stay(text):
    made = made_safe(text)
    assert is_safe(made)
    assert made_safe(made) == made
