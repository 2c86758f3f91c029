"""Open files of JWST: headers and WCS to read, whole models to write."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.files.asdf_bounds import check_asdf
from grism_align.io.files.asdf_settings import asdf_settings
from grism_align.io.files.fits import one_line, open_fits
from grism_align.io.files.staging import atomic_path
from grism_align.io.missions.jwst.headers import cards_of_file
from grism_align.values.errors import InputError, MissingSoftwareError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from astropy.io import fits

    from grism_align.io.files.cards import Cards


_AGAIN = "Fetch the file again"


@dataclass(frozen=True, eq=False)
class FileContent:
    """What is read of a file.

    Parameters
    ----------
    cards : Cards
        Its headers.
    shape : (ny, nx)
        Of its science array.
    wcs : gwcs.WCS or None
        Its WCS.
    own : mapping or None
        What is at ``meta.grism_align``.
    """

    cards: Cards
    shape: tuple[int, int]
    wcs: Any
    own: Any


def read_cards(path: Path) -> Cards:
    """Return the headers of a file.

    Raises
    ------
    InputError
        If it can't be read.
    """
    with open_fits(path) as hdus:
        return _cards(path, hdus)


def read_content(path: Path, check: Callable[[Cards], None], *, is_known: bool = False) -> FileContent:
    """Return headers and WCS of a file; pixels stay on disk.

    Parameters
    ----------
    path : Path
        The file.
    check : callable
        Takes the headers, before the rest is read, and raises where the file can't be used.
    is_known : bool, optional
        Whether its metadata were held against their schemas before, which takes as long as reading them.

    Raises
    ------
    InputError
        If it can't be read.
    """
    with open_fits(path) as hdus:
        cards = _cards(path, hdus)
        check(cards)
        science = _science(path, hdus)
        with _unvalidated() if is_known else nullcontext():
            meta = _tree(path, hdus).get("meta", {})
        if science.header.get("NAXIS") != 2:
            problem = f"its science array has {science.header.get('NAXIS')} axes, not 2"
            raise InputError(path, problem, "Give the image, *_cal.fits")
        shape = int(science.header["NAXIS2"]), int(science.header["NAXIS1"])
        return FileContent(cards, shape, meta.get("wcs"), meta.get("grism_align"))


def _cards(path: Path, hdus: fits.HDUList) -> Cards:
    science: Mapping[str, Any] = next((hdu.header for hdu in hdus if hdu.name == "SCI"), {})
    return cards_of_file(path, hdus[0].header, science)


def _science(path: Path, hdus: fits.HDUList) -> Any:
    found = next((hdu for hdu in hdus if hdu.name == "SCI"), None)
    if found is None:
        raise InputError(path, "it has no SCI extension", "Give the calibrated image, *_cal.fits")
    return found


def _tree(path: Path, hdus: fits.HDUList) -> dict[str, Any]:
    """Return the metadata in the ASDF extension."""
    if not any(hdu.name == "ASDF" for hdu in hdus):
        raise InputError(path, "it has no ASDF extension, where JWST's WCSs are", _AGAIN)
    try:
        from stdatamodels import asdf_in_fits
    except ImportError as error:
        raise not_installed(error) from error
    try:
        _check_tree(hdus)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(asdf_in_fits.open(hdus).tree)
    except Exception as error:
        # asdf trips over damaged trees in many ways
        raise InputError(path, f"its ASDF extension can't be read ({one_line(error)})", _AGAIN) from error


def _check_tree(hdus: fits.HDUList) -> None:
    """Refuse metadata that would open other files, or be larger than they seem."""
    for hdu in hdus:
        if hdu.name == "ASDF":
            check_asdf(np.asarray(hdu.data).tobytes(), sources="fits:")


def not_installed(error: ImportError) -> MissingSoftwareError:
    """Return the error that what reads and writes JWST's files is not installed."""
    return MissingSoftwareError("exposures of JWST", error.name or str(error), "jwst")


@contextmanager
def opened_model(path: Path) -> Iterator[Any]:
    """Open a file, whose metadata were read before, as a data model. They are validated when it is saved.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        from stdatamodels.jwst import datamodels
    except ImportError as error:
        raise not_installed(error) from error
    try:
        with open_fits(path) as hdus:
            _check_tree(hdus)
        with _quiet(), _unvalidated():
            model = datamodels.open(path, validate_on_assignment=False)
    except Exception as error:
        # as many as damaged files
        raise InputError(path, f"no readable data model ({one_line(error)})", _AGAIN) from error
    try:
        yield model
    finally:
        model.close()


def save_model(model: Any, target: Path, check: Callable[[Path], None]) -> None:
    """Save a data model under its name, atomically.

    Parameters
    ----------
    model : JwstDataModel
        The model.
    target : Path
        The file to make or to replace.
    check : callable
        Takes the new file before it has its name, and raises where it is not to have it.

    Raises
    ------
    OSError
        If it can't be written.
    """
    with atomic_path(target) as made:
        with _quiet():
            model.save(str(made))
        check(made)


@contextmanager
def _unvalidated() -> Iterator[None]:
    """Have asdf read trees in the block without holding them against their schemas."""
    with asdf_settings() as config:
        config.validate_on_read = False
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what libraries say of old files, such as other versions of asdf's tags."""
    level = logging.getLogger("stdatamodels").level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("stdatamodels").setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger("stdatamodels").setLevel(level)
