"""The page of a batch: all fields in a table, those to look at first, each with a link to its report."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from os.path import relpath
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from grism_align import __version__
from grism_align.io.pages import write_page
from grism_align.io.report.write import FILES
from grism_align.values.batch import problems_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grism_align.values.batch import FieldOutcome

_STATES = ("failed", "mistake", "reservations", "done")


def write_batch_page(outcomes: Sequence[FieldOutcome], path: Path, made: str) -> Path:
    """Write the page, one file that needs nothing but the reports that it links to.

    Parameters
    ----------
    outcomes : sequence of FieldOutcome
        What came of all fields.
    path : Path
        The page.
    made : str
        When, as people read it.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OutputError
        If it can't be written.
    """
    rows = [_row(one, path.parent) for one in problems_first(list(outcomes))]
    states = Counter(one.state for one in outcomes)
    page = FILES.template("page.batch.html").render(
        version=__version__,
        made=made,
        rows=rows,
        counts=[(name, states[name]) for name in _STATES if states[name]],
        n_exposures=sum(one.n_direct + one.n_grism for one in outcomes),
        style=FILES.text("page.css"),
    )
    return write_page(page, path, "Give another folder")


def _row(one: FieldOutcome, home: Path) -> dict[str, str]:
    def link(ending: str) -> str:
        path = Path(one.folder) / f"{one.product}_{ending}"
        return quote(relpath(path, home)) if path.exists() else ""

    return {
        "state": one.state,
        "product": one.product,
        "report": link("report.html") if one.is_done else "",
        "log": link("align.log"),
        "visits": str(one.n_visits),
        "direct": str(one.n_direct),
        "grism": str(one.n_grism),
        "aligned": str(one.n_aligned),
        "tied_to": one.tied_to or "-",
        "error": f"{one.error:.3f}" if isfinite(one.error) else "-",
        "seconds": "earlier" if one.is_earlier else f"{one.seconds:.0f}",
        "told": one.told,
    }
