"""What is known of a field that was done: a small file beside its results, by which a batch goes on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grism_align.io.files.staging import atomic_path
from grism_align.values.batch import FieldOutcome
from grism_align.values.outcome import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable


_LAYOUT = 1


def write_state(path: Path, key: str, outcome: FieldOutcome, files: Iterable[Path]) -> None:
    """Write what came of a field.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Stands for all that the results follow from.
    outcome : FieldOutcome
        What came of it.
    files : iterable of Path
        The results; those that are not there are left out.
    """
    stamps = {str(one): _stamp(one) for one in files if one.exists()}
    content = {"layout": _LAYOUT, "key": key, "outcome": asdict(outcome), "files": stamps}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_state(path: Path, key: str) -> FieldOutcome | None:
    """Return what came of a field earlier.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        As it would be now.

    Returns
    -------
    FieldOutcome or None
        None where there is none, where anything that results follow from is another by now, and where
        results have changed or are gone.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        told = content["outcome"]
        if content["layout"] != _LAYOUT or content["key"] != key:
            return None
        if any(_stamp(Path(name)) != stamp for name, stamp in content["files"].items()):
            return None
        found = FieldOutcome(**{**told, "code": ExitCode(told["code"])})
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return replace(found, is_earlier=True)


def _stamp(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]
