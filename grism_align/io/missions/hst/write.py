"""Write HST exposures: the same file with a new WCS.

Headers are rewritten, with what HST's conventions want besides: the replaced WCS as an alternate, a row of
WCSCORR, a headerlet. All other data stay as they are, byte for byte.
"""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from astropy.io import fits

from grism_align import __version__
from grism_align.io.files.fits import open_fits
from grism_align.io.files.sources import path_of
from grism_align.io.files.staging import atomic_path
from grism_align.io.missions.hst.alternates import archive_key, archive_wcs
from grism_align.io.missions.hst.changes import Changes
from grism_align.io.missions.hst.facts import TELESCOPE
from grism_align.io.missions.hst.headerlets import (
    CHIP,
    attached,
    distortion_names,
    headerlet_bytes,
    headerlet_extension,
)
from grism_align.io.missions.hst.headers import (
    STATUS_KEYWORD,
    UNDONE_KEYWORD,
    LinearTerms,
    headerlet_name,
    write_wcs,
)
from grism_align.io.missions.hst.history import tell_history
from grism_align.io.missions.hst.read_back import PointsOnSky, check_file, check_wcs
from grism_align.io.missions.hst.rewrite import rewrite
from grism_align.io.missions.hst.wcs import FitsWcs, corrected_linear_terms
from grism_align.io.missions.hst.wcscorr import wcscorr_row, with_rows
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from grism_align.values.exposure import Chip, Exposure
    from grism_align.values.mission import Digests, HeaderletWanted, WcsLabel
    from grism_align.values.solution import ExposureFit
    from grism_align.values.source import Source
    from grism_align.values.transform import LinearTransform


# Below this, in arcsec, a correction is the one that the file already has.
_NEGLIGIBLE = 1e-6

# Characters that the text of a card has room for.
_CARD = 68
_OF_GOVERNORS = "grism_align: direct exposures"

logger = logging.getLogger(__name__)


def write_exposure(
    exposure: Exposure,
    fit: ExposureFit,
    target: Source,
    label: WcsLabel,
    headerlet: HeaderletWanted,
) -> Digests:
    """Write an exposure with its correction, atomically.

    Parameters
    ----------
    exposure : Exposure
        The exposure; its file is the source.
    fit : ExposureFit
        Its total correction; without one the WCS stays and the header says why.
    target : Source
        The file to make. It may be the source itself.
    label : WcsLabel
        What the headers say of the fit.
    headerlet : HeaderletWanted
        Where its headerlet goes; an exposure without a correction has none.

    Returns
    -------
    Digests

    Raises
    ------
    InputError
        If the source can't be read.
    OutputError
        If what was written is read as another WCS than the fit's; the target stays as it was.
    """
    with open_fits(path_of(exposure.source)) as hdus:
        changes = Changes(hdus)
        if fit.transform is not None and not _is_applied(exposure, fit.transform):
            _correct(changes, exposure, fit.transform, label)
        _tell(changes.primary, exposure, fit)
        meant = {} if fit.transform is None else _meant(exposure, fit.transform)
        if meant:
            _make_headerlet(changes, exposure, headerlet, meant)

        def check(written: Path) -> None:
            check_file(exposure.source, written, meant)

        return rewrite(path_of(exposure.source), hdus, changes.edits(), path_of(target), check)


def _meant(exposure: Exposure, total: LinearTransform) -> dict[int, PointsOnSky]:
    """Where the fit has points of each chip."""
    chips = {chip.number: cast("FitsWcs", chip.wcs) for chip in exposure.chips}
    return {
        number: PointsOnSky(wcs.grid(), total.apply_to_sky(wcs.to_sky(wcs.grid())))
        for number, wcs in chips.items()
    }


def _is_applied(exposure: Exposure, total: LinearTransform) -> bool:
    """Whether the file that was read has the whole correction already."""
    if exposure.applied is None:
        return False
    # the two may be written in different planes
    corners = np.concatenate([chip.wcs.footprint() for chip in exposure.chips])
    apart = separation(exposure.applied.apply_to_sky(corners), total.apply_to_sky(corners))
    return bool(3600 * apart.max() <= _NEGLIGIBLE)


