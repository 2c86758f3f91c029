"""Tables as files: the form is told by the name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grism_align.io.files.ecsv import write_ecsv
from grism_align.io.files.staging import atomic_path
from grism_align.values.errors import OutputError
from grism_align.values.words import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.table import Table

ECSV = ".ecsv"

#: Endings of names, and what astropy calls the form.
FORMS = {
    ECSV: "ascii.ecsv",
    ".csv": "ascii.csv",
    ".txt": "ascii.fixed_width_two_line",
    ".fits": "fits",
    ".vot": "votable",
    ".xml": "votable",
    ".parquet": "parquet",
    ".tex": "ascii.latex",
    ".html": "ascii.html",
}

#: What to do where libraries are missing.
FOR_PARQUET = "Install grism_align[parquet]"


def write_table(table: Table, path: Path) -> None:
    """Write a table; the file is the old one or the whole new one.

    Parameters
    ----------
    table : astropy.table.Table
        The table.
    path : Path
        The file to make or to replace; its ending tells the form.

    Raises
    ------
    OutputError
        If nobody knows the ending, or the libraries for it are missing.
    """
    form = FORMS.get(path.suffix.lower())
    if form is None:
        remedy = f"Give a name that ends with {', '.join(FORMS)}"
        raise OutputError(path, f"no form of tables{did_you_mean(path.suffix, FORMS)}", remedy)
    with atomic_path(path) as temporary:
        try:
            if path.suffix.lower() == ECSV:
                with temporary.open("w", encoding="utf-8", newline="\n") as stream:
                    write_ecsv(table, stream)
            else:
                table.write(temporary, format=form, overwrite=True)
        except ImportError as error:
            remedy = f"{FOR_PARQUET}, or give another ending"
            raise OutputError(path, f"{form} can't be written here ({error})", remedy) from error
