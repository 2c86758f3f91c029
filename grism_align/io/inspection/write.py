"""Make the inspection page and write it."""

from __future__ import annotations

import json
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from grism_align.io.files.staging import atomic_path
from grism_align.io.inspection.data import data_of
from grism_align.values.errors import OutputError

if TYPE_CHECKING:
    from jinja2 import Template

    from grism_align.values.inspection import Inspection

_SCRIPTS = ("page_sky.js", "page_marks.js", "page.js")


def inspection_path(provenance: Path | str) -> Path:
    """Where the inspection page of a record is, if it is beside it: ``PRODUCT_inspect.html``."""
    path = Path(provenance)
    return path.with_name(path.stem.removesuffix("_provenance") + "_inspect.html")


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
    page = page_of(inspection)
    try:
        with atomic_path(target) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(target, f"can't be written ({error})", "Give another file") from error
    return target


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
    return _template().render(
        inspection=inspection,
        data=htmlsafe_json_dumps(data_of(inspection), dumps=dumps),
        most_reduced=max((chip.reduced for chip in chips), default=1),
        n_reduced=sum(chip.reduced > 1 for chip in chips),
        n_chips=len(chips),
        style=_resource("page.css"),
        script="\n".join(map(_resource, _SCRIPTS)),
    )


def _resource(name: str) -> str:
    return resources.files("grism_align.io.inspection").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_resource),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
