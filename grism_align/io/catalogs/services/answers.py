"""From the table that a service answers with to the columns of a reference catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grism_align.io.catalogs.roles import TEXT_ROLES, UNITS
from grism_align.io.catalogs.services.definitions import Column
from grism_align.io.catalogs.table_values import floats, texts, truths
from grism_align.values.errors import ServiceAnswerError

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import NDArray

    from grism_align.io.catalogs.services.definitions import Mirror, Service


def role_table(answer: Table, service: Service, mirror: Mirror) -> Table:
    """Return the columns of a reference catalog, by role.

    Parameters
    ----------
    answer : astropy.table.Table
        N rows, as `run_query` returns them.
    service, mirror : Service, Mirror
        What was asked, and of whom.

    Returns
    -------
    astropy.table.Table
        A column for each role of the mirror, N rows, in the units of `UNITS`; unknown values NaN.
        The catalog's systematic error is in the errors of the positions.

    Raises
    ------
    ServiceAnswerError
        If a column is missing or isn't numbers, or a position is.
    """
    from astropy.table import Table

    reader = _Answer(answer, service, mirror)
    dec = reader.numbers("dec", Column("dec"))
    table = Table()
    for role, columns in mirror.columns.items():
        table[role] = reader.text(role) if role in TEXT_ROLES else reader.values(role, columns, dec)
        table[role].unit = UNITS[role]
    reader.check_positions(table)
    for role in {"ra_error", "dec_error"} & set(table.colnames):
        table[role] = np.hypot(table[role], service.systematic)
        table[role].unit = UNITS[role]
    return table


def joined(tables: list[Table]) -> Table:
    """Return the rows of several role tables, of the same identifier once."""
    from astropy.table import vstack

    filled = [table for table in tables if len(table)] or tables[:1]
    table = vstack(filled, metadata_conflicts="silent")
    if "id" not in table.colnames or len(filled) == 1:
        return table
    identifiers = np.asarray(table["id"])
    _, first = np.unique(identifiers, return_index=True)
    # Sources without an identifier are not each other's duplicates.
    return table[np.sort(np.union1d(first, np.flatnonzero(identifiers == "")))]


class _Answer:
    """Reads the columns of an answer, whatever case the service gives their names."""

    def __init__(self, answer: Table, service: Service, mirror: Mirror) -> None:
        self._table = answer
        self._names = {name.lower(): name for name in reversed(answer.colnames)}
        self._catalog, self._mirror = service.name, mirror

    def values(self, role: str, columns: tuple[Column, ...], dec: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a role's values, (N,): of each row those of the first column that has one."""
        values = np.full(len(self._table), np.nan)
        for number, column in enumerate(columns, 1):
            name = role if number == 1 else f"{role}_{number}"
            if column.unless:
                found = self._flags(name, column)
            else:
                found = column.values(self.numbers(name, column), dec)
            values = np.where(np.isfinite(values), values, found)
        return values

    def text(self, role: str) -> NDArray[np.str_]:
        return np.array(texts(self._column(role)), dtype=str)

    def numbers(self, name: str, column: Column) -> NDArray[np.float64]:
        found = self._column(name)
        try:
            return truths(found) if found.dtype.kind == "b" else floats(found)
        except (ValueError, TypeError) as error:
            problem = f"{column.adql}, asked for as {name}, isn't numbers ({error})"
            raise self._error(problem) from error

    def check_positions(self, table: Table) -> None:
        """Refuse what can't be degrees, or has no position at all."""
        beyond = np.abs(table["dec"]) > 90.0
        known = np.isfinite(table["ra"]) & np.isfinite(table["dec"])
        if beyond.any() or (len(table) and not known.any()):
            problem = f"{np.count_nonzero(beyond | ~known)} of {len(table)} rows have no possible position"
            raise self._error(problem)

    def _flags(self, name: str, column: Column) -> NDArray[np.float64]:
        words = np.array(texts(self._column(name)), dtype=str)
        return np.where(words == "", np.nan, np.where(np.isin(words, column.unless), 0.0, 1.0))

    def _column(self, name: str) -> Any:
        if name not in self._names:
            problem = f"no column {name} in the answer, only {', '.join(self._table.colnames)}"
            raise self._error(problem)
        return self._table[self._names[name]]

    def _error(self, problem: str) -> ServiceAnswerError:
        return ServiceAnswerError(self._catalog, f"{self._mirror.label}: {problem}")
