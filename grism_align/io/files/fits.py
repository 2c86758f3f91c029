"""FITS files as they lie on disk."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING, cast

from astropy.io import fits

from grism_align.io.files.bounded import GZIP, MOST_EXPOSURE, read_whole
from grism_align.io.files.cards import mend
from grism_align.io.files.structure import check_structure, read_header
from grism_align.values.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


_START = b"SIMPLE"


@contextmanager
def open_fits(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file: nothing scaled, compressed images as the images that they are; all cards can be read.

    Raises
    ------
    InputError
        If the file is missing, is no FITS file or is truncated.
    """
    with ExitStack() as stack:
        try:
            stream, plain = stack.enter_context(_checked_stream(path))
            hdus = stack.enter_context(_whole(stream, plain))
        except FileNotFoundError:
            raise InputError(path, "no such file", "Check the path, or fetch the file again") from None
        except InputError:
            raise
        except Exception as error:
            # astropy trips over structural keywords in many ways
            raise _unreadable(path, error) from error
        yield hdus


@contextmanager
def plain_stream(path: Path) -> Iterator[IO[bytes]]:
    """Open a FITS file whose structure can be trusted; one that is packed with gzip lies unpacked in memory.

    Raises
    ------
    InputError
        If structural keywords are out of range, naming extension and keyword, before astropy counts to one of
        them; or if there is more than an exposure has.
    OSError
        If it can't be opened.
    """
    with _checked_stream(path) as (stream, _):
        yield stream


@contextmanager
def _checked_stream(path: Path) -> Iterator[tuple[IO[bytes], frozenset[int]]]:
    """Open a file as `plain_stream` does, and tell the extensions whose cards need no mending."""
    with path.open("rb") as stream:
        is_packed = stream.read(2) == GZIP
        content = _unpacked_whole(path) if is_packed else stream
        content.seek(0)
        # of anything else astropy tries whether it is packed in some other way
        if content.read(len(_START)) != _START:
            msg = "it doesn't begin as FITS files do"
            raise OSError(msg)
        plain = check_structure(path, content)
        content.seek(0)
        yield content, plain


def _unpacked_whole(path: Path) -> IO[bytes]:
    try:
        return io.BytesIO(read_whole(path, MOST_EXPOSURE))
    except InputError as error:
        if error.__cause__ is not None:
            raise _unreadable(path, error.__cause__) from error
        raise


def _whole(stream: IO[bytes], plain: Collection[int]) -> fits.HDUList:
    """All headers of a file; astropy only warns of one that ends too early."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        # The second is what it says of a file that ends within a header.
        for words in ("may have been truncated", "the file is corrupted"):
            warnings.filterwarnings("error", message=f"(?s).*{words}")
        hdus = fits.open(stream, memmap=False, do_not_scale_image_data=True)
        for number, hdu in enumerate(hdus):
            if not hasattr(hdu, "fileinfo"):
                msg = f"extension {number} is of no known kind (XTENSION)"
                raise ValueError(msg)
            if number not in plain:
                mend(hdu.header)
    return hdus


def one_line(error: BaseException) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())


def is_fits(path: Path) -> bool:
    """Tell whether a file begins as FITS files do, compressed or not; damaged ones too."""
    try:
        with _unpacked(path) as stream:
            return stream.read(len(_START)) == _START
    except (OSError, EOFError, zlib.error):
        return False


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as stream:
        is_packed = stream.read(2) == GZIP
    return cast("IO[bytes]", gzip.open(path)) if is_packed else path.open("rb")


def primary_header(path: Path) -> fits.Header:
    """Return the first header of a FITS file, and read no further.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        with _unpacked(path) as stream:
            return read_header(path, stream, "the primary header")
    except InputError:
        raise
    except Exception as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> InputError:
    return InputError(path, f"not a readable FITS file ({one_line(error)})", "Fetch the file again")


def plain_text(text: str) -> str:
    """Return a text as FITS headers can hold it: printable ASCII, a question mark for anything else."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)
