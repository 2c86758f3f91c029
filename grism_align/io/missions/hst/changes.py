"""The headers of one exposure while they are changed: what a correction and its undoing share."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.missions.hst.headers import LinearTerms, write_linear_terms, write_region
from grism_align.io.missions.hst.rewrite import Edits
from grism_align.io.missions.hst.wcs import FitsWcs
from grism_align.io.missions.hst.wcscorr import NAME as WCSCORR

if TYPE_CHECKING:
    from astropy.io import fits


# Arrays that go with a science array, where they carry a WCS.
_FOLLOWERS = ("ERR", "DQ", "SAMP", "TIME")


@dataclass
class Changes:
    """The headers of a file as they will be, and what else changes.

    Parameters
    ----------
    hdus : HDUList
        The file, open; it stays as it is.
    headers : dict of int to Header
        New headers, by extension number.
    replaced : dict of int to bytes
        Extensions that change altogether.
    appended : list of bytes
        Extensions that come last.
    """

    hdus: fits.HDUList
    headers: dict[int, fits.Header] = field(default_factory=dict)
    replaced: dict[int, bytes] = field(default_factory=dict)
    appended: list[bytes] = field(default_factory=list)

    def header(self, index: int) -> fits.Header:
        """Return the new header of an extension."""
        if index not in self.headers:
            self.headers[index] = self.hdus[index].header.copy()
        return self.headers[index]

    @property
    def primary(self) -> fits.Header:
        """The new primary header."""
        return self.header(0)

    def science(self) -> dict[int, fits.Header]:
        """Return the new headers of the science extensions, by EXTVER."""
        return {version: self.header(index) for version, index in self._science.items()}

    @cached_property
    def _science(self) -> dict[int, int]:
        """Numbers of the science extensions, by EXTVER; astropy looks through the header for each name."""
        return {hdu.ver: index for index, hdu in enumerate(self.hdus) if hdu.name == "SCI"}

    def finish_wcs(self) -> None:
        """Make anew what follows from the WCSs in the science headers: outlines, ERR, DQ and others."""
        science = self.science()
        for header in science.values():
            if "S_REGION" in header:
                shape = (int(header["NAXIS2"]), int(header["NAXIS1"]))
                write_region(header, FitsWcs.from_header(header, self.hdus, shape).footprint())
        for index, hdu in enumerate(self.hdus):
            if hdu.name in _FOLLOWERS and hdu.ver in science and "CRVAL1" in hdu.header:
                _follow(self.header(index), science[hdu.ver])

    def table(self) -> tuple[int, Any] | None:
        """Return the WCSCORR extension and its number, where there is one."""
        return next(((i, hdu) for i, hdu in enumerate(self.hdus) if hdu.name == WCSCORR), None)

    def edits(self) -> Edits:
        """Return what is to be written."""
        count = len(self.hdus) - 1 + len(self.appended) - sum(not new for new in self.replaced.values())
        if "NEXTEND" in self.primary:
            self.primary["NEXTEND"] = count
        for header in self.headers.values():
            # The checksum of the data stays true, that of the whole extension does not.
            header.remove("CHECKSUM", ignore_missing=True)
        return Edits(self.headers, self.replaced, tuple(self.appended))


def _follow(header: fits.Header, science: fits.Header) -> None:
    """Give an array the linear WCS of the science array that it goes with (in place)."""
    cd = np.array([[science[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)])
    crpix, crval = (np.array([science[f"{stem}{i}"] for i in (1, 2)]) for stem in ("CRPIX", "CRVAL"))
    write_linear_terms(header, LinearTerms(crpix, crval, cd))
    if "WCSNAME" in header and "WCSNAME" in science:
        header["WCSNAME"] = science["WCSNAME"]
