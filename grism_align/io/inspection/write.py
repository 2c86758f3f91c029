"""Make the inspection page and write it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from grism_align.io.inspection.data import data_of
from grism_align.io.pages import PageFiles, beside, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from grism_align.values.inspection import Inspection

_FILES = PageFiles("grism_align.io.inspection")
_SCRIPTS = ("page_sky.js", "page_marks.js", "page.js")


def inspection_path(provenance: Path | str) -> Path:
    """Where the inspection page of a record is, if it is beside it: ``PRODUCT_inspect.html``."""
    return beside(provenance, "inspect.html")


def write_inspection(inspection: Inspection, target: Path) -> Path:
    """Write the inspection page, one file that needs nothing else.

    Parameters
    ----------
    inspection : Inspection
        What it shows.
    target : Path
        The page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    return write_page(page_of(inspection), target)


def page_of(inspection: Inspection) -> str:
    """Make the page; texts of files in it are texts, whatever they hold.

    Parameters
    ----------
    inspection : Inspection
        What it shows.
    """
    from jinja2.utils import htmlsafe_json_dumps

    chips = [chip for exposure in inspection.exposures for chip in exposure.chips]
    dumps = partial(json.dumps, separators=(",", ":"), allow_nan=False)
    return _FILES.template("page.html").render(
        inspection=inspection,
        data=htmlsafe_json_dumps(data_of(inspection), dumps=dumps),
        most_reduced=max((chip.reduced for chip in chips), default=1),
        n_reduced=sum(chip.reduced > 1 for chip in chips),
        n_chips=len(chips),
        style=_FILES.text("page.css"),
        script="\n".join(map(_FILES.text, _SCRIPTS)),
    )
