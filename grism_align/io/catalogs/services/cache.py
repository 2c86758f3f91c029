"""What services have answered, kept on disk."""

from __future__ import annotations

import gzip
import io
import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from grism_align.io.catalogs.services.cones import CENTRE_DECIMALS
from grism_align.io.catalogs.text_tables import read_ecsv
from grism_align.io.files.bounded import MOST_CATALOG, read_whole
from grism_align.io.files.staging import atomic_path
from grism_align.io.files.user_cache import user_cache
from grism_align.values.region import Cone
from grism_align.values.sphere import separation

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.table import Table

    from grism_align.io.catalogs.services.definitions import Service
    from grism_align.values.settings import ServiceSettings


_NAME = re.compile(r"cone_(\d+\.\d+)_([+-]\d+\.\d+)_(\d+\.\d+)\.ecsv\.gz")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CacheEntry:
    """One answer.

    Parameters
    ----------
    table : astropy.table.Table
        Columns by role, maybe without rows.
    path : Path
        Its file.
    mirror, url, query, date : str
        Who sent it, what was asked (ADQL), and when (ISO 8601, UTC).
    """

    table: Table
    path: Path
    mirror: str
    url: str
    query: str
    date: str


def cache_folder(settings: ServiceSettings) -> Path:
    """Return where answers are kept: as set, else ``$GRISM_ALIGN_CACHE``, else in the user's cache folder."""
    return user_cache(settings.cache_dir)


class Cache:
    """The answers of one service.

    A folder for each definition of the service (table, columns, conditions; not the address), in it a
    file for each cone. Files appear whole, so several programs can fill it at once.

    Parameters
    ----------
    service : Service
        Whose answers.
    settings : ServiceSettings
        Where they are.
    """

    def __init__(self, service: Service, settings: ServiceSettings) -> None:
        self._service = service
        name = "".join(c if c.isalnum() or c in "-." else "_" for c in service.name)
        self.folder = cache_folder(settings) / f"{name}-{service.digest[:16]}"

    def path(self, cone: Cone) -> Path:
        """Return the file of the answer for one cone."""
        decimals = CENTRE_DECIMALS
        return self.folder / (
            f"cone_{cone.ra:.{decimals}f}_{cone.dec:+.{decimals}f}_{cone.radius:.2f}.ecsv.gz"
        )

    def find(self, cone: Cone) -> CacheEntry | None:
        """Return the rows within a cone, of its answer or of that of one around it; None if there is none.

        A file that can't be read is passed over with a warning.
        """
        for path, around in self._candidates(cone):
            entry = self._read(path)
            if entry is not None:
                return entry if around == cone else replace(entry, table=within(entry.table, cone))
        return None

    def unreadable(self, cone: Cone) -> Path | None:
        """Return the first file that should have the cone, for a message; None if there is no such file."""
        return next((path for path, _ in self._candidates(cone)), None)

    def keep(self, cone: Cone, table: Table, about: dict[str, Any]) -> Path | None:
        """Save the answer for a cone; None, and a warning, where that fails.

        Parameters
        ----------
        cone : Cone
            What was asked for.
        table : astropy.table.Table
            The rows.
        about : dict
            ``mirror``, ``url``, ``query``, ``date``, and what else is worth knowing.
        """
        path, table = self.path(cone), table.copy(copy_data=False)
        about = {"catalog": self._service.name, **about, "cone": [cone.ra, cone.dec, cone.radius]}
        table.meta = {"grism_align_cache": about}
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        try:
            # what was asked, of whom, is nobody else's business
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_path(path, mode=0o600) as temporary:
                temporary.write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))
        except OSError as error:
            logger.warning("%s is not kept: %s", path, error)
            return None
        return path

    def _candidates(self, cone: Cone) -> list[tuple[Path, Cone]]:
        """Return files whose cone holds this one, the smallest first, that of the same cone before all."""
        if not self.folder.is_dir():
            return []
        found = [(path, around) for path in self.folder.iterdir() if (around := _cone_of(path.name))]
        holding = [(path, other) for path, other in found if other == cone or other.contains(cone)]
        return sorted(holding, key=lambda item: (item[1] != cone, item[1].radius, item[0].name))

    def _read(self, path: Path) -> CacheEntry | None:
        try:
            table = read_ecsv(read_whole(path, MOST_CATALOG).decode())
            about = table.meta["grism_align_cache"]
            words = [str(about[key]) for key in ("mirror", "url", "query", "date")]
            table["ra"], table["dec"]
        except Exception as error:  # noqa: BLE001 - whatever a damaged file does to its readers
            logger.warning("%s can't be used (%s: %s); it is passed over", path, type(error).__name__, error)
            return None
        table.meta.clear()
        return CacheEntry(table, path, *words)


def _cone_of(name: str) -> Cone | None:
    """Return the cone that the name of a file says."""
    match = _NAME.fullmatch(name)
    return Cone(*map(float, match.groups())) if match else None


def within(table: Table, cone: Cone) -> Table:
    """Return the rows of a table with columns ra and dec (deg) that are within a cone."""
    import numpy as np

    sky = np.column_stack([table["ra"], table["dec"]]).reshape(-1, 2).astype(float)
    return table[separation(sky, [cone.ra, cone.dec]) <= cone.radius]
