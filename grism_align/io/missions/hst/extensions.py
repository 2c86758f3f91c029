"""The extensions of an exposure: what belongs together is there, once, and of one size."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from astropy.io import fits

from grism_align.io.files.cards import Bounds, Cards
from grism_align.io.missions.hst.facts import FACTS
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


_ARRAYS = ("SCI", "ERR", "DQ")
_VERSIONS = Bounds(1, 99)


def science_extensions(path: Path, hdus: fits.HDUList) -> list[fits.ImageHDU]:
    """Return the science arrays of an exposure.

    Parameters
    ----------
    path : Path
        The file.
    hdus : HDUList
        The same, open.

    Raises
    ------
    InputError
        If there is none, two have one number, one is of integers, or an error or quality array has no science
        array or is of another size.
    """
    arrays = [hdu for hdu in hdus if hdu.name in _ARRAYS]
    if not all(isinstance(hdu, fits.ImageHDU | fits.CompImageHDU) for hdu in arrays):
        problem = "one of its extensions SCI, ERR or DQ is no image (XTENSION)"
        raise InputError(path, problem, "Fetch the file again")
    numbers = Counter((hdu.name, _version(path, hdu)) for hdu in arrays)
    twice = [f"{name},{version}" for (name, version), count in numbers.items() if count > 1]
    if twice:
        raise InputError(path, f"it has {twice[0]} twice", _remedy("EXTNAME and EXTVER"))
    science = [hdu for hdu in arrays if hdu.name == "SCI"]
    if not science:
        raise InputError(path, "no SCI extension", f"Give {FACTS.reads}")
    alone = [f"{name},{version}" for name, version in numbers if ("SCI", version) not in numbers]
    if alone:
        problem = f"it has {alone[0]}, and no SCI,{alone[0].split(',')[1]}"
        raise InputError(path, problem, _remedy("EXTNAME and EXTVER"))
    _require_alike(path, arrays)
    return science


def _require_alike(path: Path, arrays: list[fits.ImageHDU]) -> None:
    """Refuse arrays that are read wrong: others in type or size than those that they go with."""
    sizes = {hdu.ver: hdu.shape for hdu in arrays if hdu.name == "SCI"}
    for hdu in arrays:
        cards = Cards.of(path, hdu)
        # constant ones have no size
        if not hdu.shape:
            continue
        if hdu.shape != sizes[hdu.ver] and sizes[hdu.ver]:
            problem = (
                f"{cards.extension} has {_size(hdu.shape)} pixels, and SCI,{hdu.ver} {_size(sizes[hdu.ver])}"
            )
            raise InputError(path, problem, _remedy("NAXIS1 and NAXIS2"))
        whole = hdu.name == "DQ"
        if (cards.required_whole("BITPIX") > 0) is not whole:
            kind = "fractions" if whole else "whole numbers"
            raise InputError(path, f"{cards.extension} has pixels of {kind} (BITPIX)", f"Give {FACTS.reads}")


def _size(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, reversed(shape)))


def _version(path: Path, hdu: fits.ImageHDU) -> int:
    cards = Cards(path, hdu.header, f"the header of an extension {hdu.name}")
    return cards.required_whole("EXTVER", _VERSIONS) if "EXTVER" in hdu.header else 1


def _remedy(keywords: str) -> str:
    return f"Set {keywords} to the right values, or fetch the file again"
