"""What is read of the metadata of JWST's exposures, under the names that FITS headers and models give it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from astropy.io import fits

from grism_align.io.files.cards import Cards

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


#: FITS keyword and place in a model's metadata.
PLACES: dict[str, str] = {
    "TELESCOP": "telescope",
    "FILENAME": "filename",
    "DATAMODL": "model_type",
    "PROGRAM": "observation.program_number",
    "OBSERVTN": "observation.observation_number",
    "VISIT": "observation.visit_number",
    "VISIT_ID": "observation.visit_id",
    "VISITGRP": "observation.visit_group",
    "SEQ_ID": "observation.sequence_id",
    "ACT_ID": "observation.activity_id",
    "EXPOSURE": "observation.exposure_number",
    "DATE-OBS": "observation.date",
    "TIME-OBS": "observation.time",
    "TSOVISIT": "visit.tsovisit",
    "ENGQLPTG": "visit.engdb_pointing_quality",
    "TARGNAME": "target.catalog_name",
    "TARGPROP": "target.proposer_name",
    "TARGTYPE": "target.type",
    "TARG_RA": "target.ra",
    "TARG_DEC": "target.dec",
    "INSTRUME": "instrument.name",
    "DETECTOR": "instrument.detector",
    "FILTER": "instrument.filter",
    "PUPIL": "instrument.pupil",
    "EXP_TYPE": "exposure.type",
    "EXPSTART": "exposure.start_time",
    "EXPEND": "exposure.end_time",
    "EFFEXPTM": "exposure.exposure_time",
    "SUBSTRT1": "subarray.xstart",
    "SUBSTRT2": "subarray.ystart",
    "XOFFSET": "dither.x_offset",
    "YOFFSET": "dither.y_offset",
    "GDSTARID": "guidestar.gs_id",
    "GS_ORDER": "guidestar.gs_order",
    "PCS_MODE": "guidestar.gs_pcs_mode",
    "BUNIT": "bunit_data",
    "PHOTMJSR": "photometry.conversion_megajanskys",
    "PIXAR_SR": "photometry.pixelarea_steradians",
    "PIXAR_A2": "photometry.pixelarea_arcsecsq",
    "V2_REF": "wcsinfo.v2_ref",
    "V3_REF": "wcsinfo.v3_ref",
    "ROLL_REF": "wcsinfo.roll_ref",
    "S_RESAMP": "cal_step.resample",
    "S_WCS": "cal_step.assign_wcs",
}
#: What grizli leaves in files that it rewrites.
REWRITTEN = ("GRIZLWCS", "OTELESCO", "OINSTRUM")


def cards_of_file(path: Path, primary: fits.Header, science: Mapping[str, Any]) -> Cards:
    """Return what the headers of a file have of `PLACES`.

    Parameters
    ----------
    path : Path
        The file.
    primary : Header
        Its first header.
    science : mapping
        That of its science array; empty where there is none.
    """
    found = fits.Header()
    for keyword in (*PLACES, *REWRITTEN):
        for header in (primary, science):
            if keyword in header:
                found[keyword] = header[keyword]
                break
    return Cards(path, found, "its headers")


def cards_of_model(source: object, meta: Any) -> Cards:
    """Return what the metadata of an open model has of `PLACES`.

    Parameters
    ----------
    source : object
        What holds the model, for errors.
    meta : stdatamodels.properties.ObjectNode
        Its ``meta``.
    """
    found = fits.Header()
    for keyword, place in PLACES.items():
        value: Any = meta
        for name in place.split("."):
            value = getattr(value, name, None)
        if isinstance(value, str | float | int | bool):
            found[keyword] = value
    return Cards(cast("Path", source), found, "its metadata")