def _tell(header: fits.Header, exposure: Exposure, fit: ExposureFit) -> None:
    """Say in the primary header how the exposure came out (in place)."""
    header[STATUS_KEYWORD] = (fit.status.value, "grism_align: status of the WCS")
    header["GALVERS"] = (__version__, "grism_align: version")
    error = round(1e3 * _error(exposure, fit), 3)
    header["GALERROR"] = (error, "[mas] grism_align: error of the WCS, an axis")
    header.remove("GALGOVRN", ignore_missing=True)
    if fit.governors:
        names = _in_card(fit.governors)
        header["GALGOVRN"] = (names, _OF_GOVERNORS if len(names) + len(_OF_GOVERNORS) + 3 <= _CARD else None)
    tell_history(header, f"{fit.status.value} {fit.reason}")


def _error(exposure: Exposure, fit: ExposureFit) -> float:
    """Return the error of an axis, arcsec: of the correction or, without one, of the pointing as it is."""
    if fit.transform is not None:
        return fit.transform.at(exposure.plane).axis_error
    is_guided = exposure.tracking.guiding.drift_share < 1
    return TELESCOPE.coherence.guided_error if is_guided else TELESCOPE.coherence.unguided_error


def _in_card(names: Sequence[str]) -> str:
    """Names with commas between, and how many more there are than a card holds."""
    shown = len(names)
    while (
        len(text := ",".join([*names[:shown], *([f"+{len(names) - shown}"] * (shown < len(names)))])) > _CARD
    ):
        shown -= 1
    return text


def _correct(changes: Changes, exposure: Exposure, total: LinearTransform, label: WcsLabel) -> None:
    """Put the correction into all headers and into WCSCORR (in place)."""
    science = changes.science()
    headers = list(science.values())
    letter = archive_key(headers)
    if letter is None:
        logger.warning(
            "%s: all letters are taken by others; the WCS it replaces is not kept", exposure.source
        )
    archive_wcs(changes.primary, headers, letter, datetime.now(UTC).isoformat(timespec="microseconds"))
    changes.primary.remove(UNDONE_KEYWORD, ignore_missing=True)
    for chip in exposure.chips:
        header = science[chip.number]
        write_wcs(header, changes.primary, _corrected_terms(header, chip, total), label)
    _name_headerlet(headers, exposure)
    changes.finish_wcs()
    table = changes.table()
    if table is not None:
        index, hdu = table
        names = distortion_names(changes.primary)
        rows = [wcscorr_row(changes.primary, header, names) for header in headers]
        new = with_rows(hdu, rows)
        changes.replaced |= {} if new is None else {index: new}


def _corrected_terms(header: fits.Header, chip: Chip, total: LinearTransform) -> LinearTerms:
    """From the WCS before any correction, so that none is applied twice: the file may have one by now."""
    crval, cd = corrected_linear_terms(cast("FitsWcs", chip.wcs), total)
    return LinearTerms(np.array([header["CRPIX1"], header["CRPIX2"]]), crval, cd)


def _name_headerlet(headers: list[fits.Header], exposure: Exposure) -> None:
    name = headerlet_name(exposure.key, headers)
    for header in headers:
        header["HDRNAME"] = (name, "Headerlet name of this WCS")


def _make_headerlet(
    changes: Changes, exposure: Exposure, wanted: HeaderletWanted, meant: Mapping[int, PointsOnSky]
) -> None:
    """Write the headerlet of the WCS that the headers now have, or attach it."""
    if wanted.file is None and not wanted.attach:
        return
    headers = list(changes.science().values())
    if "HDRNAME" not in headers[0]:
        _name_headerlet(headers, exposure)
    made = headerlet_bytes(changes.primary, headers, changes.hdus)
    with fits.open(io.BytesIO(made)) as headerlet:
        check_wcs(exposure.source, headerlet, meant, CHIP)
    if wanted.file is not None:
        with atomic_path(Path(wanted.file)) as temporary:
            temporary.write_bytes(made)
    there = attached(changes.hdus)
    if wanted.attach and headers[0]["HDRNAME"] not in there.values():
        number = 1 + max((changes.hdus[index].ver for index in there), default=0)
        changes.appended.append(headerlet_extension(made, number))
