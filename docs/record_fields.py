"""Keep the tables of the record's fields in the pages as the package declares them.

A table stands between ``<!-- record: CLASS -->`` and ``<!-- end -->``, where CLASS is a value with declared
fields; ``<!-- record: FailureCode -->`` has the codes of remarks, ``fits`` and ``matches`` the columns of
these tables. Run ``python docs/record_fields.py`` after changing a declaration.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from parameters import keep

from grism_align.values import catalog, mosaic, moved, record, solution, trace, transform
from grism_align.values.declaration import declarations_of
from grism_align.values.failure import FailureCode
from grism_align.values.tables import TABLES, results_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from astropy.table import Column

    from grism_align.values.declaration import Declaration

_BLOCK = re.compile(r"(<!-- record: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
_MODULES = (catalog, mosaic, moved, record, solution, trace, transform)


def table(name: str) -> str:
    """Return the markdown table of one class, a row a field.

    Parameters
    ----------
    name : str
        Of the class.
    """
    if name in TABLES:
        columns = results_table(name, {}).itercols()
        return _markdown(("column", "content", "unit"), map(_column_row, columns))
    if name == FailureCode.__name__:
        return _markdown(("code", "text", "what to do"), map(_code_row, FailureCode))
    declared = next(getattr(module, name) for module in _MODULES if hasattr(module, name))
    return _markdown(("key", "content", "unit"), map(_row, declarations_of(declared)))


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _row(one: Declaration) -> tuple[str, ...]:
    is_array = any(isinstance(length, str) for length in one.shape)
    shape = f" Array ({', '.join(map(str, one.shape))})." if is_array and len(one.shape) > 1 else ""
    return (f"`{one.name}`", f"{one.help}{shape}", one.unit or "-")


def _column_row(column: Column) -> tuple[str, ...]:
    return (f"`{column.name}`", column.description, str(column.unit or "-"))


def _code_row(code: FailureCode) -> tuple[str, ...]:
    return (f"`{code.name}`", f"`{code.sentence}`", code.advice)


def updated(page: str) -> str:
    """Return the text of a page with every table as the package declares it now."""
    return _BLOCK.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[4]}", page)


if __name__ == "__main__":
    sys.exit(keep(updated, "docs/record_fields.py"))
